"""Whether a success criterion is met, by the results of the gates that prove it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from enum import StrEnum

from bais_gates.reports.view import Standing, standing
from bais_gates.verdict.criteria import Criterion
from bais_gates.verdict.model import Decision, JudgedGate, Phase


class State(StrEnum):
    """What is known of a criterion, the gravest first: one with several is in the first of them."""

    NOT_MET = "not met"
    WAIVED = "waived"
    NOT_JUDGED = "not judged in this scope"
    AFTER_DEPLOY = "judged after the deployment"
    NOT_APPLICABLE = "not applicable"
    IN_PART = "not applicable in part"
    MET = "met"


_STATES = {
    Standing.PASSED: State.MET,
    Standing.NOT_APPLICABLE: State.NOT_APPLICABLE,
    Standing.WAIVED: State.WAIVED,
}
"""By a gate's standing; what is not listed did not pass, and has nobody's approval."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A gate of a criterion; ``judged`` is None where the decision is not about it."""

    gate_id: str
    judged: JudgedGate | None

    @property
    def state(self) -> State:
        """What the criterion would be if this gate alone proved it. Only a PASS meets it."""
        if self.judged is not None:
            return _STATES.get(standing(self.judged), State.NOT_MET)
        later = self.gate_id.startswith(f"{Phase.POSTDEPLOY.value}.")
        return State.AFTER_DEPLOY if later else State.NOT_JUDGED


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A criterion with its proofs, at least one."""

    criterion: Criterion
    proofs: tuple[Proof, ...]

    @property
    def state(self) -> State:
        """The gravest state of its gates."""
        states = {proof.state for proof in self.proofs}
        if states == {State.NOT_APPLICABLE, State.MET}:
            return State.IN_PART
        return next((state for state in State if state in states), State.NOT_JUDGED)


def tally(lines: list[Answer]) -> str:
    """Return how many criteria are in each state, in words: those that are met first, even if none is."""
    numbers = Counter(line.state for line in lines)
    return ", ".join(
        f"{numbers[state]} {state}" for state in reversed(State) if numbers[state] or state is State.MET
    )


def answers(decision: Decision) -> list[tuple[str, list[Answer]]]:
    """Return each list of criteria with its answers, but for those of which no gate was judged."""
    judged = {each.gate.id: each for each in decision.gates}
    lists = []
    for each in decision.criteria:
        lines = [
            Answer(
                criterion=criterion,
                proofs=tuple(
                    Proof(gate_id=gate_id, judged=judged.get(gate_id)) for gate_id in criterion.gate_ids
                ),
            )
            for criterion in each.criteria
        ]
        if any(proof.judged for line in lines for proof in line.proofs):
            lists.append((each.title, lines))
    return lists
