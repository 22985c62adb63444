"""Check that somebody is on call at every second of the next 90 days, and nobody twice or while absent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest

from bais_gates import Evidence
from bais_gates.oncall import Oncall, Tier, readiness

PEOPLE_MIN: Final = 3
"""With fewer, everybody is on call every second week."""
TURNS_APART: Final = 1.0


@pytest.mark.gate("oncall.coverage")
def test_coverage(oncall: Oncall, evidence: Evidence) -> None:
    """For 90 days every tier has somebody on call, never one person on two tiers, nobody who is absent."""
    check_coverage(readiness.read_coverage(oncall.rotation, oncall.provider, datetime.now(UTC)), evidence)


def check_coverage(coverage: readiness.Coverage, evidence: Evidence) -> None:
    """Check gaps, overlaps, absences, and that turns are shared, all of it by the rendered entries.

    The provider's own figure of coverage is not used: it leaves out a schedule without any entry. Source: PCI
    DSS 12.10.3 (personnel is available 24/7), Google's SRE book, chapter 11 (balance of on-call shifts).
    """
    rotation, tiers = coverage.rotation, coverage.rotation.tiers
    gaps = [
        f"{tier.name}: {coverage.span(start, end)} ({(end - start).total_seconds():,.0f} s)"
        for tier in tiers
        for start, end in coverage.gaps(tier)
    ]
    source = "the provider's rendered schedules"
    evidence.check("times without anybody on call", gaps, "==", [], n=len(tiers), source=source)
    for tier in tiers:
        people = {one.person for one in coverage.on_call(tier)}
        evidence.check(f"people on call ({tier.name})", len(people), ">=", PEOPLE_MIN, n=1)
    uneven = [line for tier in tiers if (line := uneven_turns(coverage, tier))]
    evidence.check("tiers whose turns are not shared", uneven, "==", [], n=len(tiers))
    twice = [
        f"{coverage.say(one.person)}: {' and '.join(one.tiers)}, {coverage.span(one.start, one.end)}"
        for one in coverage.overlaps
    ]
    evidence.check("people on two tiers at once", twice, "==", [], n=len(tiers))
    absent = [
        f"{tier.name}: {coverage.say(one.person)}, {coverage.span(one.start, one.end)}"
        for tier in tiers
        for one in coverage.absent(tier)
    ]
    source = f"absences in {rotation.document.path.name}"
    evidence.check("people on call while absent", absent, "==", [], n=len(tiers), source=source)


def uneven_turns(coverage: readiness.Coverage, tier: Tier) -> str:
    """Return how many turns each person of a tier has, if they differ by more than one; "" if not."""
    turns = coverage.turns(tier)
    if not turns or round(max(turns.values()) - min(turns.values()), 1) <= TURNS_APART:
        return ""
    return f"{tier.name}: " + ", ".join(f"{person} {count:g}" for person, count in turns.items())
