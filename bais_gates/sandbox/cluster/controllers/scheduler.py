"""The scheduler: a node for each pod, or why there is none.

A node is taken if it is not cordoned, has the labels of the pod's ``nodeSelector`` and room for its requests;
among those, the one with the fewest pods that this one should be spread from. Affinities and taints are not
looked at, and a spread constraint is always a preference.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.claims import claims_of, waits_for_pod
from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    condition,
    is_finished,
    is_terminating,
    labels_of,
    matches,
    name_of,
    namespace_of,
    number_of,
    pod_requests,
    quantity,
    spec_of,
    status_of,
    with_condition,
)
from bais_gates.sandbox.cluster.controllers.world import Bind, Plan

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

_TRY_AGAIN_S = 5.0


def reconcile(world: World, pod: Object, now: datetime) -> Plan:
    """Bind a pod that has no node, or report why it can't be."""
    plan = Plan()
    if spec_of(pod).get("nodeName") or is_terminating(pod) or is_finished(pod):
        return plan
    node, problem = choose(world, pod)
    if node is not None:
        plan.add(Bind(pod=pod, node=node))
        message = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
        plan.event(pod, "Scheduled", message)
        return plan
    plan.look_again(_TRY_AGAIN_S)
    if (condition(pod, "PodScheduled") or {}).get("message") != problem:
        values = ("PodScheduled", "False", "Unschedulable", problem)
        conditions = with_condition(status_of(pod).get("conditions"), now, values)
        plan.set_status(pod, {**status_of(pod), "conditions": conditions})
        plan.warn(pod, "FailedScheduling", problem)
    return plan


def choose(world: World, pod: Object) -> tuple[str | None, str]:
    """Return the best node for a pod, or None and why there is none, as a sentence."""
    for claim_name in claims_of(pod):
        claim = world.get("PersistentVolumeClaim", namespace_of(pod), claim_name)
        if claim is None:
            return None, f'persistentvolumeclaim "{claim_name}" not found'
        if is_terminating(claim):
            return None, f'persistentvolumeclaim "{claim_name}" is being deleted'
        if status_of(claim).get("phase") != "Bound" and not waits_for_pod(world, claim):
            return None, "pod has unbound immediate PersistentVolumeClaims"
    nodes = world.of_kind("Node")
    if not nodes:
        return None, "no nodes available to schedule pods"
    placed = [one for one in world.of_kind("Pod") if not is_finished(one)]
    reasons: Counter[str] = Counter()
    fits: list[tuple[tuple[int, float, int], str]] = []
    for node in nodes:
        here = [one for one in placed if spec_of(one).get("nodeName") == name_of(node)]
        obstacles = _obstacles(pod, node, here)
        reasons.update(obstacles)
        if not obstacles:
            fits.append((_crowd(pod, here), name_of(node)))
    if fits:
        return min(fits)[1], ""
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return None, f"0/{len(nodes)} nodes are available: {listed}."


def _obstacles(pod: Object, node: Object, here: list[Object]) -> list[str]:
    """Return why a node with the pods ``here`` can't take a pod, nothing if it can."""
    if spec_of(node).get("unschedulable"):
        return ["node(s) were unschedulable"]
    if not matches({"matchLabels": spec_of(pod).get("nodeSelector")}, labels_of(node)):
        return ["node(s) didn't match Pod's node affinity/selector"]
    allocatable = status_of(node).get("allocatable") or {}
    found = ["Too many pods"] if len(here) >= number_of(allocatable, "pods", 110) else []
    for resource, amount in pod_requests(pod).items():
        used = sum(pod_requests(other).get(resource, 0) for other in here)
        if used + amount > quantity(allocatable.get(resource, "0")):
            found.append(f"Insufficient {resource}")
    return found


def _crowd(pod: Object, here: list[Object]) -> tuple[int, float, int]:
    """Return how bad a node is: the pods that this one should be spread from count most, then its load."""
    rules = spec_of(pod).get("topologySpreadConstraints") or ()
    selectors = [rule.get("labelSelector") for rule in rules] or [{"matchLabels": labels_of(pod)}]
    alike = sum(
        namespace_of(other) == namespace_of(pod)
        and not is_terminating(other)
        and any(matches(selector, labels_of(other)) for selector in selectors)
        for other in here
    )
    return alike, float(sum(pod_requests(other).get("cpu", 0) for other in here)), len(here)
