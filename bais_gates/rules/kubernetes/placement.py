"""Place pods on nodes by their requests: how full the usable nodes are, and what fits when one is lost.

Requests count, not usage, as the scheduler places pods by them. A node is usable if it is Ready, not cordoned
and without a NoSchedule or NoExecute taint. What runs on another node, or on none yet, must fit on the usable
ones. Source: Kubernetes documentation, "Resource Management for Pods and Containers", "Assigning Pods to
Nodes", "Taints and Tolerations" and "Node Status".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bais_gates.rules.kubernetes.objects import dig, selects
from bais_gates.rules.kubernetes.quantities import Resources, parse_quantity, pod_requests, total
from bais_gates.rules.kubernetes.workloads import condition, is_schedulable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_COUNTED: Final = frozenset({"cpu", "memory", "pods", "ephemeral-storage"})
_UNLIMITED: Final = {"ephemeral-storage": "1Ei"}
"""What a node has if its kubelet does not report it."""
_MIRROR: Final = "kubernetes.io/config.mirror"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One pod that needs a node: its name, requests and spec."""

    name: str
    requests: Resources
    spec: Mapping[str, Any]
    movable: bool = True
    """Whether it runs elsewhere when its node is lost: pods of DaemonSets, static and ending pods do not."""
    origin: str = ""
    """The node that it must leave, and why; empty for a pod without a node."""

    @classmethod
    def of(cls, spec: Mapping[str, Any], name: str) -> Demand:
        """Return the demand of a further pod with a spec."""
        return cls(name=name, requests=pod_requests(spec), spec=spec)

    def __str__(self) -> str:
        """Return the pod with its requests, and where it comes from."""
        origin = f", from {self.origin}" if self.origin else ""
        return f"{self.name} ({self.requests}{origin})"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCapacity:
    """One usable node, and the pods on it."""

    node: Mapping[str, Any]
    allocatable: Resources
    pods: tuple[Demand, ...]

    @property
    def name(self) -> str:
        """The node's name."""
        return str(self.node["metadata"]["name"])

    @property
    def requested(self) -> Resources:
        """The sum of the pods' requests."""
        return total(pod.requests for pod in self.pods)

    @property
    def free(self) -> Resources:
        """Allocatable minus requested; negative when the node is overcommitted."""
        return self.allocatable - self.requested

    def accepts(self, spec: Mapping[str, Any]) -> bool:
        """Return whether a pod may run here: by node selector, required affinity and extended resources."""
        labels = dict(dig(self.node, "metadata", "labels") or {})
        terms = dig(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
        return (
            selects({"matchLabels": spec.get("nodeSelector") or {}}, labels)
            and (
                terms is None or any(_matches(term, self.name, labels) for term in terms["nodeSelectorTerms"])
            )
            and all(
                amount <= parse_quantity(dig(self.node, "status", "allocatable", key) or 0)
                for key, amount in _extended(spec).items()
            )
        )


def _matches(term: Mapping[str, Any], name: str, labels: Mapping[str, str]) -> bool:
    """Return whether a node selector term matches a node; an empty one matches none."""
    by_label, by_field = term.get("matchExpressions") or [], term.get("matchFields") or []
    compared = {"Gt": lambda here, given: here > given, "Lt": lambda here, given: here < given}

    def holds(one: Mapping[str, Any]) -> bool:
        if one["operator"] in compared:
            here = labels.get(one["key"], "")
            return here.isdigit() and bool(compared[one["operator"]](int(here), int(one["values"][0])))
        return selects({"matchExpressions": [one]}, labels)

    return bool(by_label or by_field) and all(
        (*map(holds, by_label), selects({"matchExpressions": by_field}, {"metadata.name": name}))
    )


def _extended(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the requests of a pod for resources such as GPUs, by their names."""
    amounts: dict[str, Any] = {}
    for container in spec.get("containers") or []:
        resources = container.get("resources") or {}
        for key, amount in ((resources.get("limits") or {}) | (resources.get("requests") or {})).items():
            if key not in _COUNTED:
                amounts[key] = amounts.get(key, 0) + parse_quantity(amount)
    return amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterCapacity:
    """All usable nodes, and the pods that need a place on them."""

    nodes: tuple[NodeCapacity, ...]
    displaced: tuple[Demand, ...] = ()
    """The pods of unusable nodes, and those without a node."""
    unusable: tuple[str, ...] = ()
    """The other nodes, each with the reason."""

    @property
    def allocatable(self) -> Resources:
        """The sum of the usable nodes' allocatable resources."""
        return total(node.allocatable for node in self.nodes)

    @property
    def pods(self) -> list[Demand]:
        """The pods that the usable nodes run or must run."""
        return [*(pod for node in self.nodes for pod in node.pods), *self.displaced]

    @property
    def requested(self) -> Resources:
        """The sum of the requests of :attr:`pods`."""
        return total(pod.requests for pod in self.pods)

    @property
    def cpu_requested(self) -> float:
        """The requested share of allocatable CPU, 0..1; NaN without nodes."""
        return _share(self.requested.cpu, self.allocatable.cpu)

    @property
    def memory_requested(self) -> float:
        """The requested share of allocatable memory, 0..1; NaN without nodes."""
        return _share(self.requested.memory, self.allocatable.memory)

    def largest(self, resource: str) -> list[str]:
        """List the three pods with the largest requests of ``cpu`` or ``memory``."""
        pods = sorted(self.pods, key=lambda pod: getattr(pod.requests, resource), reverse=True)
        return [str(pod) for pod in pods[:3]]

    def unplaceable(self, further: Sequence[Demand] = ()) -> list[str]:
        """List the ``further`` pods, by default the displaced ones, that fit on no usable node."""
        left = _place([self.displaced, further], self.nodes)
        return [str(pod) for pod in left if pod in (further or self.displaced)]

    def unplaceable_after_loss(self, further: Sequence[Demand] = ()) -> list[str]:
        """List, for the loss of each one usable node, the pods that fit on no other one."""
        if len(self.nodes) < 2:
            others = f" ({', '.join(self.unusable)})" if self.unusable else ""
            return [f"usable nodes: {len(self.nodes)}, none to spare{others}"]
        faults = []
        for lost in self.nodes:
            remaining = [node for node in self.nodes if node is not lost]
            moved = [pod for pod in lost.pods if pod.movable]
            left = _place([[*moved, *self.displaced], further], remaining)
            faults += [f"without {lost.name}: no place for {pod}" for pod in left]
        return faults


def cluster_capacity(
    nodes: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]
) -> ClusterCapacity:
    """Return the usable nodes with their pods that have not ended, and the pods that must move to them."""
    every = {str(node["metadata"]["name"]): node for node in nodes}
    usable = {name: node for name, node in every.items() if is_schedulable(node)}
    placed: dict[str, list[Demand]] = {name: [] for name in usable}
    displaced = []
    for pod in pods:
        if (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
            continue
        name, demand = str(pod["spec"].get("nodeName") or ""), _demand(pod)
        if name in usable:
            placed[name].append(demand)
            continue
        reason = why_unusable(every.get(name), pod["spec"]) if name else "no node"
        if reason and demand.movable:
            origin = f"{name}: {reason}" if name else ""
            displaced.append(
                Demand(name=demand.name, requests=demand.requests, spec=demand.spec, origin=origin)
            )
    return ClusterCapacity(
        nodes=tuple(
            NodeCapacity(
                node=node,
                allocatable=Resources.of(_UNLIMITED | dict(dig(node, "status", "allocatable") or {})),
                pods=tuple(placed[name]),
            )
            for name, node in usable.items()
        ),
        displaced=tuple(displaced),
        unusable=tuple(
            f"{name}: {why_unusable(node)}" for name, node in sorted(every.items()) if name not in usable
        ),
    )


def _demand(pod: Mapping[str, Any]) -> Demand:
    metadata = pod["metadata"]
    fixed = (
        any(one.get("kind") == "DaemonSet" for one in metadata.get("ownerReferences") or [])
        or _MIRROR in (metadata.get("annotations") or {})
        or bool(metadata.get("deletionTimestamp"))
    )
    name = f"{metadata.get('namespace')}/{metadata['name']}"
    return Demand(name=name, requests=pod_requests(pod["spec"]), spec=pod["spec"], movable=not fixed)


def why_unusable(node: Mapping[str, Any] | None, spec: Mapping[str, Any] | None = None) -> str:
    """Return why a node takes no new pod, or can't keep one with a spec, by its tolerations; else ""."""
    if node is None:
        return "gone"
    if condition(node, "Ready") != "True":
        return "not ready"
    if dig(node, "spec", "unschedulable"):
        return "cordoned"
    taints = [
        f"taint {taint.get('key')}:{taint['effect']}"
        for taint in dig(node, "spec", "taints") or []
        if taint.get("effect") in {"NoSchedule", "NoExecute"}
        and not any(_tolerates(one, taint) for one in (spec or {}).get("tolerations") or [])
    ]
    return ", ".join(taints)


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    effect, key = toleration.get("effect"), toleration.get("key")
    if (effect and effect != taint.get("effect")) or (key and key != taint.get("key")):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")


def _place(groups: Iterable[Sequence[Demand]], nodes: Sequence[NodeCapacity]) -> list[Demand]:
    """Return the pods that don't fit: each group after the other, its largest first, on the freest node."""
    free = {node.name: node.free for node in nodes}
    left = []
    for pod in (one for group in groups for one in sorted(group, key=_size, reverse=True)):
        fitting = [n.name for n in nodes if pod.requests.fits_into(free[n.name]) and n.accepts(pod.spec)]
        if not fitting:
            left.append(pod)
            continue
        best = max(fitting, key=lambda name: (free[name].cpu, free[name].memory))
        free[best] -= pod.requests
    return left


def _size(pod: Demand) -> tuple[object, object]:
    return pod.requests.cpu, pod.requests.memory


def _share(part: object, whole: object) -> float:
    return float(str(part)) / float(str(whole)) if whole else math.nan


_PRESSURES: Final = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


def unhealthy_nodes(nodes: Iterable[Mapping[str, Any]]) -> list[str]:
    """List the nodes that are not Ready or have a pressure condition, as ``node: condition``."""
    conditions = []
    for node in nodes:
        name = node["metadata"]["name"]
        if condition(node, "Ready") != "True":
            conditions.append(f"{name}: not ready")
        conditions += [f"{name}: {kind}" for kind in _PRESSURES if condition(node, kind) == "True"]
    return sorted(conditions)
