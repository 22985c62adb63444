"""The staged platform for gates and people: how provisioning ended, the clients to read it, and findings."""

from __future__ import annotations

import json
import operator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from bais_gates.probes.postgres import Database
from bais_gates.probes.redis import Cache
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.plan import CompletedStep
from bais_gates.staging.reach import COMPONENT
from bais_gates.staging.server import request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from bais_gates.staging.plan import Step
    from bais_gates.staging.reach import Reach
    from bais_gates.staging.readiness import Object, Objects
    from bais_gates.staging.server import Server
    from bais_gates.targets.environment import Environment

READY: Final = "ready"


class StepNotReached(Exception):  # noqa: N818 - a finding about the staged platform, not a program fault
    """Provisioning ended before this step, so that nothing is known about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagingResult:
    """How provisioning ended: the completed steps, and the error that stopped it, if any."""

    namespace: str
    owner: str
    completed: tuple[CompletedStep, ...] = ()
    code: StageCode | None = None
    step: str = ""
    """The step that failed."""
    paragraph: str = ""
    """The error's paragraph."""
    revision: str | None = None
    """The schema's revision after the migrations; None if the database can't be reached from here."""

    @classmethod
    def from_error(
        cls, error: StageError, *, namespace: str, owner: str, completed: tuple[CompletedStep, ...] = ()
    ) -> StagingResult:
        """Return the result of a provisioning that ended with an error."""
        return cls(
            namespace=namespace,
            owner=owner,
            completed=completed,
            code=error.code,
            step=error.step,
            paragraph=error.paragraph,
        )

    @property
    def error(self) -> StageError | None:
        """The error that stopped it, None when all steps completed."""
        if self.code is None:
            return None
        error = StageError(self.code, "", step=self.step)
        error.paragraph = self.paragraph
        error.args = (f"{self.code.value}: {self.paragraph}",)
        return error

    def state_of(self, step: Step) -> str:
        """Return ``ready`` for a completed step, or code and paragraph if the release failed in it.

        Raises the ``StageError`` when the cluster was at fault, and ``StepNotReached`` for a step that was
        not begun.
        """
        if any(one.step == step for one in self.completed):
            return READY
        error = self.error
        if error is None:
            raise StepNotReached(f"the step {step} is not part of this provisioning")
        if error.step != step:
            where = f"the step {error.step}" if error.step else "its start"
            raise StepNotReached(
                f"provisioning did not reach the step {step}: it stopped at {where} with {error}"
            )
        if not error.code.blames_release:
            raise error
        return str(error)

    def as_record(self) -> dict[str, str | None]:
        """Return the record for ``targets.provision.once``."""
        return {"result": json.dumps(asdict(self))}

    @classmethod
    def from_record(cls, record: Mapping[str, str | None]) -> StagingResult:
        """Return the result in a record."""
        data = json.loads(record["result"] or "{}")
        data["completed"] = tuple(CompletedStep(**one) for one in data["completed"])
        data["code"] = StageCode(data["code"]) if data["code"] else None
        return cls(**data)


class Evidence(Protocol):
    """The part of a gate's evidence that is used here."""

    def check(  # noqa: D102 - see bais_gates.pytest_plugin.evidence
        self,
        name: str,
        observed: object,
        op: str,
        limit: object,
        *,
        unit: str | None = None,
        source: str | None = None,
    ) -> bool: ...

    def require(  # noqa: D102 - as above
        self, name: str, observed: object, op: str, limit: object, *, source: str | None = None
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedPlatform:
    """The value of the fixture ``staging``. Reading raises ``StageError`` with the server's refusal."""

    result: StagingResult
    server: Server
    environment: Environment
    reach: Reach

    @property
    def namespace(self) -> str:
        """The staged namespace."""
        return self.result.namespace

    def require(self, step: Step, evidence: Evidence) -> None:
        """Record that a step completed, and end the gate if the release failed in it.

        Raises ``StageError`` or ``StepNotReached`` when it could not be tried, which makes the gate an ERROR.
        """
        seconds = next((one.seconds for one in self.result.completed if one.step == step), None)
        source = f"provisioned in {seconds} s" if seconds is not None else None
        evidence.require(
            f"provisioning state ({step})", self.result.state_of(step), "==", READY, source=source
        )

    def named(self, api_version: str, kind: str, name: str) -> Object | None:
        """Return an object of the staged namespace as it is now, None if it does not exist."""
        return request(
            f"Reading {kind} {name}", lambda: self.server.named(api_version, kind, name, self.namespace)
        )

    def list(self, api_version: str, kind: str, component: str | None = None) -> Objects:
        """Return the objects of the staged namespace as they are now, of one component if given."""
        labels = f"{COMPONENT}={component}" if component else None
        return request(
            f"Listing every {kind}",
            lambda: self.server.list(api_version, kind, self.namespace, labels=labels),
        )

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Open the staged database, read only."""
        with Database(self.reach.database_url()) as opened:
            yield opened

    @contextmanager
    def cache(self) -> Iterator[Cache]:
        """Open the staged cache for the read-only user."""
        with Cache(self.reach.cache_url()) as opened:
            yield opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One comparison, with the arguments of ``evidence.check``: ``observed`` OP ``limit``."""

    name: str
    observed: Any
    limit: Any
    op: str = "=="
    unit: str | None = None
    source: str | None = None

    @property
    def holds(self) -> bool:
        """Whether the comparison is true; one of values that can't be compared is not."""
        try:
            return bool(_OPERATORS[self.op][1](self.observed, self.limit))
        except TypeError:
            return False

    @property
    def sentence(self) -> str:
        """The comparison in one line, for the terminal."""
        unit = f" {self.unit}" if self.unit else ""
        text = f"{self.name}: {_as_text(self.observed)}{unit}"
        return text if self.holds else f"{text}, {_OPERATORS[self.op][0]} {_as_text(self.limit)}{unit}"


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    if value is None:
        return "missing"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


_OPERATORS: Final[dict[str, tuple[str, Callable[[Any, Any], object]]]] = {
    "==": ("must be", operator.eq),
    "!=": ("must not be", operator.ne),
    ">=": ("must be at least", operator.ge),
    "<=": ("must be at most", operator.le),
}


def record(findings: Iterable[Finding], evidence: Evidence) -> None:
    """Record findings as checks of a gate's evidence, one by one as they come."""
    for one in findings:
        evidence.check(one.name, one.observed, one.op, one.limit, unit=one.unit, source=one.source)
