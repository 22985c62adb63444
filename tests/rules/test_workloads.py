"""What a workload's objects say: a healthy one, and one spoilt thing at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.rules import workloads
from tests.rules import platform_objects as objects

if TYPE_CHECKING:
    from collections.abc import Callable

Object = dict[str, Any]


@pytest.mark.parametrize(
    ("selector", "taken"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchLabels": {"a": "1", "c": "1"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Near"}]}, False),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_selectors_take_what_the_api_server_lets_them_take(selector: Object | None, taken: bool) -> None:
    """Labels and expressions must all hold; no selector takes nothing, an empty one everything."""
    assert workloads.matches(selector, {"a": "1", "b": "2"}) is taken


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
    """A status about an older object proves nothing."""
    deployment = objects.deployment()
    deployment["status"] |= status

    assert workloads.rollout(deployment).complete is complete


def test_only_pods_that_run_are_a_workloads_own() -> None:
    """What has ended, or has other labels, is left out."""
    pods = [objects.pod(name, "n1") for name in ("a", "b")]
    ended, other = objects.pod("c", "n1"), objects.pod("d", "n1", labels={"x": "y"})
    ended["status"]["phase"] = "Succeeded"

    assert workloads.owned_pods(objects.deployment(), [*pods, ended, other]) == pods


def test_endpoints_are_those_that_are_ready() -> None:
    """An endpoint without a word on readiness counts; one that says no, and another Service's, do not."""
    piece = objects.endpoint_slice()
    piece["endpoints"][0]["conditions"] = {"ready": False}
    del piece["endpoints"][1]["conditions"]
    strange = objects.endpoint_slice()
    strange["metadata"]["labels"] = {"kubernetes.io/service-name": "other"}

    assert workloads.backends(objects.service(), [piece, strange]) == {"bais-api-2", "bais-api-3"}


@pytest.mark.parametrize(
    ("target", "unserved"), [("https", []), (8443, []), ("http", ["https -> http"]), (80, ["https -> 80"])]
)
def test_a_service_port_leads_to_a_port_of_the_pods(target: object, unserved: list[str]) -> None:
    """By name or by number."""
    service = objects.service()
    service["spec"]["ports"][0]["targetPort"] = target

    assert workloads.unserved_ports(service, objects.pod_spec()) == unserved


@pytest.mark.parametrize(
    ("places", "used", "lost", "skew"),
    [
        (("n1", "n2", "n3"), 3, 1 / 3, 0),
        (("n1", "n1", "n2"), 2, 2 / 3, 2),
        (("n1", "n1", "n1"), 1, 1.0, 3),
        (("n1", "n2", "n3", "n1", "n2"), 3, 2 / 5, 1),
        (("n1", "gone"), 2, 1 / 2, 1),
    ],
)
def test_spread_counts_what_one_node_takes_along(
    places: tuple[str, ...], used: int, lost: float, skew: int
) -> None:
    """The fullest node's share is what is lost with it; a node that is not listed is a place, too."""
    pods = [objects.pod(f"p{i}", name) for i, name in enumerate(places)]
    seen = workloads.spread(pods, [objects.node(name) for name in ("n1", "n2", "n3")])

    assert (seen.used, seen.skew) == (used, skew)
    assert seen.lost_with_one == pytest.approx(lost)


def test_zones_are_counted_by_their_label() -> None:
    """Three nodes in two zones are two places."""
    nodes = [objects.node("n1", "a"), objects.node("n2", "a"), objects.node("n3", "b")]
    seen = workloads.spread([objects.pod("p", "n1"), objects.pod("q", "n2")], nodes, workloads.ZONE)

    assert (seen.places, seen.per_place) == (2, (("a", 2),))


def test_nothing_placed_is_no_spread() -> None:
    """Without pods the share that is lost is unknown, not zero."""
    seen = workloads.spread([], [objects.node("n1")])

    assert seen.used == 0
    assert seen.lost_with_one != seen.lost_with_one


@pytest.mark.parametrize(
    "spoil",
    [
        lambda node: node["spec"].update(unschedulable=True),
        lambda node: node["spec"].update(taints=[{"key": "x", "effect": "NoSchedule"}]),
        lambda node: node["status"]["conditions"].__setitem__(0, objects.condition("Ready", "Unknown")),
        lambda node: node["status"].update(conditions=[]),
    ],
    ids=["cordoned", "tainted", "not ready", "silent"],
)
def test_a_node_that_takes_no_pods_is_not_usable(spoil: Callable[[Object], None]) -> None:
    """Cordoned, tainted or not ready; a taint that only prefers is none."""
    node = objects.node("n1")
    node["spec"]["taints"] = [{"key": "x", "effect": "PreferNoSchedule"}]
    assert workloads.node_is_usable(node)
    spoil(node)

    assert not workloads.node_is_usable(node)


@pytest.mark.parametrize(
    ("current", "blind"),
    [
        ([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 0}}}], []),
        ([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageValue": "5m"}}}], []),
        ([{"type": "Resource", "resource": {"name": "cpu", "current": {}}}], ["Resource/cpu"]),
        ([{"type": "Resource", "resource": {"name": "memory", "current": {"value": "1"}}}], ["Resource/cpu"]),
        ([{"type": ""}], ["Resource/cpu"]),
        (None, ["Resource/cpu"]),
    ],
)
def test_an_autoscaler_without_a_value_is_blind(current: Any, blind: list[str]) -> None:
    """A metric of the spec needs a present value in the status."""
    scaler = objects.autoscaler()
    scaler["status"]["currentMetrics"] = current

    assert workloads.blind_metrics(scaler) == blind


def test_a_metric_from_outside_is_known_by_its_name() -> None:
    """External, Pods and Object metrics carry their name one level deeper."""
    scaler = objects.autoscaler()
    scaler["spec"]["metrics"] = [{"type": "External", "external": {"metric": {"name": "queue"}}}]

    assert workloads.blind_metrics(scaler) == ["External/queue"]


def test_an_autoscaler_belongs_to_its_target() -> None:
    """Kind and name must both be the workload's."""
    mine, kind, name = objects.autoscaler(), objects.autoscaler(), objects.autoscaler()
    kind["spec"]["scaleTargetRef"]["kind"] = "StatefulSet"
    name["spec"]["scaleTargetRef"]["name"] = "other"

    assert workloads.autoscalers_of(objects.deployment(), [mine, kind, name]) == [mine]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"disruptionsAllowed": 0, "currentHealthy": 2}, "no pod may be evicted now (2 healthy, 2 wanted)"),
        ({"expectedPods": 0}, "it counts no pods"),
        ({"desiredHealthy": 0}, "it lets all pods be evicted at once"),
        ({"observedGeneration": 0}, "its status is about an older version of it"),
    ],
)
def test_a_budget_that_holds_up_a_drain_or_protects_nothing(status: Object, said: str) -> None:
    """Each reason is said in its own words; a sound one has none."""
    budget = objects.budget()
    assert workloads.drain_obstacles(budget) == []
    budget["status"] |= status

    assert workloads.drain_obstacles(budget) == [said]


def test_a_budget_without_a_status_is_an_obstacle() -> None:
    """No controller has looked at it."""
    budget = objects.budget()
    budget["status"] = {}

    assert len(workloads.drain_obstacles(budget)) == 4


def _strategy(deployment: Object, **rolling: object) -> None:
    deployment["spec"]["strategy"]["rollingUpdate"] = rolling


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d["spec"].update(strategy={"type": "Recreate"}), "Recreate"),
        (lambda d: _strategy(d, maxUnavailable=1), "takes 1 of 3"),
        (lambda d: _strategy(d, maxUnavailable="67%"), "takes 2 of 3"),
        (lambda d: d["spec"]["template"]["spec"]["containers"][0].pop("readinessProbe"), "readiness probe"),
        (lambda d: d["spec"]["template"]["spec"]["containers"][0].pop("lifecycle"), "preStop"),
        (lambda d: d["spec"]["template"]["spec"].update(terminationGracePeriodSeconds=5), "killed after 5 s"),
    ],
)
def test_a_rollout_that_loses_requests_is_told(spoil: Callable[[Object], Any], words: str) -> None:
    """Each way a rollout takes a replica away before its successor serves."""
    deployment = objects.deployment()
    assert workloads.rollout_losses(deployment) == []
    spoil(deployment)

    (said,) = workloads.rollout_losses(deployment)
    assert words in said


def test_a_quarter_of_three_replicas_is_none() -> None:
    """The default for maxUnavailable is rounded down."""
    deployment = objects.deployment()
    deployment["spec"]["strategy"] = {}
    assert workloads.rollout_losses(deployment) == []
    deployment["spec"]["replicas"] = 4

    assert len(workloads.rollout_losses(deployment)) == 1


@pytest.mark.parametrize(
    ("value", "of", "up", "count"),
    [("25%", 5, False, 1), ("25%", 5, True, 2), (2, 5, True, 2), ("0%", 5, True, 0)],
)
def test_counts_may_be_shares(value: object, of: int, up: bool, count: int) -> None:
    """A share is rounded as its field says."""
    assert workloads.resolved(value, of, up=up) == count


def test_containers_without_limits_are_named_with_what_they_lack() -> None:
    """Init containers count; limits at the level of the pod do for all."""
    pod = objects.pod("p", "n1")
    pod["spec"]["initContainers"] = [{"name": "first", "resources": {"requests": {"cpu": "1"}}}]
    del pod["spec"]["containers"][0]["resources"]["limits"]["memory"]

    assert workloads.unlimited_containers([pod, objects.pod("q", "n1")]) == [
        "p/api: limits.memory",
        "p/first: requests.memory, limits.cpu, limits.memory",
    ]
    pod["spec"]["resources"] = objects.resources()
    assert workloads.unlimited_containers([pod]) == []
