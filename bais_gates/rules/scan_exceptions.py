"""Dated exceptions from the rule that no critical or high finding may be open when a release goes live."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.rules.scans import ScanFinding

MAX_DAYS: Final = 90
"""Days ahead that an exception may last; longer, it is no exception any more."""
_KEYS: Final = frozenset({"id", "reason", "approved_by", "expires", "where", "requested_by"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanException:
    """Leave for one finding to stay open until a day, given by a person for a reason."""

    id: str
    reason: str
    approved_by: str
    expires: date
    where: str | None = None
    """Part of the finding's place that it holds for; everywhere without."""

    def fault(self, today: date) -> str | None:
        """Say why it does not count today; None if it does."""
        if self.expires < today:
            return f"expired on {self.expires}"
        if self.expires > today + timedelta(days=MAX_DAYS):
            return f"lasts until {self.expires}, longer than {MAX_DAYS} days"
        return None

    def covers(self, finding: ScanFinding) -> bool:
        """Whether it is about a finding."""
        return self.id == finding.id and (self.where is None or self.where in finding.where)


def read_exceptions(path: Path) -> tuple[ScanException, ...]:
    """Read a YAML (or JSON) file with the list ``exceptions``; GateInputError names the unusable entry."""
    import yaml  # noqa: PLC0415 - loaded by gates that read exceptions

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AbsentFileError(
            f"{path}: no such file; correct security.exceptions, or leave the key out."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise GateInputError(f"{path}: can not be read as YAML in UTF-8.") from None
    entries = document.get("exceptions") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise GateInputError(f"{path}: must have one list named exceptions.")
    return tuple(_exception(entry, f"{path}: exceptions[{number}]") for number, entry in enumerate(entries))


def _exception(entry: object, place: str) -> ScanException:
    if not isinstance(entry, Mapping):
        raise GateInputError(f"{place}: must have the keys id, reason, approved_by and expires.")
    unknown = sorted(str(key) for key in set(entry) - _KEYS)
    if unknown:
        raise GateInputError(f"{place}: unknown key {', '.join(unknown)}.")
    expires = entry.get("expires")
    if isinstance(expires, str):
        try:
            expires = date.fromisoformat(expires)
        except ValueError:
            expires = None
    if type(expires) is not date:
        raise GateInputError(f"{place}: expires must be a day, such as 2026-03-31.")
    texts = {key: _text(entry, key, place) for key in ("id", "reason", "approved_by")}
    if entry.get("requested_by") == texts["approved_by"]:
        raise GateInputError(f"{place}: approved_by must be another person than requested_by.")
    return ScanException(
        **texts, expires=expires, where=_text(entry, "where", place) if "where" in entry else None
    )


def _text(entry: Mapping[str, Any], key: str, place: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise GateInputError(f"{place}: {key} must be a text that is not empty.")
    return value.strip()


def uncovered(
    findings: Iterable[ScanFinding], exceptions: Sequence[ScanException], today: date
) -> list[ScanFinding]:
    """Return the findings that no exception that counts today is about."""
    valid = [exception for exception in exceptions if exception.fault(today) is None]
    return [finding for finding in findings if not any(exception.covers(finding) for exception in valid)]
