"""The scheduler: a node for each pod, or why there is none."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.claims import claims_of
from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    condition,
    is_going,
    is_over,
    labels_of,
    matches,
    name_of,
    namespace_of,
    pod_requests,
    quantity,
    spec_of,
    status_of,
    with_condition,
)
from bais_gates.sandbox.cluster.controllers.world import Bind, Plan, Say, SetStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

_TRY_AGAIN_S = 5.0


def reconcile(world: World, pod: Object, now: datetime) -> Plan:
    """Bind a pod that has no node, or say why it can't be."""
    plan = Plan()
    spec = spec_of(pod)
    if spec.get("nodeName") or is_going(pod) or is_over(pod):
        return plan
    if spec.get("schedulerName", "default-scheduler") != "default-scheduler" or spec.get("schedulingGates"):
        return plan
    node, problem = choose(world, pod)
    if node is not None:
        told = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
        plan.add(Bind(pod=pod, node=node), Say(about=pod, reason="Scheduled", message=told))
        return plan
    plan.look_again(_TRY_AGAIN_S)
    told_before = condition(pod, "PodScheduled") or {}
    if told_before.get("message") != problem:
        conditions = with_condition(
            status_of(pod).get("conditions") or (),
            now,
            type="PodScheduled",
            status="False",
            reason="Unschedulable",
            message=problem,
        )
        status = {**status_of(pod), "conditions": conditions}
        plan.add(
            SetStatus(obj={**pod, "status": status}),
            Say(about=pod, reason="FailedScheduling", message=problem, kind="Warning"),
        )
    return plan


def choose(world: World, pod: Object) -> tuple[str | None, str]:
    """Give the best node for a pod, or None and the sentence that says why there is none."""
    for claim_name in claims_of(pod):
        claim = world.get("PersistentVolumeClaim", namespace_of(pod), claim_name)
        if claim is None:
            return None, f'persistentvolumeclaim "{claim_name}" not found'
        if is_going(claim):
            return None, f'persistentvolumeclaim "{claim_name}" is being deleted'
        if status_of(claim).get("phase") != "Bound" and not _binds_later(world, claim):
            return None, "pod has unbound immediate PersistentVolumeClaims"
    nodes = world.of_kind("Node")
    if not nodes:
        return None, "no nodes available to schedule pods"
    placed = _placed(world)
    reasons: Counter[str] = Counter()
    best: tuple[float, str] | None = None
    for node in nodes:
        wrong = _why_not(world, pod, node, placed)
        if wrong:
            reasons.update(wrong)
            continue
        score = _score(world, pod, node, placed)
        if best is None or score < best[0]:
            best = (score, name_of(node))
    if best is not None:
        return best[1], ""
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return None, f"0/{len(nodes)} nodes are available: {listed}."


def _binds_later(world: World, claim: Object) -> bool:
    """Whether the claim is bound once its first pod is there."""
    storage = world.get("StorageClass", "", str(spec_of(claim).get("storageClassName") or ""))
    return storage is not None and storage.get("volumeBindingMode") == "WaitForFirstConsumer"


def _placed(world: World) -> dict[str, list[Object]]:
    placed: dict[str, list[Object]] = {}
    for pod in world.of_kind("Pod"):
        if (node := spec_of(pod).get("nodeName")) and not is_over(pod):
            placed.setdefault(node, []).append(pod)
    return placed


def _why_not(world: World, pod: Object, node: Object, placed: Mapping[str, list[Object]]) -> list[str]:
    spec = spec_of(pod)
    if spec_of(node).get("unschedulable"):
        return ["node(s) were unschedulable"]
    taints = [
        taint
        for taint in spec_of(node).get("taints") or ()
        if taint.get("effect") in {"NoSchedule", "NoExecute"} and not _tolerates(spec, taint)
    ]
    if taints:
        return [f"node(s) had untolerated taint(s) {{{taints[0]['key']}: {taints[0].get('value', '')}}}"]
    if any(labels_of(node).get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return ["node(s) didn't match Pod's node affinity/selector"]
    here = placed.get(name_of(node), [])
    if _repelled(world, pod, node, placed):
        return ["node(s) didn't match pod anti-affinity rules"]
    if _uneven(world, pod, node, placed):
        return ["node(s) didn't match pod topology spread constraints"]
    wrong = []
    allocatable = status_of(node).get("allocatable") or {}
    if len(here) >= int(allocatable.get("pods", 110)):
        wrong.append("Too many pods")
    for resource, amount in pod_requests(spec).items():
        has = quantity(allocatable.get(resource, "0"))
        used = sum(pod_requests(spec_of(other)).get(resource, 0) for other in here)
        if used + amount > has:
            wrong.append(f"Insufficient {resource}")
    return wrong


def _tolerates(spec: Object, taint: Object) -> bool:
    for toleration in spec.get("tolerations") or ():
        if toleration.get("effect") not in {None, "", taint.get("effect")}:
            continue
        if toleration.get("operator") == "Exists" and toleration.get("key") in {None, "", taint["key"]}:
            return True
        if toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", ""):
            return True
    return False


def _in_domain(world: World, node: Object, key: str, placed: Mapping[str, list[Object]]) -> list[Object]:
    """Give the pods on all nodes that share the node's value of a topology label."""
    value = labels_of(node).get(key)
    return [
        pod
        for other in world.of_kind("Node")
        if value is not None and labels_of(other).get(key) == value
        for pod in placed.get(name_of(other), ())
    ]


def _repelled(world: World, pod: Object, node: Object, placed: Mapping[str, list[Object]]) -> bool:
    rules = ((spec_of(pod).get("affinity") or {}).get("podAntiAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or ()
    return any(
        _selected(pod, rule.get("labelSelector"), _in_domain(world, node, rule["topologyKey"], placed))
        for rule in rules
    )


def _selected(pod: Object, selector: Object | None, others: list[Object]) -> int:
    return sum(
        namespace_of(other) == namespace_of(pod)
        and matches(selector, labels_of(other))
        and not is_going(other)
        for other in others
    )


def _uneven(world: World, pod: Object, node: Object, placed: Mapping[str, list[Object]]) -> bool:
    for rule in spec_of(pod).get("topologySpreadConstraints") or ():
        if rule.get("whenUnsatisfiable") != "DoNotSchedule":
            continue
        key = rule["topologyKey"]
        counts = [
            _selected(pod, rule.get("labelSelector"), _in_domain(world, other, key, placed))
            for other in world.of_kind("Node")
        ]
        here = _selected(pod, rule.get("labelSelector"), _in_domain(world, node, key, placed))
        if here + 1 - min(counts) > int(rule.get("maxSkew", 1)):
            return True
    return False


def _score(world: World, pod: Object, node: Object, placed: Mapping[str, list[Object]]) -> float:
    """Say how bad a node is: pods that should be spread count most, then how full it is."""
    spec = spec_of(pod)
    together = 0.0
    for rule in spec.get("topologySpreadConstraints") or ():
        together += _selected(
            pod, rule.get("labelSelector"), _in_domain(world, node, rule["topologyKey"], placed)
        )
    affinity = (spec.get("affinity") or {}).get("podAntiAffinity") or {}
    for weighted in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
        rule = weighted["podAffinityTerm"]
        there = _in_domain(world, node, rule["topologyKey"], placed)
        together += weighted["weight"] / 100 * _selected(pod, rule.get("labelSelector"), there)
    here = placed.get(name_of(node), [])
    alike = _selected(pod, {"matchLabels": labels_of(pod)}, here) if labels_of(pod) else 0
    full = float(sum(pod_requests(spec_of(other)).get("cpu", 0) for other in here))
    return 100 * together + 10 * alike + full + len(here) / 1000
