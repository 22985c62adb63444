"""Where pods fit: on usable nodes, when some are out of service, and when one is lost."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bais_gates.rules.kubernetes.placement import Demand, cluster_capacity, unhealthy_nodes, why_unusable
from tests.rules.kubernetes import platform_objects as objects

NODES = [objects.node(name) for name in ("n1", "n2", "n3")]
TAINT = {"key": "x", "value": "y", "effect": "NoSchedule"}


def pod(node: str, cpu: str, memory: str = "1Gi", **over: Any) -> dict[str, Any]:
    """Return a running pod with one container of these requests."""
    one = objects.pod(f"p-{node}-{cpu}", node, spec=over)
    one["spec"]["containers"][0]["resources"] = objects.resources(cpu, memory)
    return one


def node(name: str, **spec: Any) -> dict[str, Any]:
    """Return a node with a spec."""
    return objects.node(name) | {"spec": spec}


def lost(name: str) -> dict[str, Any]:
    """Return a node that is not ready."""
    one = objects.node(name)
    one["status"]["conditions"][0]["status"] = "Unknown"
    return one


def demand(cpu: str, memory: str = "1Gi", **over: Any) -> Demand:
    """Return a further pod."""
    return Demand.of(pod("", cpu, memory, **over)["spec"], "more")


@pytest.mark.parametrize(
    "out_of_service", [node("n4", unschedulable=True), node("n4", taints=[TAINT]), lost("n4"), None]
)
def test_pods_of_unusable_nodes_count_against_the_others(out_of_service: dict[str, Any] | None) -> None:
    """Of a node that is cordoned, tainted, not ready or gone; pods that have ended do not count."""
    ended = pod("n1", "4")
    ended["status"]["phase"] = "Succeeded"
    nodes = [*NODES, *([out_of_service] if out_of_service else [])]

    seen = cluster_capacity(
        nodes, [pod("n1", "3", "4Gi"), pod("n2", "2", "8Gi"), pod("n4", "4", "12Gi"), ended]
    )

    assert (seen.cpu_requested, seen.memory_requested) == (0.75, 0.5)
    assert [one.name for one in seen.nodes] == ["n1", "n2", "n3"]
    assert [one.name for one in seen.displaced] == ["bais/p-n4-4"]
    assert seen.unplaceable() == []


def test_a_displaced_pod_that_fits_nowhere_is_named() -> None:
    """With its node, the reason and its requests."""
    seen = cluster_capacity(
        [*NODES[:2], node("n4", unschedulable=True)], [pod("n1", "3"), pod("n2", "3"), pod("n4", "2")]
    )

    assert seen.unplaceable() == ["bais/p-n4-2 (2 CPUs and 1024 MiB, from n4: cordoned)"]


def test_the_pods_with_the_largest_requests_are_named() -> None:
    """Three at most, the largest first."""
    seen = cluster_capacity(NODES, [pod("n1", "1", "4Gi"), pod("n2", "3"), pod("n3", "2"), pod("n3", "500m")])

    assert [text.split(" ")[0] for text in seen.largest("cpu")] == [
        "bais/p-n2-3",
        "bais/p-n3-2",
        "bais/p-n1-1",
    ]
    assert seen.largest("memory")[0].startswith("bais/p-n1-1")


def test_a_pod_without_a_node_needs_a_place() -> None:
    """A pending pod is neither ended nor placed."""
    assert cluster_capacity(NODES, [pod("", "5")]).unplaceable() == ["bais/p--5 (5 CPUs and 1024 MiB)"]


@pytest.mark.parametrize(
    "over",
    [
        {"ownerReferences": [{"kind": "DaemonSet"}]},
        {"annotations": {"kubernetes.io/config.mirror": "x"}},
        {"deletionTimestamp": "2026-11-01T00:00:00Z"},
    ],
)
def test_pods_that_belong_to_their_node_are_not_moved(over: dict[str, Any]) -> None:
    """Those of a DaemonSet, static and ending ones; on a usable node they still take its resources."""
    fixed = pod("n1", "4")
    fixed["metadata"] |= over

    assert cluster_capacity([node("n1", unschedulable=True), *NODES[1:]], [fixed]).displaced == ()
    assert cluster_capacity(NODES, [fixed, pod("n2", "4"), pod("n3", "4")]).cpu_requested == 1
    assert cluster_capacity(NODES, [fixed, pod("n2", "1"), pod("n3", "1")]).unplaceable_after_loss() == []


@pytest.mark.parametrize(
    ("toleration", "stays"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "x", "operator": "Exists"}, True),
        ({"key": "x", "value": "y"}, True),
        ({"key": "x", "value": "y", "effect": "NoSchedule"}, True),
        ({"key": "x", "value": "z"}, False),
        ({"key": "x", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({}, False),
    ],
)
def test_a_pod_stays_on_a_node_whose_taints_it_tolerates(toleration: dict[str, Any], *, stays: bool) -> None:
    """As one of a control plane does."""
    tainted = node("n1", taints=[TAINT])

    assert (why_unusable(tainted, {"tolerations": [toleration]}) == "") is stays
    assert why_unusable(tainted) == "taint x:NoSchedule"


def test_a_preference_is_no_obstacle() -> None:
    """PreferNoSchedule leaves a node usable."""
    assert why_unusable(node("n1", taints=[TAINT | {"effect": "PreferNoSchedule"}])) == ""


def test_shares_without_a_usable_node_are_nan() -> None:
    """And neither the loss of a node nor a pod has room."""
    seen = cluster_capacity([], [pod("n1", "1")])

    assert math.isnan(seen.cpu_requested)
    assert len(seen.unplaceable()) == 1
    assert seen.unplaceable_after_loss() == ["usable nodes: 0, none to spare"]
    assert cluster_capacity(NODES[:1], []).unplaceable_after_loss() != []


@pytest.mark.parametrize(
    ("pods", "faults"),
    [
        ([("n1", "2"), ("n2", "2"), ("n3", "2")], 0),
        ([("n1", "3"), ("n2", "3"), ("n3", "3")], 3),
        ([("n1", "4")], 0),
        ([("n1", "1"), ("n2", "4"), ("n3", "4")], 3),
        ([("n1", "1"), ("", "3"), ("n2", "2"), ("n3", "2")], 1),
    ],
)
def test_the_loss_of_any_node_is_tolerated_if_its_pods_fit(pods: list[tuple[str, str]], faults: int) -> None:
    """Beside those that need a place already, on the free resources of the other nodes."""
    assert len(cluster_capacity(NODES, [pod(*one) for one in pods]).unplaceable_after_loss()) == faults


def test_the_lost_node_and_the_pod_are_named() -> None:
    """So that the reader knows what to make room for."""
    seen = cluster_capacity(NODES[:2], [pod("n1", "3"), pod("n2", "3")])

    assert seen.unplaceable_after_loss() == [
        "without n1: no place for bais/p-n1-3 (3 CPUs and 1024 MiB)",
        "without n2: no place for bais/p-n2-3 (3 CPUs and 1024 MiB)",
    ]
    assert len(cluster_capacity(NODES[:2], []).unplaceable_after_loss([demand("3"), demand("3")])) == 2


@pytest.mark.parametrize(
    ("further", "left"),
    [
        ([demand("1")] * 11, 0),
        ([demand("1")] * 12, 1),
        ([demand("2")] * 5, 0),
        ([demand("2")] * 6, 1),
        ([demand("1m", "16Gi")] * 3, 1),
        ([demand("5")], 1),
        ([demand("1", nodeSelector={"kubernetes.io/hostname": "n2"})] * 5, 1),
        ([demand("1", nodeSelector={"disk": "ssd"})], 1),
    ],
)
def test_pods_are_placed_whole_on_one_node(further: list[Demand], left: int) -> None:
    """Free resources on several nodes do not add up for one pod."""
    assert len(cluster_capacity(NODES, [pod("n1", "1", "1Gi")]).unplaceable(further)) == left


@pytest.mark.parametrize(
    ("term", "fits"),
    [
        (
            {
                "matchExpressions": [
                    {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["z1"]}
                ]
            },
            True,
        ),
        ({"matchExpressions": [{"key": "disk", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "disk", "operator": "DoesNotExist"}]}, True),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}, True),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n9"]}]}, False),
        ({"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["2"]}]}, True),
        ({"matchExpressions": [{"key": "cores", "operator": "Lt", "values": ["2"]}]}, False),
        ({"matchExpressions": [{"key": "disk", "operator": "Gt", "values": ["2"]}]}, False),
        ({}, False),
    ],
)
def test_required_affinity_limits_the_nodes(term: dict[str, Any], *, fits: bool) -> None:
    """As the scheduler reads its terms."""
    wide = objects.node("n2")
    wide["metadata"]["labels"]["cores"] = "4"
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}

    found = cluster_capacity([wide], []).unplaceable([demand("1", affinity={"nodeAffinity": required})])

    assert (found == []) is fits


def test_extended_resources_and_ephemeral_storage_limit_the_nodes() -> None:
    """A node that does not report its storage has enough of it; one without a GPU has none."""
    small = objects.node("n1")
    small["status"]["allocatable"]["ephemeral-storage"] = "1Gi"
    stores, computes = pod("", "1"), pod("", "1")
    stores["spec"]["containers"][0]["resources"]["requests"]["ephemeral-storage"] = "2Gi"
    computes["spec"]["containers"][0]["resources"]["limits"]["example.com/gpu"] = "1"

    assert len(cluster_capacity([small], [stores]).unplaceable()) == 1
    assert cluster_capacity(NODES, [stores]).unplaceable() == []
    assert len(cluster_capacity(NODES, [computes]).unplaceable()) == 1


def test_displaced_pods_are_placed_before_further_ones() -> None:
    """Further pods are what does not fit then; without them, the displaced ones are."""
    seen = cluster_capacity([objects.node("n1"), node("n2", unschedulable=True)], [pod("n2", "1")])

    assert seen.unplaceable() == []
    assert seen.unplaceable([demand("3"), demand("1")]) == ["more (1 CPUs and 1024 MiB)"]
    assert seen.unplaceable_after_loss() == ["usable nodes: 1, none to spare (n2: cordoned)"]


def test_unhealthy_nodes_are_listed() -> None:
    """Not ready, or with a pressure condition."""
    sick = objects.node("n1")
    sick["status"]["conditions"][2]["status"] = "True"

    assert unhealthy_nodes([sick, lost("n2"), objects.node("n3")]) == ["n1: DiskPressure", "n2: not ready"]
