"""Check that every acceptance gate passed: a roll-up of that phase's results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates import Evidence, PhaseResult, check_phase

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.gate("checklist.acceptance_tests")
def test_acceptance_tests(
    phase_results: Callable[[str], tuple[PhaseResult, ...]], evidence: Evidence
) -> None:
    """Every acceptance gate passed, in this run or in a verified decision on the same release and target."""
    check_phase("acceptance", phase_results("acceptance"), evidence)
