"""The dated records that gates read, as rehearsals: of a drill, a training and a review of the runbooks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from bais_gates.sandbox.files import write_json, write_private

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_AGO: Final = timedelta(days=14)
_TITLES: Final = {
    "incident_drill": ("Rehearsal of the incident procedure", 80),
    "runbook_review": ("Review of the runbooks", 170),
    "training": ("Training of everybody who takes turns", 170),
}
"""Title of each kind, and the days after which the record expires."""
_EVIDENCE: Final = "minutes.md"


def write_records(folder: Path, people: Sequence[str]) -> None:
    """Write fresh records of these people; what is in them did not take place, and they say so."""
    folder.mkdir(mode=0o700, exist_ok=True)
    done = datetime.now(UTC).date() - _AGO
    for kind, (title, days) in _TITLES.items():
        write_json(
            folder / f"{kind}.json",
            {
                "kind": kind,
                "title": title,
                "owner": people[0] if people else "The sandbox",
                "date": done.isoformat(),
                "expires": (done + timedelta(days=days)).isoformat(),
                "participants": list(people) or ["The sandbox"],
                "evidence": [_EVIDENCE],
                "rehearsal": True,
            },
        )
    write_private(folder / _EVIDENCE, "# Minutes\n\nA sandbox has no people: this is a rehearsal.\n")
