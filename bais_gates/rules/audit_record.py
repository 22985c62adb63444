"""The record of a security audit: who looked at which build, when, how far, and what was left open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final

from bais_gates.errors import AbsentFileError, GateInputError

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
"""What an audit before a go-live has to look at (OWASP ASVS 5 chapters, in seven words)."""
GRADES: Final = ("critical", "high", "medium", "low")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One audit."""

    path: Path
    taken_at: datetime
    auditor: str
    approved_by: str
    subject: str | None
    """NAME@sha256:... of what was looked at."""
    version: str | None
    scope: frozenset[str]
    open_findings: Mapping[str, int]
    """How many findings are open, by grade."""
    scans: Mapping[str, str]
    """SHA-256 (hex) of the scanners' reports that the audit rests on, by file name."""
    rehearsal: bool

    def age_days(self, now: datetime) -> float:
        """Days since it was taken; negative when it is dated in the future."""
        return (now - self.taken_at).total_seconds() / 86400

    @property
    def digest(self) -> str | None:
        """The digest of what was looked at."""
        return None if self.subject is None else self.subject.rpartition("@")[2]


def read_audit_record(path: Path) -> AuditRecord:
    """Read a record (YAML or JSON); GateInputError names the key that is absent or unusable."""
    import yaml  # noqa: PLC0415 - loaded by gates that read records

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AbsentFileError(
            f"{path}: no such audit record; have the release audited, or correct security.audit_record."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise GateInputError(f"{path}: can not be read as YAML or JSON in UTF-8.") from None
    if not isinstance(document, Mapping):
        raise GateInputError(
            f"{path}: must be a mapping with taken_at, auditor, approved_by, scope, findings."
        )
    return AuditRecord(
        path=path,
        taken_at=_moment(document.get("taken_at"), path),
        auditor=_text(document, "auditor", path),
        approved_by=_text(document, "approved_by", path),
        subject=_text(document, "subject", path) if "subject" in document else None,
        version=str(document["version"]) if "version" in document else None,
        scope=frozenset(str(entry) for entry in _list(document, "scope", path)),
        open_findings=_counts(document.get("findings"), path),
        scans=_scans(document.get("scans") or [], path),
        rehearsal=document.get("rehearsal") is True,
    )


def _moment(value: object, path: Path) -> datetime:
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
        raise GateInputError(f"{path}: {key} must be a text that is not empty.")
    return value.strip()


def _list(document: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise GateInputError(f"{path}: {key} must be a list.")
    return value


def _counts(value: object, path: Path) -> dict[str, int]:
    if isinstance(value, Mapping) and set(GRADES) <= set(value):
        counts = {str(grade): count for grade, count in value.items()}
        if all(type(count) is int and count >= 0 for count in counts.values()):
            return counts
    raise GateInputError(f"{path}: findings must say how many are open: {', '.join(GRADES)}, each a number.")


def _scans(value: object, path: Path) -> dict[str, str]:
    if not isinstance(value, list) or not all(
        isinstance(entry, Mapping)
        and isinstance(entry.get("file"), str)
        and isinstance(entry.get("sha256"), str)
        for entry in value
    ):
        raise GateInputError(f"{path}: scans must be a list of entries with file and sha256.")
    return {Path(entry["file"]).name: entry["sha256"].lower() for entry in value}
