"""ReplicaSets: as many pods as are asked for, and which of them go first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    created_of,
    generation_of,
    is_active,
    is_available,
    is_ready,
    is_terminating,
    name_of,
    namespace_of,
    number_of,
    owner_reference,
    replicas_of,
    spec_of,
    status_of,
    uid_of,
    with_condition,
    without_condition,
)
from bais_gates.sandbox.cluster.controllers.world import Create, Delete, Plan

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World


def reconcile(world: World, replica_set: Object, now: datetime) -> Plan:
    """Create or delete pods until ``spec.replicas`` are active; report in the status how many work."""
    plan = Plan()
    active = [pod for pod in world.owned("Pod", replica_set) if is_active(pod)]
    plan.set_status(replica_set, status_for(world, replica_set, active, now))
    min_ready = number_of(spec_of(replica_set), "minReadySeconds")
    if any(is_ready(pod) and not is_available(pod, min_ready, now) for pod in active):
        plan.look_again(min(min_ready, 1.0))
    if is_terminating(replica_set):
        return plan
    surplus = len(active) - replicas_of(replica_set)
    plan.add(*(Create(new_pod(replica_set), owner=replica_set) for _ in range(-surplus)))
    for pod in first_to_go(active)[: max(surplus, 0)]:
        plan.add(Delete(obj=pod))
        plan.event(replica_set, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
    return plan


def status_for(world: World, replica_set: Object, active: list[Object], now: datetime) -> Object:
    """Return the status that ``active`` pods amount to."""
    min_ready = number_of(spec_of(replica_set), "minReadySeconds")
    conditions = status_of(replica_set).get("conditions") or []
    refusal = world.refusals.get(uid_of(replica_set))
    if refusal is not None and len(active) < replicas_of(replica_set):
        conditions = with_condition(conditions, now, ("ReplicaFailure", "True", "FailedCreate", refusal))
    else:
        conditions = without_condition(conditions, "ReplicaFailure")
    return {
        "replicas": len(active),
        "fullyLabeledReplicas": len(active),
        "readyReplicas": sum(map(is_ready, active)),
        "availableReplicas": sum(is_available(pod, min_ready, now) for pod in active),
        "observedGeneration": generation_of(replica_set),
        "conditions": conditions,
    }


def new_pod(owner: Object) -> Object:
    """Return a pod of the owner's template; the API server completes its name."""
    template = spec_of(owner)["template"]
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{name_of(owner)}-",
            "namespace": namespace_of(owner),
            "labels": dict(metadata.get("labels") or {}),
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": template["spec"],
    }


def first_to_go(pods: Iterable[Object]) -> list[Object]:
    """Order pods by how little is lost with them: unscheduled, pending, not ready, then the youngest."""

    def worth(pod: Object) -> tuple[bool, bool, bool]:
        running = status_of(pod).get("phase") == "Running"
        return bool(spec_of(pod).get("nodeName")), running, is_ready(pod)

    return sorted(sorted(pods, key=created_of, reverse=True), key=worth)
