"""Whether the acceptance tests stand behind this release: a roll-up of what that phase's gates found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from bais_gates import Evidence, PhaseResult

if TYPE_CHECKING:
    from collections.abc import Callable

PHASE: Final = "acceptance"
UNJUDGED: Final = frozenset({"ERROR", "NO_DATA", "NOT_RUN"})
"""Outcomes of gates that saw neither right nor wrong."""


class PhaseNotJudged(Exception):  # noqa: N818 - it names what was found out
    """Gates of the phase could not be judged, so neither can the phase."""


@pytest.mark.gate("checklist.acceptance_tests")
def test_acceptance_tests(
    phase_results: Callable[[str], tuple[PhaseResult, ...]], evidence: Evidence
) -> None:
    """Every acceptance gate passed, in this run or in a verified decision on the same release and target."""
    results = phase_results(PHASE)
    evidence.attach(
        "acceptance gates",
        "\n".join(f"{one.gate_id}: {one.outcome} {one.excuse}".rstrip() for one in results),
        "text/plain",
    )
    standing = [one for one in results if one.stands]
    unjudged = {one.gate_id: one.outcome.value for one in results if one.outcome in UNJUDGED}
    failed = {
        one.gate_id: one.outcome.value for one in results if not one.stands and one.outcome not in UNJUDGED
    }
    runs = sorted({one.run_id for one in results if one.run_id})
    evidence.check(
        "acceptance gates that did not pass and are not waived",
        failed,
        "==",
        {},
        n=len(results),
        source=f"seen in {', '.join(runs)}",
    )
    left = {gate_id: outcome for gate_id, outcome in unjudged.items() if gate_id not in _ids(standing)}
    if left:
        told = ", ".join(f"{gate_id} ({outcome})" for gate_id, outcome in left.items())
        raise PhaseNotJudged(f"could not be judged: {told}. See to these gates; this one follows them.")
    evidence.check("acceptance gates that stand", len(standing), "==", len(results), n=len(results), n_min=1)


def _ids(results: list[PhaseResult]) -> set[str]:
    return {one.gate_id for one in results}
