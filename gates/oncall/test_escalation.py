"""Check who is paged next when nobody acknowledges, and that alerts reach the policy that says so."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from bais_gates import Evidence
from bais_gates.oncall import Oncall, Policy, Rotation, Service, readiness

TIERS_MIN: Final = 3
AFTER_S: Final = (0.0, 300.0, 600.0)
"""Seconds from the page within which the first, second and third tier must be paged."""
LOOPS_MIN: Final = 2


@pytest.mark.gate("oncall.escalation")
def test_escalation(oncall: Oncall, evidence: Evidence) -> None:
    """A page goes to three tiers in time, repeatedly, from services that are enabled over the go-live."""
    rotation, provider = oncall.rotation, oncall.provider
    policies = provider.policies([rotation.name])
    evidence.require(f"escalation policies called {rotation.name}", len(policies), "==", 1, n=1)
    check_policy(rotation, policies[0], evidence)
    services = provider.services([one.name for one in rotation.services])
    check_services(rotation, list(services), datetime.now(UTC), oncall.part.golive_window_h, evidence)
    levels = provider.on_call(rotation.name)
    empty = [f"level {number}" for number in range(1, len(rotation.tiers) + 1) if not levels.get(number)]
    evidence.check("levels with nobody on call now", empty, "==", [], n=len(rotation.tiers))


def check_policy(rotation: Rotation, policy: Policy, evidence: Evidence) -> None:
    """Check tiers, delays and repetitions.

    Source: PagerDuty's documentation (a policy without repetitions ends unacknowledged with its last level),
    Google's SRE book, chapter 11 (a secondary takes over from a primary who does not respond within minutes).
    """
    source = f"escalation policy {policy.name}"
    count = len(policy.steps)
    evidence.check("tiers", count, ">=", TIERS_MIN, n=1, source=source)
    wrong = readiness.judge_steps(rotation, policy)
    evidence.check("steps that page others than the tier's schedule", wrong, "==", [], n=1)
    began = 0.0
    for number, limit in enumerate(AFTER_S):
        there = number < count
        evidence.check(
            f"time until tier {number + 1} is paged",
            began if there else math.nan,
            "<=",
            limit,
            unit="s",
            n=1 if there else 0,
            source=source,
        )
        began += policy.steps[number].after_s if there else 0.0
    evidence.check("repetitions", policy.loops, ">=", LOOPS_MIN, n=1, source=source)


def check_services(
    rotation: Rotation, services: list[Service], now: datetime, window_h: float, evidence: Evidence
) -> None:
    """Check that each service pages by the policy, now and until the end of the go-live window."""
    wrong = readiness.judge_services(rotation, services, now, timedelta(hours=window_h))
    evidence.check(
        f"services that page nobody, or by another policy, in the next {window_h:g} h",
        wrong,
        "==",
        [],
        n=len(rotation.services),
    )
