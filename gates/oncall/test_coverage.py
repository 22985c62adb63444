"""Check that somebody is on call at every second of the next 90 days, and nobody twice or while absent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest

from bais_gates import Evidence
from bais_gates.oncall import Oncall, readiness

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
    window_s = (coverage.until - coverage.since).total_seconds()
    for tier in coverage.rotation.tiers:
        name, found = tier.name, coverage.gaps(tier)
        evidence.check(
            f"seconds without anybody on call ({name})",
            coverage.gap_s(tier),
            "<=",
            0,
            unit="s",
            n=int(window_s),
            source="; ".join(coverage.span(*gap) for gap in found[:5]) or "the provider's rendered schedule",
        )
        people = {one.person for one in coverage.on_call(tier)}
        evidence.check(f"people on call ({name})", len(people), ">=", PEOPLE_MIN, n=len(people), n_min=0)
        turns = coverage.turns(tier)
        most, least = max(turns.values(), default=0.0), min(turns.values(), default=0.0)
        evidence.check(
            f"most turns of one person less the fewest ({name})",
            round(most - least, 1),
            "<=",
            TURNS_APART,
            unit="turns",
            n=len(turns),
            source=", ".join(f"{person} {count:g}" for person, count in sorted(turns.items()))
            or "no schedule",
        )
    twice = [
        f"{coverage.say(one.person)}: {' and '.join(one.tiers)}, {coverage.span(one.start, one.end)}"
        for one in coverage.overlaps
    ]
    absent = [
        f"{tier.name}: {coverage.say(one.person)}, {coverage.span(one.start, one.end)}"
        for tier in coverage.rotation.tiers
        for one in coverage.absent(tier)
    ]
    tiers, absences = len(coverage.rotation.tiers), len(coverage.rotation.absences)
    evidence.check("people on two tiers at once", twice, "==", [], n=tiers)
    evidence.check("people on call while absent", absent, "==", [], n=absences, n_min=0)
