"""Staging stands alone: a namespace of its own, closed both ways, with secrets of its own."""

from __future__ import annotations

import pytest

from bais_gates import Evidence
from bais_gates.staging import OWNER, StagedPlatform, Step, asked, isolation, owner_of

OWNED = (("v1", "Secret"), ("v1", "ConfigMap"), ("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"))
NOT_OURS = {"kube-root-ca.crt"}
"""What the cluster puts into every namespace."""
LIMITED = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


@pytest.mark.gate("staging.namespace_isolated")
def test_namespace_isolated(staging: StagedPlatform, evidence: Evidence) -> None:
    """Staging has a namespace of its own: restricted pods, closed both ways, limited, its own secrets."""
    staging.require(Step.NAMESPACE, evidence)
    _is_its_own(staging, evidence)
    _is_closed(staging, evidence)
    _is_limited(staging, evidence)
    _shares_no_secret(staging, evidence)


def _is_its_own(staging: StagedPlatform, evidence: Evidence) -> None:
    namespace = asked(
        "Reading the namespace", lambda: staging.server.named("v1", "Namespace", staging.namespace)
    )
    evidence.require("Namespace", "there" if namespace else "absent", "==", "there")
    evidence.check("label bais-gates/owner", owner_of(namespace) or "none", "==", staging.outcome.owner)
    evidence.check("phase", namespace["status"].get("phase", "unknown"), "==", "Active")
    wanted = dict.fromkeys(isolation.MODES, "restricted")
    levels = isolation.pod_security(namespace)
    evidence.check("Pod Security levels", levels, "==", wanted, source="labels of the namespace")
    made = [one for api_version, kind in OWNED for one in staging.list(api_version, kind)]
    issued = {
        str((one.get("spec") or {}).get("secretName"))
        for one in staging.list("cert-manager.io/v1", "Certificate")
    }
    mine = [one for one in made if one["metadata"]["name"] not in NOT_OURS | issued]
    foreign = isolation.unowned(mine, OWNER, staging.outcome.owner)
    evidence.check("objects in it that staging did not make", foreign, "==", [], n=len(mine))


def _is_closed(staging: StagedPlatform, evidence: Evidence) -> None:
    policies = staging.list("networking.k8s.io/v1", "NetworkPolicy")
    denied = isolation.denied_by_default(policies)
    evidence.check("denied by default, for every pod", denied, "==", ["Egress", "Ingress"], n=len(policies))
    anywhere = isolation.let_in_from_anywhere(policies)
    evidence.check("policies that let anybody in", anywhere, "==", [], n=len(policies))
    services = staging.list("v1", "Service")
    exposed = isolation.exposed(services)
    evidence.check("Services open to the outside", exposed, "==", [], n=len(services))
    bindings = staging.list("rbac.authorization.k8s.io/v1", "RoleBinding")
    foreign = isolation.foreign_subjects(bindings, staging.namespace)
    evidence.check("accounts of other namespaces with rights here", foreign, "==", [])


def _is_limited(staging: StagedPlatform, evidence: Evidence) -> None:
    quotas = staging.list("v1", "ResourceQuota")
    in_force = {key for one in quotas for key in (one.get("status") or {}).get("hard") or {}}
    missing = [key for key in LIMITED if key not in in_force]
    evidence.check("what no ResourceQuota in force limits", missing, "==", [], source="status.hard")


def _shares_no_secret(staging: StagedPlatform, evidence: Evidence) -> None:
    own = staging.list("v1", "Secret")
    evidence.check("Secrets of its own", len(own), ">=", 1)
    production = staging.environment.kubernetes.namespace
    if production == staging.namespace:
        evidence.attach("production", "The environment file describes no other namespace to share with.")
        return
    others = asked(
        f"Listing the Secrets of {production}", lambda: staging.server.list("v1", "Secret", production)
    )
    shared = isolation.shared_values(own, others)
    evidence.check(
        f"secrets shared with the namespace {production}",
        shared,
        "==",
        [],
        source=f"{len(others)} Secrets there",
    )
