"""PodDisruptionBudgets: how many pods may be evicted now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    controller_of,
    generation_of,
    is_ready,
    name_of,
    namespace_of,
    replicas_of,
    scaled,
    spec_of,
    status_of,
    uid_of,
    with_condition,
)
from bais_gates.sandbox.cluster.controllers.world import Plan

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World


def reconcile(world: World, budget: Object, now: datetime) -> Plan:
    """Fill in the status that evictions are decided by."""
    plan = Plan()
    plan.set_status(budget, status_for(world, budget, now))
    return plan


def status_for(world: World, budget: Object, now: datetime) -> Object:
    """Return the status that the selected pods amount to."""
    pods = world.active_pods(namespace_of(budget), spec_of(budget).get("selector"))
    there = {name_of(pod) for pod in pods}
    evicted = status_of(budget).get("disruptedPods") or {}
    evicted = {name: when for name, when in evicted.items() if name in there}
    expected, desired = _numbers(world, spec_of(budget), pods)
    healthy = sum(is_ready(pod) and name_of(pod) not in evicted for pod in pods)
    allowed = max(healthy - desired, 0) if pods else 0
    generation = generation_of(budget)
    values = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    conditions = with_condition(status_of(budget).get("conditions"), now, ("DisruptionAllowed", *values, ""))
    return {
        "observedGeneration": generation,
        "expectedPods": expected,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "disruptedPods": evicted,
        "conditions": [{"message": "", **one, "observedGeneration": generation} for one in conditions],
    }


def _numbers(world: World, spec: Object, pods: list[Object]) -> tuple[int, int]:
    """Return how many pods there should be, and how many of them must be healthy."""
    if (most := spec.get("maxUnavailable")) is not None:
        expected = expected_of(world, pods)
        return expected, max(expected - scaled(most, expected, up=True), 0)
    least = spec.get("minAvailable", 1)
    expected = expected_of(world, pods) if isinstance(least, str) else len(pods)
    return expected, scaled(least, expected, up=True)


def expected_of(world: World, pods: list[Object]) -> int:
    """Add up the replicas that the pods' controllers (a Deployment for its ReplicaSets) should have."""
    sizes: dict[str, int] = {}
    for pod in pods:
        owner = world.by_uid((controller_of(pod) or {}).get("uid"))
        if owner is not None:
            above = world.by_uid((controller_of(owner) or {}).get("uid"))
            top = above or owner
            sizes[uid_of(top)] = replicas_of(top)
    return sum(sizes.values())
