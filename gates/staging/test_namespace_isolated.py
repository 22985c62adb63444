"""Check that staging is isolated: its own namespace, closed in both directions, with its own secrets."""

from __future__ import annotations

import pytest

from bais_gates import Evidence
from bais_gates.probes import Objects, version_number
from bais_gates.rules.kubernetes import hygiene, rbac
from bais_gates.staging import OWNER, StagedPlatform, Step, isolation, owner_of, request

OWNED = (("v1", "Secret"), ("v1", "ConfigMap"), ("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"))
CLUSTER_OBJECTS = {"kube-root-ca.crt"}
"""Names of the objects that the cluster creates in every namespace."""
LIMITED = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


@pytest.mark.gate("staging.namespace_isolated")
def test_namespace_isolated(staging: StagedPlatform, evidence: Evidence) -> None:
    """The staged namespace is its owner's alone: restricted pods, default deny, a quota, its own secrets."""
    staging.require(Step.NAMESPACE, evidence)
    check_ownership(staging, evidence)
    check_access(staging, evidence)
    check_quota(staging, evidence)
    check_secrets(staging, evidence)


def check_ownership(staging: StagedPlatform, evidence: Evidence) -> None:
    """Check the namespace's labels, and that it holds only objects that staging created."""
    namespace = request(
        "Reading the namespace", lambda: staging.server.named("v1", "Namespace", staging.namespace)
    )
    evidence.require("state (Namespace)", "present" if namespace else "absent", "==", "present")
    namespace = namespace or {}
    evidence.check("label bais-gates/owner", owner_of(namespace) or "none", "==", staging.result.owner)
    evidence.check("phase (Namespace)", namespace["status"].get("phase", "unknown"), "==", "Active")
    restricted = dict.fromkeys(isolation.MODES, "restricted")
    levels = isolation.pod_security(namespace)
    evidence.check("Pod Security levels", levels, "==", restricted, source="labels of the namespace")
    version = version_number(request("Reading the version", staging.server.version)) or (0, 0)
    pinned = [
        str(one) for one in hygiene.namespace_findings(namespace, version) if one.rule == hygiene.PINNED
    ]
    evidence.check("old Pod Security versions", pinned, "==", [], source="labels of the namespace")
    objects = [one for api_version, kind in OWNED for one in staging.list(api_version, kind)]
    issued = {
        str((one.get("spec") or {}).get("secretName"))
        for one in staging.list("cert-manager.io/v1", "Certificate")
    }
    own = [one for one in objects if one["metadata"]["name"] not in CLUSTER_OBJECTS | issued]
    foreign = isolation.unowned(own, OWNER, staging.result.owner)
    evidence.check("objects without the owner's label", foreign, "==", [], n=len(own))


def check_access(staging: StagedPlatform, evidence: Evidence) -> None:
    """Check network policies, exposed Services and the rights of other namespaces' accounts."""
    policies = staging.list("networking.k8s.io/v1", "NetworkPolicy")
    directions = isolation.default_deny_directions(policies)
    evidence.check("default-deny directions", directions, "==", ["Egress", "Ingress"], n=len(policies))
    open_policies = isolation.open_policies(policies)
    evidence.check("policies open to everybody", open_policies, "==", [], n=len(policies))
    services = staging.list("v1", "Service")
    exposed = isolation.exposed_services(services)
    evidence.check("externally exposed Services", exposed, "==", [], n=len(services))
    bindings = staging.list("rbac.authorization.k8s.io/v1", "RoleBinding")
    foreign = isolation.foreign_subjects(bindings, staging.namespace)
    evidence.check("foreign service accounts with rights", foreign, "==", [])
    check_permissions(staging, bindings, evidence)


def check_permissions(staging: StagedPlatform, bindings: Objects, evidence: Evidence) -> None:
    """Check that no binding of the namespace grants what leads to more, to whomever."""
    group, trusted = "rbac.authorization.k8s.io/v1", staging.environment.kubernetes.trusted_subjects
    roles = staging.list(group, "Role")
    roles += request("Listing the ClusterRoles", lambda: staging.server.list(group, "ClusterRole"))
    found = rbac.binding_findings([*bindings, *roles], staging.namespace, [who for who, _ in trusted])
    name, source = "excessive permissions in the namespace", "CIS 5.1.1-5.1.13; RBAC Good Practices"
    evidence.check(name, [str(one) for one in found], "==", [], n=len(bindings), source=source)


def check_quota(staging: StagedPlatform, evidence: Evidence) -> None:
    """Check that a ResourceQuota in force limits CPU and memory."""
    quotas = staging.list("v1", "ResourceQuota")
    in_force = {key for one in quotas for key in (one.get("status") or {}).get("hard") or {}}
    missing = [key for key in LIMITED if key not in in_force]
    evidence.check("resources without a quota", missing, "==", [], source="status.hard")


def check_secrets(staging: StagedPlatform, evidence: Evidence) -> None:
    """Check that the namespace has Secrets, and shares no value of them with production."""
    own = staging.list("v1", "Secret")
    evidence.check("Secrets in the namespace", len(own), ">=", 1)
    production = staging.environment.kubernetes.namespace
    if production == staging.namespace:
        evidence.attach("production", "The environment file describes no other namespace.")
        return
    others = request(
        f"Listing the Secrets of {production}", lambda: staging.server.list("v1", "Secret", production)
    )
    shared = isolation.shared_values(own, others)
    evidence.check(
        f"secrets shared with namespace {production}",
        shared,
        "==",
        [],
        source=f"{len(others)} Secrets there",
    )
