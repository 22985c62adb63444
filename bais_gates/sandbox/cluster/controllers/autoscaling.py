"""HorizontalPodAutoscalers: the number of pods by the processor time that they really use."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    age_s,
    changed,
    is_active,
    is_ready,
    labels_of,
    matches,
    name_of,
    namespace_of,
    pod_requests,
    spec_of,
    stamp,
    status_of,
    uid_of,
    with_condition,
)
from bais_gates.sandbox.cluster.controllers.replicasets import wanted_of
from bais_gates.sandbox.cluster.controllers.world import Plan, Say, SetStatus, Update

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

EVERY_S = 15.0
_TOLERANCE = 0.1
_CALM_S = 300.0


def reconcile(world: World, autoscaler: Object, now: datetime) -> Plan:
    """Set the target's number of replicas, and say what it was decided by."""
    plan = Plan()
    plan.look_again(EVERY_S)
    target = _target(world, autoscaler)
    conditions = list(status_of(autoscaler).get("conditions") or [])
    if target is None:
        ref = spec_of(autoscaler)["scaleTargetRef"]
        conditions = _say(
            conditions, now, "AbleToScale", "False", "FailedGetScale",
            f"the HPA controller was unable to get the target's current scale: {ref['kind'].lower()}s.apps "
            f'"{ref["name"]}" not found',
        )  # fmt: skip
        _write(plan, autoscaler, {**status_of(autoscaler), "conditions": conditions})
        return plan
    current = wanted_of(target)
    least, most = int(spec_of(autoscaler).get("minReplicas") or 1), int(spec_of(autoscaler)["maxReplicas"])
    metrics, asked, problem = _measure(world, autoscaler, target, current)
    if current == 0:
        wanted = 0
        conditions = _say(
            conditions, now, "ScalingActive", "False", "ScalingDisabled",
            "scaling is disabled since the replica count of the target is zero",
        )  # fmt: skip
    elif problem is None:
        wanted = _within(autoscaler, current, asked if asked is not None else current, now)
        conditions = _say(
            conditions, now, "ScalingActive", "True", "ValidMetricFound",
            "the HPA was able to successfully calculate a replica count from cpu resource utilization "
            "(percentage of request)",
        )  # fmt: skip
    else:
        wanted = current
        conditions = _say(conditions, now, "ScalingActive", "False", "FailedGetResourceMetric", problem)
    unlimited = wanted
    if current:
        wanted = min(max(wanted, least), most)
    conditions = _say(
        conditions, now, "AbleToScale", "True",
        "SucceededRescale" if wanted != current else "ReadyForNewScale",
        f"the HPA controller was able to update the target scale to {wanted}"
        if wanted != current
        else "recommended size matches current size",
    )  # fmt: skip
    conditions = _limited(conditions, now, unlimited=unlimited, least=least, most=most)
    status: Object = {
        "observedGeneration": autoscaler["metadata"].get("generation", 1),
        "currentReplicas": int(status_of(target).get("replicas") or 0),
        "desiredReplicas": wanted,
        "currentMetrics": metrics,
        "conditions": conditions,
    }
    if "lastScaleTime" in status_of(autoscaler):
        status["lastScaleTime"] = status_of(autoscaler)["lastScaleTime"]
    if wanted != current:
        status["lastScaleTime"] = stamp(now)
        plan.add(
            Update(obj={**target, "spec": {**spec_of(target), "replicas": wanted}}),
            Say(
                about=autoscaler,
                reason="SuccessfulRescale",
                message=f"New size: {wanted}; reason: "
                + (
                    "Current number of replicas below Spec.MinReplicas"
                    if current < least
                    else "cpu resource utilization (percentage of request) "
                    + ("above target" if wanted > current else "below target")
                ),
            ),
        )
    _write(plan, autoscaler, status)
    return plan


def _write(plan: Plan, autoscaler: Object, status: Object) -> None:
    if (update := changed(autoscaler, status=status)) is not None:
        plan.add(SetStatus(obj=update))


def _say(  # noqa: PLR0917 - the order of a condition's columns
    conditions: list[Object], now: datetime, kind: str, status: str, reason: str, message: str
) -> list[Object]:
    return with_condition(conditions, now, type=kind, status=status, reason=reason, message=message)


def _limited(
    conditions: list[Object], now: datetime, *, unlimited: int, least: int, most: int
) -> list[Object]:
    if unlimited < least:
        values = (
            "True",
            "TooFewReplicas",
            "the desired replica count is less than the minimum replica count",
        )
    elif unlimited > most:
        values = (
            "True",
            "TooManyReplicas",
            "the desired replica count is more than the maximum replica count",
        )
    else:
        values = ("False", "DesiredWithinRange", "the desired count is within the acceptable range")
    return _say(conditions, now, "ScalingLimited", *values)


def _target(world: World, autoscaler: Object) -> Object | None:
    ref = spec_of(autoscaler)["scaleTargetRef"]
    return world.get(str(ref["kind"]), namespace_of(autoscaler), str(ref["name"]))


def _measure(
    world: World, autoscaler: Object, target: Object, current: int
) -> tuple[list[Object], int | None, str | None]:
    """Give the metrics as the status has them, how many pods they ask for, and why they can't be had."""
    pods = [
        pod
        for pod in world.of_kind("Pod", namespace_of(target))
        if matches(spec_of(target).get("selector"), labels_of(pod)) and is_active(pod)
    ]
    metrics: list[Object] = []
    asked: int | None = None
    for metric in spec_of(autoscaler).get("metrics") or ():
        resource = metric.get("resource") or {}
        if metric["type"] != "Resource" or resource.get("name") != "cpu":
            return [], None, f"unable to get metric {metric['type']}: only the cpu of pods is measured here"
        measured = [pod for pod in pods if is_ready(pod) and uid_of(pod) in world.cpu_use]
        if not measured:
            return (
                [],
                None,
                (
                    "the HPA was unable to compute the replica count: failed to get cpu utilization: "
                    "did not receive metrics for targeted pods (pods might be unready)"
                ),
            )
        used = sum(world.cpu_use[uid_of(pod)] for pod in measured)
        requested = float(sum(pod_requests(spec_of(pod)).get("cpu", 0) for pod in measured))
        if requested == 0:
            return [], None, f"failed to get cpu utilization: missing request for cpu in {name_of(target)}"
        share = round(100 * used / requested)
        average = used / len(measured)
        metrics.append(
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "current": {
                        "averageUtilization": share,
                        "averageValue": f"{round(average * 1000)}m",
                    },
                },
            }
        )
        goal = resource.get("target") or {}
        if "averageUtilization" in goal:
            ratio = share / int(goal["averageUtilization"])
            needed = current if abs(ratio - 1) <= _TOLERANCE else math.ceil(ratio * len(measured))
            asked = needed if asked is None else max(asked, needed)
    return metrics, asked, None


def _within(autoscaler: Object, current: int, asked: int, now: datetime) -> int:
    """Hold a change back as ``spec.behavior`` says: never more at once, and down only after a calm."""
    if asked == current:
        return current
    behavior = spec_of(autoscaler).get("behavior") or {}
    rules = behavior.get("scaleUp" if asked > current else "scaleDown") or {}
    since = (
        age_s(status_of(autoscaler).get("lastScaleTime"), now)
        if "lastScaleTime" in status_of(autoscaler)
        else None
    )
    if asked < current:
        window = rules.get("stabilizationWindowSeconds")
        calm = _CALM_S if window is None else float(window)
        started = age_s(str(autoscaler["metadata"]["creationTimestamp"]), now)
        if (since if since is not None else started) < calm:
            return current
    if rules.get("selectPolicy") == "Disabled":
        return current
    steps = [
        math.ceil(current * int(policy["value"]) / 100)
        if policy["type"] == "Percent"
        else int(policy["value"])
        for policy in rules.get("policies") or ()
        if since is None or since >= float(policy.get("periodSeconds", 15))
    ]
    if rules.get("policies"):
        step = max(steps, default=0)
        return min(asked, current + step) if asked > current else max(asked, current - step)
    return min(asked, max(2 * current, current + 4)) if asked > current else asked
