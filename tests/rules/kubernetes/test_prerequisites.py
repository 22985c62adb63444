"""The components that a cluster must have, judged by changed copies of healthy objects."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bais_gates.rules.kubernetes import prerequisites as needed

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
    """Return a changed copy."""
    other = copy.deepcopy(one)
    change(other)
    return other


def labelled(**labels: str) -> dict[str, Any]:
    """Return a healthy Deployment with these labels."""
    named = {
        key.replace("_", "/" if key.startswith("app.k") else "_"): value for key, value in labels.items()
    }
    return changed(DEPLOYMENT, lambda one: one["metadata"].update(labels=named, name="x", namespace="ns"))


def test_what_is_healthy() -> None:
    """Healthy objects have no reason against them."""
    assert needed.unusable_crds(["certificates.cert-manager.io"], [CRD]) == {}
    assert needed.explain_unavailable(DEPLOYMENT) is None
    assert needed.explain_unavailable(DAEMONS) is None
    assert needed.explain_unavailable(changed(DEPLOYMENT, lambda one: one["spec"].pop("replicas"))) is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda one: one["metadata"].update(name="other.cert-manager.io"), "not installed"),
        (lambda one: one["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"), "being deleted"),
        (lambda one: one["status"]["conditions"][0].update(status="False"), "not established"),
        (lambda one: one.pop("status"), "not established"),
    ],
    ids=["absent", "terminating", "not established", "new"],
)
def test_unusable_crds(change: Change, why: str) -> None:
    """Absent, terminating and not established are different reasons."""
    found = needed.unusable_crds(["certificates.cert-manager.io"], [changed(CRD, change)])
    assert found == {"certificates.cert-manager.io": why}


@pytest.mark.parametrize(
    ("one", "change", "why"),
    [
        (DEPLOYMENT, lambda one: one["status"].update(observedGeneration=2), "has not observed"),
        (DEPLOYMENT, lambda one: one["status"].update(readyReplicas=1), "1 of 2"),
        (DEPLOYMENT, lambda one: one["status"].pop("readyReplicas"), "0 of 2"),
        (DEPLOYMENT, lambda one: one["spec"].update(replicas=0), "scaled to 0"),
        (DEPLOYMENT, lambda one: one["status"].update(conditions=[]), "Available is not True"),
        (DEPLOYMENT, lambda one: one.pop("status"), "has not observed"),
        (DAEMONS, lambda one: one["status"].update(numberReady=2), "2 of 3"),
        (DAEMONS, lambda one: one["status"].update(desiredNumberScheduled=0), "scaled to 0"),
    ],
    ids=["changed", "half", "none ready", "at zero", "not available", "never seen", "one node", "no node"],
)
def test_a_workload_that_is_not_available(one: dict[str, Any], change: Change, why: str) -> None:
    """The status counts, not the spec."""
    assert why in (needed.explain_unavailable(changed(one, change)) or "")


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
    assert needed.component_workloads("cert_manager", every) == [DEPLOYMENT, webhook]
    assert needed.component_workloads("prometheus_operator", every) == [operator]
    of = {"controllers": ["k8s.io/ingress-nginx"]}
    assert needed.component_workloads("ingress_controller", every, **of) == [nginx]
    assert (
        needed.component_workloads("ingress_controller", every, controllers=["traefik.io/ingress-controller"])
        == []
    )


def test_the_latest_revision_of_a_release_counts() -> None:
    """A failed upgrade is not hidden by the deployed revision before it."""

    def secret(version: str, status: str, kind: str = "helm.sh/release.v1") -> dict[str, Any]:
        labels = {"owner": "helm", "name": "prometheus", "version": version, "status": status}
        return {"type": kind, "metadata": {"labels": labels}}

    newest = needed.latest_release("prometheus", [secret("9", "deployed"), secret("10", "failed")])
    assert newest is not None
    assert (newest.revision, newest.status) == (10, "failed")
    assert needed.latest_release("other", [secret("1", "deployed")]) is None
    assert needed.latest_release("prometheus", [secret("1", "deployed", "Opaque")]) is None


def test_the_reader_may_list_what_the_gates_need() -> None:
    """The role and the cluster role bais-gates-reader grant each permission that the gate asks for."""
    path = Path(__file__).parents[3] / "gates/staging/manifests/base/accounts.yaml"
    granted: dict[str, set[str]] = {"Role": set(), "ClusterRole": set()}
    for one in yaml.safe_load_all(path.read_text()):
        for rule in one.get("rules") or () if "Role" in one["kind"] else ():
            kinds = {f"{kind}.{rule['apiGroups'][0]}".rstrip(".") for kind in rule["resources"]}
            granted[one["kind"]] |= kinds if "list" in rule["verbs"] else set()

    assert set(needed.LISTED_EVERYWHERE) <= granted["ClusterRole"]
    assert set(needed.LISTED) <= granted["Role"]


@pytest.mark.parametrize(
    ("resolved", "expected", "stray"),
    [
        (["203.0.113.7"], ["203.0.113.7"], []),
        (["203.0.113.7"], ["203.0.113.7", "203.0.113.8"], []),
        (["203.0.113.7", "203.0.113.9"], ["203.0.113.7"], ["203.0.113.9"]),
        (["198.51.100.1"], ["203.0.113.7"], ["198.51.100.1"]),
        (["2001:db8::1"], ["2001:0db8:0:0::1"], []),
        (["127.0.0.1", "::1"], ["127.0.0.1"], []),
        (["127.0.0.1"], ["203.0.113.7"], ["127.0.0.1"]),
        ([], ["203.0.113.7"], []),
    ],
)
def test_every_address_of_the_name_must_be_the_ingress(
    resolved: list[str], expected: list[str], stray: list[str]
) -> None:
    """A client connects to any address of a name, so one that is not the Ingress' is a finding."""
    assert needed.stray_addresses(resolved, expected) == stray


def test_addresses_of_an_ingress_are_those_of_its_status() -> None:
    """Addresses and names, and none before a controller assigned one."""
    points = [{"hostname": "lb.example"}, {"ip": "203.0.113.7"}]

    assert needed.ingress_addresses({"status": {"loadBalancer": {"ingress": points}}}) == [
        "203.0.113.7",
        "lb.example",
    ]
    assert needed.ingress_addresses({}) == needed.ingress_addresses({"status": {"loadBalancer": {}}}) == []
