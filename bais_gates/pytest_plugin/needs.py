"""Whether the gates that a gate needs have passed; under xdist they may be running elsewhere."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bais_gates.pytest_plugin.watch import Preset
from bais_gates.verdict.model import Gate, Outcome, Phase

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.binding import Binding
    from bais_gates.pytest_plugin.state import RunState

GOOD = frozenset({Outcome.PASS, Outcome.NOT_APPLICABLE})
_POLL_S = 0.05
_GRACE_S = 5.0


class Needs:
    """What this process knows of the gates of the run, and where it asks about the others."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._outcomes: dict[tuple[str, str | None], Outcome] = {}
        self._selected: dict[str, set[str | None]] = defaultdict(set)

    def select(self, bindings: Iterable[Binding]) -> None:
        """Learn which tests of gates will run."""
        for binding in bindings:
            self._selected[binding.gate_id].add(binding.case)

    def finished(self, binding: Binding, outcome: Outcome) -> None:
        """Leave what a gate's test amounted to."""
        self._outcomes[binding.gate_id, binding.case] = outcome
        if self._state.worker is not None:
            self._state.shared().put_result(binding.gate_id, outcome, binding.case)

    def preset_for(self, gate: Gate) -> Preset | None:
        """Wait for the needed gates; return the outcome to set if one of them did not pass."""
        if gate.rolls_up is not None and (preset := self._nothing_to_roll_up(gate.rolls_up)) is not None:
            return preset
        missing: list[str] = []
        told: list[str] = []
        for need in gate.needs:
            why = self._why_not(need)
            if why is not None:
                missing.append(need)
                told.append(f"{need}, which {why}")
        if not missing:
            return None
        return Preset(
            outcome=Outcome.NOT_RUN,
            message=f"It needs {' and '.join(told)}.",
            needs_not_passed=tuple(missing),
        )

    def of_phase(self, phase: Phase) -> dict[str, tuple[Outcome, str]]:
        """Give what each gate of a phase amounted to, and in which run; NOT_RUN without a result.

        A gate that is selected in this run counts as it is here, another one as it was imported. Waits for
        those that still run elsewhere.
        """
        found: dict[str, tuple[Outcome, str]] = {}
        for gate in self._state.catalog().gates:
            if gate.phase is not phase:
                continue
            if gate.id in self._selected:
                cases = [self._outcome(gate.id, case) for case in sorted(self._selected[gate.id], key=str)]
                bad = [one for one in cases if one not in GOOD]
                outcome = (bad[0] or Outcome.NOT_RUN) if bad else cases[0] or Outcome.NOT_RUN
                found[gate.id] = (outcome, self._state.run_id or self._state.settings.run_id)
            else:
                found[gate.id] = self._state.imported.get(gate.id, (Outcome.NOT_RUN, ""))
        return found

    def _nothing_to_roll_up(self, phase: Phase) -> Preset | None:
        """Wait for the phase's gates; the outcome to set if none of them ran here or was imported."""
        known = self.of_phase(phase)
        if any(gate_id in self._selected or gate_id in self._state.imported for gate_id in known):
            return None
        return Preset(
            outcome=Outcome.NOT_RUN,
            message=f"It judges the results of phase {phase}, and no gate of that phase is selected in this "
            "run, nor imported from a verified decision (--gate-import).",
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
            if outcome not in GOOD:
                return f"did not pass ({outcome.value})"
        return None

    def _outcome(self, gate_id: str, case: str | None) -> Outcome | None:
        known = self._outcomes.get((gate_id, case))
        if known is not None or self._state.worker is None:
            return known
        directory = self._state.shared()
        policy = self._state.policy()
        patience = max(policy.deadline_of(gate) for gate in self._state.catalog().gates) + _GRACE_S
        quiet_since = time.time()
        while (outcome := directory.result(gate_id, case)) is None:
            # As long as gates finish anywhere there is progress; then all that run are within their deadline.
            quiet_since = max(quiet_since, directory.last_progress())
            if directory.stopped or time.time() - quiet_since > patience:
                return None
            time.sleep(_POLL_S)
        return outcome
