"""What a cluster must have: judged by effective state, on changed copies of healthy objects."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from bais_gates.rules import prerequisites as needed

CRD = {
    "metadata": {"name": "certificates.cert-manager.io"},
    "status": {"conditions": [{"type": "Established", "status": "True"}]},
}
DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": {
        "name": "cert-manager",
        "namespace": "cert-manager",
        "generation": 3,
        "labels": {"app.kubernetes.io/name": "cert-manager", "app.kubernetes.io/instance": "cm"},
    },
    "spec": {"replicas": 2},
    "status": {
        "observedGeneration": 3,
        "readyReplicas": 2,
        "conditions": [{"type": "Available", "status": "True"}],
    },
}
DAEMONS = {
    "kind": "DaemonSet",
    "metadata": {"name": "ingress", "namespace": "ingress", "labels": {}},
    "status": {"desiredNumberScheduled": 3, "numberReady": 3},
}
Change = Callable[[dict[str, Any]], object]


def changed(one: dict[str, Any], change: Change) -> dict[str, Any]:
    """Give a changed copy."""
    other = copy.deepcopy(one)
    change(other)
    return other


def labelled(**labels: str) -> dict[str, Any]:
    """Give a healthy Deployment with these labels instead."""
    named = {
        key.replace("_", "/" if key.startswith("app.k") else "_"): value for key, value in labels.items()
    }
    return changed(DEPLOYMENT, lambda one: one["metadata"].update(labels=named, name="x", namespace="ns"))


def test_what_is_healthy() -> None:
    """The objects as they should be give no reason against them."""
    assert needed.unmet_kinds(["certificates.cert-manager.io"], [CRD]) == {}
    assert needed.unhealthy(DEPLOYMENT) is None
    assert needed.unhealthy(DAEMONS) is None
    assert needed.unhealthy(changed(DEPLOYMENT, lambda one: one["spec"].pop("replicas"))) is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda one: one["metadata"].update(name="other.cert-manager.io"), "not installed"),
        (lambda one: one["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"), "being deleted"),
        (lambda one: one["status"]["conditions"][0].update(status="False"), "not established"),
        (lambda one: one.pop("status"), "not established"),
    ],
    ids=["absent", "on its way out", "refused", "just made"],
)
def test_a_kind_that_can_not_be_used(change: Change, why: str) -> None:
    """Absent, on its way out and not established are told apart."""
    found = needed.unmet_kinds(["certificates.cert-manager.io"], [changed(CRD, change)])
    assert found == {"certificates.cert-manager.io": why}


@pytest.mark.parametrize(
    ("one", "change", "why"),
    [
        (DEPLOYMENT, lambda one: one["status"].update(observedGeneration=2), "has not seen"),
        (DEPLOYMENT, lambda one: one["status"].update(readyReplicas=1), "1 of 2"),
        (DEPLOYMENT, lambda one: one["status"].pop("readyReplicas"), "0 of 2"),
        (DEPLOYMENT, lambda one: one["spec"].update(replicas=0), "scaled to nothing"),
        (DEPLOYMENT, lambda one: one["status"].update(conditions=[]), "not Available"),
        (DEPLOYMENT, lambda one: one.pop("status"), "has not seen"),
        (DAEMONS, lambda one: one["status"].update(numberReady=2), "2 of 3"),
        (DAEMONS, lambda one: one["status"].update(desiredNumberScheduled=0), "scaled to nothing"),
    ],
    ids=["changed", "half", "none ready", "at zero", "not available", "never seen", "one node", "no node"],
)
def test_a_workload_that_is_not_available(one: dict[str, Any], change: Change, why: str) -> None:
    """What the spec wishes for does not count; what the status says does."""
    assert why in (needed.unhealthy(changed(one, change)) or "")


def test_components_are_found_by_their_labels() -> None:
    """The usual charts' workloads are found, cert-manager's with its webhook, and nothing else."""
    webhook = changed(
        DEPLOYMENT, lambda one: one["metadata"]["labels"].update({"app.kubernetes.io/name": "webhook"})
    )
    nginx = changed(
        DAEMONS, lambda one: one["metadata"]["labels"].update({"app.kubernetes.io/name": "ingress-nginx"})
    )
    operator = changed(
        DEPLOYMENT, lambda one: one["metadata"].update(labels={"app": "kube-prometheus-stack-operator"})
    )
    every = [DEPLOYMENT, webhook, nginx, operator, labelled(app="unrelated")]
    assert needed.workloads_of("cert_manager", every) == [DEPLOYMENT, webhook]
    assert needed.workloads_of("prometheus_operator", every) == [operator]
    of = {"controllers": ["k8s.io/ingress-nginx"]}
    assert needed.workloads_of("ingress_controller", every, **of) == [nginx]
    assert (
        needed.workloads_of("ingress_controller", every, controllers=["traefik.io/ingress-controller"]) == []
    )


def test_of_a_release_the_newest_revision_counts() -> None:
    """An upgrade that failed is not covered by the revision before it, which was deployed."""

    def secret(version: str, status: str, kind: str = "helm.sh/release.v1") -> dict[str, Any]:
        labels = {"owner": "helm", "name": "prometheus", "version": version, "status": status}
        return {"type": kind, "metadata": {"labels": labels}}

    newest = needed.newest_release("prometheus", [secret("9", "deployed"), secret("10", "failed")])
    assert newest is not None
    assert (newest.revision, newest.status) == (10, "failed")
    assert needed.newest_release("other", [secret("1", "deployed")]) is None
    assert needed.newest_release("prometheus", [secret("1", "deployed", "Opaque")]) is None
