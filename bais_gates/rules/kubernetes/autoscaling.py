"""Judge whether an autoscaler can add the replicas that it may: metrics, targets, speed, quotas and limits.

Source: Kubernetes documentation, "Horizontal Pod Autoscaling" (also: utilization needs requests; configurable
scaling behavior), "Resource Quotas" and "Limit Ranges".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from bais_gates.rules.kubernetes.objects import dig
from bais_gates.rules.kubernetes.quantities import parse_quantity, pod_limits, pod_requests
from bais_gates.rules.kubernetes.workloads import condition, missing_metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_DEFAULT_POLICIES: Final = (
    {"type": "Percent", "value": 100, "periodSeconds": 15},
    {"type": "Pods", "value": 4, "periodSeconds": 15},
)
_STEPS_MAX: Final = 1000
_NOT_OURS: Final = frozenset({"Terminating", "BestEffort", "CrossNamespacePodAffinity", "PriorityClass"})
"""Quota scopes that the pods of a Deployment with requests are not in, or that depend on their priority."""


def scaling_faults(
    scaler: Mapping[str, Any], template: Mapping[str, Any], *, max_share: float, max_seconds: float
) -> list[str]:
    """List why an autoscaler would not add pods of a spec in time.

    ``max_share`` (0..1) limits its targets, ``max_seconds`` the time from minReplicas to maxReplicas.
    """
    faults = [
        f"condition {kind} is {status}{_reason(scaler, kind)}"
        for kind in ("ScalingActive", "AbleToScale")
        if (status := condition(scaler, kind)) != "True"
    ]
    metrics = scaler["spec"].get("metrics") or []
    if not metrics:
        faults.append("it has no metrics to scale by")
    faults += [f"no current value of {name}" for name in missing_metrics(scaler)]
    seconds = scale_up_seconds(scaler)
    if math.isinf(seconds):
        faults.append("behavior.scaleUp lets it add no pods")
    elif seconds > max_seconds:
        faults.append(f"behavior.scaleUp takes {seconds:g} s to maxReplicas: at most {max_seconds:g} s")
    return faults + [fault for metric in metrics for fault in _target_faults(metric, template, max_share)]


def _reason(obj: Mapping[str, Any], kind: str) -> str:
    found = [one for one in dig(obj, "status", "conditions") or () if one.get("type") == kind]
    return f" ({found[0]['reason']})" if found and found[0].get("reason") else ""


def _target_faults(metric: Mapping[str, Any], template: Mapping[str, Any], max_share: float) -> list[str]:
    """List the faults of a metric of the pods' own resources: missing requests, a target that is too high."""
    kind = str(metric.get("type"))
    if kind not in {"Resource", "ContainerResource"}:
        return []
    part = metric.get(kind[:1].lower() + kind[1:]) or {}
    name, target = str(part.get("name")), part.get("target") or {}
    containers = [
        one for one in template.get("containers") or () if part.get("container") in {None, one.get("name")}
    ]
    amounts = [_request(one, name) for one in containers]
    faults = [
        f"container {one.get('name')} requests no {name}: its utilization is unknown"
        for one, amount in zip(containers, amounts, strict=True)
        if not amount
    ]
    share = math.nan
    if target.get("averageUtilization") is not None:
        share = int(target["averageUtilization"]) / 100
    elif target.get("averageValue") is not None and sum(amounts) > 0:
        share = float(parse_quantity(target["averageValue"]) / sum(amounts))
    if share > max_share:
        faults.append(f"it adds pods above {share:.0%} of the requested {name}: at most {max_share:.0%}")
    return faults


def _request(container: Mapping[str, Any], name: str) -> Any:
    resources = container.get("resources") or {}
    amounts = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return parse_quantity(amounts.get(name, 0))


def scale_up_seconds(scaler: Mapping[str, Any]) -> float:
    """Return how long an autoscaler takes from minReplicas to maxReplicas; infinity if it may not."""
    spec = scaler["spec"]
    behavior = dig(spec, "behavior", "scaleUp") or {}
    select = behavior.get("selectPolicy") or "Max"
    if select == "Disabled":
        return math.inf
    start, goal = int(spec.get("minReplicas") or 1), int(spec["maxReplicas"])
    times = [_policy_seconds(one, start, goal) for one in behavior.get("policies") or _DEFAULT_POLICIES]
    window = float(behavior.get("stabilizationWindowSeconds") or 0)
    return window + (max(times) if select == "Min" else min(times))


def _policy_seconds(policy: Mapping[str, Any], start: int, goal: int) -> float:
    """Return the seconds of a policy's steps; the first is taken at once."""
    value, period, replicas, steps = int(policy["value"]), float(policy["periodSeconds"]), start, 0
    while replicas < goal:
        if value <= 0 or steps > _STEPS_MAX:
            return math.inf
        replicas += value if policy["type"] == "Pods" else math.ceil(replicas * value / 100)
        steps += 1
    return max(0, steps - 1) * period


def hard_limits(quota: Mapping[str, Any]) -> dict[str, Any]:
    """Return the limits of a ResourceQuota: those of its spec, which the status follows later."""
    return dict(dig(quota, "spec", "hard") or dig(quota, "status", "hard") or {})


def _scopes(quota: Mapping[str, Any]) -> set[str]:
    selected = dig(quota, "spec", "scopeSelector", "matchExpressions") or ()
    return set(dig(quota, "spec", "scopes") or ()) | {str(one.get("scopeName")) for one in selected}


def nearly_used_quotas(quotas: Iterable[Mapping[str, Any]], max_share: float) -> list[str]:
    """List the ResourceQuota entries used beyond ``max_share`` (0..1) of their hard limit.

    Without those of pods without requests: there are none where every container must have requests.
    """
    exceeded = []
    for quota in quotas:
        if "BestEffort" in _scopes(quota):
            continue
        used = dig(quota, "status", "used") or {}
        for key, hard in hard_limits(quota).items():
            if parse_quantity(used.get(key, 0)) > parse_quantity(hard) * parse_quantity(str(max_share)):
                exceeded.append(f"ResourceQuota {quota['metadata']['name']}: {key} {used.get(key)} of {hard}")
    return sorted(exceeded)


def quota_shortages(
    quotas: Iterable[Mapping[str, Any]], template: Mapping[str, Any], count: int
) -> list[str]:
    """List the ResourceQuota entries that refuse ``count`` more pods of a spec."""
    requests, limits = pod_requests(template), pod_limits(template)
    each: dict[str, Any] = {
        "pods": 1,
        "count/pods": 1,
        "cpu": requests.cpu,
        "requests.cpu": requests.cpu,
        "memory": requests.memory,
        "requests.memory": requests.memory,
        "requests.ephemeral-storage": requests.storage,
        "limits.cpu": limits.cpu,
        "limits.memory": limits.memory,
        "limits.ephemeral-storage": limits.storage,
    }
    shortages = []
    for quota in quotas:
        if _scopes(quota) & _NOT_OURS:
            continue
        used = dig(quota, "status", "used") or {}
        shortages += [
            f"ResourceQuota {quota['metadata']['name']}: {key} {used.get(key, 0)} of {hard} "
            f"allows no {count} more pods"
            for key, hard in hard_limits(quota).items()
            if key in each and parse_quantity(used.get(key, 0)) + count * each[key] > parse_quantity(hard)
        ]
    return sorted(shortages)


def limit_range_faults(ranges: Iterable[Mapping[str, Any]], template: Mapping[str, Any]) -> list[str]:
    """List the LimitRange entries by which a pod of a spec would be refused."""
    limits, requests = pod_limits(template), pod_requests(template)
    pod = {
        "requests": {"cpu": requests.cpu, "memory": requests.memory},
        "limits": {"cpu": limits.cpu, "memory": limits.memory},
    }
    containers = [
        (str(one.get("name")), one.get("resources") or {}) for one in template.get("containers") or ()
    ]
    faults = []
    for item in ranges:
        for entry in dig(item, "spec", "limits") or ():
            subjects: Sequence[tuple[str, Any]] = {"Container": containers, "Pod": [("the pod", pod)]}.get(
                str(entry.get("type")), []
            )
            for name, resources in subjects:
                faults += [
                    f"LimitRange {item['metadata']['name']}: {name}: {fault}"
                    for fault in _range_faults(entry, resources)
                ]
    return sorted(faults)


def _range_faults(entry: Mapping[str, Any], resources: Mapping[str, Any]) -> list[str]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    over = [
        f"limit of {key} {limits[key]} is above the maximum {most}"
        for key, most in (entry.get("max") or {}).items()
        if key in limits and _number(limits[key]) > parse_quantity(most)
    ]
    return over + [
        f"request of {key} {requests[key]} is below the minimum {least}"
        for key, least in (entry.get("min") or {}).items()
        if key in requests and _number(requests[key]) < parse_quantity(least)
    ]


def _number(value: Any) -> Any:
    return parse_quantity(value) if isinstance(value, str | int) else value
