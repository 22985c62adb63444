"""Parse the record of a security audit: auditor, approver, audited build, date, scope and open findings.

Source: NIST SP 800-53 CA-2 (independent assessors, what is assessed, results); PCI DSS 6.2.3.1 (reviewed by
others than the author) and 11.3; OWASP ASVS 5 (areas); RFC 8259 section 4, RFC 3339 (unambiguous records).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bais_gates.errors import RecordRefused
from bais_gates.people import names_nobody, same_person, why_unclear
from bais_gates.strict import parse_yaml

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
_WITH_DIGEST: Final = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedScan:
    """A scanner's report that an audit covers: its SHA-256 (hex), and who made it, where recorded."""

    sha256: str
    scanner: str | None = None
    version: str | None = None


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
    scans: Mapping[str, RecordedScan]
    """The scanner reports that the audit covers, by file name."""
    rehearsal: bool
    environment: str | None = None
    """The environment that was audited; None if the audit is about the build alone."""
    authors: tuple[str, ...] = ()
    """Who made the release, where recorded: none of them may audit it."""

    def age_days(self, now: datetime) -> float:
        """Return the days since the audit; negative when it is dated in the future."""
        return (now - self.taken_at).total_seconds() / 86400

    @property
    def approval_faults(self) -> list[str]:
        """Why the audit is not approved by somebody other than the auditor; one line each."""
        faults = []
        for key, text in (("auditor", self.auditor), ("approved_by", self.approved_by)):
            if names_nobody(text):
                faults.append(f"{key} names nobody ({text}): write the person's name and address")
            elif (reason := why_unclear(text)) is not None:
                faults.append(f"{key} ({text}) {reason}")
        if not faults and same_person(self.auditor, self.approved_by):
            faults.append(
                f"approved_by ({self.approved_by}) is the auditor ({self.auditor}): let another approve"
            )
        return faults

    @property
    def own_work(self) -> list[str]:
        """The authors who are the auditor."""
        return [author for author in self.authors if same_person(author, self.auditor)]

    @property
    def digest(self) -> str | None:
        """The digest of the audited image."""
        return None if self.subject is None else self.subject.rpartition("@")[2]


def parse_audit_record(text: str, path: Path) -> AuditRecord:
    """Parse a record (YAML or JSON) read from ``path``; raise RecordRefused naming the unusable key."""
    try:
        document = parse_yaml(text)
    except ValueError as e:
        raise RecordRefused(f"{path}: the audit record is {e}. Write it again.") from None
    if not isinstance(document, Mapping):
        raise RecordRefused(
            f"{path}: must be a mapping with taken_at, auditor, approved_by, scope, findings."
        )
    rehearsal = document.get("rehearsal", False)
    if not isinstance(rehearsal, bool):
        raise RecordRefused(f"{path}: rehearsal must be true or false.")
    return AuditRecord(
        path=path,
        taken_at=_time(document.get("taken_at"), path),
        auditor=_text(document, "auditor", path),
        approved_by=_text(document, "approved_by", path),
        subject=_image(document, path) if "subject" in document else None,
        version=str(document["version"]) if "version" in document else None,
        scope=frozenset(str(entry) for entry in _list(document, "scope", path)),
        open_findings=_counts(document.get("findings"), path),
        scans=_scans(document.get("scans") or [], path),
        rehearsal=rehearsal,
        environment=_text(document, "environment", path) if "environment" in document else None,
        authors=tuple(map(str, _list(document, "authors", path))) if "authors" in document else (),
    )


def _time(value: object, path: Path) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    raise RecordRefused(f"{path}: taken_at must be a time with its zone, such as 2026-03-01T10:00:00Z.")


def _text(document: Mapping[str, Any], key: str, path: Path) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value.strip():
        raise RecordRefused(f"{path}: {key} must be a non-empty string.")
    return value.strip()


def _image(document: Mapping[str, Any], path: Path) -> str:
    """Return the audited image; raise RecordRefused for one by its tag, which can be moved to another."""
    image = _text(document, "subject", path)
    if not _WITH_DIGEST.fullmatch(image):
        raise RecordRefused(f"{path}: subject must be an image with its digest, NAME@sha256:... (64 digits).")
    return image


def _list(document: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise RecordRefused(f"{path}: {key} must be a list.")
    return value


def _counts(value: object, path: Path) -> dict[str, int]:
    if (
        isinstance(value, Mapping)
        and set(value) == set(SEVERITIES)
        and all(type(count) is int and count >= 0 for count in value.values())
    ):
        return {severity: value[severity] for severity in SEVERITIES}
    severities = ", ".join(SEVERITIES)
    raise RecordRefused(f"{path}: findings must have the number of open {severities} findings, and no more.")


def _scans(value: object, path: Path) -> dict[str, RecordedScan]:
    if not isinstance(value, list) or not all(
        isinstance(entry, Mapping)
        and isinstance(entry.get("file"), str)
        and isinstance(entry.get("sha256"), str)
        for entry in value
    ):
        raise RecordRefused(f"{path}: scans must be a list of entries with file and sha256.")
    scans = {
        Path(entry["file"]).name: RecordedScan(
            sha256=entry["sha256"].lower(),
            scanner=None if entry.get("scanner") is None else str(entry["scanner"]),
            version=None if entry.get("version") is None else str(entry["version"]),
        )
        for entry in value
    }
    if len(scans) != len(value):
        raise RecordRefused(f"{path}: scans has two entries of the same file name. Give each its own.")
    return scans
