"""Judge what probes read, with pure functions: one module per subject, and here their public names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.rules import (
        audit_trail,
        cache,
        capacity,
        database,
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
    from bais_gates.rules.audit_record import SCOPE, AuditRecord, parse_audit_record
    from bais_gates.rules.capacity import Disk
    from bais_gates.rules.certificates import CertificateState, certificate_state
    from bais_gates.rules.cronjobs import schedule_status
    from bais_gates.rules.network_policies import (
        DIRECTIONS,
        Network,
        allowed_cidrs,
        allowed_sources,
        allows_ingress,
        connecting_sources,
        dangling_findings,
        has_default_deny,
        isolation_findings,
        unknown_pods,
    )
    from bais_gates.rules.objects import Finding, Workload, containers_of, dig, labels_of, of_kind
    from bais_gates.rules.pod_security import violations
    from bais_gates.rules.procedures import procedure_faults
    from bais_gates.rules.quantities import pod_requests
    from bais_gates.rules.replicas import Distribution, count_ids, count_requests, pod_address
    from bais_gates.rules.resilience import cron_job_findings
    from bais_gates.rules.scan_exceptions import ScanException, parse_exceptions, uncovered
    from bais_gates.rules.scans import Report, parse_report
    from bais_gates.rules.storage import unencrypted_claims
else:
    __getattr__ = lazy_exports(
        __name__,
        "audit_record",
        "audit_trail",
        "cache",
        "capacity",
        "certificates",
        "cronjobs",
        "database",
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
    "DIRECTIONS",
    "SCOPE",
    "AuditRecord",
    "CertificateState",
    "Disk",
    "Distribution",
    "Finding",
    "Network",
    "Report",
    "ScanException",
    "Workload",
    "allowed_cidrs",
    "allowed_sources",
    "allows_ingress",
    "audit_trail",
    "cache",
    "capacity",
    "certificate_state",
    "connecting_sources",
    "containers_of",
    "count_ids",
    "count_requests",
    "cron_job_findings",
    "dangling_findings",
    "database",
    "dig",
    "exposure",
    "has_default_deny",
    "hygiene",
    "internals",
    "isolation_findings",
    "labels_of",
    "objects",
    "of_kind",
    "parse_audit_record",
    "parse_exceptions",
    "parse_report",
    "pod_address",
    "pod_requests",
    "prerequisites",
    "procedure_faults",
    "rbac",
    "recovery",
    "resilience",
    "schedule_status",
    "uncovered",
    "unencrypted_claims",
    "unknown_pods",
    "violations",
    "wiring",
    "workloads",
]
