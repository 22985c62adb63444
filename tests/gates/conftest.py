"""Run gates as plain functions against the shared sandbox, with faults switched on and off."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import yaml

from bais_gates import sandbox
from bais_gates.bais.api import open_api, register_business
from bais_gates.probes.listener import Listener
from bais_gates.probes.postgres import Database
from bais_gates.probes.redis import Cache
from bais_gates.pytest_plugin.evidence import Evidence, GateFailure
from bais_gates.reports.wording import check_text
from bais_gates.targets.environment import load_environment
from bais_gates.targets.target import Target, Unique
from bais_gates.verdict.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bais_gates.targets.environment import Environment
    from bais_gates.verdict.model import Check

GATES = Path(__file__).parents[2] / "gates"
FAULTS_APPLIED_S = 0.25
"""The API reads its faults ten times a second."""


@dataclass(frozen=True)
class Judged:
    """A gate's outcome and the checks that it recorded."""

    outcome: Outcome
    checks: tuple[Check, ...]
    message: str

    @property
    def false(self) -> str:
        """The checks that are false or without data, one per line, as the terminal prints them."""
        return "\n".join(check_text(check) for check in self.checks if check.ok is not True)

    @property
    def starved(self) -> frozenset[str]:
        """The names of the checks without data because this machine was too busy to measure times."""
        return frozenset(check.name for check in self.checks if check.ok is None and _is_starved(check))

    def observed(self, name: str) -> float:
        """Return the figure that a check of this name observed."""
        return next(float(str(check.observed)) for check in self.checks if check.name == name)

    @property
    def failed(self) -> set[str]:
        """The names of the false checks, and of those without data for another reason than a busy machine."""
        return {check.name for check in self.checks if check.ok is not True} - self.starved

    def differences(self, reasons: Mapping[str, str]) -> list[str]:
        """Return how the failed checks differ from those of the faults or lies that were on.

        ``reasons`` has a regular expression for the names of each fault's checks. One of them must be false
        that no other fault of the run explains, and nothing else may be. Beside other tests, a latency that
        is not a fault's own proves nothing: the gate's own quiet run judges it.
        """
        explained = {name: {f for f in reasons if re.fullmatch(reasons[f], name)} for name in self.failed}
        false = {check.name for check in self.checks if check.ok is False}
        stray = [name for name, by in explained.items() if not by and "latency" not in name]
        return [f"no fault explains: {name}" for name in stray] + [
            f"no check of its own is false: {fault}"
            for fault in reasons
            if {fault} not in (explained[name] for name in false)
        ]


def _is_starved(check: Check) -> bool:
    return any(words in (check.source or "") for words in ("machine was busy", "load generator"))


class Bench:
    """One sandbox, and the gates run against it."""

    SHORT_DEADLINES: ClassVar[dict[str, Any]] = {
        "webhooks": {"deadline_s": 4},
        "payments": {"settled_within_s": 3},
    }
    """Parts of an environment file with short deadlines for deliveries and payments that never arrive."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment_file = directory / "environment.yaml"

    def with_faults(self, *names: str) -> None:
        """Switch exactly these faults on."""
        sandbox.set_faults(self.directory, names)
        time.sleep(FAULTS_APPLIED_S)

    def run(self, gate: str, *faults: str, environment_file: Path | None = None) -> Judged:
        """Run the gate ``acceptance.<gate>`` with exactly these faults on."""
        self.with_faults(*faults)
        try:
            return self._run(
                gate, load_environment(environment_file or self.environment_file, gates_dir=GATES)
            )
        finally:
            if faults:
                self.with_faults()

    def measure(self, gate: str, *faults: str, environment_file: Path | None = None) -> Judged:
        """Run a gate that measures times, and once more if this machine was too busy for it."""
        judged = self.run(gate, *faults, environment_file=environment_file)
        return self.run(gate, *faults, environment_file=environment_file) if judged.starved else judged

    def described(self, **changes: dict[str, object]) -> Path:
        """Write the sandbox's environment file with some parts changed; a value of None removes a key."""
        data = yaml.safe_load(self.environment_file.read_text(encoding="utf-8"))
        for part, values in changes.items():
            changed = {**data.get(part, {}), **values}
            data[part] = {key: value for key, value in changed.items() if value is not None}
        path = self.directory / "changed.yaml"
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
        return path

    def _run(self, gate: str, environment: Environment, phase: str = "acceptance") -> Judged:
        evidence, error = Evidence(), None
        with ExitStack() as stack:
            try:
                function = gate_function(gate, phase)
                names = inspect.signature(function).parameters
                function(**{name: self._fixture(name, environment, evidence, stack) for name in names})
            except GateFailure:
                pass  # a required check was false; the evidence has it
            except Exception as e:  # noqa: BLE001 - any other exception means that the gate could not check
                error = e
        checks = evidence.recorded().checks
        if error is not None:
            return Judged(Outcome.ERROR, checks, f"{type(error).__name__}: {error}")
        if any(check.ok is False for check in checks):
            outcome = Outcome.FAIL
        elif any(check.ok is None for check in checks):
            outcome = Outcome.NO_DATA
        else:
            outcome = Outcome.PASS if checks else Outcome.VACUOUS
        return Judged(outcome, checks, "")

    def _fixture(self, name: str, environment: Environment, evidence: Evidence, stack: ExitStack) -> Any:
        target = Target(environment=environment, gates_dir=GATES)
        unique = Unique(f"tests-{os.getpid()}")
        makers: dict[str, Callable[[], Any]] = {
            "evidence": lambda: evidence,
            "environment": lambda: environment,
            "limits": lambda: environment.limits,
            "unique": lambda: unique,
            "api": lambda: self._closing(stack, open_api(target)),
            "new_business": lambda: self._business_maker(stack, open_api(target), unique),
            "database": lambda: stack.enter_context(Database(environment.database.url)),
            "cache": lambda: stack.enter_context(Cache(environment.cache.url)),
            "webhook_listener": lambda: stack.enter_context(Listener("127.0.0.1")),
        }
        return makers[name]()

    @staticmethod
    def _closing(stack: ExitStack, api: Any) -> Any:
        stack.callback(api.http.close)
        return api

    def _business_maker(self, stack: ExitStack, api: Any, unique: Unique) -> Callable[[], Any]:
        self._closing(stack, api)
        return lambda: register_business(api, unique)


def cases_of(reasons: Mapping[str, Sequence[Mapping[str, str]]]) -> list[Any]:
    """Return a case for each run with faults; all but the first of each gate are nightly."""
    return [
        pytest.param(
            gate, faults, id=f"{gate}-{'+'.join(faults)}", marks=(pytest.mark.nightly,) if number else ()
        )
        for gate, runs in reasons.items()
        for number, faults in enumerate(runs)
    ]


def gate_function(gate: str, phase: str = "acceptance") -> Callable[..., None]:
    """Return the function of a phase's gate, loaded from the file that has it."""
    paths = (GATES / phase).glob("test_*.py")
    path = next(one for one in paths if f"def test_{gate}(" in one.read_text(encoding="utf-8"))
    spec = importlib.util.spec_from_file_location(f"{phase}_gate_{gate}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name during its import
    spec.loader.exec_module(module)
    function: Callable[..., None] = getattr(module, f"test_{gate}")
    return function


@pytest.fixture(scope="session")
def bench(shared_sandbox: Path) -> Bench:
    """Return the bench of this process's sandbox."""
    return Bench(shared_sandbox)
