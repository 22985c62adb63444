"""Check that every load gate passed: a roll-up of that phase's results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates import Evidence, PhaseResult, check_phase

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.gate("checklist.performance_validated")
def test_performance_validated(
    phase_results: Callable[[str], tuple[PhaseResult, ...]], evidence: Evidence
) -> None:
    """Every load gate passed, in this run or in a verified decision on the same release and target."""
    check_phase("load", phase_results("load"), evidence)
