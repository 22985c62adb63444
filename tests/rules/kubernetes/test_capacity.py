"""The capacity of replicas, connections, volumes and the cache's memory."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.rules.kubernetes import capacity
from tests.rules.kubernetes import platform_objects as objects


@given(st.floats(1, 1e5), st.integers(1, 500))
def test_what_replicas_sustained_needs_so_many(load: float, replicas: int) -> None:
    """Neither one more by rounding, nor one less for a load that is a little higher."""
    each = load / replicas

    assert needed(load, each) == replicas
    assert needed(load * 1.001, each) == replicas + 1
    assert needed(0, each) == 0


@pytest.mark.parametrize("each", [0.0, math.nan])
def test_a_replica_of_which_nothing_is_known(each: float) -> None:
    """How many are needed is unknown then; no division by zero."""
    assert needed(500, each) is None


def needed(promised: float, each: float) -> int | None:
    """Return the replicas that a load needs."""
    return capacity.Sustained(promised_per_s=promised, per_replica=each, source="").needed


def test_connections_of_all_replicas() -> None:
    """The connections of every replica, and the reserved ones."""
    assert capacity.total_connections(6, 12, reserved=10) == 82


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


def test_the_memory_limit_is_of_the_container_that_serves() -> None:
    """The smallest of the pods; a sidecar does not count, and no limit is unknown."""
    small, large = objects.pod("a", "n1"), objects.pod("b", "n1")
    small["spec"]["containers"][0]["resources"] = objects.resources("1", "1Gi")
    large["spec"]["containers"][0]["resources"] = objects.resources("1", "2Gi")
    large["spec"]["containers"].append({"name": "exporter", "resources": objects.resources("1", "64Mi")})
    assert capacity.memory_limit([small, large], 8443) == 2**30
    assert capacity.memory_limit([small, large], 1) is None
    del small["spec"]["containers"][0]["resources"]["limits"]

    assert capacity.memory_limit([small, large], 8443) is None
    assert capacity.memory_limit([], 8443) is None


def test_claims_can_be_expanded_by_their_class() -> None:
    """A class that is absent, or does not say so, does not; other claims do not count."""
    claims = [objects.claim(name) for name in "abcd"]
    for claim, name in zip(claims, ("grows", "fixed", "gone", "fixed"), strict=True):
        claim["spec"]["storageClassName"] = name
    classes: list[dict[str, Any]] = [
        {"metadata": {"name": "grows"}, "allowVolumeExpansion": True},
        {"metadata": {"name": "fixed"}},
    ]

    assert capacity.unexpandable_claims(claims, classes, {"a", "b", "c"}) == [
        "b: StorageClass fixed does not allow expansion",
        "c: there is no StorageClass gone",
    ]
