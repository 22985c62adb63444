"""Make platform faults on a running sandbox, and undo them."""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.bootstrap.client import AbsentError
from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.files import read_json, write_json
from bais_gates.sandbox.platform_faults import PLATFORM_FAULTS
from bais_gates.sandbox.platform_faults.changes import Platform

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Maker:
    """Makes the platform faults of the sandbox in ``directory``, and undoes them, from any process.

    What restores the former state is kept in the sandbox's folder. Each failure is a ``SandboxError``.
    """

    def __init__(self, directory: Path) -> None:
        self._directory, self._records = directory, directory / "made"

    @property
    def made(self) -> tuple[str, ...]:
        """The names of the faults that are made now."""
        return tuple(sorted(path.stem for path in self._records.glob("*.json")))

    def make(self, name: str) -> None:
        """Make a fault, unless it is made, and return when it is in effect; undo it where that fails."""
        if name in self.made:
            return
        former: list[Any] = []
        try:
            with closing(Platform(self._directory)) as platform:
                if PLATFORM_FAULTS[name].staged:
                    platform.require_staging()
                self._records.mkdir(mode=0o700, exist_ok=True)
                for change in PLATFORM_FAULTS[name].changes:
                    former.append(change.make(platform))
                    write_json(self._record(name), former)
        except SandboxError as error:
            with suppress(SandboxError):
                self.undo(name)
            raise SandboxError(f"the fault {name} could not be made: {error}") from error

    def undo(self, name: str) -> None:
        """Restore what a fault changed; nothing is done if it is not made, or its object is gone."""
        former = read_json(self._record(name))
        if not isinstance(former, list):
            return
        fault = PLATFORM_FAULTS[name]
        try:
            with closing(Platform(self._directory)) as platform:
                if not fault.staged or platform.is_staged():
                    for change, before in zip(fault.changes, former, strict=False):
                        with suppress(AbsentError):
                            change.undo(platform, before)
        except SandboxError as error:
            raise SandboxError(f"the fault {name} could not be undone: {error}") from error
        self._record(name).unlink()

    def make_exactly(self, names: Iterable[str]) -> None:
        """Undo the faults that are made and not named, then make those that are named."""
        wanted = list(names)
        for name in self.made:
            if name not in wanted:
                self.undo(name)
        for name in wanted:
            self.make(name)

    def _record(self, name: str) -> Path:
        return self._records / f"{name}.json"
