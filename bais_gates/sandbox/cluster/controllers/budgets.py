"""PodDisruptionBudgets: how many pods may be evicted now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    changed,
    controller_of,
    is_active,
    is_ready,
    labels_of,
    matches,
    namespace_of,
    scaled,
    spec_of,
    status_of,
    with_condition,
)
from bais_gates.sandbox.cluster.controllers.replicasets import wanted_of
from bais_gates.sandbox.cluster.controllers.world import Plan, SetStatus

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World


def reconcile(world: World, budget: Object, now: datetime) -> Plan:
    """Fill in the status that evictions are decided by."""
    plan = Plan()
    status = status_for(world, budget, now)
    if (update := changed(budget, status=status)) is not None:
        plan.add(SetStatus(obj=update))
    return plan


def status_for(world: World, budget: Object, now: datetime) -> Object:
    """Give the status that the selected pods amount to."""
    spec = spec_of(budget)
    pods = [
        pod
        for pod in world.of_kind("Pod", namespace_of(budget))
        if matches(spec.get("selector"), labels_of(pod)) and is_active(pod)
    ]
    disrupted = dict(status_of(budget).get("disruptedPods") or {})
    there = {pod["metadata"]["name"] for pod in pods}
    disrupted = {name: when for name, when in disrupted.items() if name in there}
    expected, desired = _numbers(world, spec, pods)
    healthy = sum(is_ready(pod) and pod["metadata"]["name"] not in disrupted for pod in pods)
    allowed = max(healthy - desired, 0) if pods else 0
    status: Object = {
        "observedGeneration": budget["metadata"].get("generation", 1),
        "expectedPods": expected,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "conditions": with_condition(
            status_of(budget).get("conditions") or (),
            now,
            type="DisruptionAllowed",
            status="True" if allowed else "False",
            reason="SufficientPods" if allowed else "InsufficientPods",
            message="",
        ),
    }
    for one in status["conditions"]:
        one["observedGeneration"] = status["observedGeneration"]
    if disrupted:
        status["disruptedPods"] = disrupted
    return status


def _numbers(world: World, spec: Object, pods: list[Object]) -> tuple[int, int]:
    """Give how many pods there should be, and how many of them must be healthy."""
    if spec.get("maxUnavailable") is not None:
        expected = expected_of(world, pods)
        return expected, max(expected - scaled(spec["maxUnavailable"], expected, up=True), 0)
    least = spec.get("minAvailable", 1)
    if isinstance(least, str):
        expected = expected_of(world, pods)
        return expected, scaled(least, expected, up=True)
    return len(pods), int(least)


def expected_of(world: World, pods: list[Object]) -> int:
    """Add up the replicas that the pods' controllers (a Deployment for its ReplicaSets) should have."""
    scales: dict[str, int] = {}
    for pod in pods:
        ref = controller_of(pod)
        owner = world.by_uid(str(ref["uid"])) if ref else None
        if owner is not None and owner["kind"] == "ReplicaSet" and (above := controller_of(owner)):
            owner = world.by_uid(str(above["uid"])) or owner
        if owner is not None and owner["kind"] in {"Deployment", "ReplicaSet", "StatefulSet"}:
            scales[str(owner["metadata"]["uid"])] = wanted_of(owner)
    return sum(scales.values())
