"""Parse the dated exceptions for open critical and high findings, and apply them to scanner findings.

Source: NIST SP 800-53 CA-5 and RA-5 (open findings have a plan with a date); PCI DSS 6.3.3 and 11.3.1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from bais_gates.errors import RecordRefused
from bais_gates.people import names_nobody, same_person, why_unclear
from bais_gates.rules.scans import ScanFinding
from bais_gates.strict import parse_yaml

MAX_DAYS: Final = 90
"""Days from today after which an exception may not expire."""
MIN_WHERE: Final = 2
"""Letters and digits below which a location stands for too many."""
_KEYS: Final = frozenset({"id", "reason", "approved_by", "expires", "where", "requested_by"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanException:
    """A person's approval that one finding stays open until a date."""

    id: str
    reason: str
    approved_by: str
    expires: date
    where: str | None = None
    """A part of the finding's location to which the exception is limited; None for all locations."""

    def fault(self, today: date) -> str | None:
        """Return why the exception is not valid today; None if it is."""
        if re.search(r"[*?\s]", self.id):
            return "its id is a pattern: name one finding"
        if self.where is not None and len(re.findall(r"\w", self.where)) < MIN_WHERE:
            return f"where has less than {MIN_WHERE} letters: name the file or package"
        if self.expires < today:
            return f"expired on {self.expires}"
        if self.expires > today + timedelta(days=MAX_DAYS):
            return f"expires on {self.expires}, more than {MAX_DAYS} days from today"
        return None

    def covers(self, finding: ScanFinding) -> bool:
        """Return whether the exception is for a finding."""
        return self.id == finding.id and (self.where is None or self.where in finding.where)


def parse_exceptions(text: str, path: Path) -> tuple[ScanException, ...]:
    """Parse the YAML (or JSON) list ``exceptions`` of ``path``; raise RecordRefused naming the entry."""
    try:
        document = parse_yaml(text)
    except ValueError as e:
        raise RecordRefused(f"{path}: the exceptions are {e}. Write them again.") from None
    entries = document.get("exceptions") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise RecordRefused(f"{path}: must be a mapping with the list exceptions.")
    found = tuple(_exception(entry, f"{path}: exceptions[{number}]") for number, entry in enumerate(entries))
    for number, one in enumerate(found):
        if any((one.id, one.where) == (other.id, other.where) for other in found[:number]):
            raise RecordRefused(
                f"{path}: exceptions[{number}] ({one.id}) is a duplicate of another. Keep one of them."
            )
    return found


def _exception(entry: object, place: str) -> ScanException:
    if not isinstance(entry, Mapping):
        raise RecordRefused(f"{place}: must have the keys id, reason, approved_by and expires.")
    place += f" ({_text(entry, 'id', place)})"
    unknown = sorted(str(key) for key in set(entry) - _KEYS)
    if unknown:
        raise RecordRefused(f"{place}: unknown key {', '.join(unknown)}.")
    expires = entry.get("expires")
    if isinstance(expires, str):
        try:
            expires = date.fromisoformat(expires)
        except ValueError:
            expires = None
    if type(expires) is not date:
        raise RecordRefused(f"{place}: expires must be a date, such as 2026-03-31.")
    texts = {key: _text(entry, key, place) for key in ("id", "reason", "approved_by")}
    for key in ("reason", "approved_by"):
        if names_nobody(texts[key]):
            raise RecordRefused(f"{place}: {key} is a placeholder ({texts[key]}). Write it out.")
    if (why := why_unclear(texts["approved_by"])) is not None:
        raise RecordRefused(f"{place}: approved_by {why}")
    if "requested_by" in entry and same_person(_text(entry, "requested_by", place), texts["approved_by"]):
        raise RecordRefused(f"{place}: approved_by must be another person than requested_by.")
    return ScanException(
        **texts, expires=expires, where=_text(entry, "where", place) if "where" in entry else None
    )


def _text(entry: Mapping[str, Any], key: str, place: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise RecordRefused(f"{place}: {key} must be a non-empty string.")
    return value.strip()


def uncovered(
    findings: Iterable[ScanFinding], exceptions: Sequence[ScanException], today: date
) -> list[ScanFinding]:
    """Return the findings that no exception valid today covers."""
    valid = [exception for exception in exceptions if exception.fault(today) is None]
    return [finding for finding in findings if not any(exception.covers(finding) for exception in valid)]
