"""How a gate is run: after its needs, in its turn, within its deadline, or not at all with the reason."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.errors import GateInputError
from bais_gates.pytest_plugin.deadlines import deadline
from bais_gates.pytest_plugin.exclusivity import its_turn
from bais_gates.pytest_plugin.keys import binding_key, needs_key, watch_key
from bais_gates.pytest_plugin.needs import Needs
from bais_gates.pytest_plugin.watch import Preset, Watch
from bais_gates.verdict.model import Gate, Outcome

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.binding import Binding
    from bais_gates.pytest_plugin.state import RunState

PRODUCTION = "production"
_CLEAN_UP_S = 30.0
"""What a gate's tear-down has at least, within the gate's deadline, when the test itself used up its time."""
_PHASE_NAMES = {"setup": "in set-up", "call": "in the test", "teardown": "in tear-down"}


class Guard:
    """Outermost wrappers around a gate's test, in the process that runs it."""

    def __init__(self, state: RunState, config: pytest.Config) -> None:
        self._state = state
        self._needs = config.stash[needs_key] = Needs(state)
        self._interactive = any(config.getoption(name, None) for name in ("usepdb", "trace"))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn which gates were selected."""
        bindings = (item.stash.get(binding_key, None) for item in session.items)
        self._needs.select(binding for binding in bindings if binding is not None)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Let a gate run when it is its turn, and leave its outcome for those that need it."""
        binding = item.stash.get(binding_key, None)
        if binding is None or binding.gate is None:
            return (yield)
        watch = item.stash[watch_key] = Watch(binding)
        watch.preset = self._not_applicable(binding.gate) or self._needs.preset_for(binding.gate)
        with self._turn(binding.gate, watch):
            self._tell("gate_started", binding)
            watch.begin(self._seconds(binding.gate))
            try:
                return (yield)
            finally:
                self._needs.finished(binding, watch.outcome or Outcome.NOT_RUN)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Hold what the test asks for to the deadline."""
        with self._deadline(item.stash.get(watch_key, None), "setup"):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Hold the test to what is left of the deadline."""
        with self._deadline(item.stash.get(watch_key, None), "call"):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Give the tear-down what is left of the deadline, and enough to clean up."""
        with self._deadline(item.stash.get(watch_key, None), "teardown"):
            return (yield)

    def _seconds(self, gate: Gate) -> float:
        try:
            return self._state.policy().deadline_of(gate)
        except GateInputError:
            return 0.0

    def _turn(self, gate: Gate, watch: Watch) -> contextlib.AbstractContextManager[None]:
        if self._state.worker is None or watch.preset is not None:
            return contextlib.nullcontext()
        return its_turn(self._state.shared().lock_file, exclusive=gate.exclusive)

    def _deadline(self, watch: Watch | None, when: str) -> contextlib.AbstractContextManager[None]:
        gate = watch.binding.gate if watch is not None else None
        seconds = self._seconds(gate) if gate is not None else 0.0
        if watch is None or not seconds or self._interactive:
            return contextlib.nullcontext()
        left = watch.deadline_at - time.monotonic()
        if when == "teardown":
            left = max(left, min(seconds, _CLEAN_UP_S))
        text = f"the gate's deadline of {seconds:g} s passed {_PHASE_NAMES[when]}"
        return deadline(left, text, lambda error: watch.saw(when, error))

    def _not_applicable(self, gate: Gate) -> Preset | None:
        try:
            environment = self._state.environment()
        except GateInputError:
            return None  # the fixtures of the gate will say so
        reason = dict(environment.not_applicable).get(gate.id)
        if reason is None and gate.mutates and not environment.describes("test_tenant"):
            said = environment.api.environment if environment.describes("api") else None
            if PRODUCTION in {environment.name, said}:
                reason = "it writes, and the environment file of production names no test tenant"
        if reason is None or not reason.strip():
            return None
        return Preset(outcome=Outcome.NOT_APPLICABLE, message=reason)

    def _tell(self, kind: str, binding: Binding) -> None:
        if self._state.ledger is not None:
            record = {"nodeid": binding.nodeid, "gate": binding.gate_id, "case": binding.case}
            self._state.ledger.append(kind, record)  # type: ignore[arg-type] # dicts of str are JSON values
