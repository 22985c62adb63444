"""Check the security audit of this build, and that its scans leave no critical or high finding open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from bais_gates import Environment, Evidence, RecordRefused, SecurityPart
from bais_gates.probes import Cluster, read_bytes, read_text, tls
from bais_gates.rules import (
    SCOPE,
    AuditRecord,
    Report,
    ScanException,
    parse_audit_record,
    parse_exceptions,
    parse_report,
    uncovered,
)
from bais_gates.rules.kubernetes import containers_of
from bais_gates.rules.kubernetes import objects as kubernetes_objects

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

DATABASE_MAX_D: Final = 5
"""Days that a scanner's database of vulnerabilities may have had: the default of Grype."""


@pytest.mark.gate("checklist.security_audit")
def test_security_audit(cluster: Cluster, environment: Environment, evidence: Evidence) -> None:
    """The audit is recent, complete and of this build; no critical or high finding lacks an exception."""
    part = environment.security
    if part.audit_record is None:
        raise environment.missing("security.audit_record")
    if not part.scans:
        raise environment.missing("security.scans")
    image = environment.release.image if environment.describes("release") else None
    digest = None if image is None or "@" not in image else image.rpartition("@")[2]
    running = running_digests(cluster, environment)
    try:
        record, reports, exceptions = read_records(part.audit_record, part)
    except RecordRefused as e:
        evidence.require("state of the records", str(e), "==", "usable", source="security")
        return
    check_record(record, part.max_audit_age_d, digest, evidence)
    check_target(record, environment, evidence)
    check_scans(record, reports, evidence)
    audited = record.digest or "not recorded"
    evidence.check("running API digests", running, "==", [audited], n=len(running))
    if not environment.rehearsal:
        kind = "rehearsal" if record.rehearsal else "audit"
        evidence.check("kind of audit", kind, "==", "audit", source=str(record.path))
    for report in reports:
        check_report(report, record, digest, exceptions, evidence)
        check_times(report, record, part.max_audit_age_d, evidence)
    check_exceptions(exceptions, reports, evidence)


def read_records(
    path: Path, part: SecurityPart
) -> tuple[AuditRecord, list[Report], tuple[ScanException, ...]]:
    """Return audit record, scanners' reports and exceptions; raise RecordRefused."""
    record = parse_audit_record(read_text(path, "audit record", "security.audit_record"), path)
    reports = [
        parse_report(read_bytes(scan, "scanner report", "security.scans"), scan) for scan in part.scans
    ]
    exceptions = (
        parse_exceptions(read_text(file, "exceptions file", "security.exceptions"), file)
        if (file := part.exceptions)
        else ()
    )
    return record, reports, exceptions


def running_digests(cluster: Cluster, environment: Environment) -> list[str]:
    """Return the image digests of the API's pods; an image without a digest is returned as it is."""
    part = environment.kubernetes
    pods = cluster.list("v1", "Pod", part.namespace, labels=f"app.kubernetes.io/name={part.names.api}")
    images = {
        str(c.get("image"))
        for pod in kubernetes_objects.workloads(pods)
        for c in containers_of(pod.spec, ephemeral=False)
    }
    return sorted({image.rpartition("@")[2] for image in images})


def check_record(record: AuditRecord, max_age_d: float, digest: str | None, evidence: Evidence) -> None:
    """Check the audit record: age, approval, scope, open findings and digest."""
    source, age = str(record.path), record.age_days(tls.now())
    evidence.check("audit age (taken_at)", age, "<=", max_age_d, unit="days", source=source)
    name = "audit age, not in the future (taken_at)"
    evidence.check(name, age, ">=", 0, unit="days", source=source)
    name = "approval by another person (approved_by)"
    evidence.check(name, record.approval_faults, "==", [], source=source)
    missing = sorted(SCOPE - record.scope)
    evidence.check("parts missing from the audit", missing, "==", [], source=source)
    for severity in ("critical", "high"):
        name = f"open {severity} findings (audit record)"
        evidence.check(name, record.open_findings[severity], "==", 0, source=source)
    if digest is not None:
        audited = record.digest or "not recorded"
        evidence.check("audited digest", audited, "==", digest, source=source)


def check_target(record: AuditRecord, environment: Environment, evidence: Evidence) -> None:
    """Check that the audit is about this environment and version, where it names them, by somebody else."""
    source = str(record.path)
    if record.environment is not None:
        evidence.check("audited environment", record.environment, "==", environment.name, source=source)
    version = environment.release.version if environment.describes("release") else None
    if None not in {record.version, version}:
        evidence.check("audited version", record.version, "==", version, source=source)
    evidence.check("authors who audit their own work", record.own_work, "==", [], source=source)


def check_scans(record: AuditRecord, reports: list[Report], evidence: Evidence) -> None:
    """Check that the record lists scans, and that every one of them was supplied."""
    source = str(record.path)
    names = [report.path.name for report in reports]
    evidence.check("scans of the audit record", len(record.scans), ">=", 1, source=source)
    missing = sorted(set(record.scans) - set(names))
    evidence.check("scans of the audit record that were not supplied", missing, "==", [], source=source)
    twice = sorted({name for name in names if names.count(name) > 1})
    evidence.check("reports of the same file name", twice, "==", [], source="security.scans")


def check_report(
    report: Report,
    record: AuditRecord,
    digest: str | None,
    exceptions: tuple[ScanException, ...],
    evidence: Evidence,
) -> None:
    """Check one scanner's report: audited as it is, of this build, with no critical or high finding open."""
    name, moment = report.path.name, tls.now()
    recorded = record.scans.get(name)
    listed = "not in scans of the audit record" if recorded is None else recorded.sha256
    evidence.check(f"report checksum ({name})", listed, "==", report.sha256, source=str(record.path))
    if recorded is not None and recorded.scanner is not None:
        evidence.check(f"scanner ({name})", report.scanner.casefold(), "==", recorded.scanner.casefold())
    if recorded is not None and None not in {recorded.version, report.version}:
        evidence.check(f"version of the scanner ({name})", report.version, "==", recorded.version)
    if (report.digests or report.of_image) and digest is not None:
        scanned = sorted(report.digests) or ["an image without a digest"]
        evidence.check(f"scanned image ({name})", digest, "in", scanned)
    findings = [
        str(f) for f in uncovered(report.open_findings("critical", "high"), exceptions, moment.date())
    ]
    evidence.check(f"open critical and high findings ({name})", findings, "==", [], source=report.format)


def check_times(report: Report, record: AuditRecord, max_age_d: float, evidence: Evidence) -> None:
    """Check when a scan was made, and how old its database of vulnerabilities was then, where it says so."""
    name, moment, made_at = report.path.name, tls.now(), report.made_at
    if made_at is None:
        return
    age = days(made_at, moment)
    evidence.check(f"scan age ({name})", age, "<=", max_age_d, unit="days")
    evidence.check(f"scan age, not in the future ({name})", age, ">=", 0, unit="days")
    order = "before the audit" if made_at <= record.taken_at else "after the audit"
    evidence.check(f"scan time ({name})", order, "==", "before the audit")
    if report.database_made_at is not None:
        age = days(report.database_made_at, made_at)
        name, source = f"age of the vulnerability database ({name})", "Grype: db.max-allowed-built-age"
        evidence.check(name, age, "<=", DATABASE_MAX_D, unit="days", source=source)


def days(start: datetime, end: datetime) -> float:
    """Return the days from one moment to another."""
    return (end - start).total_seconds() / 86400


def check_exceptions(
    exceptions: tuple[ScanException, ...], reports: list[Report], evidence: Evidence
) -> None:
    """Check that every exception is valid today, and attach the unused ones."""
    today = tls.now().date()
    faults = [f"{e.id}: {fault}" for e in exceptions if (fault := e.fault(today))]
    evidence.check("invalid exceptions", faults, "==", [])
    findings = [finding for report in reports for finding in report.findings]
    unused = [e.id for e in exceptions if not any(e.covers(finding) for finding in findings)]
    if unused:
        evidence.attach("unused exceptions", ", ".join(unused))
