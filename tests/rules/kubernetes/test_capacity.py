"""The capacity of nodes, replicas, connections, volumes and quotas."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from bais_gates.rules.kubernetes import capacity
from bais_gates.rules.kubernetes.quantities import Resources
from tests.rules.kubernetes import platform_objects as objects

NODES = [objects.node(name) for name in ("n1", "n2", "n3")]


def pod(node: str, cpu: str, memory: str = "1Gi") -> dict[str, Any]:
    """Return a running pod with one container of these requests."""
    one = objects.pod(f"p-{node}-{cpu}", node)
    one["spec"]["containers"][0]["resources"] = objects.resources(cpu, memory)
    return one


def test_requests_are_shares_of_allocatable() -> None:
    """Only running pods on schedulable nodes count."""
    ended, cordoned = pod("n1", "4"), objects.node("n4")
    ended["status"]["phase"] = "Succeeded"
    cordoned["spec"]["unschedulable"] = True
    seen = capacity.cluster_capacity(
        [*NODES, cordoned], [pod("n1", "3", "4Gi"), pod("n2", "3", "8Gi"), pod("n4", "4"), ended]
    )

    assert (seen.cpu_requested, seen.memory_requested) == (0.5, 0.25)
    assert [node.name for node in seen.nodes] == ["n1", "n2", "n3"]


def test_shares_without_a_schedulable_node_are_nan() -> None:
    """And the loss of a node is not tolerated."""
    assert math.isnan(capacity.cluster_capacity([], [pod("n1", "1")]).cpu_requested)
    assert not capacity.cluster_capacity([], []).tolerates_node_loss()


@pytest.mark.parametrize(
    ("pods", "survives"),
    [
        ([("n1", "2"), ("n2", "2"), ("n3", "2")], True),
        ([("n1", "3"), ("n2", "3"), ("n3", "3")], False),
        ([("n1", "4")], True),
        ([("n1", "1"), ("n2", "4"), ("n3", "4")], False),
    ],
)
def test_the_loss_of_any_node_is_tolerated_if_its_pods_fit(
    pods: list[tuple[str, str]], survives: bool
) -> None:
    """On the free resources of the other nodes."""
    assert capacity.cluster_capacity(NODES, [pod(*one) for one in pods]).tolerates_node_loss() is survives


def test_the_loss_of_the_only_node_is_not_tolerated() -> None:
    """Even without pods."""
    assert not capacity.cluster_capacity(NODES[:1], []).tolerates_node_loss()


@pytest.mark.parametrize(
    ("request_", "count"),
    [
        (Resources(cpu=Decimal(1), memory=Decimal(2**30), pods=1), 11),
        (Resources(cpu=Decimal("1.5"), memory=Decimal(1), pods=1), 6),
        (Resources(memory=Decimal(16 * 2**30), pods=1), 2),
        (Resources(pods=1), 329),
        (Resources(cpu=Decimal(5), pods=1), 0),
    ],
)
def test_pods_are_placed_whole_on_one_node(request_: Resources, count: int) -> None:
    """Free resources on several nodes do not add up for one pod."""
    assert capacity.cluster_capacity(NODES, [pod("n1", "1", "1Gi")]).count_placeable(request_) == count


def test_a_request_must_count_a_pod() -> None:
    """A request without a pod is a programming error."""
    with pytest.raises(ValueError, match="one pod"):
        capacity.cluster_capacity(NODES, []).count_placeable(Resources(cpu=Decimal(1)))


def test_unhealthy_nodes_are_listed() -> None:
    """Not ready, or with a pressure condition."""
    sick, gone = objects.node("n1"), objects.node("n2")
    sick["status"]["conditions"][2]["status"] = "True"
    gone["status"]["conditions"][0]["status"] = "Unknown"

    assert capacity.unhealthy_nodes([sick, gone, objects.node("n3")]) == ["n1: DiskPressure", "n2: not ready"]


@pytest.mark.parametrize(("load", "each", "count"), [(500, 250, 3), (500, 300, 3), (500, 501, 2), (0, 10, 1)])
def test_one_replica_more_than_the_load_needs(load: float, each: float, count: int) -> None:
    """So that one may be lost."""
    assert capacity.required_replicas(load, each) == count


def test_a_replica_without_requests_is_an_error() -> None:
    """No division by zero."""
    with pytest.raises(ValueError, match="above 0"):
        capacity.required_replicas(500, 0)


def test_connections_of_all_replicas() -> None:
    """The connections of every replica, and the reserved ones."""
    assert capacity.total_connections(6, 12, reserved=10) == 82


def test_nearly_used_quotas() -> None:
    """Each resource is compared on its own, whatever its unit."""
    quota = objects.named(
        "ResourceQuota",
        "all",
        "v1",
        status={
            "hard": {"requests.cpu": "4", "pods": "10", "requests.memory": "8Gi"},
            "used": {"requests.cpu": "3700m", "pods": "9", "requests.memory": "1Gi"},
        },
    )

    assert capacity.nearly_used_quotas([quota], 0.9) == ["all: requests.cpu 3700m of 4"]
    assert capacity.nearly_used_quotas([], 0.9) == []


def test_a_claim_counts_once_it_is_bound() -> None:
    """A pending or absent claim has no capacity."""
    pending = objects.claim("b")
    pending["status"]["phase"] = "Pending"

    assert capacity.claim_capacity([objects.claim("a", "2Gi"), pending], "a") == 2 * 2**30
    assert capacity.claim_capacity([pending], "b") is None
    assert capacity.claim_capacity([], "c") is None


@pytest.mark.parametrize(
    ("held", "share"), [(200.0, 0.25), (None, math.nan), (0.0, math.nan)], ids=["held", "absent", "empty"]
)
def test_the_used_share_needs_a_capacity(held: float | None, share: float) -> None:
    """It is NaN otherwise, which fails every limit."""
    assert capacity.Disk(name="d", used=50.0, capacity=held).share == pytest.approx(share, nan_ok=True)


def test_the_smallest_memory_limit_counts() -> None:
    """It is unknown if a container has no limit."""
    small, large = pod("n1", "1", "1Gi"), pod("n2", "1", "2Gi")
    assert capacity.memory_limit([small, large]) == 2**30
    del small["spec"]["containers"][0]["resources"]["limits"]

    assert capacity.memory_limit([small, large]) is None
    assert capacity.memory_limit([]) is None
