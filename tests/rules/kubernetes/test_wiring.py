"""References to missing objects, removed API versions, and the namespace default."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.rules.kubernetes import wiring
from bais_gates.rules.kubernetes.exposure import dangling_services
from bais_gates.rules.kubernetes.objects import workloads

Manifest = dict[str, Any]


def thing(kind: str, name: str = "x", space: str | None = "n", **parts: Any) -> Manifest:
    """Return an object; None leaves its namespace unset."""
    home = {} if space is None else {"namespace": space}
    metadata = {"name": name} | home | parts.pop("metadata", {})
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata} | parts


SERVICE = thing("Service", metadata={"labels": {"app": "a"}})
MINE = {"matchLabels": {"app": "a"}}


@pytest.mark.parametrize(
    ("space", "spec", "found"),
    [
        ("n", {"selector": MINE}, 0),
        ("n", {"selector": {}}, 0),
        ("n", {"selector": {"matchLabels": {"app": "b"}}}, 1),
        ("other", {"selector": MINE}, 1),
        ("other", {"selector": MINE, "namespaceSelector": {"any": True}}, 0),
        ("other", {"selector": MINE, "namespaceSelector": {"matchNames": ["n"]}}, 0),
        ("n", {"selector": MINE, "namespaceSelector": {"matchNames": ["other"]}}, 1),
        (None, {"selector": MINE}, 0),
        (None, {"namespaceSelector": {"matchNames": ["n"]}}, 0),
        (None, {"namespaceSelector": {"matchNames": ["other"]}}, 1),
    ],
)
def test_a_monitor_must_select_a_service(space: str | None, spec: dict[str, Any], found: int) -> None:
    """A ServiceMonitor that selects no Service in its namespaces is a finding."""
    monitor = thing("ServiceMonitor", space=space, spec=spec)

    assert len(wiring.dangling_monitors([SERVICE, monitor])) == found


def pod(**spec: Any) -> Manifest:
    """Return a Deployment."""
    return thing("Deployment", spec={"template": {"spec": spec}})


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"serviceAccountName": "there"}, 0),
        ({"serviceAccount": "there"}, 0),
        ({}, 0),
        ({"serviceAccountName": "default"}, 0),
        ({"serviceAccountName": "missing"}, 1),
        ({"serviceAccount": "missing"}, 1),
    ],
)
def test_an_account_must_exist(spec: dict[str, Any], found: int) -> None:
    """A pod with a missing account is a finding; every namespace has the account default."""
    objects = [thing("ServiceAccount", "there"), pod(**spec)]

    assert len(wiring.missing_accounts(objects)) == found
    assert len(wiring.missing_accounts([thing("ServiceAccount", "there", "other"), pod(**spec)])) == (
        1 if "there" in spec.values() else found
    )


@pytest.mark.parametrize(
    ("version", "kind", "found"),
    [
        ("extensions/v1beta1", "Deployment", 1),
        ("batch/v1beta1", "CronJob", 1),
        ("networking.k8s.io/v1beta1", "Ingress", 1),
        ("networking.k8s.io/v1beta1", "IPAddress", 0),
        ("autoscaling/v2beta2", "HorizontalPodAutoscaler", 1),
        ("policy/v1", "PodDisruptionBudget", 0),
        ("apps/v1", "Deployment", 0),
    ],
)
def test_removed_apis(version: str, kind: str, found: int) -> None:
    """An object of an API version that is no longer served is a finding."""
    assert len(wiring.removed_apis([{"apiVersion": version, "kind": kind}])) == found


def test_nothing_in_the_namespace_default() -> None:
    """Workloads and Services in default are findings; the API server's own Service is not."""
    objects = [thing("Pod", space=None), thing("Service", space="default"), thing("Pod"), SERVICE]
    objects.append(thing("Service", "kubernetes", "default"))

    places = [finding.where for finding in wiring.in_default_namespace(objects)]

    assert places == ["Pod/default/x", "Service/default/x"]


def test_a_template_of_labels_alone_is_selected() -> None:
    """A template without a spec counts as pods that a Service may select."""
    template = {"metadata": {"labels": {"app": "a"}}}
    objects = [
        thing("Deployment", spec={"template": template}),
        thing("Service", spec={"selector": {"app": "a"}}),
    ]

    assert dangling_services(objects) == []
    assert [one.spec for one in workloads(objects)] == [{}]
    assert workloads([thing("Deployment", spec={"replicas": 1})]) == []
