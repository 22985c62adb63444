"""Deployments: which ReplicaSets there are, how many pods each has, and how a rollout goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers import rollouts
from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    age_s,
    annotations_of,
    condition,
    created_of,
    digest,
    generation_of,
    is_terminating,
    name_of,
    namespace_of,
    number_of,
    owner_reference,
    replicas_of,
    spec_of,
    status_of,
    with_annotations,
    with_condition,
    without_condition,
)
from bais_gates.sandbox.cluster.controllers.world import Create, Delete, Plan, Update

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"


def reconcile(world: World, deployment: Object, now: datetime) -> Plan:
    """Roll a Deployment one step on."""
    plan = Plan()
    new, old = split(deployment, sorted(world.owned("ReplicaSet", deployment), key=created_of))
    if not is_terminating(deployment) and _number(plan, deployment, new, old):
        return plan  # called again at once, as the objects have changed
    status = status_for(deployment, new, old, now)
    plan.set_status(deployment, status)
    if not is_terminating(deployment):
        _scale(plan, world, deployment, new, old)
        if new is not None and rollouts.is_complete(deployment, status):
            _forget_history(plan, deployment, old)
    progressing = condition({"status": status}, "Progressing") or {}
    if progressing.get("status") == "True" and not rollouts.is_complete(deployment, status):
        left = _deadline(deployment) - age_s(progressing.get("lastUpdateTime"), now)
        plan.look_again(min(max(left, 0) + 0.5, 60))
    return plan


def split(deployment: Object, sets: list[Object]) -> tuple[Object | None, list[Object]]:
    """Return the ReplicaSet of the Deployment's present template, if there is one, and the others."""
    template = _plain(spec_of(deployment)["template"])
    new = next((one for one in sets if _plain(spec_of(one)["template"]) == template), None)
    return new, [one for one in sets if one is not new]


def _plain(template: Object) -> Object:
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    metadata.pop("creationTimestamp", None)
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH}
    return {"metadata": {**metadata, "labels": labels}, "spec": template["spec"]}


def revision_of(obj: Object) -> int:
    """Return the number of the rollout that ``obj`` belongs to, 0 without one."""
    text = annotations_of(obj).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def _number(plan: Plan, deployment: Object, new: Object | None, old: list[Object]) -> bool:
    """Write the rollout's number on the ReplicaSet and on the Deployment; return whether that changed."""
    others = max(map(revision_of, old), default=0)
    wanted = others + 1 if new is None or revision_of(new) <= others else revision_of(new)
    outdated = [one for one in (new, deployment) if one is not None and revision_of(one) != wanted]
    plan.add(*(Update(with_annotations(one, {REVISION: str(wanted)})) for one in outdated))
    return bool(outdated)


def _scale(plan: Plan, world: World, deployment: Object, new: Object | None, old: list[Object]) -> None:
    spec, wanted = spec_of(deployment), replicas_of(deployment)
    if spec.get("paused"):
        active = [one for one in [*old, new] if one is not None and replicas_of(one) > 0]
        if len(active) == 1:
            _resize(plan, deployment, active[0], wanted)
        return
    recreates = (spec.get("strategy") or {}).get("type") == "Recreate"
    if recreates and any(world.owned("Pod", one) for one in old):
        for one in old:
            _resize(plan, deployment, one, 0)
        plan.look_again(0.2)
        return
    size = wanted if recreates else rollouts.new_size(deployment, new, old)
    if new is None:
        made = new_replica_set(deployment, size, revision=max(map(revision_of, old), default=0) + 1)
        plan.add(Create(made, owner=deployment))
        message = f"Scaled up replica set {name_of(made)} from 0 to {size}"
        plan.event(deployment, "ScalingReplicaSet", message)
        return
    _resize(plan, deployment, new, size)
    sizes = rollouts.old_sizes(deployment, new, old)
    for one in old:
        _resize(plan, deployment, one, sizes[name_of(one)])


def new_replica_set(deployment: Object, replicas: int, *, revision: int) -> Object:
    """Return a ReplicaSet of the Deployment's present template."""
    spec = spec_of(deployment)
    template = spec["template"]
    mark = {HASH: digest(_plain(template))}
    metadata = template.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), **mark}
    selector = spec["selector"]
    not_copied = ("deployment.kubernetes.io/", "kubectl.kubernetes.io/last-applied")
    kept = {key: text for key, text in annotations_of(deployment).items() if not key.startswith(not_copied)}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name_of(deployment)}-{mark[HASH]}",
            "namespace": namespace_of(deployment),
            "labels": labels,
            "annotations": {**kept, REVISION: str(revision)},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": number_of(spec, "minReadySeconds"),
            "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), **mark}},
            "template": {**template, "metadata": {**metadata, "labels": labels}},
        },
    }


def _resize(plan: Plan, deployment: Object, replica_set: Object, size: int) -> None:
    before = replicas_of(replica_set)
    if before != size:
        plan.add(Update({**replica_set, "spec": {**spec_of(replica_set), "replicas": size}}))
        direction = "up" if size > before else "down"
        message = f"Scaled {direction} replica set {name_of(replica_set)} from {before} to {size}"
        plan.event(deployment, "ScalingReplicaSet", message)


def _forget_history(plan: Plan, deployment: Object, old: list[Object]) -> None:
    keep = number_of(spec_of(deployment), "revisionHistoryLimit", 10)
    idle = [one for one in old if replicas_of(one) == 0 and not is_terminating(one)]
    idle.sort(key=revision_of)
    plan.add(*(Delete(obj=one) for one in idle[: max(len(idle) - keep, 0)]))


def status_for(deployment: Object, new: Object | None, old: list[Object], now: datetime) -> Object:
    """Return the status that the ReplicaSets amount to, with its conditions."""
    sets = [one for one in [*old, new] if one is not None]
    wanted = replicas_of(deployment)
    total, ready, available = (
        sum(number_of(status_of(one), key) for one in sets)
        for key in ("replicas", "readyReplicas", "availableReplicas")
    )
    status: Object = {
        "observedGeneration": generation_of(deployment),
        "replicas": total,
        "updatedReplicas": number_of(status_of(new or {}), "replicas"),
        "readyReplicas": ready,
        "availableReplicas": available,
        "unavailableReplicas": max(max(wanted, total) - available, 0),
    }
    enough = available >= wanted - rollouts.limits(deployment)[1]
    conditions = with_condition(
        status_of(deployment).get("conditions"),
        now,
        ("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        if enough
        else (
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        ),
        touch="lastUpdateTime",
    )
    conditions = _progressing(deployment, new, status, conditions, now)
    failure = next((found for one in sets if (found := condition(one, "ReplicaFailure"))), None)
    if failure is None:
        conditions = without_condition(conditions, "ReplicaFailure")
    else:
        values = ("ReplicaFailure", "True", str(failure.get("reason")), str(failure.get("message")))
        conditions = with_condition(conditions, now, values, touch="lastUpdateTime")
    return {**status, "conditions": conditions}


def _deadline(deployment: Object) -> int:
    return number_of(spec_of(deployment), "progressDeadlineSeconds", 600)


def _progressing(
    deployment: Object, new: Object | None, status: Object, conditions: list[Object], now: datetime
) -> list[Object]:
    """Report how the rollout goes: on, complete, or stuck for longer than its deadline."""
    before = condition(deployment, "Progressing") or {}
    about = f'ReplicaSet "{name_of(new)}"' if new is not None else "the new ReplicaSet"
    moved = False
    if spec_of(deployment).get("paused"):
        found = ("Unknown", "DeploymentPaused", "Deployment is paused")
    elif rollouts.is_complete(deployment, status):
        found = ("True", "NewReplicaSetAvailable", f"{about} has successfully progressed.")
    elif _moved_on(status_of(deployment), status):
        found, moved = ("True", "ReplicaSetUpdated", f"{about} is progressing."), True
    elif before.get("reason") == "NewReplicaSetAvailable":
        return conditions  # it was complete: a pod that fails later is no failing rollout
    elif age_s(before.get("lastUpdateTime"), now) > _deadline(deployment):
        found = ("False", "ProgressDeadlineExceeded", f"{about} has timed out progressing.")
    else:
        return conditions
    if moved:  # the time of the last progress is what the deadline is counted from
        conditions = [{**one, "reason": ""} if one["type"] == "Progressing" else one for one in conditions]
    return with_condition(conditions, now, ("Progressing", *found), touch="lastUpdateTime")


def _moved_on(earlier: Object, status: Object) -> bool:
    """Whether the rollout is a new one, more is updated, ready or available, or less of the old is left."""

    def old(of: Object) -> int:
        return number_of(of, "replicas") - number_of(of, "updatedReplicas")

    return (
        earlier.get("observedGeneration") != status["observedGeneration"]
        or old(status) < old(earlier)
        or any(
            status[key] > number_of(earlier, key)
            for key in ("updatedReplicas", "readyReplicas", "availableReplicas")
        )
    )
