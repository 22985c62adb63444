"""The state of a workload: a healthy one, and one with one fault at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.rules.kubernetes import workloads
from tests.rules.kubernetes import platform_objects as objects

if TYPE_CHECKING:
    from collections.abc import Callable

Object = dict[str, Any]


@pytest.mark.parametrize(
    ("status", "complete"),
    [
        ({}, True),
        ({"readyReplicas": 2}, False),
        ({"updatedReplicas": 2}, False),
        ({"availableReplicas": 2}, False),
        ({"observedGeneration": 0}, False),
    ],
)
def test_a_rollout_is_complete_when_every_replica_is(status: Object, complete: bool) -> None:
    """A status of an older generation does not count."""
    deployment = objects.deployment()
    deployment["status"] |= status

    assert workloads.rollout(deployment).complete is complete


def test_owned_pods() -> None:
    """Pods that have ended or have other labels are left out."""
    pods = [objects.pod(name, "n1") for name in ("a", "b")]
    ended, other = objects.pod("c", "n1"), objects.pod("d", "n1", labels={"x": "y"})
    ended["status"]["phase"] = "Succeeded"

    assert workloads.owned_pods(objects.deployment(), [*pods, ended, other]) == pods


def test_ready_endpoints() -> None:
    """An endpoint without conditions is ready; one with ready false, or of another Service, is not."""
    piece = objects.endpoint_slice()
    piece["endpoints"][0]["conditions"] = {"ready": False}
    del piece["endpoints"][1]["conditions"]
    strange = objects.endpoint_slice()
    strange["metadata"]["labels"] = {"kubernetes.io/service-name": "other"}

    assert workloads.ready_endpoints(objects.service(), [piece, strange]) == {"bais-api-2", "bais-api-3"}


@pytest.mark.parametrize(
    ("target", "unserved"), [("https", []), (8443, []), ("http", ["https -> http"]), (80, ["https -> 80"])]
)
def test_a_service_port_needs_a_container_port(target: object, unserved: list[str]) -> None:
    """By name or by number."""
    service = objects.service()
    service["spec"]["ports"][0]["targetPort"] = target

    assert workloads.unserved_ports(service, objects.pod_spec()) == unserved


@pytest.mark.parametrize(
    ("nodes", "used", "crowded"),
    [
        (("n1", "n2", "n3"), 3, []),
        (("n1", "n1", "n2"), 2, []),
        (("n1", "n1", "n1"), 1, ["n1: 3 of 3"]),
        (("n1", "n1", "n1", "n2"), 2, ["n1: 3 of 4"]),
        (("n1", "gone"), 2, []),
        ((), 0, []),
    ],
)
def test_spread_over_nodes(nodes: tuple[str, ...], used: int, crowded: list[str]) -> None:
    """A node with more than two thirds is crowded; a node that is not listed is a domain, too."""
    pods = [objects.pod(f"p{i}", name) for i, name in enumerate(nodes)]
    spread = workloads.spread(pods, [objects.node(name) for name in ("n1", "n2", "n3")])

    assert spread.used == used
    assert spread.crowded(2 / 3) == crowded


def test_zones_are_counted_by_their_label() -> None:
    """Three nodes in two zones are two domains."""
    nodes = [objects.node("n1", "a"), objects.node("n2", "a"), objects.node("n3", "b")]
    seen = workloads.spread([objects.pod("p", "n1"), objects.pod("q", "n2")], nodes, workloads.ZONE)

    assert (seen.domains, seen.per_domain) == (2, (("a", 2),))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda node: node["spec"].update(unschedulable=True),
        lambda node: node["spec"].update(taints=[{"key": "x", "effect": "NoSchedule"}]),
        lambda node: node["status"]["conditions"].__setitem__(0, objects.condition("Ready", "Unknown")),
        lambda node: node["status"].update(conditions=[]),
    ],
    ids=["cordoned", "tainted", "not ready", "no conditions"],
)
def test_schedulable_nodes(spoil: Callable[[Object], None]) -> None:
    """A node that is cordoned, tainted or not ready is not; a PreferNoSchedule taint does not matter."""
    node = objects.node("n1")
    node["spec"]["taints"] = [{"key": "x", "effect": "PreferNoSchedule"}]
    assert workloads.is_schedulable(node)
    spoil(node)

    assert not workloads.is_schedulable(node)


@pytest.mark.parametrize(
    ("current", "missing"),
    [
        ([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 0}}}], []),
        ([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageValue": "5m"}}}], []),
        ([{"type": "Resource", "resource": {"name": "cpu", "current": {}}}], ["Resource/cpu"]),
        ([{"type": "Resource", "resource": {"name": "memory", "current": {"value": "1"}}}], ["Resource/cpu"]),
        ([{"type": ""}], ["Resource/cpu"]),
        (None, ["Resource/cpu"]),
    ],
)
def test_metrics_of_an_autoscaler_without_a_value(current: Any, missing: list[str]) -> None:
    """A metric of the spec needs a current value in the status."""
    scaler = objects.autoscaler()
    scaler["status"]["currentMetrics"] = current

    assert workloads.missing_metrics(scaler) == missing


def test_the_name_of_an_external_metric() -> None:
    """External, Pods and Object metrics have their name one level deeper."""
    scaler = objects.autoscaler()
    scaler["spec"]["metrics"] = [{"type": "External", "external": {"metric": {"name": "queue"}}}]

    assert workloads.missing_metrics(scaler) == ["External/queue"]


def test_an_autoscaler_belongs_to_its_target() -> None:
    """Kind and name must match the workload's."""
    mine, kind, name = objects.autoscaler(), objects.autoscaler(), objects.autoscaler()
    kind["spec"]["scaleTargetRef"]["kind"] = "StatefulSet"
    name["spec"]["scaleTargetRef"]["name"] = "other"

    assert workloads.autoscalers_of(objects.deployment(), [mine, kind, name]) == [mine]


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        ({"disruptionsAllowed": 0, "currentHealthy": 2}, "no pod may be evicted now (2 healthy, 2 desired)"),
        ({"expectedPods": 0}, "it selects no pods"),
        ({"desiredHealthy": 0}, "all pods may be evicted at once"),
        ({"observedGeneration": 0}, "its status is for an older generation"),
    ],
)
def test_a_budget_that_blocks_a_drain_or_protects_no_pod(status: Object, fault: str) -> None:
    """Each fault has its own message; a healthy budget has none."""
    budget = objects.budget()
    assert workloads.budget_faults(budget) == []
    budget["status"] |= status

    assert workloads.budget_faults(budget) == [fault]


@pytest.mark.parametrize(
    ("status", "blocks"),
    [
        ({}, False),
        ({"disruptionsAllowed": 0}, True),
        ({"disruptionsAllowed": 0, "expectedPods": 0}, False),
    ],
)
def test_budgets_that_block_a_drain(status: Object, blocks: bool) -> None:
    """None of its pods may be evicted; one without pods blocks nothing."""
    budget = objects.budget()
    budget["status"] |= status

    found = workloads.blocking_budgets([budget])

    assert found == (["bais-api: no pod may be evicted now"] if blocks else [])


def test_exactly_one_object_of_a_kind() -> None:
    """None and several are named."""
    api, one = {"metadata": {"name": "api"}}, {"metadata": {"name": "a"}}

    assert workloads.one_of("HPA", [one], api) == []
    assert workloads.one_of("HPA", [], api) == ["there is no HPA for Deployment api"]
    assert workloads.one_of("HPA", [one, {"metadata": {"name": "b"}}], api) == [
        "HPA a is one of 2 for Deployment api",
        "HPA b is one of 2 for Deployment api",
    ]


def test_a_budget_without_a_status_has_every_fault() -> None:
    """No controller has observed it."""
    budget = objects.budget()
    budget["status"] = {}

    assert len(workloads.budget_faults(budget)) == 4


def _strategy(deployment: Object, **rolling: object) -> None:
    deployment["spec"]["strategy"]["rollingUpdate"] = rolling


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda d: d["spec"].update(strategy={"type": "Recreate"}), "Recreate"),
        (lambda d: _strategy(d, maxUnavailable=1), "removes 1 of 3"),
        (lambda d: _strategy(d, maxUnavailable="67%"), "removes 2 of 3"),
        (lambda d: d["spec"]["template"]["spec"]["containers"][0].pop("readinessProbe"), "readiness probe"),
        (lambda d: d["spec"]["template"]["spec"]["containers"][0].pop("lifecycle"), "preStop"),
        (lambda d: d["spec"].update(paused=True), "paused"),
        (lambda d: d["spec"]["template"]["spec"].update(terminationGracePeriodSeconds=5), "killed after 5 s"),
    ],
)
def test_a_rollout_that_loses_requests(spoil: Callable[[Object], Any], fault: str) -> None:
    """Each way in which a rollout stops a replica before its successor is ready."""
    deployment = objects.deployment()
    assert workloads.rollout_faults(deployment) == []
    spoil(deployment)

    (reported,) = workloads.rollout_faults(deployment)
    assert fault in reported


def test_max_unavailable_is_rounded_down() -> None:
    """A quarter of three replicas, the default, is none."""
    deployment = objects.deployment()
    deployment["spec"]["strategy"] = {}
    assert workloads.rollout_faults(deployment) == []
    deployment["spec"]["replicas"] = 4

    assert len(workloads.rollout_faults(deployment)) == 1


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}, None),
        ({"sessionAffinity": "ClientIP"}, "sessionAffinity ClientIP"),
        ({"publishNotReadyAddresses": True}, "publishNotReadyAddresses"),
        ({"internalTrafficPolicy": "Local"}, "internalTrafficPolicy Local"),
    ],
)
def test_a_service_sends_every_request_to_any_ready_pod(spec: Object, fault: str | None) -> None:
    """Without affinity to a client, to unready pods or to the client's own node."""
    found = workloads.service_faults({"spec": spec})

    assert [text.startswith(fault) for text in found] == [True] if fault else found == []


@pytest.mark.parametrize(
    ("value", "total", "round_up", "count"),
    [("25%", 5, False, 1), ("25%", 5, True, 2), (2, 5, True, 2), ("0%", 5, True, 0)],
)
def test_counts_may_be_percentages(value: object, total: int, round_up: bool, count: int) -> None:
    """A percentage is rounded up or down."""
    assert workloads.resolve_count(value, total, round_up=round_up) == count


def test_containers_without_requests_or_limits_are_listed() -> None:
    """Init containers count; pod-level resources apply to all containers."""
    pod = objects.pod("p", "n1")
    pod["spec"]["initContainers"] = [{"name": "first", "resources": {"requests": {"cpu": "1"}}}]
    del pod["spec"]["containers"][0]["resources"]["limits"]["memory"]

    assert workloads.unlimited_containers([pod, objects.pod("q", "n1")]) == [
        "p/api: limits.memory",
        "p/first: requests.memory, limits.cpu, limits.memory",
    ]
    pod["spec"]["resources"] = objects.resources()
    assert workloads.unlimited_containers([pod]) == []
