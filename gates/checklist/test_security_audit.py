"""Whether this build was audited, lately and wholly, and no scanner's bad finding is left open."""

from __future__ import annotations

import pytest

from bais_gates import Environment, Evidence
from bais_gates.probes import Cluster, read_bytes, read_text, tls
from bais_gates.rules import (
    SCOPE,
    AuditRecord,
    Report,
    ScanException,
    containers_of,
    parse_audit_record,
    parse_exceptions,
    parse_report,
    uncovered,
)
from bais_gates.rules import objects as kubernetes_objects


@pytest.mark.gate("checklist.security_audit")
def test_security_audit(cluster: Cluster, environment: Environment, evidence: Evidence) -> None:
    """The audit is fresh, complete and of this build; its scans leave nothing bad open without exception."""
    part = environment.security
    if part.audit_record is None:
        raise environment.missing("security.audit_record")
    if not part.scans:
        raise environment.missing("security.scans")
    image = environment.release.image if environment.describes("release") else None
    digest = None if image is None or "@" not in image else image.rpartition("@")[2]
    running = digests_that_run(cluster, environment)
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
    audited(record, part.max_audit_age_d, digest, evidence)
    evidence.check(
        "digests of the API that run", running, "==", [record.digest or "none named"], n=len(running)
    )
    if not environment.rehearsal:
        evidence.check(
            "the audit is a rehearsal", record.rehearsal, "==", limit=False, source=str(record.path)
        )
    for report in reports:
        scanned(report, record, digest, exceptions, evidence)
    no_stale_exceptions(exceptions, reports, evidence)


def digests_that_run(cluster: Cluster, environment: Environment) -> list[str]:
    """Read which images the API's pods are made of; what is not named by a digest stands as it is."""
    part = environment.kubernetes
    pods = cluster.list("v1", "Pod", part.namespace, labels=f"app.kubernetes.io/name={part.names.api}")
    images = {
        str(c.get("image"))
        for pod in kubernetes_objects.workloads(pods)
        for c in containers_of(pod.spec, ephemeral=False)
    }
    return sorted({image.rpartition("@")[2] for image in images})


def audited(record: AuditRecord, max_age_d: float, digest: str | None, evidence: Evidence) -> None:
    """Check the record: its day, its people, its scope, its subject, what it leaves open."""
    source, age = str(record.path), record.age_days(tls.now())
    evidence.check("age of the audit", age, "<=", max_age_d, unit="d", source=source)
    evidence.check("the audit is not dated ahead", age, ">=", 0, unit="d", source=source)
    evidence.check("who approved it is not the auditor", record.approved_by, "!=", record.auditor)
    evidence.check("parts that the audit left out", sorted(SCOPE - record.scope), "==", [], source=source)
    for grade in ("critical", "high"):
        evidence.check(f"{grade} findings that the audit leaves open", record.open_findings[grade], "==", 0)
    if digest is not None:
        evidence.check("digest that was audited", record.digest or "none named", "==", digest, source=source)


def scanned(
    report: Report,
    record: AuditRecord,
    digest: str | None,
    exceptions: tuple[ScanException, ...],
    evidence: Evidence,
) -> None:
    """Check one scanner's report: it is the one that was audited, of this build, with nothing bad open."""
    name, moment = report.path.name, tls.now()
    listed = record.scans.get(name, "not in the audit record")
    evidence.check(f"{name}: the report that was audited", report.sha256, "==", listed, source=report.scanner)
    if report.digests and digest is not None:
        evidence.check(f"{name}: image that was scanned", digest, "in", sorted(report.digests))
    if report.made_at is not None:
        age = (moment - report.made_at).total_seconds() / 86400
        evidence.check(f"{name}: not dated ahead", age, ">=", 0, unit="d")
        evidence.check(
            f"{name}: scanned before it was audited", report.made_at <= record.taken_at, "==", limit=True
        )
    left = uncovered(report.open_findings("critical", "high"), exceptions, moment.date())
    evidence.check(
        f"{name}: critical and high findings without an exception",
        [str(f) for f in left],
        "==",
        [],
        source=report.format,
    )


def no_stale_exceptions(
    exceptions: tuple[ScanException, ...], reports: list[Report], evidence: Evidence
) -> None:
    """Check that every exception counts today; the unused ones are shown."""
    today = tls.now().date()
    faults = [f"{e.id}: {fault}" for e in exceptions if (fault := e.fault(today))]
    evidence.check("exceptions that do not count", faults, "==", [])
    findings = [finding for report in reports for finding in report.findings]
    unused = [e.id for e in exceptions if not any(e.covers(finding) for finding in findings)]
    if unused:
        evidence.attach("exceptions that no finding needs", ", ".join(unused))
