"""What the objects of a workload say of it: replicas, the way to them, spread, scaling, disruption, rollout.

Pure functions over objects as the API server gives them (plain dicts). ``status`` is believed only where its
``observedGeneration`` is the object's own: an older one tells of another object.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Object = dict[str, Any]

HOST: Final = "kubernetes.io/hostname"
ZONE: Final = "topology.kubernetes.io/zone"


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str] | None) -> bool:
    """Whether a LabelSelector takes ``labels``; None takes nothing, an empty one everything."""
    if selector is None:
        return False
    labels = labels or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_meets(one, labels) for one in selector.get("matchExpressions") or [])


def _meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator = expression.get("key", ""), expression.get("operator")
    values = expression.get("values") or []
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    if operator == "Exists":
        return key in labels
    return operator == "DoesNotExist" and key not in labels


def condition(one: Mapping[str, Any], kind: str) -> str:
    """Give the status of a condition of ``one``: True, False, Unknown, or absent."""
    for found in (one.get("status") or {}).get("conditions") or []:
        if found.get("type") == kind:
            return str(found.get("status"))
    return "absent"


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod serves: condition Ready, and not being deleted."""
    return condition(pod, "Ready") == "True" and not pod["metadata"].get("deletionTimestamp")


def node_is_usable(node: Mapping[str, Any]) -> bool:
    """Whether new pods may go to a node: Ready, not cordoned, no taint that keeps ordinary pods away."""
    spec = node.get("spec") or {}
    taints = [
        taint for taint in spec.get("taints") or [] if taint.get("effect") in {"NoSchedule", "NoExecute"}
    ]
    return condition(node, "Ready") == "True" and not spec.get("unschedulable") and not taints


def owned_pods(workload: Mapping[str, Any], pods: Iterable[Object]) -> list[Object]:
    """Give the pods that a workload's selector takes and that have not ended."""
    selector = workload["spec"].get("selector")
    return [
        pod
        for pod in pods
        if matches(selector, pod["metadata"].get("labels"))
        and (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far a Deployment is: what is wanted, and what is there."""

    wanted: int
    ready: int
    updated: int
    available: int
    seen: bool
    """Whether the status tells of the present object (observedGeneration)."""

    @property
    def complete(self) -> bool:
        """Whether every replica is of the present template and available, and no other is left."""
        return self.seen and self.ready == self.updated == self.available == self.wanted


def rollout(deployment: Mapping[str, Any]) -> Rollout:
    """Read a Deployment's (or StatefulSet's) rollout."""
    status = deployment.get("status") or {}
    wanted = deployment["spec"].get("replicas")
    ready = int(status.get("readyReplicas") or 0)
    return Rollout(
        wanted=1 if wanted is None else int(wanted),
        ready=ready,
        updated=int(status.get("updatedReplicas") or 0),
        available=int(status.get("availableReplicas") or 0),
        seen=int(status.get("observedGeneration") or 0) >= int(deployment["metadata"].get("generation") or 0),
    )


# -- the way to the pods --


def backends(service: Mapping[str, Any], slices: Iterable[Mapping[str, Any]]) -> set[str]:
    """Give the names of the pods that stand, ready, in a Service's EndpointSlices."""
    name = service["metadata"]["name"]
    found = set()
    for piece in slices:
        if (piece["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != name:
            continue
        for endpoint in piece.get("endpoints") or []:
            conditions = endpoint.get("conditions") or {}
            # Not said is said to be ready (discovery/v1).
            if conditions.get("ready", True) is not False and endpoint.get("addresses"):
                found.add(str((endpoint.get("targetRef") or {}).get("name") or endpoint["addresses"][0]))
    return found


def unserved_ports(service: Mapping[str, Any], pod_spec: Mapping[str, Any]) -> list[str]:
    """Name a Service's ports whose target no container of the pods opens."""
    ports = [port for one in pod_spec.get("containers") or [] for port in one.get("ports") or []]
    names = {port.get("name") for port in ports} | {port.get("containerPort") for port in ports}
    return [
        f"{port.get('name') or port['port']} -> {port.get('targetPort', port['port'])}"
        for port in service["spec"].get("ports") or []
        if port.get("targetPort", port["port"]) not in names
    ]


# -- spread --


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How pods lie over the places (nodes, zones) that could hold them."""

    places: int
    """Places that could hold a pod."""
    per_place: tuple[tuple[str, int], ...]

    @property
    def used(self) -> int:
        """Places that hold at least one."""
        return len(self.per_place)

    @property
    def lost_with_one(self) -> float:
        """The share of all pods that are gone with the fullest place, 0..1; NaN without pods."""
        counts = [count for _, count in self.per_place]
        return max(counts) / sum(counts) if counts else math.nan

    @property
    def skew(self) -> int:
        """The difference between the fullest and the emptiest place."""
        counts = [count for _, count in self.per_place]
        return max(counts, default=0) - (min(counts, default=0) if self.used >= self.places else 0)


def spread(pods: Iterable[Mapping[str, Any]], nodes: Iterable[Mapping[str, Any]], key: str = HOST) -> Spread:
    """See how ``pods`` lie over the values of the node label ``key``; one unknown is its own place."""
    by_name = {node["metadata"]["name"]: node for node in nodes}

    def place(node_name: str) -> str:
        node = by_name.get(node_name)
        labels = (node["metadata"].get("labels") or {}) if node is not None else {}
        return str(labels.get(key, node_name if key == HOST else ""))

    usable = {place(name) for name, node in by_name.items() if node_is_usable(node)} - {""}
    counted = Counter(
        place(str(pod["spec"]["nodeName"])) for pod in pods if (pod.get("spec") or {}).get("nodeName")
    )
    return Spread(places=len(usable | set(counted)), per_place=tuple(sorted(counted.items())))


# -- scaling --


def autoscalers_of(workload: Mapping[str, Any], scalers: Iterable[Object]) -> list[Object]:
    """Give the HorizontalPodAutoscalers that scale a workload."""

    def about(scaler: Object) -> bool:
        ref = scaler["spec"].get("scaleTargetRef") or {}
        name: str = workload["metadata"]["name"]
        return ref.get("kind") == workload.get("kind", "Deployment") and ref.get("name") == name

    return [scaler for scaler in scalers if about(scaler)]


def blind_metrics(scaler: Mapping[str, Any]) -> list[str]:
    """Name the metrics that an autoscaler is to scale by and has no present value of."""
    told = Counter(
        _metric_name(one)
        for one in (scaler.get("status") or {}).get("currentMetrics") or []
        if _has_value(one)
    )
    return sorted(
        (Counter(_metric_name(one) for one in scaler["spec"].get("metrics") or []) - told).elements()
    )


def _metric_name(metric: Mapping[str, Any]) -> str:
    kind = str(metric.get("type"))
    inner = metric.get(kind[:1].lower() + kind[1:]) or {}
    name = inner.get("name") or (inner.get("metric") or {}).get("name")
    return f"{kind}/{name}"


def _has_value(metric: Mapping[str, Any]) -> bool:
    kind = str(metric.get("type"))
    current = (metric.get(kind[:1].lower() + kind[1:]) or {}).get("current") or {}
    return any(current.get(key) is not None for key in ("averageUtilization", "averageValue", "value"))


# -- disruption and rollout --


def budgets_of(workload: Mapping[str, Any], budgets: Iterable[Object]) -> list[Object]:
    """Give the PodDisruptionBudgets that take a workload's pods."""
    labels = (workload["spec"]["template"]["metadata"] or {}).get("labels")
    return [budget for budget in budgets if matches(budget["spec"].get("selector"), labels)]


def drain_obstacles(budget: Mapping[str, Any]) -> list[str]:
    """Say why a PodDisruptionBudget would hold up a drain, or would protect nothing; empty when neither."""
    status = budget.get("status") or {}
    found = []
    if int(status.get("observedGeneration") or 0) < int(budget["metadata"].get("generation") or 0):
        found.append("its status is about an older version of it")
    if int(status.get("expectedPods") or 0) < 1:
        found.append("it counts no pods")
    if int(status.get("disruptionsAllowed") or 0) < 1:
        found.append(
            f"no pod may be evicted now ({status.get('currentHealthy')} healthy, "
            f"{status.get('desiredHealthy')} wanted)"
        )
    if int(status.get("desiredHealthy") or 0) < 1:
        found.append("it lets all pods be evicted at once")
    return found


def resolved(value: object, of: int, *, up: bool) -> int:
    """Give a count that is stated as a number or a share ("25%") of ``of``, rounded ``up`` or down."""
    if isinstance(value, str) and value.endswith("%"):
        share = int(value[:-1]) * of / 100
        return math.ceil(share) if up else math.floor(share)
    return int(str(value))


def surge(deployment: Mapping[str, Any], replicas: int) -> int:
    """Give the pods that a rollout of so many replicas may have besides them."""
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    return resolved(rolling.get("maxSurge", "25%"), replicas, up=True)


def rollout_losses(deployment: Mapping[str, Any]) -> list[str]:
    """Say how a rollout of a Deployment would lose requests; empty when it would not."""
    spec = deployment["spec"]
    strategy = spec.get("strategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return [f"strategy {strategy.get('type')} stops the old replicas before the new ones serve"]
    wanted = rollout(deployment).wanted
    rolling = strategy.get("rollingUpdate") or {}
    # The API server's defaults: a quarter; a surge is rounded up, what may be missing down.
    missing = resolved(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    found = []
    if missing > 0:
        found.append(f"maxUnavailable takes {missing} of {wanted} replicas away during a rollout")
    pod = spec["template"]["spec"]
    found += [
        f"container {one['name']} has no readiness probe: traffic comes before it can serve"
        for one in pod.get("containers") or []
        if one.get("ports") and not one.get("readinessProbe")
    ]
    return found + _end_losses(pod)


def _end_losses(pod: Mapping[str, Any]) -> list[str]:
    grace = pod.get("terminationGracePeriodSeconds", 30)
    found = []
    for one in pod.get("containers") or []:
        if not one.get("ports"):
            continue
        hook = (one.get("lifecycle") or {}).get("preStop")
        if not hook:
            found.append(
                f"container {one['name']} has no preStop pause: it ends while traffic is still sent to it"
            )
            continue
        pause = int((hook.get("sleep") or {}).get("seconds") or 0)
        if grace <= pause:
            found.append(
                f"container {one['name']} is killed after {grace} s, in its preStop pause of {pause} s"
            )
    return found


def unlimited_containers(pods: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the containers (init containers too) without requests and limits of processor and memory."""
    found = set()
    for pod in pods:
        spec = pod.get("spec") or {}
        for one in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
            resources = one.get("resources") or {}
            lacking = [
                f"{part}.{kind}"
                for part in ("requests", "limits")
                for kind in ("cpu", "memory")
                if (resources.get(part) or {}).get(kind) is None
                and ((spec.get("resources") or {}).get(part) or {}).get(kind) is None
            ]
            if lacking:
                found.add(f"{pod['metadata']['name']}/{one['name']}: {', '.join(lacking)}")
    return sorted(found)
