"""Check that incidents are learnt from: when review and report are due, and the template of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from bais_gates import Evidence
from bais_gates.oncall import Oncall, Rotation

DAY_S: Final = 86_400.0
REVIEW_D: Final = {"P1": 3, "P2": 5}
"""Days after an incident within which people must have met about it."""
REPORT_D: Final = {"P1": 5, "P2": 10}
"""Days within which the report with its actions must be published."""
TEMPLATE: Final = "post-mortem-template.md"


@pytest.mark.gate("oncall.post_incident")
def test_post_incident(oncall: Oncall, evidence: Evidence) -> None:
    """Review and report are due within days after each P1 and P2, and there is a template for the report."""
    check_deadlines(oncall.rotation, oncall.runbooks, evidence)


def check_deadlines(rotation: Rotation, runbooks: Path, evidence: Evidence) -> None:
    """Check the deadlines of the rotation file, and the template.

    Source: PagerDuty's post-mortem guide (a meeting within 3 calendar days of a SEV-1 and 5 business days of
    a SEV-2), Google's SRE book, chapter 15.
    """
    source = rotation.document.path.name
    for priority in ("P1", "P2"):
        due = rotation.post_incident[priority]
        for what, seconds, days in (
            ("review", due.review_within_s, REVIEW_D[priority]),
            ("report", due.report_within_s, REPORT_D[priority]),
        ):
            name = f"time to the {what} ({priority})"
            evidence.check(name, seconds / DAY_S, "<=", days, unit="days", n=1, source=source)
        late = due.report_within_s - due.review_within_s
        evidence.check(f"time from review to report ({priority})", late / DAY_S, ">=", 0, unit="days", n=1)
    there = (runbooks / TEMPLATE).is_file()
    evidence.check("templates for the report", int(there), "==", 1, n=1, source=str(runbooks / TEMPLATE))
