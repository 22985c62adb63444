"""Check that every monitoring gate passed: a roll-up of that phase's results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates import Evidence, PhaseResult, check_phase

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.gate("checklist.monitoring_alerts")
def test_monitoring_alerts(
    phase_results: Callable[[str], tuple[PhaseResult, ...]], evidence: Evidence
) -> None:
    """Every monitoring gate passed, in this run or in a verified decision on the same release and target."""
    check_phase("monitoring", phase_results("monitoring"), evidence)
