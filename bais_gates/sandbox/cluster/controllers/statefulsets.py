"""StatefulSets: pods with names and claims of their own, one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    changed,
    digest,
    is_active,
    is_available,
    is_going,
    is_over,
    is_ready,
    labels_of,
    name_of,
    namespace_of,
    reference,
    spec_of,
    status_of,
)
from bais_gates.sandbox.cluster.controllers.replicasets import wanted_of
from bais_gates.sandbox.cluster.controllers.world import Create, Delete, Plan, Say, SetStatus

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

REVISION = "controller-revision-hash"


def reconcile(world: World, stateful_set: Object, now: datetime) -> Plan:  # noqa: C901 - the order is the rule
    """Make, replace or delete one pod at a time (all at once if ``podManagementPolicy`` is Parallel)."""
    plan = Plan()
    pods = {
        index: pod for pod in world.owned("Pod", stateful_set) if (index := _index(stateful_set, pod)) >= 0
    }
    status = status_for(stateful_set, list(pods.values()), now)
    if (update := changed(stateful_set, status=status)) is not None:
        plan.add(SetStatus(obj=update))
    if is_going(stateful_set):
        return plan
    parallel = spec_of(stateful_set).get("podManagementPolicy") == "Parallel"
    start = int((spec_of(stateful_set).get("ordinals") or {}).get("start") or 0)
    wanted = range(start, start + wanted_of(stateful_set))
    for index in wanted:
        pod = pods.get(index)
        if pod is None:
            _make(plan, world, stateful_set, index)
        elif is_over(pod) and not is_going(pod):
            plan.add(
                Delete(obj=pod),
                Say(
                    about=stateful_set,
                    reason="RecreatingFailedPod",
                    message=f"StatefulSet {namespace_of(stateful_set)}/{name_of(stateful_set)} is recreating "
                    f"failed Pod {name_of(pod)}",
                    kind="Warning",
                ),
            )
        elif is_active(pod) and is_available(pod, _min_ready(stateful_set), now):
            continue
        if not parallel:
            if not (pod is not None and _outdated_and_broken(stateful_set, pod)):
                return plan
            break
    surplus = sorted((index for index in pods if index not in wanted), reverse=True)
    for index in surplus if parallel else surplus[:1]:
        _remove(plan, stateful_set, pods[index])
    if not surplus:
        _roll(plan, stateful_set, {index: pods[index] for index in wanted if index in pods}, now)
    return plan


def _outdated_and_broken(stateful_set: Object, pod: Object) -> bool:
    """Whether a pod that is not ready is of an earlier template: only replacing it can mend it."""
    return is_active(pod) and not is_ready(pod) and labels_of(pod).get(REVISION) != revision(stateful_set)


def _index(stateful_set: Object, pod: Object) -> int:
    stem, _, number = name_of(pod).rpartition("-")
    return int(number) if stem == name_of(stateful_set) and number.isdigit() else -1


def _min_ready(stateful_set: Object) -> int:
    return int(spec_of(stateful_set).get("minReadySeconds") or 0)


def revision(stateful_set: Object) -> str:
    """Name the present template."""
    return f"{name_of(stateful_set)}-{digest(spec_of(stateful_set)['template'])}"


def _make(plan: Plan, world: World, stateful_set: Object, index: int) -> None:
    claims = [
        (claim, world.get("PersistentVolumeClaim", namespace_of(claim), name_of(claim)))
        for claim in new_claims(stateful_set, index)
    ]
    if any(there is not None and is_going(there) for _, there in claims):
        return  # a claim that is going would take its pod's data along: wait until it is gone
    for claim, there in claims:
        if there is None:
            plan.add(
                Create(obj=claim, owner=stateful_set),
                Say(
                    about=stateful_set,
                    reason="SuccessfulCreate",
                    message=f"create Claim {name_of(claim)} Pod {name_of(stateful_set)}-{index} in "
                    f"StatefulSet {name_of(stateful_set)} success",
                ),
            )
    plan.add(Create(obj=new_pod(stateful_set, index), owner=stateful_set))


def _remove(plan: Plan, stateful_set: Object, pod: Object) -> None:
    if is_going(pod):
        return
    plan.add(
        Delete(obj=pod),
        Say(
            about=stateful_set,
            reason="SuccessfulDelete",
            message=f"delete Pod {name_of(pod)} in StatefulSet {name_of(stateful_set)} successful",
        ),
    )


def _roll(plan: Plan, stateful_set: Object, pods: dict[int, Object], now: datetime) -> None:
    """Replace the last pod of an earlier template, once those after it are available."""
    strategy = spec_of(stateful_set).get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    for index in sorted(pods, reverse=True):
        pod = pods[index]
        if index < partition:
            return
        if labels_of(pod).get(REVISION) != revision(stateful_set):
            _remove(plan, stateful_set, pod)
            return
        if is_going(pod) or not is_available(pod, _min_ready(stateful_set), now):
            return


def new_claims(stateful_set: Object, index: int) -> list[Object]:
    """Make the claims of one pod, of the StatefulSet's templates."""
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": f"{name_of(template)}-{name_of(stateful_set)}-{index}",
                "namespace": namespace_of(stateful_set),
                "labels": {
                    **labels_of(template),
                    **(spec_of(stateful_set)["selector"].get("matchLabels") or {}),
                },
                "annotations": dict(template["metadata"].get("annotations") or {}),
            },
            "spec": template["spec"],
        }
        for template in spec_of(stateful_set).get("volumeClaimTemplates") or ()
    ]


def new_pod(stateful_set: Object, index: int) -> Object:
    """Make the pod with this number."""
    name = f"{name_of(stateful_set)}-{index}"
    template = spec_of(stateful_set)["template"]
    metadata = template.get("metadata") or {}
    claims = {
        name_of(claim)[: -len(name) - 1]: {
            "name": name_of(claim)[: -len(name) - 1],
            "persistentVolumeClaim": {"claimName": name_of(claim)},
        }
        for claim in new_claims(stateful_set, index)
    }
    volumes = [one for one in template["spec"].get("volumes") or () if one["name"] not in claims]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace_of(stateful_set),
            "labels": {
                **(metadata.get("labels") or {}),
                "statefulset.kubernetes.io/pod-name": name,
                "apps.kubernetes.io/pod-index": str(index),
                REVISION: revision(stateful_set),
            },
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [reference(stateful_set)],
        },
        "spec": {
            **template["spec"],
            "hostname": name,
            "subdomain": spec_of(stateful_set).get("serviceName") or "",
            "volumes": [*claims.values(), *volumes],
        },
    }


def status_for(stateful_set: Object, pods: list[Object], now: datetime) -> Object:
    """Give the status that the pods amount to."""
    new = revision(stateful_set)
    there = [pod for pod in pods if not is_over(pod)]
    updated = [pod for pod in there if labels_of(pod).get(REVISION) == new and not is_going(pod)]
    before = status_of(stateful_set).get("currentRevision") or new
    ready = [pod for pod in there if is_ready(pod)]
    rolled = len(updated) == wanted_of(stateful_set) == len(there) and all(map(is_ready, updated))
    current = new if rolled else before
    return {
        "observedGeneration": stateful_set["metadata"].get("generation", 1),
        "replicas": len(there),
        "readyReplicas": len(ready),
        "availableReplicas": sum(is_available(pod, _min_ready(stateful_set), now) for pod in there),
        "currentReplicas": sum(
            labels_of(pod).get(REVISION) == current and not is_going(pod) for pod in there
        ),
        "updatedReplicas": len(updated),
        "currentRevision": current,
        "updateRevision": new,
        "collisionCount": 0,
    }
