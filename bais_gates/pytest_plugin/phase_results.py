"""What a roll-up gate judges: the results of a phase, in this run or imported, and what excuses them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bais_gates.targets.identity import identity_of
from bais_gates.verdict.exemptions import Exemptions
from bais_gates.verdict.model import Gate, GateResult, Outcome, Phase
from bais_gates.verdict.waivers import load_waivers

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.execution import Needs
    from bais_gates.pytest_plugin.run_state import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseResult:
    """What one gate of a phase amounted to."""

    gate_id: str
    outcome: Outcome
    """NOT_RUN for a gate that was neither selected in this run nor imported."""
    run_id: str
    """The run that it was seen in: this one, or that of the imported decision; empty for NOT_RUN."""
    excuse: str = ""
    """Why an outcome that is no pass does not block: the waiver's ticket, or an advisory severity."""

    @property
    def stands(self) -> bool:
        """Tell whether the gate does not stand in the way of a release."""
        return self.outcome in {Outcome.PASS, Outcome.NOT_APPLICABLE} or bool(self.excuse)


def phase_results(state: RunState, needs: Needs, phase: Phase) -> tuple[PhaseResult, ...]:
    """Give the result of every gate of ``phase`` that the catalog has, in its order.

    Raises GateInputError for a waiver or environment file that is not usable.
    """
    catalog = state.catalog()
    exemptions = Exemptions(
        catalog=catalog,
        policy=state.policy(),
        waivers=load_waivers(state.settings.waivers).waivers,
        target=identity_of(state.environment()),
        subject=state.settings.subject,
        now=datetime.now(UTC),
    )
    wrong = {reason.gate_id for reason in exemptions.reasons()}
    found = []
    for gate_id, (outcome, run_id) in needs.of_phase(phase).items():
        gate = catalog.by_id[gate_id]
        excuse = "" if gate_id in wrong else _excuse(gate, outcome, exemptions)
        found.append(PhaseResult(gate_id=gate_id, outcome=outcome, run_id=run_id, excuse=excuse))
    return tuple(found)


def _excuse(gate: Gate, outcome: Outcome, exemptions: Exemptions) -> str:
    if gate.severity not in exemptions.policy.blocking:
        return f"{gate.severity} is advisory"
    waiver = exemptions.waiver_for(gate, GateResult(gate_id=gate.id, outcome=outcome))
    return f"waived by {waiver.ticket}" if waiver is not None else ""
