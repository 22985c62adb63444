"""Compute the capacity of replicas, database connections, volumes and the cache's memory.

Source: Kubernetes documentation, "Persistent Volumes" (expansion) and "Resource Management for Pods and
Containers"; PostgreSQL documentation, "Connections and Authentication".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bais_gates.rules.kubernetes.quantities import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

_ROUNDING = 1e-9
"""What n replicas sustained needs n of them: a third of 500, three times, may be a little less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sustained:
    """What is known of the load that one replica of the API sustains."""

    promised_per_s: float
    """Requests per second that all replicas together must sustain."""
    per_replica: float
    """NaN where it is unknown."""
    source: str

    @property
    def needed(self) -> int | None:
        """The replicas that the promised load needs, none to spare; None where that is unknown."""
        if not self.per_replica > 0:
            return None
        return math.ceil(self.promised_per_s / self.per_replica - _ROUNDING)


def total_connections(replicas: int, per_replica: int, *, reserved: int) -> int:
    """Return the database connections that ``replicas`` may open, plus the reserved ones."""
    return replicas * per_replica + reserved


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


def unexpandable_claims(
    claims: Iterable[Mapping[str, Any]], classes: Iterable[Mapping[str, Any]], names: Collection[str]
) -> list[str]:
    """List the named claims whose StorageClass is absent or does not allow their expansion."""
    known = {one["metadata"]["name"]: one for one in classes}
    faults = []
    for claim in claims:
        name, kind = claim["metadata"]["name"], claim["spec"].get("storageClassName")
        if name in names and kind not in known:
            faults.append(f"{name}: there is no StorageClass {kind or '(none)'}")
        elif name in names and known[kind].get("allowVolumeExpansion") is not True:
            faults.append(f"{name}: StorageClass {kind} does not allow expansion")
    return sorted(faults)


def memory_limit(pods: Iterable[Mapping[str, Any]], port: int) -> float | None:
    """Return the smallest memory limit, in bytes, of the containers that serve a port; None if unknown.

    A container without a limit, or no container of that port, is unknown.
    """
    limits = [
        ((one.get("resources") or {}).get("limits") or {}).get("memory")
        for pod in pods
        for one in pod["spec"].get("containers") or []
        if any(each.get("containerPort") == port for each in one.get("ports") or [])
    ]
    return None if not limits or None in limits else float(min(parse_quantity(limit) for limit in limits))
