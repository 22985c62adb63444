"""Judge Kubernetes objects, with pure functions: one module per subject, and here their public names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.rules.kubernetes import (
        capacity,
        cronjobs,
        exposure,
        hygiene,
        objects,
        prerequisites,
        rbac,
        resilience,
        wiring,
        workloads,
    )
    from bais_gates.rules.kubernetes.capacity import Disk
    from bais_gates.rules.kubernetes.cronjobs import schedule_status
    from bais_gates.rules.kubernetes.network_policies import (
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
    from bais_gates.rules.kubernetes.objects import Finding, Workload, containers_of, dig, labels_of, of_kind
    from bais_gates.rules.kubernetes.pod_security import violations
    from bais_gates.rules.kubernetes.quantities import pod_requests
    from bais_gates.rules.kubernetes.replicas import Distribution, count_ids, count_requests, pod_address
    from bais_gates.rules.kubernetes.resilience import cron_job_findings
    from bais_gates.rules.kubernetes.storage import unencrypted_claims
else:
    __getattr__ = lazy_exports(
        __name__,
        "capacity",
        "cronjobs",
        "exposure",
        "hygiene",
        "network_policies",
        "objects",
        "pod_security",
        "prerequisites",
        "quantities",
        "rbac",
        "replicas",
        "resilience",
        "storage",
        "wiring",
        "workloads",
    )

__all__ = [
    "DIRECTIONS",
    "Disk",
    "Distribution",
    "Finding",
    "Network",
    "Workload",
    "allowed_cidrs",
    "allowed_sources",
    "allows_ingress",
    "capacity",
    "connecting_sources",
    "containers_of",
    "count_ids",
    "count_requests",
    "cron_job_findings",
    "cronjobs",
    "dangling_findings",
    "dig",
    "exposure",
    "has_default_deny",
    "hygiene",
    "isolation_findings",
    "labels_of",
    "objects",
    "of_kind",
    "pod_address",
    "pod_requests",
    "prerequisites",
    "rbac",
    "resilience",
    "schedule_status",
    "unencrypted_claims",
    "unknown_pods",
    "violations",
    "wiring",
    "workloads",
]
