"""StatefulSets: pods with names and claims of their own, one after another.

Pods are always made and replaced in order, whatever ``podManagementPolicy`` is; the update strategy OnDelete
and a partition are honoured, as they keep pods from being replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    digest,
    generation_of,
    is_active,
    is_available,
    is_finished,
    is_ready,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    number_of,
    replicas_of,
    spec_of,
    status_of,
)
from bais_gates.sandbox.cluster.controllers.replicasets import new_pod as pod_of_template
from bais_gates.sandbox.cluster.controllers.world import Create, Delete, Plan

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

REVISION = "controller-revision-hash"


def reconcile(world: World, stateful_set: Object, now: datetime) -> Plan:
    """Create, replace or delete one pod at a time."""
    plan = Plan()
    owned = {_index(stateful_set, pod): pod for pod in world.owned("Pod", stateful_set)}
    pods = {index: pod for index, pod in owned.items() if index >= 0}
    plan.set_status(stateful_set, status_for(stateful_set, list(pods.values()), now))
    if is_terminating(stateful_set):
        return plan
    wanted = replicas_of(stateful_set)
    for index in range(wanted):
        pod = pods.get(index)
        if pod is None:
            _make(plan, world, stateful_set, index)
            return plan
        if is_finished(pod):
            _remove(plan, stateful_set, pod)
        if not _is_available(stateful_set, pod, now):
            if is_active(pod) and not is_ready(pod) and _is_outdated(stateful_set, pod):
                break  # only replacing it can mend it
            return plan
    if (last := max(pods, default=-1)) >= wanted:
        _remove(plan, stateful_set, pods[last])
    else:
        _roll(plan, stateful_set, pods, now)
    return plan


def _index(stateful_set: Object, pod: Object) -> int:
    stem, _, number = name_of(pod).rpartition("-")
    return int(number) if stem == name_of(stateful_set) and number.isdigit() else -1


def _is_available(stateful_set: Object, pod: Object, now: datetime) -> bool:
    min_ready = number_of(spec_of(stateful_set), "minReadySeconds")
    return is_active(pod) and is_available(pod, min_ready, now)


def _is_outdated(stateful_set: Object, pod: Object) -> bool:
    return labels_of(pod).get(REVISION) != revision(stateful_set)


def revision(stateful_set: Object) -> str:
    """Return the name of the present template."""
    return f"{name_of(stateful_set)}-{digest(spec_of(stateful_set)['template'])}"


def _make(plan: Plan, world: World, stateful_set: Object, index: int) -> None:
    pod = new_pod(stateful_set, index)
    claims = new_claims(stateful_set, index)
    present = [world.get("PersistentVolumeClaim", namespace_of(claim), name_of(claim)) for claim in claims]
    if any(one is not None and is_terminating(one) for one in present):
        return  # a claim that is being deleted would take its pod's data along: wait until it is gone
    for claim, there in zip(claims, present, strict=True):
        if there is None:
            plan.add(Create(claim, owner=stateful_set))
            where = f"Pod {name_of(pod)} in StatefulSet {name_of(stateful_set)}"
            plan.event(stateful_set, "SuccessfulCreate", f"create Claim {name_of(claim)} {where} success")
    plan.add(Create(pod, owner=stateful_set))


def _remove(plan: Plan, stateful_set: Object, pod: Object) -> None:
    if not is_terminating(pod):
        plan.add(Delete(obj=pod))
        message = f"delete Pod {name_of(pod)} in StatefulSet {name_of(stateful_set)} successful"
        plan.event(stateful_set, "SuccessfulDelete", message)


def _roll(plan: Plan, stateful_set: Object, pods: dict[int, Object], now: datetime) -> None:
    """Replace the last pod of an earlier template, once those after it are available."""
    strategy = spec_of(stateful_set).get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return
    partition = number_of(strategy.get("rollingUpdate") or {}, "partition")
    for index in sorted((index for index in pods if index >= partition), reverse=True):
        if _is_outdated(stateful_set, pods[index]):
            _remove(plan, stateful_set, pods[index])
            return
        if not _is_available(stateful_set, pods[index], now):
            return


def new_claims(stateful_set: Object, index: int) -> list[Object]:
    """Return the claims of one pod, of the StatefulSet's templates."""
    selector = spec_of(stateful_set)["selector"].get("matchLabels") or {}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": f"{name_of(template)}-{name_of(stateful_set)}-{index}",
                "namespace": namespace_of(stateful_set),
                "labels": {**labels_of(template), **selector},
            },
            "spec": template["spec"],
        }
        for template in spec_of(stateful_set).get("volumeClaimTemplates") or ()
    ]


def new_pod(stateful_set: Object, index: int) -> Object:
    """Return the pod with this number."""
    name = f"{name_of(stateful_set)}-{index}"
    made = pod_of_template(stateful_set)
    metadata = {key: value for key, value in made["metadata"].items() if key != "generateName"}
    marks = {
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": str(index),
        REVISION: revision(stateful_set),
    }
    claims = [
        {
            "name": name_of(claim)[: -len(name) - 1],
            "persistentVolumeClaim": {"claimName": name_of(claim)},
        }
        for claim in new_claims(stateful_set, index)
    ]
    replaced = {claim["name"] for claim in claims}
    return {
        **made,
        "metadata": {**metadata, "name": name, "labels": {**metadata["labels"], **marks}},
        "spec": {
            **made["spec"],
            "hostname": name,
            "subdomain": spec_of(stateful_set).get("serviceName") or "",
            "volumes": [
                *claims,
                *(one for one in made["spec"].get("volumes") or () if one["name"] not in replaced),
            ],
        },
    }


def status_for(stateful_set: Object, pods: list[Object], now: datetime) -> Object:
    """Return the status that the pods amount to."""
    new = revision(stateful_set)
    there = [pod for pod in pods if not is_finished(pod)]
    updated = [pod for pod in there if labels_of(pod).get(REVISION) == new and not is_terminating(pod)]
    rolled = len(updated) == replicas_of(stateful_set) == len(there) and all(map(is_ready, updated))
    current = new if rolled else status_of(stateful_set).get("currentRevision") or new
    return {
        "observedGeneration": generation_of(stateful_set),
        "replicas": len(there),
        "readyReplicas": sum(map(is_ready, there)),
        "availableReplicas": sum(_is_available(stateful_set, pod, now) for pod in there),
        "currentReplicas": sum(
            labels_of(pod).get(REVISION) == current and not is_terminating(pod) for pod in there
        ),
        "updatedReplicas": len(updated),
        "currentRevision": current,
        "updateRevision": new,
        "collisionCount": 0,
    }
