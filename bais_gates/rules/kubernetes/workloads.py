"""Judge the state of a workload: rollout, endpoints, spread over nodes, autoscaling, disruption budgets.

A ``status`` counts only if its ``observedGeneration`` is the object's generation. Source: the Kubernetes API
reference (apps/v1, autoscaling/v2, discovery/v1, policy/v1).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bais_gates.rules.kubernetes.objects import selects

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Object = dict[str, Any]

HOST: Final = "kubernetes.io/hostname"
ZONE: Final = "topology.kubernetes.io/zone"


def condition(obj: Mapping[str, Any], kind: str) -> str:
    """Return the status of a condition of an object: True, False, Unknown, or absent."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((str(one.get("status")) for one in conditions if one.get("type") == kind), "absent")


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod has the condition Ready and is not being deleted."""
    return condition(pod, "Ready") == "True" and not pod["metadata"].get("deletionTimestamp")


def is_schedulable(node: Mapping[str, Any]) -> bool:
    """Return whether a node accepts new pods: Ready, not cordoned, no NoSchedule or NoExecute taint."""
    spec = node.get("spec") or {}
    taints = [
        taint for taint in spec.get("taints") or [] if taint.get("effect") in {"NoSchedule", "NoExecute"}
    ]
    return condition(node, "Ready") == "True" and not spec.get("unschedulable") and not taints


def owned_pods(workload: Mapping[str, Any], pods: Iterable[Object]) -> list[Object]:
    """Return the pods that a workload's selector selects and that have not ended."""
    selector = workload["spec"].get("selector")
    return [
        pod
        for pod in pods
        if selects(selector, pod["metadata"].get("labels") or {})
        and (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The desired and actual replicas of a Deployment."""

    desired: int
    ready: int
    updated: int
    available: int
    current: bool
    """Whether the status is for the current generation (observedGeneration)."""

    @property
    def complete(self) -> bool:
        """Return whether every replica is updated and available, and no old one is left."""
        return self.current and self.ready == self.updated == self.available == self.desired


def rollout(deployment: Mapping[str, Any]) -> Rollout:
    """Return the rollout state of a Deployment (or StatefulSet)."""
    status = deployment.get("status") or {}
    desired = deployment["spec"].get("replicas")
    generation = int(deployment["metadata"].get("generation") or 0)
    return Rollout(
        desired=1 if desired is None else int(desired),
        ready=int(status.get("readyReplicas") or 0),
        updated=int(status.get("updatedReplicas") or 0),
        available=int(status.get("availableReplicas") or 0),
        current=int(status.get("observedGeneration") or 0) >= generation,
    )


# -- endpoints --


def foreign_pods(
    service: Mapping[str, Any], deployment: Mapping[str, Any], pods: Iterable[Object]
) -> list[str]:
    """List the pods that a Service selects and that no ReplicaSet of a Deployment owns."""
    name = f"{deployment['metadata']['name']}-"
    return sorted(
        str(pod["metadata"]["name"])
        for pod in pods
        if selects(
            {"matchLabels": service["spec"].get("selector") or {}}, pod["metadata"].get("labels") or {}
        )
        and not any(
            one.get("kind") == "ReplicaSet" and str(one.get("name")).startswith(name)
            for one in pod["metadata"].get("ownerReferences") or ()
        )
    )


def ready_endpoints(service: Mapping[str, Any], slices: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the names of the pods that are ready endpoints in a Service's EndpointSlices."""
    name = service["metadata"]["name"]
    pods = set()
    for endpoint_slice in slices:
        if (endpoint_slice["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != name:
            continue
        for endpoint in endpoint_slice.get("endpoints") or []:
            conditions = endpoint.get("conditions") or {}
            # An unset condition means ready (discovery/v1).
            if conditions.get("ready", True) is not False and endpoint.get("addresses"):
                pods.add(str((endpoint.get("targetRef") or {}).get("name") or endpoint["addresses"][0]))
    return pods


def unserved_ports(service: Mapping[str, Any], pod_spec: Mapping[str, Any]) -> list[str]:
    """List the ports of a Service whose targetPort no container declares."""
    ports = [port for one in pod_spec.get("containers") or [] for port in one.get("ports") or []]
    names = {port.get("name") for port in ports} | {port.get("containerPort") for port in ports}
    return [
        f"{port.get('name') or port['port']} -> {port.get('targetPort', port['port'])}"
        for port in service["spec"].get("ports") or []
        if port.get("targetPort", port["port"]) not in names
    ]


def service_faults(service: Mapping[str, Any]) -> list[str]:
    """List the settings of a Service that keep requests from ready pods, or send them to others.

    Source: Kubernetes documentation, "Service" and "Service Internal Traffic Policy".
    """
    spec = service["spec"]
    faults = []
    if spec.get("sessionAffinity", "None") != "None":
        faults.append(f"sessionAffinity {spec['sessionAffinity']} ties a client to one pod")
    if spec.get("publishNotReadyAddresses"):
        faults.append("publishNotReadyAddresses sends requests to pods that are not ready")
    if spec.get("internalTrafficPolicy", "Cluster") != "Cluster":
        faults.append("internalTrafficPolicy Local drops requests on nodes without a pod")
    return faults


# -- spread --


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The distribution of pods over topology domains (nodes or zones)."""

    domains: int
    """Number of domains that can hold a pod."""
    per_domain: tuple[tuple[str, int], ...]

    @property
    def used(self) -> int:
        """Number of domains that hold at least one pod."""
        return len(self.per_domain)

    def crowded(self, share: float) -> list[str]:
        """List the domains with more than a share (0..1) of all pods."""
        total = sum(count for _, count in self.per_domain)
        return [
            f"{name}: {count} of {total}" for name, count in self.per_domain if count > share * total + 1e-9
        ]


def spread(pods: Iterable[Mapping[str, Any]], nodes: Iterable[Mapping[str, Any]], key: str = HOST) -> Spread:
    """Count pods by the node label ``key``; an unknown node is a domain of its own."""
    by_name = {node["metadata"]["name"]: node for node in nodes}

    def domain(node_name: str) -> str:
        node = by_name.get(node_name)
        labels = (node["metadata"].get("labels") or {}) if node is not None else {}
        return str(labels.get(key, node_name if key == HOST else ""))

    schedulable = {domain(name) for name, node in by_name.items() if is_schedulable(node)} - {""}
    counts = Counter(
        domain(str(pod["spec"]["nodeName"])) for pod in pods if (pod.get("spec") or {}).get("nodeName")
    )
    return Spread(domains=len(schedulable | set(counts)), per_domain=tuple(sorted(counts.items())))


# -- scaling --


def autoscalers_of(workload: Mapping[str, Any], scalers: Iterable[Object]) -> list[Object]:
    """Return the HorizontalPodAutoscalers that scale a workload."""

    def scales(scaler: Object) -> bool:
        ref = scaler["spec"].get("scaleTargetRef") or {}
        name: str = workload["metadata"]["name"]
        return ref.get("kind") == workload.get("kind", "Deployment") and ref.get("name") == name

    return [scaler for scaler in scalers if scales(scaler)]


def one_of(kind: str, found: Sequence[Mapping[str, Any]], workload: Mapping[str, Any]) -> list[str]:
    """List the objects of a kind, such as autoscalers, where not exactly one is for a workload.

    Two autoscalers work against each other, and two disruption budgets make every eviction fail.
    """
    names = sorted(str(one["metadata"]["name"]) for one in found)
    owner = f"{workload.get('kind', 'Deployment')} {workload['metadata']['name']}"
    if not names:
        return [f"there is no {kind} for {owner}"]
    return [f"{kind} {name} is one of {len(names)} for {owner}" for name in names if len(names) > 1]


def missing_metrics(scaler: Mapping[str, Any]) -> list[str]:
    """List the metrics of an autoscaler's spec that have no current value in its status."""
    current = Counter(
        _metric_name(one)
        for one in (scaler.get("status") or {}).get("currentMetrics") or []
        if _has_value(one)
    )
    required = Counter(_metric_name(one) for one in scaler["spec"].get("metrics") or [])
    return sorted((required - current).elements())


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
    """Return the PodDisruptionBudgets that select a workload's pods."""
    labels = (workload["spec"]["template"]["metadata"] or {}).get("labels") or {}
    return [budget for budget in budgets if selects(budget["spec"].get("selector"), labels)]


def blocking_budgets(budgets: Iterable[Mapping[str, Any]]) -> list[str]:
    """List the PodDisruptionBudgets that let none of their pods be evicted now: a drain of its node hangs.

    Source: kube-linter, pdb-max-unavailable and pdb-min-available.
    """
    return sorted(
        f"{budget['metadata']['name']}: no pod may be evicted now"
        for budget in budgets
        if int((budget.get("status") or {}).get("expectedPods") or 0) > 0
        and int((budget.get("status") or {}).get("disruptionsAllowed") or 0) < 1
    )


def budget_faults(budget: Mapping[str, Any]) -> list[str]:
    """Return why a PodDisruptionBudget blocks a drain or protects no pod; [] when it does neither."""
    status = budget.get("status") or {}
    faults = []
    if int(status.get("observedGeneration") or 0) < int(budget["metadata"].get("generation") or 0):
        faults.append("its status is for an older generation")
    if int(status.get("expectedPods") or 0) < 1:
        faults.append("it selects no pods")
    if int(status.get("disruptionsAllowed") or 0) < 1:
        healthy, desired = status.get("currentHealthy"), status.get("desiredHealthy")
        faults.append(f"no pod may be evicted now ({healthy} healthy, {desired} desired)")
    if int(status.get("desiredHealthy") or 0) < 1:
        faults.append("all pods may be evicted at once")
    return faults


def resolve_count(value: object, total: int, *, round_up: bool) -> int:
    """Return a number, or a percentage ("25%") of ``total`` as a number."""
    if isinstance(value, str) and value.endswith("%"):
        share = int(value[:-1]) * total / 100
        return math.ceil(share) if round_up else math.floor(share)
    return int(str(value))


def max_surge(deployment: Mapping[str, Any], replicas: int) -> int:
    """Return how many additional pods a rollout of so many replicas may create."""
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    return resolve_count(rolling.get("maxSurge", "25%"), replicas, round_up=True)


def rollout_faults(deployment: Mapping[str, Any]) -> list[str]:
    """Return why a rollout of a Deployment would lose requests; [] when it would not."""
    spec = deployment["spec"]
    strategy = spec.get("strategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return [f"strategy {strategy.get('type')} stops the old replicas before the new ones are ready"]
    desired = rollout(deployment).desired
    rolling = strategy.get("rollingUpdate") or {}
    # The API server's defaults are 25%; maxSurge is rounded up, maxUnavailable down.
    unavailable = resolve_count(rolling.get("maxUnavailable", "25%"), desired, round_up=False)
    faults = ["it is paused: a release does not roll out"] if spec.get("paused") else []
    if unavailable > 0:
        faults.append(f"maxUnavailable removes {unavailable} of {desired} replicas during a rollout")
    pod = spec["template"]["spec"]
    faults += [
        f"container {one['name']} has no readiness probe: it receives traffic before it is ready"
        for one in pod.get("containers") or []
        if one.get("ports") and not one.get("readinessProbe")
    ]
    return faults + _termination_faults(pod)


def _termination_faults(pod: Mapping[str, Any]) -> list[str]:
    grace = pod.get("terminationGracePeriodSeconds", 30)
    faults = []
    for one in pod.get("containers") or []:
        if not one.get("ports"):
            continue
        hook = (one.get("lifecycle") or {}).get("preStop")
        if not hook:
            faults.append(f"container {one['name']} has no preStop hook: it ends while it receives traffic")
            continue
        sleep = int((hook.get("sleep") or {}).get("seconds") or 0)
        if grace <= sleep:
            faults.append(f"container {one['name']} is killed after {grace} s, during its preStop sleep")
    return faults


def unlimited_containers(pods: Sequence[Mapping[str, Any]]) -> list[str]:
    """List the containers and init containers without CPU and memory requests and limits."""
    containers = set()
    for pod in pods:
        spec = pod.get("spec") or {}
        for one in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
            resources = one.get("resources") or {}
            missing = [
                f"{part}.{kind}"
                for part in ("requests", "limits")
                for kind in ("cpu", "memory")
                if (resources.get(part) or {}).get(kind) is None
                and ((spec.get("resources") or {}).get(part) or {}).get(kind) is None
            ]
            if missing:
                containers.add(f"{pod['metadata']['name']}/{one['name']}: {', '.join(missing)}")
    return sorted(containers)
