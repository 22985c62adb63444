"""Check the security audit of this build, and that its scans leave no critical or high finding open."""

from __future__ import annotations

import pytest

from bais_gates import Environment, Evidence
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
    record = parse_audit_record(
        read_text(part.audit_record, "audit record", "security.audit_record"), part.audit_record
    )
    reports = [
        parse_report(read_bytes(path, "scanner report", "security.scans"), path) for path in part.scans
    ]
    exceptions = (
        parse_exceptions(read_text(file, "exceptions file", "security.exceptions"), file)
        if (file := part.exceptions)
        else ()
    )
    check_record(record, part.max_audit_age_d, digest, evidence)
    audited = record.digest or "not recorded"
    evidence.check("running API digests", running, "==", [audited], n=len(running))
    if not environment.rehearsal:
        kind = "rehearsal" if record.rehearsal else "audit"
        evidence.check("kind of audit", kind, "==", "audit", source=str(record.path))
    for report in reports:
        check_report(report, record, digest, exceptions, evidence)
    check_exceptions(exceptions, reports, evidence)


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
    evidence.check("audit age", age, "<=", max_age_d, unit="days", source=source)
    evidence.check("audit age (not in the future)", age, ">=", 0, unit="days", source=source)
    evidence.check("approver other than the auditor", record.approver, "!=", record.auditor, source=source)
    missing = sorted(SCOPE - record.scope)
    evidence.check("parts missing from the audit", missing, "==", [], source=source)
    for severity in ("critical", "high"):
        name = f"open {severity} findings (audit record)"
        evidence.check(name, record.open_findings[severity], "==", 0, source=source)
    if digest is not None:
        audited = record.digest or "not recorded"
        evidence.check("audited digest", audited, "==", digest, source=source)


def check_report(
    report: Report,
    record: AuditRecord,
    digest: str | None,
    exceptions: tuple[ScanException, ...],
    evidence: Evidence,
) -> None:
    """Check one scanner's report: audited as it is, of this build, with no critical or high finding open."""
    name, moment = report.path.name, tls.now()
    recorded = record.scans.get(name, "not in the audit record")
    evidence.check(f"report checksum ({name})", report.sha256, "==", recorded, source=report.scanner)
    if report.digests and digest is not None:
        evidence.check(f"scanned image ({name})", digest, "in", sorted(report.digests))
    if report.made_at is not None:
        age = (moment - report.made_at).total_seconds() / 86400
        evidence.check(f"scan age, not in the future ({name})", age, ">=", 0, unit="days")
        order = "before the audit" if report.made_at <= record.taken_at else "after the audit"
        evidence.check(f"scan time ({name})", order, "==", "before the audit")
    findings = [
        str(f) for f in uncovered(report.open_findings("critical", "high"), exceptions, moment.date())
    ]
    evidence.check(f"open critical and high findings ({name})", findings, "==", [], source=report.format)


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
