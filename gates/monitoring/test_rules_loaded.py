"""Check the rules that Prometheus has loaded: those that are shipped, evaluated in time, without an error."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from bais_gates import Evidence
from bais_gates.monitoring import live, load_shipped
from bais_gates.probes import Prometheus

SHIPPED: Final = Path(__file__).parent
EVALUATED_WITHIN_S: Final = 30.0
"""Seconds within which a Prometheus that was just started must have evaluated all rules."""


@pytest.mark.gate("monitoring.rules_loaded")
def test_rules_loaded(prometheus: Prometheus, evidence: Evidence) -> None:
    """Prometheus has loaded the rules that are shipped, and evaluates each without an error."""
    shipped = load_shipped(SHIPPED)
    names = [group.name.value for file in shipped.rules for group in file.groups]
    count = sum(1 for file in shipped.rules for _ in file.rules)

    ends_at = time.monotonic() + EVALUATED_WITHIN_S
    while True:
        groups = prometheus.rule_groups()
        late = live.unevaluated(groups, names, time.time())
        receiving = prometheus.alertmanagers()
        if (receiving and not late) or time.monotonic() > ends_at:
            break
        time.sleep(1)

    different = live.rule_differences(shipped.rules, groups, prometheus.formatted)
    evidence.check("differences between loaded and shipped rules", different, "==", [], n=count, n_min=1)
    evidence.check("rules that are not evaluated", late, "==", [], n=count, n_min=1)
    evidence.check(
        "Alertmanagers that alerts are sent to", len(receiving), ">=", 1, n=len(receiving), n_min=0
    )
