"""Whether there is room, by what pods request and nodes have."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from bais_gates.rules import capacity
from bais_gates.rules.quantities import Resources
from tests.rules import platform_objects as objects

NODES = [objects.node(name) for name in ("n1", "n2", "n3")]


def pod(node: str, cpu: str, memory: str = "1Gi") -> dict[str, Any]:
    """Make a running pod with one container of these requests."""
    one = objects.pod(f"p-{node}-{cpu}", node)
    one["spec"]["containers"][0]["resources"] = objects.resources(cpu, memory)
    return one


def test_what_is_requested_is_held_to_what_there_is() -> None:
    """Requests of running pods on usable nodes, as shares of their allocatable."""
    ended, cordoned = pod("n1", "4"), objects.node("n4")
    ended["status"]["phase"] = "Succeeded"
    cordoned["spec"]["unschedulable"] = True
    seen = capacity.room(
        [*NODES, cordoned], [pod("n1", "3", "4Gi"), pod("n2", "3", "8Gi"), pod("n4", "4"), ended]
    )

    assert (seen.cpu_used, seen.memory_used) == (0.5, 0.25)
    assert [node.name for node in seen.nodes] == ["n1", "n2", "n3"]


def test_without_a_usable_node_nothing_is_known() -> None:
    """No share is made up."""
    assert math.isnan(capacity.room([], [pod("n1", "1")]).cpu_used)
    assert not capacity.room([], []).survives_loss()


@pytest.mark.parametrize(
    ("pods", "survives"),
    [
        ([("n1", "2"), ("n2", "2"), ("n3", "2")], True),
        ([("n1", "3"), ("n2", "3"), ("n3", "3")], False),
        ([("n1", "4")], True),
        ([("n1", "1"), ("n2", "4"), ("n3", "4")], False),
    ],
)
def test_what_runs_fits_with_any_node_lost(pods: list[tuple[str, str]], survives: bool) -> None:
    """Whichever node it is."""
    assert capacity.room(NODES, [pod(*one) for one in pods]).survives_loss() is survives


def test_one_node_survives_nothing() -> None:
    """Where there is one node, its loss is everything's."""
    assert not capacity.room(NODES[:1], []).survives_loss()


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
    """What is left on several nodes does not add up to room for one pod."""
    assert capacity.room(NODES, [pod("n1", "1", "1Gi")]).placeable(request_) == count


def test_a_node_can_be_left_out_and_a_pod_must_be_one() -> None:
    """What a lost node had free does not count."""
    seen = capacity.room(NODES, [])
    one = Resources(cpu=Decimal(4), pods=1)

    assert (seen.placeable(one), seen.placeable(one, without="n2")) == (3, 2)
    with pytest.raises(ValueError, match="one pod"):
        seen.placeable(Resources(cpu=Decimal(1)))


def test_nodes_that_are_not_well_are_named() -> None:
    """Not ready, or short of memory, disk or processes."""
    sick, gone = objects.node("n1"), objects.node("n2")
    sick["status"]["conditions"][2]["status"] = "True"
    gone["status"]["conditions"][0]["status"] = "Unknown"

    assert capacity.unhealthy_nodes([sick, gone, objects.node("n3")]) == ["n1: DiskPressure", "n2: not ready"]


@pytest.mark.parametrize(("load", "each", "count"), [(500, 250, 3), (500, 300, 3), (500, 501, 2), (0, 10, 1)])
def test_one_replica_more_than_the_load_needs(load: float, each: float, count: int) -> None:
    """One may be lost."""
    assert capacity.replicas_needed(load, each) == count


def test_a_replica_that_bears_nothing_is_an_error() -> None:
    """No division by nothing."""
    with pytest.raises(ValueError, match="some requests"):
        capacity.replicas_needed(500, 0)


def test_connections_of_all_replicas() -> None:
    """Those of every replica, and the reserved ones."""
    assert capacity.most_connections(6, 12, reserved=10) == 82


def test_quotas_that_are_nearly_used_up() -> None:
    """Each resource by itself, whatever its unit."""
    quota = objects.named(
        "ResourceQuota",
        "all",
        "v1",
        status={
            "hard": {"requests.cpu": "4", "pods": "10", "requests.memory": "8Gi"},
            "used": {"requests.cpu": "3700m", "pods": "9", "requests.memory": "1Gi"},
        },
    )

    assert capacity.tight_quotas([quota], 0.9) == ["all: requests.cpu 3700m of 4"]
    assert capacity.tight_quotas([], 0.9) == []


def test_a_claim_counts_once_it_is_bound() -> None:
    """A pending claim holds nothing, and an absent one is not there."""
    pending = objects.claim("b")
    pending["status"]["phase"] = "Pending"

    assert capacity.claim_capacity([objects.claim("a", "2Gi"), pending], "a") == 2 * 2**30
    assert capacity.claim_capacity([pending], "b") is None
    assert capacity.claim_capacity([], "c") is None


@pytest.mark.parametrize(
    ("held", "share"), [(200.0, 0.25), (None, math.nan), (0.0, math.nan)], ids=["held", "absent", "empty"]
)
def test_a_disks_share_is_known_where_its_size_is(held: float | None, share: float) -> None:
    """NaN otherwise, which no limit lets pass."""
    assert capacity.Disk(name="d", used=50.0, capacity=held).share == pytest.approx(share, nan_ok=True)


def test_the_smallest_memory_limit_counts() -> None:
    """A container without a limit makes it unknown."""
    small, large = pod("n1", "1", "1Gi"), pod("n2", "1", "2Gi")
    assert capacity.memory_limit([small, large]) == 2**30
    del small["spec"]["containers"][0]["resources"]["limits"]

    assert capacity.memory_limit([small, large]) is None
    assert capacity.memory_limit([]) is None
