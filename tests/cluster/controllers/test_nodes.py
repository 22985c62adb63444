"""The scheduler and the nodes: where each pod goes, and why it can't."""

from __future__ import annotations

from typing import Any, cast

import pytest

from bais_gates.sandbox.cluster.controllers import nodes, scheduler
from bais_gates.sandbox.cluster.controllers.client import Api, ApiUnreachableError
from bais_gates.sandbox.cluster.controllers.world import Bind, Event, World
from bais_gates.sandbox.cluster.controllers.writer import Writer
from tests.cluster.controllers.objects_of import NOW, Cluster, condition_of, named, pod


def node(name: str, cpu: str = "4", **spec: Any) -> dict[str, Any]:
    """Make a node with a zone of its own."""
    made = named("Node", name, namespace="", metadata={"labels": {"kubernetes.io/hostname": name}}, spec=spec)
    made["status"] = {"allocatable": {"cpu": cpu, "memory": "16Gi", "pods": "110"}}
    return made


def waiting(name: str = "new", **spec: Any) -> dict[str, Any]:
    """Make a pod that has no node yet."""
    made = pod(name, **spec)
    return {
        **made,
        "spec": {key: value for key, value in made["spec"].items() if key != "nodeName"},
        "status": {},
    }


def test_pods_are_spread_over_the_nodes() -> None:
    """Three like pods end up on three nodes."""
    world = World([node("n1"), node("n2"), node("n3")])
    for number in range(3):
        chosen, _ = scheduler.choose(world, waiting())
        world.put(pod(f"web-{number}", nodeName=chosen))

    assert {one["spec"]["nodeName"] for one in world.of_kind("Pod")} == {"n1", "n2", "n3"}


@pytest.mark.parametrize(
    ("spec", "nodes_there", "problem"),
    [
        ({}, [], "no nodes available to schedule pods"),
        (
            {"containers": [{"resources": {"requests": {"cpu": "8"}}}]},
            [node("n1"), node("n2")],
            "0/2 nodes are available: 2 Insufficient cpu.",
        ),
        (
            {"nodeSelector": {"disk": "fast"}},
            [node("n1")],
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        ),
        (
            {},
            [node("n1", unschedulable=True)],
            "0/1 nodes are available: 1 node(s) were unschedulable.",
        ),
        (
            {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "gone"}}]},
            [node("n1")],
            'persistentvolumeclaim "gone" not found',
        ),
    ],
)  # fmt: skip
def test_why_a_pod_has_no_node(spec: dict[str, Any], nodes_there: list[dict[str, Any]], problem: str) -> None:
    """The condition and the event carry the real scheduler's sentence."""
    cluster = Cluster(waiting(**spec), *nodes_there)
    cluster.reconcile(scheduler.reconcile, "Pod", "new")

    assert condition_of(cluster.get("Pod", "new"), "PodScheduled") == ("False", "Unschedulable")
    assert [event.message for event in cluster.events] == [problem]


def test_a_pod_that_fits_is_bound() -> None:
    """A pod gets a node, once."""
    made = waiting()
    plan = scheduler.reconcile(World([made, node("n1")]), made, NOW)

    assert [action.node for action in plan.actions if isinstance(action, Bind)] == ["n1"]


def test_a_new_node_loses_the_taint_of_new_nodes_and_is_ready() -> None:
    """A real API server taints every new node; that is taken away, and the node has its conditions."""
    made = node("sandbox-1", taints=[{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])
    cluster = Cluster(made)
    function = nodes.reconciler(frozenset({"sandbox-1"}), "v1.36.0")
    for _ in range(2):
        cluster.do(function(cluster.world, cluster.get("Node", "sandbox-1", ""), NOW))

    ready = cluster.get("Node", "sandbox-1", "")
    assert ready["spec"]["taints"] == []
    assert condition_of(ready, "Ready") == ("True", "KubeletReady")


def test_a_nodes_lease_is_renewed_every_ten_seconds() -> None:
    """The Lease is created at once, and updated when it is ten seconds old."""
    cluster = Cluster(node("sandbox-1"))
    function = nodes.reconciler(frozenset({"sandbox-1"}), "v1.36.0")
    times = []
    for _ in range(3):
        plan = cluster.do(function(cluster.world, cluster.get("Node", "sandbox-1", ""), cluster.now))
        times.append(cluster.get("Lease", "sandbox-1", "kube-node-lease")["spec"]["renewTime"][14:19])
        assert 0 < (plan.again_in_s or 0) <= 10
        cluster.later(5)

    assert times == ["00:00", "00:00", "00:10"]


class EventApi:
    """Takes events, and does not answer the second."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def request(self, _method: str, _path: str, *, body: dict[str, Any]) -> dict[str, Any]:
        """Take an event, or raise ``ApiUnreachableError``."""
        if len(self.taken) == 1:
            self.taken.append("lost")
            raise ApiUnreachableError
        self.taken.append(body["reason"])
        return body


def test_normal_events_wait_until_nothing_else_is_to_do() -> None:
    """A warning is recorded at once, others one by one when asked for; one without an answer is lost."""
    api, about = EventApi(), pod("web")
    writer = Writer(cast("Api", api), World(), lambda *_: None)
    for reason, type_ in (("Pulled", "Normal"), ("Started", "Normal"), ("BackOff", "Warning")):
        writer.do(Event(about=about, reason=reason, message=reason, type=type_), component="kubelet")
    assert api.taken == ["BackOff"]

    while writer.has_events:
        writer.record_next_event()

    assert api.taken == ["BackOff", "lost", "Started"]
