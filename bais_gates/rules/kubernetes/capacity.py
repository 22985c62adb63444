"""Compute the capacity of nodes, replicas, database connections, volumes and quotas.

Requests count, not usage, as the scheduler places pods by their requests. Source: Kubernetes documentation,
"Resource Management for Pods and Containers", "Resource Quotas" and "Node Status".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bais_gates.rules.kubernetes.quantities import Resources, parse_quantity, pod_requests, total
from bais_gates.rules.kubernetes.workloads import condition, is_schedulable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PRESSURES: Final = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCapacity:
    """One schedulable node: the resources that pods may request, and those that they request."""

    name: str
    allocatable: Resources
    pods: tuple[Resources, ...]
    """The requests of each pod on the node."""

    @property
    def requested(self) -> Resources:
        """The sum of the pods' requests."""
        return total(self.pods)

    @property
    def free(self) -> Resources:
        """Allocatable minus requested; negative when the node is overcommitted."""
        return self.allocatable - self.requested


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterCapacity:
    """All schedulable nodes."""

    nodes: tuple[NodeCapacity, ...]

    @property
    def allocatable(self) -> Resources:
        """The sum of the nodes' allocatable resources."""
        return total(node.allocatable for node in self.nodes)

    @property
    def requested(self) -> Resources:
        """The sum of the requests on all nodes."""
        return total(node.requested for node in self.nodes)

    @property
    def cpu_requested(self) -> float:
        """The requested share of allocatable CPU, 0..1; NaN without nodes."""
        return _share(self.requested.cpu, self.allocatable.cpu)

    @property
    def memory_requested(self) -> float:
        """The requested share of allocatable memory, 0..1; NaN without nodes."""
        return _share(self.requested.memory, self.allocatable.memory)

    def count_placeable(self, request: Resources) -> int:
        """Return how many more pods with this request fit, each on one node."""
        if request.pods < 1:
            raise ValueError("the request of a pod must count at least one pod")
        return sum(_count_fitting(node.free, request) for node in self.nodes)

    def tolerates_node_loss(self) -> bool:
        """Return whether the pods of any one node fit on the free resources of the other nodes."""
        return len(self.nodes) > 1 and all(
            _can_place(lost.pods, [node.free for node in self.nodes if node is not lost])
            for lost in self.nodes
        )


def cluster_capacity(
    nodes: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]
) -> ClusterCapacity:
    """Return the requests of all pods that have not ended, on each schedulable node."""
    requested: dict[str, list[Resources]] = {}
    for pod in pods:
        if (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
            continue
        name = str(pod["spec"].get("nodeName") or "")
        requested.setdefault(name, []).append(pod_requests(pod["spec"]))
    return ClusterCapacity(
        nodes=tuple(
            NodeCapacity(
                name=(name := node["metadata"]["name"]),
                allocatable=Resources.of(node["status"].get("allocatable")),
                pods=tuple(requested.get(name, [])),
            )
            for node in nodes
            if is_schedulable(node)
        )
    )


def _can_place(pods: Sequence[Resources], free: list[Resources]) -> bool:
    """Return whether each pod, the largest first, fits on the node with the most free resources."""
    for pod in sorted(pods, key=lambda one: (one.cpu, one.memory), reverse=True):
        free.sort(key=lambda one: (one.cpu, one.memory), reverse=True)
        index = next((i for i, node in enumerate(free) if pod.fits_into(node)), None)
        if index is None:
            return False
        free[index] -= pod
    return True


def _share(part: object, whole: object) -> float:
    return float(str(part)) / float(str(whole)) if whole else math.nan


def _count_fitting(free: Resources, request: Resources) -> int:
    counts = [free.pods // request.pods]
    if request.cpu > 0:
        counts.append(int(free.cpu // request.cpu))
    if request.memory > 0:
        counts.append(int(free.memory // request.memory))
    return max(0, min(counts))


def unhealthy_nodes(nodes: Iterable[Mapping[str, Any]]) -> list[str]:
    """List the nodes that are not Ready or have a pressure condition, as ``node: condition``."""
    conditions = []
    for node in nodes:
        name = node["metadata"]["name"]
        if condition(node, "Ready") != "True":
            conditions.append(f"{name}: not ready")
        conditions += [f"{name}: {kind}" for kind in _PRESSURES if condition(node, kind) == "True"]
    return sorted(conditions)


def required_replicas(requests_per_s: float, per_replica: float) -> int:
    """Return the replicas that sustain a load with one of them lost."""
    if not per_replica > 0:
        raise ValueError("the requests per second of one replica must be above 0")
    return math.ceil(requests_per_s / per_replica) + 1


def total_connections(replicas: int, per_replica: int, *, reserved: int) -> int:
    """Return the database connections that ``replicas`` may open, plus the reserved ones."""
    return replicas * per_replica + reserved


def nearly_used_quotas(quotas: Iterable[Mapping[str, Any]], max_share: float) -> list[str]:
    """List the ResourceQuota entries used beyond ``max_share`` (0..1) of their hard limit."""
    exceeded = []
    for quota in quotas:
        status = quota.get("status") or {}
        used = status.get("used") or {}
        for key, hard in (status.get("hard") or {}).items():
            if parse_quantity(used.get(key, 0)) > parse_quantity(hard) * parse_quantity(str(max_share)):
                exceeded.append(f"{quota['metadata']['name']}: {key} {used.get(key)} of {hard}")
    return sorted(exceeded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The used bytes and the capacity of a volume."""

    name: str
    used: float
    capacity: float | None
    """Bytes; None without a bound claim of that name."""

    @property
    def share(self) -> float:
        """The used share of the capacity, 0..1; NaN without a capacity."""
        return self.used / self.capacity if self.capacity else math.nan


def claim_capacity(claims: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Return the capacity in bytes of a bound PersistentVolumeClaim; None when it is absent or not bound."""
    for claim in claims:
        status = claim.get("status") or {}
        if claim["metadata"]["name"] == name and status.get("phase") == "Bound":
            return float(parse_quantity((status.get("capacity") or {}).get("storage", 0)))
    return None


def memory_limit(pods: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the smallest memory limit, in bytes, of the pods' containers; None if one has no limit."""
    limits = [
        ((one.get("resources") or {}).get("limits") or {}).get("memory")
        for pod in pods
        for one in pod["spec"].get("containers") or []
    ]
    return None if not limits or None in limits else float(min(parse_quantity(limit) for limit in limits))
