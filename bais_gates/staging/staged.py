"""What came of staging, as all processes of a run are told it, and what a gate may go on from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.plan import Step
from bais_gates.staging.provision import Done

if TYPE_CHECKING:
    from collections.abc import Mapping

READY = "ready"


class NotStaged(Exception):  # noqa: N818 - it names what was found out about the staged platform
    """That part of the platform was never reached by staging, so that nothing can be said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """The outcome of provisioning once: the steps that came true, and the one at which it stopped, if any."""

    namespace: str
    owner: str
    done: tuple[Done, ...] = ()
    code: StageCode | None = None
    step: str = ""
    """The step at which it stopped."""
    said: str = ""
    """Why, in one paragraph."""
    revision: str | None = None
    """The schema's revision when the migrations were through; None where the database can't be asked."""

    @classmethod
    def stopped(cls, error: StageError, **known: object) -> Staged:
        """Make the outcome of a provisioning that stopped at an error."""
        return cls(code=error.code, step=error.step, said=error.paragraph, **known)  # type: ignore[arg-type]  # passed on

    @property
    def error(self) -> StageError | None:
        """The error at which it stopped, None when all came true."""
        if self.code is None:
            return None
        error = StageError(self.code, "", step=self.step)
        error.paragraph = self.said
        error.args = (f"{self.code.value}: {self.said}",)
        return error

    def state_of(self, step: Step) -> str:
        """Return how a step ended: ``ready``, or the code and paragraph of what the release did wrong in it.

        Raises the ``StageError`` when the surroundings kept the step from being tried, and ``NotStaged`` for
        one that was never begun.
        """
        if any(one.step == step for one in self.done):
            return READY
        error = self.error
        if error is None:
            raise NotStaged(f"the step {step} was not part of staging")
        if error.step != step:
            where = error.step or "its start"
            raise NotStaged(f"staging did not get to the step {step}: it stopped at {where} with {error}")
        if not error.code.blames_release:
            raise error
        return str(error)

    def as_record(self) -> dict[str, str | None]:
        """Return it as ``targets.provision.once`` keeps it."""
        return {"staged": json.dumps(asdict(self))}

    @classmethod
    def from_record(cls, record: Mapping[str, str | None]) -> Staged:
        """Read it back."""
        data = json.loads(record["staged"] or "{}")
        data["done"] = tuple(Done(**one) for one in data["done"])
        data["code"] = StageCode(data["code"]) if data["code"] else None
        return cls(**data)
