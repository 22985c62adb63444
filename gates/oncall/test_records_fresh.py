"""Check what a machine can't see, by dated records: the drill, the trainings, the review of the runbooks."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from bais_gates import Environment, Evidence
from bais_gates.oncall import Oncall, readiness, records


@pytest.mark.gate("oncall.records_fresh")
def test_records_fresh(oncall: Oncall, environment: Environment, evidence: Evidence) -> None:
    """Drill, trainings and review of the runbooks are recorded, with owner and evidence, and not expired."""
    if oncall.part.records is None:
        raise environment.missing("oncall.records")
    people = readiness.names_of(oncall.rotation)
    today = datetime.now(UTC).date()
    check_records(oncall.part.records, people, today, evidence, rehearsal=environment.rehearsal)


def check_records(
    folder: Path, people: list[str], today: date, evidence: Evidence, *, rehearsal: bool
) -> None:
    """Check every record of the folder, and that the required kinds and everybody's training are among them.

    Source: PCI DSS 12.10.2 and 12.10.4, NIST SP 800-61; the ages are stricter than both.
    """
    found, malformed = records.read_records(folder)
    evidence.check("malformed records", malformed, "==", [], n=1, source=str(folder))
    faults = [fault for one in found for fault in one.faults(today)]
    evidence.check("records that do not count", faults, "==", [], n=1)
    for kind in records.REQUIRED:
        ages = [(today - one.held).days for one in found if one.kind == kind and not one.faults(today)]
        evidence.check(f"records that count ({kind})", len(ages), ">=", 1, n=1)
        if ages:
            limit = records.MAX_AGE_DAYS[kind]
            evidence.check(f"age of the newest ({kind})", min(ages), "<=", limit, unit="days", n=len(ages))
    without = records.untrained(people, found, today)
    evidence.check("people on call without a training", without, "==", [], n=len(people))
    if not rehearsal:
        made_up = [one.path.name for one in found if one.rehearsal]
        evidence.check("records of a rehearsal", made_up, "==", [], n=1)
