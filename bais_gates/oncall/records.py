"""Dated records of what a machine can't see: trainings, drills, reviews of the runbooks, audits.

One YAML or JSON file a record, by ``record.schema.json``, in one folder; what was replaced is moved to a
folder of its own, which is not read. Source: NIST SP 800-61 (training and exercises of the response to
incidents), PCI DSS 12.10.2 and 12.10.4 (the procedure is tested, people are trained; at least once a year).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, cast

from bais_gates.errors import GateInputError
from bais_gates.people import names_nobody
from bais_gates.verdict.files import Document, load_document, read_bytes

MAX_AGE_DAYS: Final[Mapping[str, int]] = {
    "incident_drill": 90,
    "runbook_review": 180,
    "training": 180,
    "audit": 365,
}
"""Days for which a record counts at most, by kind, whatever it says itself."""
REQUIRED: Final = ("incident_drill", "runbook_review", "training")
"""The kinds of which there must be a record."""
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record."""

    path: Path
    kind: str
    title: str
    owner: str
    """Who answers for it."""
    held: date
    """When it was done."""
    expires: date
    """The last day on which it counts, by its own words."""
    participants: tuple[str, ...]
    evidence: tuple[str, ...]
    """Addresses, and names of files beside the record."""
    rehearsal: bool = False

    @property
    def valid_until(self) -> date:
        """The last day on which it counts: its own, or that of its kind's greatest age."""
        most = min(timedelta(days=MAX_AGE_DAYS[self.kind]), date.max - self.held)
        return min(self.expires, self.held + most)

    def days_left(self, today: date) -> int:
        """Return the days until it counts no more; negative afterwards."""
        return (self.valid_until - today).days

    def faults(self, today: date) -> list[str]:
        """Return why it does not count, one line each."""
        age, most = (today - self.held).days, MAX_AGE_DAYS[self.kind]
        found = []
        if age < 0:
            found.append(f"dated {self.held}, which is to come")
        if self.expires < self.held:
            found.append(f"expires on {self.expires}, before its date")
        elif self.expires < today:
            found.append(f"expired on {self.expires}")
        if age > most:
            found.append(f"{age:,} days old, at most {most}")
        if names_nobody(self.owner):
            found.append("owner names nobody")
        found += [f"evidence {one}: {fault}" for one in self.evidence if (fault := self._fault_of(one))]
        return [f"{self.path.name}: {one}" for one in found]

    def _fault_of(self, evidence: str) -> str:
        """Return what is wrong with a piece of evidence. An address is not asked: it may need an account."""
        if evidence.startswith("https://"):
            return ""
        if Path(evidence).name != evidence:
            return "neither an https address nor a file beside the record"
        try:
            return "" if read_bytes(self.path.parent / evidence).strip() else "an empty file"
        except GateInputError:
            return "no file of this name beside the record that can be read"


def read_records(folder: Path) -> tuple[list[Record], list[str]]:
    """Return the records of a folder, and what is wrong with the files that are none.

    Raises GateInputError for a folder that can't be read.
    """
    try:
        paths = sorted(one for one in folder.iterdir() if one.suffix in _SUFFIXES)
    except OSError as error:
        raise GateInputError(
            f"{folder}: no folder of records ({error.strerror}). Correct oncall.records, or add the folder."
        ) from None
    found, malformed = [], []
    for path in paths:
        try:
            found.append(load_record(path))
        except GateInputError as error:
            malformed.append(str(error).replace(str(path), path.name))
    return found, malformed


def load_record(path: Path) -> Record:
    """Read one record; raise GateInputError with file, line and key."""
    document = load_document(path, "record")
    data = cast("dict[str, Any]", document.data)
    return Record(
        path=path,
        kind=data["kind"],
        title=data["title"].strip(),
        owner=data["owner"].strip(),
        held=_day(document, "date"),
        expires=_day(document, "expires"),
        participants=tuple(data["participants"]),
        evidence=tuple(data["evidence"]),
        rehearsal=data.get("rehearsal", False),
    )


def _day(document: Document, key: str) -> date:
    try:
        return date.fromisoformat(str(document.data[key]))
    except ValueError:
        raise document.error((key,), "no such day. Correct the date.") from None


def untrained(people: Collection[str], records: Iterable[Record], today: date) -> list[str]:
    """Return which of these people took part in no training whose record counts."""
    trained = {
        name
        for one in records
        if one.kind == "training" and not one.faults(today)
        for name in one.participants
    }
    return [name for name in people if name not in trained]
