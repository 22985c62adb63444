"""Check the shipped rules by their tests: each alert is seen to fire, and to stay silent."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from bais_gates import Evidence
from bais_gates.monitoring import run_rule_tests, show

SHIPPED: Final = Path(__file__).parent
LABELS: Final = ("severity", "priority", "component", "team")
"""What routes read of every alert."""


@pytest.mark.gate("monitoring.rules_tested")
def test_rules_tested(evidence: Evidence) -> None:
    """Every rule test passes on a real Prometheus; every alert is seen to fire, and to stay silent."""
    result = run_rule_tests([SHIPPED], required_labels=LABELS)

    evidence.attach("alerts that are not covered", show(result.uncovered, "text") or "none", "text/plain")
    unusable = [f"{Path(one.place.path).name}:{one.place.line}: {one.message}" for one in result.errors]
    evidence.check("files that can't be used", unusable, "==", [], n=result.files)
    failed = [
        f"{Path(one.place.path).name}:{one.place.line}: {one.subject} {one.problem}".rstrip()
        for one in result.failed
    ]
    evidence.check("rule tests that fail", failed, "==", [], n=len(result.assertions), n_min=result.alerts)
    uncovered = [one.message for one in result.uncovered]
    evidence.check("alerts without a test of both kinds", uncovered, "==", [], n=result.alerts, n_min=1)
