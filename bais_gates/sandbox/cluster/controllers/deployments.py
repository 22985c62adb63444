"""Deployments: which ReplicaSets there are, how many pods each has, and what the status says of a rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers import rollouts
from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    age_s,
    annotations_of,
    changed,
    condition,
    digest,
    has_condition,
    is_going,
    is_over,
    name_of,
    namespace_of,
    reference,
    spec_of,
    status_of,
    with_condition,
    without_condition,
)
from bais_gates.sandbox.cluster.controllers.replicasets import wanted_of
from bais_gates.sandbox.cluster.controllers.world import Create, Delete, Plan, Say, SetStatus, Update

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
_DESIRED = "deployment.kubernetes.io/desired-replicas"
_MAX = "deployment.kubernetes.io/max-replicas"
_NO_DEADLINE = 2**31 - 1


def reconcile(world: World, deployment: Object, now: datetime) -> Plan:
    """Roll a Deployment one step on."""
    plan = Plan()
    sets = sorted(
        world.owned("ReplicaSet", deployment), key=lambda one: str(one["metadata"].get("creationTimestamp"))
    )
    new, old = split(deployment, sets)
    if not is_going(deployment):
        _annotate(plan, deployment, new, sets)
        _scale(plan, world, deployment, new, old)
    status = status_for(deployment, new, old, now)
    if (update := changed(deployment, status=status)) is not None:
        plan.actions.insert(0, SetStatus(obj=update))
    _remind(plan, deployment, status, now)
    return plan


def split(deployment: Object, sets: list[Object]) -> tuple[Object | None, list[Object]]:
    """Give the ReplicaSet of the Deployment's present template, if there is one, and the others."""
    template = _plain(spec_of(deployment)["template"])
    new = next((one for one in sets if _plain(spec_of(one)["template"]) == template), None)
    return new, [one for one in sets if one is not new]


def _plain(template: Object) -> Object:
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    metadata.pop("creationTimestamp", None)
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH}
    return {"metadata": {**metadata, "labels": labels}, "spec": template["spec"]}


def revision_of(obj: Object) -> int:
    """Give the number of the rollout that ``obj`` belongs to, 0 if it says none."""
    text = annotations_of(obj).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def _annotate(plan: Plan, deployment: Object, new: Object | None, sets: list[Object]) -> None:
    """Give the rollout its number, on the ReplicaSet and on the Deployment."""
    others = max((revision_of(one) for one in sets if one is not new), default=0)
    wanted = others + 1 if new is None or revision_of(new) <= others else revision_of(new)
    if new is not None and revision_of(new) != wanted:
        plan.add(Update(obj=_with_annotations(new, {REVISION: str(wanted)})))
    if annotations_of(deployment).get(REVISION) != str(wanted):
        plan.add(Update(obj=_with_annotations(deployment, {REVISION: str(wanted)})))


def _with_annotations(obj: Object, values: dict[str, str]) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "annotations": {**annotations_of(obj), **values}}}


def _scale(plan: Plan, world: World, deployment: Object, new: Object | None, old: list[Object]) -> None:
    if plan.actions:  # the annotations changed: what follows would be refused as out of date
        return
    spec = spec_of(deployment)
    if spec.get("paused"):
        active = [one for one in [*old, new] if one is not None and wanted_of(one) > 0]
        if len(active) == 1:
            _resize(plan, deployment, active[0], wanted_of(deployment))
        return
    recreate = (spec.get("strategy") or {}).get("type") == "Recreate"
    if recreate and new is None and _still_there(world, old):
        for one in old:
            _resize(plan, deployment, one, 0)
        return
    if new is None:
        wanted = wanted_of(deployment) if recreate else rollouts.new_size(deployment, None, old)
        plan.add(
            Create(obj=new_replica_set(deployment, wanted, revision=_next(old)), owner=deployment),
            _said(deployment, f"Scaled up replica set {_name(deployment)} from 0 to {wanted}"),
        )
        return
    _resize(
        plan,
        deployment,
        new,
        wanted_of(deployment) if recreate else rollouts.new_size(deployment, new, old),
    )
    sizes = {name_of(one): 0 for one in old} if recreate else rollouts.old_sizes(deployment, new, old)
    for one in old:
        _resize(plan, deployment, one, sizes[name_of(one)])
    if rollouts.is_complete(deployment, new, old):
        _forget_history(plan, deployment, old)


def _next(old: list[Object]) -> int:
    return max(map(revision_of, old), default=0) + 1


def _still_there(world: World, old: list[Object]) -> bool:
    return any(not is_over(pod) for one in old for pod in world.owned("Pod", one))


def _name(deployment: Object) -> str:
    return f"{name_of(deployment)}-{template_hash(deployment)}"


def template_hash(deployment: Object) -> str:
    """Give the value of ``pod-template-hash`` for the present template."""
    seed = [_plain(spec_of(deployment)["template"]), status_of(deployment).get("collisionCount") or 0]
    return digest(seed)


def new_replica_set(deployment: Object, replicas: int, *, revision: int) -> Object:
    """Make the ReplicaSet of the Deployment's present template."""
    spec = spec_of(deployment)
    mark = {HASH: template_hash(deployment)}
    template = spec["template"]
    metadata = template.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), **mark}
    selector = spec["selector"]
    kept = {
        key: value
        for key, value in annotations_of(deployment).items()
        if not key.startswith(("deployment.kubernetes.io/", "kubectl.kubernetes.io/last-applied"))
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": _name(deployment),
            "namespace": namespace_of(deployment),
            "labels": labels,
            "annotations": {**kept, REVISION: str(revision), **_sizes(deployment)},
            "ownerReferences": [reference(deployment)],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": int(spec.get("minReadySeconds") or 0),
            "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), **mark}},
            "template": {**template, "metadata": {**metadata, "labels": labels}},
        },
    }


def _sizes(deployment: Object) -> dict[str, str]:
    wanted = wanted_of(deployment)
    return {_DESIRED: str(wanted), _MAX: str(wanted + rollouts.limits(deployment)[0])}


def _resize(plan: Plan, deployment: Object, replica_set: Object, size: int) -> None:
    before = wanted_of(replica_set)
    if before == size:
        return
    resized = _with_annotations(replica_set, _sizes(deployment))
    plan.add(
        Update(obj={**resized, "spec": {**spec_of(replica_set), "replicas": size}}),
        _said(
            deployment,
            f"Scaled {'up' if size > before else 'down'} replica set {name_of(replica_set)} "
            f"from {before} to {size}",
        ),
    )


def _said(deployment: Object, message: str) -> Say:
    return Say(about=deployment, reason="ScalingReplicaSet", message=message)


def _forget_history(plan: Plan, deployment: Object, old: list[Object]) -> None:
    limit = spec_of(deployment).get("revisionHistoryLimit")
    keep = 10 if limit is None else int(limit)
    idle = [one for one in old if wanted_of(one) == 0 and not status_of(one).get("replicas")]
    idle.sort(key=revision_of)
    for one in idle[: max(len(idle) - keep, 0)]:
        if not is_going(one):
            plan.add(Delete(obj=one))


def status_for(deployment: Object, new: Object | None, old: list[Object], now: datetime) -> Object:
    """Give the status that the ReplicaSets amount to, with its conditions."""
    sets = [one for one in [*old, new] if one is not None]
    wanted = wanted_of(deployment)
    total = sum(int(status_of(one).get("replicas") or 0) for one in sets)
    available = sum(int(status_of(one).get("availableReplicas") or 0) for one in sets)
    status: Object = {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": total,
        "updatedReplicas": 0 if new is None else int(status_of(new).get("replicas") or 0),
        "readyReplicas": sum(int(status_of(one).get("readyReplicas") or 0) for one in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(max(wanted, total) - available, 0),
    }
    if collisions := status_of(deployment).get("collisionCount"):
        status["collisionCount"] = collisions
    conditions = list(status_of(deployment).get("conditions") or [])
    enough = available >= wanted - rollouts.limits(deployment)[1]
    conditions = with_condition(
        conditions,
        now,
        touch="lastUpdateTime",
        type="Available",
        status="True" if enough else "False",
        reason="MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        message=f"Deployment {'has' if enough else 'does not have'} minimum availability.",
    )
    conditions = _progressing(deployment, new, status, conditions, now)
    failure = next((found for one in sets if (found := condition(one, "ReplicaFailure"))), None)
    if failure is not None:
        conditions = with_condition(
            conditions,
            now,
            touch="lastUpdateTime",
            type="ReplicaFailure",
            status="True",
            reason=str(failure.get("reason")),
            message=str(failure.get("message")),
        )
    else:
        conditions = without_condition(conditions, "ReplicaFailure")
    status["conditions"] = conditions
    return status


def _deadline(deployment: Object) -> int:
    value = spec_of(deployment).get("progressDeadlineSeconds")
    return 600 if value is None else int(value)


def _progressing(  # noqa: C901, PLR0911 - one line for each of the states that the real controller tells apart
    deployment: Object, new: Object | None, status: Object, conditions: list[Object], now: datetime
) -> list[Object]:
    """Say how the rollout goes: on, done, or stuck for longer than its deadline."""
    if _deadline(deployment) >= _NO_DEADLINE:
        return without_condition(conditions, "Progressing")
    before = next((one for one in conditions if one["type"] == "Progressing"), None)
    about = f'ReplicaSet "{name_of(new) if new is not None else _name(deployment)}"'

    def say(value: str, reason: str, message: str, *, moved: bool = False) -> list[Object]:
        told = with_condition(
            conditions,
            now,
            touch="lastUpdateTime",
            type="Progressing",
            status=value,
            reason=reason,
            message=message,
        )
        if moved:
            for one in told:
                if one["type"] == "Progressing":
                    one["lastUpdateTime"] = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return told

    if spec_of(deployment).get("paused"):
        return say("Unknown", "DeploymentPaused", "Deployment is paused")
    if before is not None and before.get("reason") == "DeploymentPaused":
        return say("Unknown", "DeploymentResumed", "Deployment is resumed")
    if rollouts.done(deployment, status):
        return say("True", "NewReplicaSetAvailable", f"{about} has successfully progressed.")
    if new is None:
        return say("True", "NewReplicaSetCreated", f"Created new replica set {about[11:]}")
    if before is None:
        return say("True", "FoundNewReplicaSet", f"Found new replica set {about[11:]}", moved=True)
    earlier = status_of(deployment)
    new_rollout = earlier.get("observedGeneration") != status["observedGeneration"]
    if new_rollout or _moved_on(earlier, status):
        return say("True", "ReplicaSetUpdated", f"{about} is progressing.", moved=True)
    if before.get("reason") == "NewReplicaSetAvailable":
        return conditions  # it was complete: a pod that fails later is no failing rollout
    if age_s(before.get("lastUpdateTime"), now) > _deadline(deployment):
        return say("False", "ProgressDeadlineExceeded", f"{about} has timed out progressing.")
    return conditions


def _moved_on(earlier: Object, status: Object) -> bool:
    """Whether more is up to date, ready or available, or less of the old is left, than before."""

    def old(of: Object) -> int:
        return int(of.get("replicas") or 0) - int(of.get("updatedReplicas") or 0)

    return any(
        int(status.get(key) or 0) > int(earlier.get(key) or 0)
        for key in ("updatedReplicas", "readyReplicas", "availableReplicas")
    ) or old(status) < old(earlier)


def _remind(plan: Plan, deployment: Object, status: Object, now: datetime) -> None:
    """Look again when the deadline of a rollout that still goes on has passed."""
    if rollouts.done(deployment, status) or spec_of(deployment).get("paused"):
        return
    told = {"status": status}
    progressing = condition(told, "Progressing")
    if progressing is not None and has_condition(told, "Progressing"):
        left = _deadline(deployment) - age_s(progressing.get("lastUpdateTime"), now)
        plan.look_again(max(left, 0) + 0.5 if left < 60 else 60)
