"""Check that somebody is on call and is woken: a roll-up of the on-call gates but those of the runbooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates import Evidence, PhaseResult, check_phase

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER_ROLL_UP = {"oncall.runbooks", "oncall.records_fresh"}
"""What checklist.runbooks_updated judges: one cause blocks once."""


@pytest.mark.gate("checklist.oncall_rotation")
def test_oncall_rotation(phase_results: Callable[[str], tuple[PhaseResult, ...]], evidence: Evidence) -> None:
    """Every on-call gate passed, in this run or in a verified decision; those of the runbooks are apart."""
    results = [one for one in phase_results("oncall") if one.gate_id not in OTHER_ROLL_UP]
    check_phase("oncall", results, evidence)
