"""Whether there is room: on the nodes, for the autoscaler's maximum, for connections, on disks, in quotas.

Pure functions over objects as the API server gives them. What is requested counts, not what is used: the
scheduler places by requests, and a limit that is reached by all at once is what requests are there to bear.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bais_gates.rules.quantities import Resources, pod_requests, quantity, total
from bais_gates.rules.workloads import condition, node_is_usable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PRESSURES: Final = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRoom:
    """One usable node: what pods may request there, and what they do."""

    name: str
    allocatable: Resources
    pods: tuple[Resources, ...]
    """What each pod there requests."""

    @property
    def requested(self) -> Resources:
        """What they request together."""
        return total(self.pods)

    @property
    def free(self) -> Resources:
        """What may still be requested; negative where more is requested than there is."""
        return self.allocatable - self.requested


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """All usable nodes together."""

    nodes: tuple[NodeRoom, ...]

    @property
    def allocatable(self) -> Resources:
        """What pods may request on all of them."""
        return total(node.allocatable for node in self.nodes)

    @property
    def requested(self) -> Resources:
        """What pods do request."""
        return total(node.requested for node in self.nodes)

    @property
    def cpu_used(self) -> float:
        """The share of the processors that is requested, 0..1; NaN without nodes."""
        return _share(self.requested.cpu, self.allocatable.cpu)

    @property
    def memory_used(self) -> float:
        """The share of the memory that is requested, 0..1; NaN without nodes."""
        return _share(self.requested.memory, self.allocatable.memory)

    def placeable(self, request: Resources, *, without: str | None = None) -> int:
        """Count how many more pods of this request find a node (``without`` this one), each where it fits."""
        if request.pods < 1:
            raise ValueError("a pod's request counts one pod at least")
        return sum(_times(node.free, request) for node in self.nodes if node.name != without)

    def survives_loss(self) -> bool:
        """Whether the pods of any one node find a place, each whole, on what the others have free."""
        return len(self.nodes) > 1 and all(
            _find_places(lost.pods, [node.free for node in self.nodes if node is not lost])
            for lost in self.nodes
        )


def room(nodes: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]) -> Room:
    """Add up what the pods of the whole cluster request on each usable node; ended pods count nothing."""
    requested: dict[str, list[Resources]] = {}
    for pod in pods:
        if (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
            continue
        name = str(pod["spec"].get("nodeName") or "")
        requested.setdefault(name, []).append(pod_requests(pod["spec"]))
    return Room(
        nodes=tuple(
            NodeRoom(
                name=(name := node["metadata"]["name"]),
                allocatable=Resources.of(node["status"].get("allocatable")),
                pods=tuple(requested.get(name, [])),
            )
            for node in nodes
            if node_is_usable(node)
        )
    )


def _find_places(pods: Sequence[Resources], free: list[Resources]) -> bool:
    """Whether each pod fits somewhere, the largest first, each where the most is free."""
    for pod in sorted(pods, key=lambda one: (one.cpu, one.memory), reverse=True):
        free.sort(key=lambda one: (one.cpu, one.memory), reverse=True)
        place = next((i for i, one in enumerate(free) if pod.fits_into(one)), None)
        if place is None:
            return False
        free[place] -= pod
    return True


def _share(part: object, whole: object) -> float:
    return float(str(part)) / float(str(whole)) if whole else math.nan


def _times(free: Resources, request: Resources) -> int:
    counts = [free.pods // request.pods]
    if request.cpu > 0:
        counts.append(int(free.cpu // request.cpu))
    if request.memory > 0:
        counts.append(int(free.memory // request.memory))
    return max(0, min(counts))


def unhealthy_nodes(nodes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Name the nodes that are not Ready or short of something, with what it is."""
    found = []
    for node in nodes:
        name = node["metadata"]["name"]
        if condition(node, "Ready") != "True":
            found.append(f"{name}: not ready")
        found += [f"{name}: {kind}" for kind in _PRESSURES if condition(node, kind) == "True"]
    return sorted(found)


def replicas_needed(requests_per_s: float, per_replica: float) -> int:
    """Give the replicas that bear a load with one of them lost."""
    if not per_replica > 0:
        raise ValueError("one replica must bear some requests a second")
    return math.ceil(requests_per_s / per_replica) + 1


def most_connections(replicas: int, per_replica: int, *, reserved: int) -> int:
    """Give the connections to the database that ``replicas`` open at most, with the reserved ones."""
    return replicas * per_replica + reserved


def tight_quotas(quotas: Iterable[Mapping[str, Any]], most: float) -> list[str]:
    """Name what of a ResourceQuota is used beyond the share ``most``."""
    found = []
    for one in quotas:
        status = one.get("status") or {}
        used = status.get("used") or {}
        for key, hard in (status.get("hard") or {}).items():
            limit, there = quantity(hard), quantity(used.get(key, 0))
            if there > limit * quantity(str(most)):
                found.append(f"{one['metadata']['name']}: {key} {used.get(key)} of {hard}")
    return sorted(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What lies on a volume, and how much it holds, in bytes."""

    name: str
    used: float
    capacity: float | None
    """None while nothing says it: no bound claim of that name."""

    @property
    def share(self) -> float:
        """Used of capacity, 0..1; NaN without a capacity."""
        return self.used / self.capacity if self.capacity else math.nan


def claim_capacity(claims: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Give the bytes that a bound PersistentVolumeClaim holds; None when it is not there or not bound."""
    for claim in claims:
        status = claim.get("status") or {}
        if claim["metadata"]["name"] == name and status.get("phase") == "Bound":
            return float(quantity((status.get("capacity") or {}).get("storage", 0)))
    return None


def memory_limit(pods: Iterable[Mapping[str, Any]]) -> float | None:
    """Give the smallest memory limit, in bytes, of the containers of ``pods``; None where one has none."""
    limits = [
        ((one.get("resources") or {}).get("limits") or {}).get("memory")
        for pod in pods
        for one in pod["spec"].get("containers") or []
    ]
    return None if not limits or None in limits else float(min(quantity(limit) for limit in limits))
