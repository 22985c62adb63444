"""Printer columns: what ``kubectl get`` shows between the name and the age of each kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj

Column = str | Callable[[Obj], Any]
"""A path as a CustomResourceDefinition's ``jsonPath`` has it, or a function of the object."""
_STEP = re.compile(r'\.([\w\-]+)|\[\?\(@\.(\w+)\s*==\s*"([^"]*)"\)\]')


def _at(obj: Any, path: str) -> Any:
    """Follow a path of names and of filters like ``[?(@.type=="Ready")]``; None where it ends early."""
    for name, key, value in _STEP.findall(path):
        if isinstance(obj, list) and key:
            obj = next((item for item in obj if item.get(key) == value), None)
        else:
            obj = obj.get(name) if isinstance(obj, dict) else None
    return obj


def _age(stamp: Any) -> str:
    """Return how long ago a moment was: ``12s``, ``5m``, ``3h``, ``2d``."""
    if not stamp:
        return "<unknown>"
    seconds = max(0, int((datetime.now(UTC) - datetime.fromisoformat(str(stamp))).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _ready(obj: Obj) -> str:
    return f"{_at(obj, '.status.readyReplicas') or 0}/{_at(obj, '.spec.replicas') or 0}"


def _pod_ready(pod: Obj) -> str:
    states = _at(pod, ".status.containerStatuses") or ()
    return f"{sum(1 for state in states if state.get('ready'))}/{len(_at(pod, '.spec.containers'))}"


def _pod_status(pod: Obj) -> str:
    if _at(pod, ".metadata.deletionTimestamp"):
        return "Terminating"
    for state in _at(pod, ".status.containerStatuses") or ():
        reason = _at(state, ".state.waiting.reason") or _at(state, ".state.terminated.reason")
        if reason:
            return str(reason)
    return str(_at(pod, ".status.reason") or _at(pod, ".status.phase"))


def _restarts(pod: Obj) -> int:
    return sum(int(state.get("restartCount", 0)) for state in _at(pod, ".status.containerStatuses") or ())


def _ports(service: Obj) -> str:
    ports = _at(service, ".spec.ports") or ()
    return ",".join(f"{port.get('port')}/{port.get('protocol')}" for port in ports)


def _job_status(job: Obj) -> str:
    true = [each["type"] for each in _at(job, ".status.conditions") or () if each.get("status") == "True"]
    return next((each for each in ("Complete", "Failed", "Suspended") if each in true), "Running")


def _completions(job: Obj) -> str:
    return f"{_at(job, '.status.succeeded') or 0}/{_at(job, '.spec.completions') or 1}"


def _node_status(node: Obj) -> str:
    ready = _at(node, '.status.conditions[?(@.type=="Ready")].status') == "True"
    cordoned = ",SchedulingDisabled" if _at(node, ".spec.unschedulable") else ""
    return ("Ready" if ready else "NotReady") + cordoned


def _about(event: Obj) -> str:
    return f"{str(_at(event, '.involvedObject.kind')).lower()}/{_at(event, '.involvedObject.name')}"


def _last_seen(event: Obj) -> str:
    return _age(event.get("lastTimestamp") or _at(event, ".metadata.creationTimestamp"))


_COLUMNS: dict[str, tuple[tuple[str, Column], ...]] = {
    "Pod": (("Ready", _pod_ready), ("Status", _pod_status), ("Restarts", _restarts)),
    "Deployment": (
        ("Ready", _ready),
        ("Up-to-date", ".status.updatedReplicas"),
        ("Available", ".status.availableReplicas"),
    ),
    "StatefulSet": (("Ready", _ready),),
    "ReplicaSet": (("Ready", _ready),),
    "Job": (("Status", _job_status), ("Completions", _completions)),
    "CronJob": (("Schedule", ".spec.schedule"), ("Suspend", ".spec.suspend")),
    "Service": (("Type", ".spec.type"), ("Cluster-IP", ".spec.clusterIP"), ("Port(s)", _ports)),
    "Ingress": (("Class", ".spec.ingressClassName"),),
    "Namespace": (("Status", ".status.phase"),),
    "Node": (("Status", _node_status), ("Version", ".status.nodeInfo.kubeletVersion")),
    "ConfigMap": (("Data", lambda obj: len(obj.get("data") or {})),),
    "Secret": (("Type", ".type"), ("Data", lambda obj: len(obj.get("data") or {}))),
    "PersistentVolumeClaim": (("Status", ".status.phase"), ("Capacity", ".status.capacity.storage")),
    "PersistentVolume": (("Status", ".status.phase"), ("Claim", ".spec.claimRef.name")),
    "HorizontalPodAutoscaler": (
        ("MinPods", ".spec.minReplicas"),
        ("MaxPods", ".spec.maxReplicas"),
        ("Replicas", ".status.currentReplicas"),
    ),
    "PodDisruptionBudget": (("Allowed Disruptions", ".status.disruptionsAllowed"),),
    "Event": (
        ("Last Seen", _last_seen),
        ("Type", ".type"),
        ("Reason", ".reason"),
        ("Object", _about),
        ("Message", ".message"),
    ),
}


def table(kind: Kind, objs: Iterable[Obj]) -> tuple[list[Obj], list[list[Any]]]:
    """Return the column definitions of a Table, and the cells of a row for each object."""
    columns = [*_columns(kind)]
    if kind.kind != "Event":  # whose name says nothing and which has seen its object last
        columns = [("Name", ".metadata.name"), *columns, ("Age", ".metadata.creationTimestamp")]
    heads = [
        {"name": name, "type": "string", "format": "name" if name == "Name" else "", "priority": 0}
        for name, _ in columns
    ]
    return heads, [[_cell(obj, column) for _, column in columns] for obj in objs]


def _columns(kind: Kind) -> Iterable[tuple[str, Column]]:
    if not kind.custom:
        return _COLUMNS.get(kind.kind, ())
    return [
        (column["name"], column["jsonPath"])
        for column in (kind.definition or {}).get("additionalPrinterColumns") or ()
        if column["jsonPath"] != ".metadata.creationTimestamp" and not column.get("priority")
    ]


def _cell(obj: Obj, column: Column) -> Any:
    if not isinstance(column, str):
        return column(obj)
    value = _at(obj, column)
    if column.endswith("Timestamp"):
        return _age(value)
    if value is None:
        return 0 if column.endswith("eplicas") else "<none>"
    return value if isinstance(value, str | int) else str(value)
