"""ReplicaSets: as many pods as are asked for, and which of them go first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    changed,
    is_active,
    is_available,
    is_going,
    is_ready,
    labels_of,
    matches,
    name_of,
    namespace_of,
    reference,
    spec_of,
    status_of,
    uid_of,
    with_condition,
    without_condition,
)
from bais_gates.sandbox.cluster.controllers.world import Create, Delete, Plan, Say, SetStatus

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World


def reconcile(world: World, replica_set: Object, now: datetime) -> Plan:
    """Make or delete pods until as many as ``spec.replicas`` are active; say in the status how many work."""
    plan = Plan()
    pods = world.owned("Pod", replica_set)
    active = [pod for pod in pods if is_active(pod)]
    status = status_for(world, replica_set, active, now)
    if (update := changed(replica_set, status=status)) is not None:
        plan.add(SetStatus(obj=update))
    min_ready = int(spec_of(replica_set).get("minReadySeconds") or 0)
    if min_ready and any(is_ready(pod) and not is_available(pod, min_ready, now) for pod in active):
        plan.look_again(min(min_ready, 1.0))
    if is_going(replica_set):
        return plan
    wanted = wanted_of(replica_set)
    for _ in range(wanted - len(active)):
        plan.add(Create(obj=new_pod(replica_set), owner=replica_set))
    for pod in first_to_go(active)[: max(len(active) - wanted, 0)]:
        plan.add(
            Delete(obj=pod),
            Say(about=replica_set, reason="SuccessfulDelete", message=f"Deleted pod: {name_of(pod)}"),
        )
    return plan


def wanted_of(workload: Object) -> int:
    """Give ``spec.replicas``, 1 if it isn't said."""
    replicas = spec_of(workload).get("replicas")
    return 1 if replicas is None else int(replicas)


def status_for(world: World, replica_set: Object, active: list[Object], now: datetime) -> Object:
    """Give the status that ``active`` pods amount to."""
    spec = spec_of(replica_set)
    template_labels = spec["template"]["metadata"].get("labels") or {}
    min_ready = int(spec.get("minReadySeconds") or 0)
    status: Object = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(
            matches({"matchLabels": template_labels}, labels_of(pod)) for pod in active
        ),
        "readyReplicas": sum(map(is_ready, active)),
        "availableReplicas": sum(is_available(pod, min_ready, now) for pod in active),
        "observedGeneration": replica_set["metadata"].get("generation", 1),
    }
    conditions = status_of(replica_set).get("conditions") or []
    refusal = world.refusals.get(uid_of(replica_set))
    if refusal is not None and len(active) < wanted_of(replica_set):
        conditions = with_condition(
            conditions, now, type="ReplicaFailure", status="True", reason="FailedCreate", message=refusal
        )
    else:
        conditions = without_condition(conditions, "ReplicaFailure")
    if conditions:
        status["conditions"] = conditions
    return status


def new_pod(owner: Object) -> Object:
    """Make a pod of the owner's template; the API server completes its name."""
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
            "ownerReferences": [reference(owner)],
        },
        "spec": template["spec"],
    }


def first_to_go(pods: Iterable[Object]) -> list[Object]:
    """Order pods by how little is lost with them: unscheduled, pending, not ready, then the youngest."""
    youngest_first = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True)
    phases = {"Pending": 0, "Unknown": 1, "Running": 2}
    return sorted(
        youngest_first,
        key=lambda pod: (
            bool(spec_of(pod).get("nodeName")),
            phases.get(str(status_of(pod).get("phase", "Pending")), 0),
            is_ready(pod),
        ),
    )
