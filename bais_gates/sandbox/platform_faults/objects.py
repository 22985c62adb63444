"""Faults of the platform's objects in the cluster."""

from __future__ import annotations

from typing import Final

from bais_gates.sandbox.platform_faults.changes import Create, Delete, Patch, manifest
from bais_gates.sandbox.platform_faults.model import fault, pod_spec

_API, _SERVICE = "apps/v1 Deployment bais/bais-api", "v1 Service bais/bais-api"
_AUTOSCALER = "autoscaling/v2 HorizontalPodAutoscaler bais/bais-api"
_BUDGET = "policy/v1 PodDisruptionBudget bais/bais-api"
_INGRESS = "networking.k8s.io/v1 Ingress bais/bais-api"
_CERTIFICATE = "cert-manager.io/v1 Certificate bais/bais-api"
_POLICY = "networking.k8s.io/v1 NetworkPolicy"

FAULTS: Final = (
    # -- certificates --
    fault(
        "certificate_not_managed",
        "cert-manager's Certificate of the API is deleted: nothing renews what is served.",
        "checklist.ssl_certificates checklist.network_security checklist.compliance_verified",
        Delete(_CERTIFICATE),
    ),
    fault(
        "certificate_issuer_missing",
        "The API's Certificate refers to an issuer that does not exist.",
        "checklist.ssl_certificates",
        Patch(_CERTIFICATE, {"spec": {"issuerRef": {"name": "nobody"}}}),
    ),
    fault(
        "certificate_for_another_host",
        "The API's Certificate is for another host than the Ingress.",
        "checklist.ssl_certificates checklist.network_security checklist.compliance_verified",
        Patch(_CERTIFICATE, {"spec": {"dnsNames": ["shop.example"]}}),
    ),
    fault(
        "ingress_with_another_certificate",
        "The Ingress serves the certificate for internal names.",
        "checklist.ssl_certificates checklist.network_security",
        Patch(_INGRESS, {"spec": {"tls": [{"hosts": ["localhost"], "secretName": "bais-internal-tls"}]}}),
    ),
    # -- load balancing --
    fault(
        "service_selects_nothing",
        "The API's Service selects no pods.",
        "checklist.load_balancing checklist.network_security",
        Patch(_SERVICE, {"spec": {"selector": {"app.kubernetes.io/name": "bais-api-2"}}}),
    ),
    fault(
        "disruption_budget_deleted",
        "The API has no PodDisruptionBudget: draining nodes may end all replicas.",
        "checklist.load_balancing",
        Delete(_BUDGET),
    ),
    fault(
        "disruption_budget_blocks_drains",
        "The API's PodDisruptionBudget allows no pod to be evicted.",
        "checklist.load_balancing",
        Patch(_BUDGET, {"spec": {"maxUnavailable": 0}}),
    ),
    fault(
        "rollout_ends_all_replicas",
        "A rollout may end every replica before a new one is ready.",
        "checklist.load_balancing",
        Patch(_API, {"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": "100%"}}}}),
    ),
    fault(
        "autoscaler_doubled",
        "Two autoscalers of the API work against each other.",
        "checklist.load_balancing checklist.capacity_planning",
        Create(
            manifest(
                "autoscaling/v2 HorizontalPodAutoscaler bais/bais-api-2",
                spec={
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "bais-api"},
                    "minReplicas": 3,
                    "maxReplicas": 6,
                    "metrics": [
                        {
                            "type": "Resource",
                            "resource": {
                                "name": "cpu",
                                "target": {"type": "Utilization", "averageUtilization": 60},
                            },
                        }
                    ],
                },
            )
        ),
    ),
    # -- compliance --
    fault(
        "pod_security_not_enforced",
        "The platform's namespace admits privileged pods.",
        "checklist.compliance_verified",
        Patch(
            "v1 Namespace bais",
            {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}},
        ),
    ),
    fault(
        "role_with_all_permissions",
        "The API's service account may do everything in its namespace.",
        "checklist.compliance_verified",
        Create(
            manifest(
                "rbac.authorization.k8s.io/v1 Role bais/everything",
                rules=[{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
            )
        ),
        Create(
            manifest(
                "rbac.authorization.k8s.io/v1 RoleBinding bais/everything",
                roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "everything"},
                subjects=[{"kind": "ServiceAccount", "name": "bais-api", "namespace": "bais"}],
            )
        ),
    ),
    fault(
        "cluster_readable_by_anonymous",
        "Whoever reaches the API server may read the platform's objects without signing in.",
        "checklist.compliance_verified",
        Create(
            manifest(
                "rbac.authorization.k8s.io/v1 RoleBinding bais/everybody",
                roleRef={
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "Role",
                    "name": "bais-gates-reader",
                },
                subjects=[
                    {
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": "Group",
                        "name": "system:unauthenticated",
                    }
                ],
            )
        ),
    ),
    fault(
        "password_in_a_config_map",
        "A ConfigMap of the API has a password in plain text.",
        "checklist.compliance_verified",
        Patch("v1 ConfigMap bais/bais-api", {"data": {"SMTP_PASSWORD": "aB3-dE5_fG7hJ9kL"}}),
    ),
    fault(
        "metrics_not_collected",
        "Prometheus does not collect the API's metrics: its ServiceMonitor is deleted.",
        "checklist.compliance_verified",
        Delete("monitoring.coreos.com/v1 ServiceMonitor bais/bais-api"),
    ),
    # -- network --
    fault(
        "network_policies_without_default",
        "Traffic that no policy mentions is allowed: the default-deny policy is deleted.",
        "checklist.network_security",
        Delete(f"{_POLICY} bais/default-deny"),
    ),
    fault(
        "database_open_to_all_namespaces",
        "Pods of every namespace may connect to PostgreSQL.",
        "checklist.network_security checklist.compliance_verified",
        Create(
            manifest(
                f"{_POLICY} bais/debug-database",
                spec={
                    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "bais-postgres"}},
                    "policyTypes": ["Ingress"],
                    "ingress": [{"from": [{"namespaceSelector": {}}]}],
                },
            )
        ),
    ),
    fault(
        "cache_open_to_a_network",
        "Redis may be reached from a range of addresses.",
        "checklist.network_security",
        Create(
            manifest(
                f"{_POLICY} bais/office",
                spec={
                    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "bais-redis"}},
                    "policyTypes": ["Ingress"],
                    "ingress": [{"from": [{"ipBlock": {"cidr": "10.8.0.0/16"}}]}],
                },
            )
        ),
    ),
    fault(
        "ingress_without_tls",
        "The Ingress serves its host without TLS.",
        "checklist.network_security checklist.compliance_verified checklist.ssl_certificates",
        Patch(_INGRESS, {"spec": {"tls": None}}),
    ),
    fault(
        "service_exposed_outside_the_ingress",
        "The API's Service has an address of its own outside the cluster.",
        "checklist.network_security",
        Patch(_SERVICE, {"spec": {"externalIPs": ["203.0.113.7"]}}),
    ),
    # -- capacity --
    fault(
        "autoscaler_at_its_maximum",
        "The autoscaler may add no replicas.",
        "checklist.capacity_planning checklist.load_balancing",
        Patch(_AUTOSCALER, {"spec": {"maxReplicas": 3}}),
    ),
    fault(
        "quota_nearly_exhausted",
        "A ResourceQuota leaves no room for another replica.",
        "checklist.capacity_planning",
        Create(manifest("v1 ResourceQuota bais/pods", spec={"hard": {"pods": "5"}})),
    ),
    fault(
        "connection_pool_enlarged",
        "Each replica may open more connections than were planned for.",
        "checklist.capacity_planning",
        Patch("v1 ConfigMap bais/bais-api", {"data": {"DATABASE_POOL": "40"}}),
    ),
    fault(
        "pod_larger_than_any_node",
        "A pod can't be scheduled: it requests more memory than any node has.",
        "checklist.capacity_planning",
        Create(manifest("v1 Pod bais/report", spec=pod_spec("4Ti"))),
    ),
    # -- prerequisites --
    fault(
        "ingress_class_missing",
        "The IngressClass that the platform uses is deleted.",
        "staging.prerequisites checklist.network_security",
        Delete("networking.k8s.io/v1 IngressClass nginx"),
    ),
    fault(
        "ingress_of_an_unknown_class",
        "The Ingress names a class that no controller serves.",
        "staging.prerequisites checklist.network_security",
        Patch(_INGRESS, {"spec": {"ingressClassName": "traefik"}}),
    ),
    fault(
        "prometheus_rules_unknown",
        "The kind PrometheusRule is not installed.",
        "staging.prerequisites",
        Delete("apiextensions.k8s.io/v1 CustomResourceDefinition prometheusrules.monitoring.coreos.com"),
    ),
)
"""The faults, by what they change."""
