"""How a gate is run: after its needs, in its turn, within its deadline, or not at all with the reason."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.errors import GateInputError
from bais_gates.measuring import alone_on_this_machine
from bais_gates.pytest_plugin.binding import binding_key
from bais_gates.pytest_plugin.deadlines import Due, Watchdog, clock, moment
from bais_gates.pytest_plugin.outcome import GateTest, Preset, gate_test_key
from bais_gates.verdict import exemptions
from bais_gates.verdict.model import Gate, Outcome, Phase
from bais_gates.verdict.outcomes import PROVEN

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.pytest_plugin.binding import Binding
    from bais_gates.pytest_plugin.run_state import RunState

_CLEAN_UP_S = 30.0
"""What a gate's tear-down has at least, within the gate's deadline, when the test itself used up its time."""
_POLL_S = 0.05
_GRACE_S = 5.0

needs_key: pytest.StashKey[Needs] = pytest.StashKey()
"""On the config: what this process knows of how the run's gates went."""


class Execution:
    """Outermost wrappers around a gate's test, in the process that runs it."""

    def __init__(
        self,
        state: RunState,
        config: pytest.Config,
        *,
        settle: Callable[[], None],
        show: Callable[[str], None],
    ) -> None:
        """``settle`` waits until nothing is provisioned any more that would disturb an exclusive gate."""
        self._state = state
        self._settle = settle
        self._show = show
        self._needs = config.stash[needs_key] = Needs(state)
        self._watchdog: Watchdog | None = None
        self._interactive = any(config.getoption(name, None) for name in ("usepdb", "trace"))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Record which gates were selected."""
        bindings = (item.stash.get(binding_key, None) for item in session.items)
        self._needs.select(binding for binding in bindings if binding is not None)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Run a gate when it is its turn, and record its outcome for those that need it."""
        binding = item.stash.get(binding_key, None)
        if binding is None or binding.gate is None:
            return (yield)
        test = item.stash[gate_test_key] = GateTest(binding)
        test.preset = not_applicable(self._state, binding.gate) or self._needs.preset_for(binding.gate)
        with self._turn(binding.gate, test):
            self._record("gate_started", binding)
            test.begin(self._seconds(binding.gate))
            self._watch()
            try:
                return (yield)
            finally:
                self._needs.record(binding, test.outcome or Outcome.NOT_RUN)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Hold what the test asks for to the deadline."""
        hold = self._hold(item, "setup")
        return (yield) if hold is None else (yield from hold)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Hold the test to what is left of the deadline."""
        hold = self._hold(item, "call")
        return (yield) if hold is None else (yield from hold)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Allow the tear-down what is left of the deadline, and enough to clean up."""
        hold = self._hold(item, "teardown")
        return (yield) if hold is None else (yield from hold)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """End what keeps the deadlines."""
        if self._watchdog is not None:
            self._watchdog.close()

    def _watch(self) -> None:
        if not self._interactive:
            self._watchdog = self._watchdog or Watchdog()
            self._watchdog.listen()

    def _seconds(self, gate: Gate) -> float:
        try:
            return self._state.policy().deadline_of(gate) + self._state.load_seconds(gate)
        except GateInputError:
            return 0.0

    @contextlib.contextmanager
    def _turn(self, gate: Gate, test: GateTest) -> Iterator[None]:
        """Wait for the gate's turn: in this run, and, if it measures time, on this machine."""
        if test.preset is not None:
            yield
            return
        with contextlib.ExitStack() as turns:
            if gate.exclusive:
                self._settle()
            if self._state.worker is not None:
                turns.enter_context(turn(self._state.shared().lock_file, exclusive=gate.exclusive))
            if gate.exclusive:
                turns.enter_context(alone_on_this_machine(self._show))
            yield

    def _hold(self, item: pytest.Item, phase: str) -> Generator[None, Any, Any] | None:
        """Return what wraps a phase to hold it to the deadline; None for one that has none."""
        test = item.stash.get(gate_test_key, None)
        if test is None or self._watchdog is None or not test.deadline_s:
            return None
        at = test.began + test.deadline_s
        if phase == "teardown":
            at = max(at, clock() + min(test.deadline_s, _CLEAN_UP_S))
        record = functools.partial(_record_late, item, test, phase)
        return self._watchdog.hold(Due(at, test.deadline_s, phase, record))

    def _record(self, kind: str, binding: Binding) -> None:
        if self._state.ledger is not None:
            record = {"nodeid": binding.nodeid, "gate": binding.gate_id, "case": binding.case}
            self._state.ledger.append(kind, record)


def _record_late(item: pytest.Item, test: GateTest, phase: str, error: BaseException) -> None:
    """Keep that a phase took too long; it outweighs what the phase raised, before or because of it."""
    test.errors[phase] = error
    # A timer of pytest-timeout with the same limit is about to fire: into pytest, which would break the run.
    cancel = getattr(item.config.hook, "pytest_timeout_cancel_timer", None)
    if cancel is not None:
        cancel(item=item)


class Needs:
    """What this process knows of the gates of the run, and where it asks about the others."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._outcomes: dict[tuple[str, str | None], Outcome] = {}
        self._selected: dict[str, set[str | None]] = defaultdict(set)

    def select(self, bindings: Iterable[Binding]) -> None:
        """Record which tests of gates will run."""
        for binding in bindings:
            self._selected[binding.gate_id].add(binding.case)

    def record(self, binding: Binding, outcome: Outcome) -> None:
        """Record the outcome of a gate's test, under xdist for the other workers, too."""
        self._outcomes[binding.gate_id, binding.case] = outcome
        if self._state.worker is not None:
            self._state.shared().put_result(binding.gate_id, outcome, binding.case)

    def preset_for(self, gate: Gate) -> Preset | None:
        """Wait for the needed gates, and return the outcome to set if one of them did not pass."""
        if gate.rolls_up is not None and (preset := self._nothing_to_roll_up(gate.rolls_up)) is not None:
            return preset
        missing: list[str] = []
        reasons: list[str] = []
        for need in gate.needs:
            why = self._why_not(need)
            if why is not None:
                missing.append(need)
                reasons.append(f"{need}, which {why}")
        if not missing:
            return None
        return Preset(
            outcome=Outcome.NOT_RUN,
            message=f"It needs {' and '.join(reasons)}.",
            needs_not_passed=tuple(missing),
        )

    def of_phase(self, phase: Phase) -> dict[str, tuple[Outcome, str]]:
        """Return the outcome of each gate of a phase, and the run it is from; NOT_RUN without a result.

        A gate that is selected in this run counts as it is here, another one as it was imported. Waits for
        those that still run elsewhere.
        """
        found: dict[str, tuple[Outcome, str]] = {}
        for gate in self._state.catalog().gates:
            if gate.phase is not phase:
                continue
            if gate.id in self._selected:
                cases = [self._outcome(gate.id, case) for case in sorted(self._selected[gate.id], key=str)]
                bad = [one for one in cases if one not in PROVEN]
                outcome = (bad[0] or Outcome.NOT_RUN) if bad else cases[0] or Outcome.NOT_RUN
                found[gate.id] = (outcome, self._state.run_id or self._state.settings.run_id)
            else:
                found[gate.id] = self._state.imported.get(gate.id, (Outcome.NOT_RUN, ""))
        return found

    def _nothing_to_roll_up(self, phase: Phase) -> Preset | None:
        """Wait for the phase's gates, and return the outcome to set if none ran here or was imported."""
        known = self.of_phase(phase)
        if any(gate_id in self._selected or gate_id in self._state.imported for gate_id in known):
            return None
        return Preset(
            outcome=Outcome.NOT_RUN,
            message=f"It judges the results of phase {phase}, of which no gate is selected in this run, nor "
            "imported from a verified decision (--gate-import).",
        )

    def _why_not(self, need: str) -> str | None:
        if need in self._state.imported_passes:
            return None
        if need not in self._selected:
            # Someone who runs one gate alone and asks for no decision wants to see that gate.
            return "is not selected in this run" if self._state.settings.deciding else None
        for case in sorted(self._selected[need], key=str):
            outcome = self._outcome(need, case)
            if outcome is None:
                return "did not report"
            if outcome not in PROVEN:
                return f"did not pass ({outcome.value})"
        return None

    def _outcome(self, gate_id: str, case: str | None) -> Outcome | None:
        known = self._outcomes.get((gate_id, case))
        if known is not None or self._state.worker is None:
            return known
        directory = self._state.shared()
        policy = self._state.policy()
        gates = self._state.catalog().gates
        patience = max(policy.deadline_of(one) + self._state.load_seconds(one) for one in gates) + _GRACE_S
        quiet_since = moment().timestamp()
        while (outcome := directory.result(gate_id, case)) is None:
            # As long as gates finish anywhere there is progress; then all that run are within their deadline.
            quiet_since = max(quiet_since, directory.last_progress())
            if directory.stopped or moment().timestamp() - quiet_since > patience:
                return None
            time.sleep(_POLL_S)
        return outcome


def not_applicable(state: RunState, gate: Gate) -> Preset | None:
    """Return the outcome of a gate that this environment exempts; None for any other."""
    try:
        environment = state.environment()
    except GateInputError:
        return None  # the fixtures of the gate will say so
    reason = exemptions.not_applicable(gate, environment)
    return None if reason is None else Preset(outcome=Outcome.NOT_APPLICABLE, message=reason)


@contextlib.contextmanager
def turn(lock_file: Path, *, exclusive: bool) -> Iterator[None]:
    """Wait until a gate may run, and hold the others off while it does.

    An exclusive gate that waits keeps later ones from starting (it holds the door), so that it is not passed
    over for ever. A process that dies lets go of everything.
    """
    mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    door_file = lock_file.with_suffix(".door")
    with lock_file.open("a") as room:
        with door_file.open("a") as door:
            fcntl.flock(door, mode)
            fcntl.flock(room, mode)
        yield
