"""Check that no alert has begun since the deploy, by a Prometheus that evaluates its alerts."""

from __future__ import annotations

import time
from typing import Any, Final

import pytest

from bais_gates import Evidence
from bais_gates.probes import Prometheus
from bais_gates.rollout import Deployed, alerts_since

EVALUATED_WITHIN_S: Final = 30.0
"""Seconds within which a Prometheus that was just started must have evaluated all rules."""


@pytest.mark.gate("postdeploy.alerts_quiet")
def test_alerts_quiet(deployed: Deployed, prometheus: Prometheus, evidence: Evidence) -> None:
    """No alert fires that began since the deploy, and Prometheus evaluates alerting rules."""
    rules = evaluated_rules(prometheus)
    alerting, n = [rule["name"] for rule in rules if rule["type"] == "alerting"], len(rules)
    evidence.check("alerts that are loaded", len(alerting), ">=", 1, source="/api/v1/rules")
    failing = sorted({rule["name"] for rule in rules if rule["health"] != "ok"})
    evidence.check("rules that are not evaluated", failing, "==", [], n=n, source="/api/v1/rules")
    began = list(alerts_since(prometheus, deployed.since))
    source = f"/api/v1/alerts, since {deployed.since:%Y-%m-%d %H:%M:%S} UTC ({deployed.source})"
    name = "firing alerts that began since the deploy"
    evidence.check(name, began, "==", [], n=len(alerting), source=source)
    firing = (one.labels for one in prometheus.alerts() if one.firing)
    known = {f"{one.get('alertname')} ({one.get('severity')})" for one in firing}
    evidence.attach("alerts that began before, not judged", sorted(known - set(began)), "application/json")


def evaluated_rules(prometheus: Prometheus) -> list[dict[str, Any]]:
    """Return the loaded rules, once all of them were evaluated or the time is up."""
    ends_at = time.monotonic() + EVALUATED_WITHIN_S
    while True:
        rules = [rule for group in prometheus.rule_groups() for rule in group["rules"]]
        if all(rule["health"] != "unknown" for rule in rules) or time.monotonic() > ends_at:
            return rules
        time.sleep(0.5)
