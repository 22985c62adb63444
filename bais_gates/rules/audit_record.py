"""Parse the record of a security audit: auditor, approver, audited build, date, scope and open findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final

from bais_gates.errors import GateInputError
from bais_gates.people import same_person

SCOPE: Final = frozenset(
    {
        "authentication",
        "authorization",
        "cryptography",
        "data_protection",
        "dependencies",
        "infrastructure",
        "logging",
    }
)
"""Areas that an audit before a go-live must cover. Source: the chapters of OWASP ASVS 5, summarised."""
SEVERITIES: Final = ("critical", "high", "medium", "low")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """The record of one security audit."""

    path: Path
    taken_at: datetime
    auditor: str
    approved_by: str
    subject: str | None
    """The audited image as NAME@sha256:..."""
    version: str | None
    scope: frozenset[str]
    open_findings: Mapping[str, int]
    """Number of open findings by severity."""
    scans: Mapping[str, str]
    """SHA-256 (hex) of the scanner reports that the audit covers, by file name."""
    rehearsal: bool

    def age_days(self, now: datetime) -> float:
        """Return the days since the audit; negative when it is dated in the future."""
        return (now - self.taken_at).total_seconds() / 86400

    @property
    def approver(self) -> str:
        """Who approved it; the auditor, as spelt there, where that is the same person."""
        return self.auditor if same_person(self.auditor, self.approved_by) else self.approved_by

    @property
    def digest(self) -> str | None:
        """The digest of the audited image."""
        return None if self.subject is None else self.subject.rpartition("@")[2]


def parse_audit_record(text: str, path: Path) -> AuditRecord:
    """Parse a record (YAML or JSON) read from ``path``; raise GateInputError naming the unusable key."""
    import yaml  # noqa: PLC0415 - loaded by gates that read records

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        raise GateInputError(f"{path}: the audit record is not valid YAML or JSON.") from None
    if not isinstance(document, Mapping):
        raise GateInputError(
            f"{path}: must be a mapping with taken_at, auditor, approved_by, scope, findings."
        )
    return AuditRecord(
        path=path,
        taken_at=_time(document.get("taken_at"), path),
        auditor=_text(document, "auditor", path),
        approved_by=_text(document, "approved_by", path),
        subject=_text(document, "subject", path) if "subject" in document else None,
        version=str(document["version"]) if "version" in document else None,
        scope=frozenset(str(entry) for entry in _list(document, "scope", path)),
        open_findings=_counts(document.get("findings"), path),
        scans=_scans(document.get("scans") or [], path),
        rehearsal=document.get("rehearsal") is True,
    )


def _time(value: object, path: Path) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if type(value) is date:
        value = datetime.combine(value, time.min, UTC)
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    raise GateInputError(f"{path}: taken_at must be a time, such as 2026-03-01T10:00:00Z.")


def _text(document: Mapping[str, Any], key: str, path: Path) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value.strip():
        raise GateInputError(f"{path}: {key} must be a non-empty string.")
    return value.strip()


def _list(document: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise GateInputError(f"{path}: {key} must be a list.")
    return value


def _counts(value: object, path: Path) -> dict[str, int]:
    if isinstance(value, Mapping) and set(SEVERITIES) <= set(value):
        counts = {str(severity): count for severity, count in value.items()}
        if all(type(count) is int and count >= 0 for count in counts.values()):
            return counts
    raise GateInputError(f"{path}: findings must have the number of open {', '.join(SEVERITIES)} findings.")


def _scans(value: object, path: Path) -> dict[str, str]:
    if not isinstance(value, list) or not all(
        isinstance(entry, Mapping)
        and isinstance(entry.get("file"), str)
        and isinstance(entry.get("sha256"), str)
        for entry in value
    ):
        raise GateInputError(f"{path}: scans must be a list of entries with file and sha256.")
    return {Path(entry["file"]).name: entry["sha256"].lower() for entry in value}
