"""Check that the provider pages by the rotation file: its schedules, their turns, who is on call when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bais_gates import Evidence
from bais_gates.oncall import Oncall, readiness

DAY_S = 86_400.0


@pytest.mark.gate("oncall.rotation_applied")
def test_rotation_applied(oncall: Oncall, evidence: Evidence) -> None:
    """Every tier has its schedule, with the turns and the people of the rotation file."""
    coverage = readiness.read_coverage(oncall.rotation, oncall.provider, datetime.now(UTC))
    check_rotation_applied(coverage, evidence)


def check_rotation_applied(coverage: readiness.Coverage, evidence: Evidence) -> None:
    """Check schedules and turns, and who is on call: from the next hand-over on whom the file names.

    Until then it is who began the turn, if the tier or a cover has that person. Times without anybody are
    the finding of oncall.coverage. Source: PagerDuty's documentation (a schedule is judged by its rendered
    entries: an update rewrites fields, and moves who is on call now).
    """
    rotation = coverage.rotation
    count = len(rotation.tiers)
    evidence.check("schedules missing from the provider", coverage.missing, "==", [], n=count)
    for tier in rotation.tiers:
        schedule = coverage.schedules.get(tier.name)
        if schedule is None:
            continue
        lengths = sorted(set(schedule.turn_s))
        evidence.check(
            f"turn length ({tier.name})",
            lengths,
            "==",
            [rotation.turn_days * DAY_S],
            unit="s",
            n=1,
            source=f"schedule {schedule.name}",
        )
    strangers = [f"{tier.name}: {person}" for tier in rotation.tiers for person in coverage.strangers(tier)]
    evidence.check("people on call now who are not of the tier", strangers, "==", [], n=count)
    different = [
        f"{tier.name}: {coverage.span(one.start, one.end)} {coverage.say(one.now or '')}, not "
        + ("anybody" if one.then is None else coverage.say(one.then))
        for tier in rotation.tiers
        for one in coverage.differences(tier)
    ]
    evidence.check(
        "differences from the rotation file in the next 90 days",
        different,
        "==",
        [],
        n=count,
        source=f"{rotation.document.path.name} and the provider's rendered schedules",
    )
