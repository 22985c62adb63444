"""Judge Kubernetes objects, with pure functions: one module per subject, and here their public names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.rules.kubernetes import (
        autoscaling,
        capacity,
        cronjobs,
        exposure,
        hygiene,
        ingresses,
        objects,
        peers,
        plaintext,
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
        allows,
        dangling_findings,
        default_deny,
        isolation_findings,
    )
    from bais_gates.rules.kubernetes.objects import Finding, Workload, containers_of, dig, labels_of, of_kind
    from bais_gates.rules.kubernetes.peers import COMPONENT, NAME, Peers
    from bais_gates.rules.kubernetes.placement import Demand, cluster_capacity, unhealthy_nodes
    from bais_gates.rules.kubernetes.pod_security import violations
    from bais_gates.rules.kubernetes.replicas import Distribution, count_ids, count_requests, pod_address
    from bais_gates.rules.kubernetes.resilience import cron_job_findings
    from bais_gates.rules.kubernetes.storage import unencrypted_claims
else:
    __getattr__ = lazy_exports(
        __name__,
        "autoscaling",
        "capacity",
        "cronjobs",
        "exposure",
        "hygiene",
        "ingresses",
        "network_policies",
        "objects",
        "peers",
        "placement",
        "plaintext",
        "pod_security",
        "prerequisites",
        "rbac",
        "replicas",
        "resilience",
        "storage",
        "wiring",
        "workloads",
    )

__all__ = [
    "COMPONENT",
    "DIRECTIONS",
    "NAME",
    "Demand",
    "Disk",
    "Distribution",
    "Finding",
    "Network",
    "Peers",
    "Workload",
    "allows",
    "autoscaling",
    "capacity",
    "cluster_capacity",
    "containers_of",
    "count_ids",
    "count_requests",
    "cron_job_findings",
    "cronjobs",
    "dangling_findings",
    "default_deny",
    "dig",
    "exposure",
    "hygiene",
    "ingresses",
    "isolation_findings",
    "labels_of",
    "objects",
    "of_kind",
    "peers",
    "plaintext",
    "pod_address",
    "prerequisites",
    "rbac",
    "resilience",
    "schedule_status",
    "unencrypted_claims",
    "unhealthy_nodes",
    "violations",
    "wiring",
    "workloads",
]
