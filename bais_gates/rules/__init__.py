"""What is judged of what a probe read: pure functions, one module a subject, and here their public names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.rules import (
        audit_trail,
        capacity,
        exposure,
        hygiene,
        internals,
        objects,
        prerequisites,
        rbac,
        recovery,
        resilience,
        wiring,
        workloads,
    )
    from bais_gates.rules.audit_record import SCOPE, AuditRecord, read_audit_record
    from bais_gates.rules.capacity import Disk
    from bais_gates.rules.certificates import CertificateState, certificate_state
    from bais_gates.rules.cronjobs import punctuality
    from bais_gates.rules.network_policies import (
        BOTH,
        Network,
        admits,
        admitted_blocks,
        admitted_by,
        dangling,
        has_default_deny,
        isolation_findings,
        reached_by,
        strangers,
    )
    from bais_gates.rules.objects import Finding, Workload, containers_of, dig, labels_of, of_kind
    from bais_gates.rules.pod_security import violations
    from bais_gates.rules.procedures import procedure_faults, read_procedure
    from bais_gates.rules.quantities import pod_requests
    from bais_gates.rules.replicas import Share, ids_in_log, own_address, requests_counted
    from bais_gates.rules.resilience import cron_job_findings
    from bais_gates.rules.scan_exceptions import ScanException, read_exceptions, uncovered
    from bais_gates.rules.scans import Report, read_report
    from bais_gates.rules.storage import unencrypted_claims
else:
    __getattr__ = lazy_exports(
        __name__,
        "audit_record",
        "audit_trail",
        "capacity",
        "certificates",
        "cronjobs",
        "exposure",
        "hygiene",
        "internals",
        "network_policies",
        "objects",
        "pod_security",
        "prerequisites",
        "procedures",
        "quantities",
        "rbac",
        "recovery",
        "replicas",
        "resilience",
        "scan_exceptions",
        "scans",
        "storage",
        "wiring",
        "workloads",
    )

__all__ = [
    "BOTH",
    "SCOPE",
    "AuditRecord",
    "CertificateState",
    "Disk",
    "Finding",
    "Network",
    "Report",
    "ScanException",
    "Share",
    "Workload",
    "admits",
    "admitted_blocks",
    "admitted_by",
    "audit_trail",
    "capacity",
    "certificate_state",
    "containers_of",
    "cron_job_findings",
    "dangling",
    "dig",
    "exposure",
    "has_default_deny",
    "hygiene",
    "ids_in_log",
    "internals",
    "isolation_findings",
    "labels_of",
    "objects",
    "of_kind",
    "own_address",
    "pod_requests",
    "prerequisites",
    "procedure_faults",
    "punctuality",
    "rbac",
    "reached_by",
    "read_audit_record",
    "read_exceptions",
    "read_procedure",
    "read_report",
    "recovery",
    "requests_counted",
    "resilience",
    "strangers",
    "uncovered",
    "unencrypted_claims",
    "violations",
    "wiring",
    "workloads",
]
