"""Check that runbooks and records of drills are up to date: a roll-up of the two gates that judge them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates import Evidence, PhaseResult, check_phase

if TYPE_CHECKING:
    from collections.abc import Callable

GATES = {"oncall.runbooks", "oncall.records_fresh"}


@pytest.mark.gate("checklist.runbooks_updated")
def test_runbooks_updated(
    phase_results: Callable[[str], tuple[PhaseResult, ...]], evidence: Evidence
) -> None:
    """Runbooks and records passed, in this run or in a verified decision on the same target."""
    check_phase("oncall", [one for one in phase_results("oncall") if one.gate_id in GATES], evidence)
