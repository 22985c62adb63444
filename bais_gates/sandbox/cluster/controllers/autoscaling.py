"""HorizontalPodAutoscalers: the number of pods by the processor time that they really use.

Only the pods' cpu utilization is measured. A larger size is taken at once, a smaller one after the
stabilization window; the policies that limit the size of a step are not looked at.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    age_s,
    created_of,
    format_time,
    generation_of,
    is_ready,
    name_of,
    namespace_of,
    number_of,
    pod_requests,
    replicas_of,
    spec_of,
    status_of,
    uid_of,
    with_condition,
)
from bais_gates.sandbox.cluster.controllers.world import Plan, Update

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

_EVERY_S = 15.0
"""The default of kube-controller-manager's --horizontal-pod-autoscaler-sync-period."""
_UNTIL_MEASURED_S = 0.5
_TOLERANCE = 0.1
_CALM_S = 300
_VALID = (
    "the HPA was able to successfully calculate a replica count from cpu resource utilization "
    "(percentage of request)"
)


def reconcile(world: World, autoscaler: Object, now: datetime) -> Plan:
    """Set the target's number of replicas, and report in the status what it was decided by."""
    plan = Plan()
    plan.look_again(_EVERY_S)
    ref, status = spec_of(autoscaler)["scaleTargetRef"], {**status_of(autoscaler)}
    target = world.get(str(ref["kind"]), namespace_of(autoscaler), str(ref["name"]))
    if target is None:
        message = f"unable to get the target's current scale: {ref['kind']} {ref['name']!r} not found"
        _report(status, now, "AbleToScale", "False", "FailedGetScale", message)
        plan.set_status(autoscaler, status)
        return plan
    current = replicas_of(target)
    metrics, needed, problem = _measure(world, autoscaler, target)
    if problem:
        plan.look_again(_UNTIL_MEASURED_S)
    wanted, why = current, ""
    if current == 0:
        message = "scaling is disabled since the replica count of the target is zero"
        _report(status, now, "ScalingActive", "False", "ScalingDisabled", message)
    else:
        if problem:
            _report(status, now, "ScalingActive", "False", "FailedGetResourceMetric", problem)
        else:
            _report(status, now, "ScalingActive", "True", "ValidMetricFound", _VALID)
        wanted, why = _within(autoscaler, current if needed is None else needed, current, status, now)
    if wanted != current:
        message = f"the HPA controller was able to update the target scale to {wanted}"
        _report(status, now, "AbleToScale", "True", "SucceededRescale", message)
        status["lastScaleTime"] = format_time(now)
        plan.add(Update({**target, "spec": {**spec_of(target), "replicas": wanted}}))
        plan.event(autoscaler, "SuccessfulRescale", f"New size: {wanted}; reason: {why}")
    else:
        message = "recommended size matches current size"
        _report(status, now, "AbleToScale", "True", "ReadyForNewScale", message)
    status |= {
        "observedGeneration": generation_of(autoscaler),
        "currentReplicas": number_of(status_of(target), "replicas"),
        "desiredReplicas": wanted,
        "currentMetrics": metrics,
    }
    plan.set_status(autoscaler, status)
    return plan


def _report(status: Object, now: datetime, *values: str) -> None:
    type_, value, reason, message = values
    status["conditions"] = with_condition(status.get("conditions"), now, (type_, value, reason, message))


def _within(autoscaler: Object, needed: int, current: int, status: Object, now: datetime) -> tuple[int, str]:
    """Return the size between minimum and maximum, and why; a smaller one only after a calm."""
    if needed < current:
        down = (spec_of(autoscaler).get("behavior") or {}).get("scaleDown") or {}
        calm_s = age_s(status.get("lastScaleTime") or created_of(autoscaler), now)
        if calm_s < number_of(down, "stabilizationWindowSeconds", _CALM_S):
            needed = current
    least, most = number_of(spec_of(autoscaler), "minReplicas", 1), int(spec_of(autoscaler)["maxReplicas"])
    limited = ("False", "DesiredWithinRange", "the desired count is within the acceptable range")
    why = f"cpu resource utilization {'above' if needed > current else 'below'} target"
    if needed < least:
        limited = (
            "True",
            "TooFewReplicas",
            "the desired replica count is less than the minimum replica count",
        )
        why = "Current number of replicas below Spec.MinReplicas"
    elif needed > most:
        limited = (
            "True",
            "TooManyReplicas",
            "the desired replica count is more than the maximum replica count",
        )
    _report(status, now, "ScalingLimited", *limited)
    return min(max(needed, least), most), why


def _measure(world: World, autoscaler: Object, target: Object) -> tuple[list[Object], int | None, str]:
    """Return the metrics as the status has them, how many pods they ask for, and why they can't be had."""
    pods = world.active_pods(namespace_of(target), spec_of(target).get("selector"))
    measured = [pod for pod in pods if is_ready(pod) and uid_of(pod) in world.cpu_use]
    used = sum(world.cpu_use[uid_of(pod)] for pod in measured)
    requested = float(sum(pod_requests(pod).get("cpu", 0) for pod in measured))
    metrics: list[Object] = []
    needed: int | None = None
    for metric in spec_of(autoscaler).get("metrics") or ():
        resource = metric.get("resource") or {}
        if metric["type"] != "Resource" or resource.get("name") != "cpu":
            return [], None, f"unable to get metric {metric['type']}: only the cpu of pods is measured here"
        if not measured:
            return [], None, "did not receive metrics for targeted pods (pods might be unready)"
        if requested == 0:
            return [], None, f"failed to get cpu utilization: missing request for cpu in {name_of(target)}"
        share = round(100 * used / requested)
        value = f"{round(1000 * used / len(measured))}m"
        figures = {"name": "cpu", "current": {"averageUtilization": share, "averageValue": value}}
        metrics.append({"type": "Resource", "resource": figures})
        ratio = share / int((resource.get("target") or {}).get("averageUtilization") or 100)
        size = replicas_of(target) if abs(ratio - 1) <= _TOLERANCE else math.ceil(ratio * len(measured))
        needed = max(size, needed or 0)
    return metrics, needed, ""
