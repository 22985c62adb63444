"""Run gates as plain functions against one sandbox per module, with faults switched on and off."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

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
    from collections.abc import Callable, Iterator

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


class Bench:
    """One sandbox, and the gates run against it."""

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

    def _run(self, gate: str, environment: Environment) -> Judged:
        evidence, error = Evidence(), None
        with ExitStack() as stack:
            try:
                function = gate_function(gate)
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


def gate_function(gate: str) -> Callable[..., None]:
    """Return the function of ``acceptance.<gate>``, loaded from its file."""
    path = GATES / "acceptance" / f"test_{gate}.py"
    spec = importlib.util.spec_from_file_location(f"gate_{gate}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name during its import
    spec.loader.exec_module(module)
    function: Callable[..., None] = getattr(module, f"test_{gate}")
    return function


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Start a sandbox for the module, and stop it afterwards."""
    directory = tmp_path_factory.mktemp("bench")
    sandbox.start(directory, owner_pid=os.getpid())
    try:
        yield Bench(directory)
    finally:
        sandbox.stop(directory)
