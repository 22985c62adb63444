"""Printer columns: what ``kubectl get`` shows of each kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj

Cell = str | int | bool | None
Getter = Callable[[Obj], Cell]
NONE = "<none>"
UNKNOWN = "<unknown>"


def _at(obj: Obj, *path: str, default: Any = None) -> Any:
    here: Any = obj
    for key in path:
        here = here.get(key) if isinstance(here, dict) else None
    return default if here is None else here


def age(stamp: Any) -> str:
    """Return how long ago a moment was, as kubectl writes it: ``12s``, ``5m30s``, ``3h``, ``2d``."""
    if not stamp:
        return UNKNOWN
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(str(stamp))).total_seconds())
    return duration(max(seconds, 0))


def duration(seconds: int) -> str:  # noqa: PLR0911  # one return for each step of coarseness
    """Return a time span as kubectl writes it, no finer than it helps."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d" if days < 730 else f"{days // 365}y"


def _name(obj: Obj) -> Cell:
    return str(_at(obj, "metadata", "name", default=""))


def _age(obj: Obj) -> Cell:
    return age(_at(obj, "metadata", "creationTimestamp"))


def _field(*path: str, default: Cell = NONE) -> Getter:
    def get(obj: Obj) -> Cell:
        value: Cell = _at(obj, *path, default=default)
        return value

    return get


def _count(*path: str) -> Getter:
    return lambda obj: len(_at(obj, *path, default=()))


def _ready_of(obj: Obj) -> Cell:
    ready = _at(obj, "status", "readyReplicas", default=0)
    return f"{ready}/{_at(obj, 'spec', 'replicas', default=0)}"


def _pod_ready(obj: Obj) -> Cell:
    states = _at(obj, "status", "containerStatuses", default=[])
    ready = sum(1 for state in states if state.get("ready"))
    return f"{ready}/{len(_at(obj, 'spec', 'containers', default=[]))}"


def _pod_status(obj: Obj) -> Cell:
    if _at(obj, "metadata", "deletionTimestamp"):
        return "Terminating"
    for state in _at(obj, "status", "containerStatuses", default=[]):
        waiting = _at(state, "state", "waiting", "reason")
        ended = _at(state, "state", "terminated", "reason")
        if waiting or ended:
            return str(waiting or ended)
    return str(_at(obj, "status", "reason") or _at(obj, "status", "phase", default=UNKNOWN))


def _restarts(obj: Obj) -> Cell:
    states: list[Obj] = _at(obj, "status", "containerStatuses", default=[])
    return sum(int(state.get("restartCount", 0)) for state in states)


def _service_ports(obj: Obj) -> Cell:
    parts = []
    for port in _at(obj, "spec", "ports", default=[]):
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        parts.append(f"{port.get('port')}{node}/{port.get('protocol')}")
    return ",".join(parts) or NONE


def _external(obj: Obj) -> Cell:
    kind = _at(obj, "spec", "type")
    if kind == "ExternalName":
        return str(_at(obj, "spec", "externalName", default=NONE))
    if kind == "LoadBalancer":
        given = _at(obj, "status", "loadBalancer", "ingress", default=[])
        return ",".join(entry.get("ip") or entry.get("hostname", "") for entry in given) or "<pending>"
    return ",".join(_at(obj, "spec", "externalIPs", default=[])) or NONE


def _completions(obj: Obj) -> Cell:
    return f"{_at(obj, 'status', 'succeeded', default=0)}/{_at(obj, 'spec', 'completions', default=1)}"


def _job_status(obj: Obj) -> Cell:
    for condition in _at(obj, "status", "conditions", default=[]):
        if condition.get("status") == "True" and condition.get("type") in {"Complete", "Failed", "Suspended"}:
            return str(condition["type"])
    return "Terminating" if _at(obj, "metadata", "deletionTimestamp") else "Running"


def _job_duration(obj: Obj) -> Cell:
    start, end = _at(obj, "status", "startTime"), _at(obj, "status", "completionTime")
    if not start:
        return ""
    if not end:
        return age(start)
    span = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return duration(int(span.total_seconds()))


def _last_schedule(obj: Obj) -> Cell:
    last = _at(obj, "status", "lastScheduleTime")
    return age(last) if last else NONE


def _hosts(obj: Obj) -> Cell:
    hosts = [rule.get("host") or "*" for rule in _at(obj, "spec", "rules", default=[])]
    return ",".join(hosts) or "*"


def _ingress_address(obj: Obj) -> Cell:
    given = _at(obj, "status", "loadBalancer", "ingress", default=[])
    return ",".join(entry.get("ip") or entry.get("hostname", "") for entry in given)


def _ingress_ports(obj: Obj) -> Cell:
    return "80, 443" if _at(obj, "spec", "tls") else "80"


def _selector(*path: str) -> Getter:
    def shown(obj: Obj) -> Cell:
        chosen = _at(obj, *path, default={})
        labels = chosen.get("matchLabels", {})
        return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE

    return shown


def _scaled(obj: Obj) -> Cell:
    ref = _at(obj, "spec", "scaleTargetRef", default={})
    return f"{ref.get('kind')}/{ref.get('name')}"


def _targets(obj: Obj) -> Cell:
    parts = []
    current = _at(obj, "status", "currentMetrics", default=[])
    for index, metric in enumerate(_at(obj, "spec", "metrics", default=[])):
        name = _at(metric, "resource", "name", default=str(metric.get("type", "")).lower())
        wanted = _at(metric, "resource", "target", "averageUtilization", default=UNKNOWN)
        now = (
            _at(current[index], "resource", "current", "averageUtilization") if index < len(current) else None
        )
        parts.append(f"{name}: {UNKNOWN if now is None else f'{now}%'}/{wanted}%")
    return ", ".join(parts) or NONE


def _node_status(obj: Obj) -> Cell:
    for condition in _at(obj, "status", "conditions", default=[]):
        if condition.get("type") == "Ready":
            said = "Ready" if condition.get("status") == "True" else "NotReady"
            return said + (",SchedulingDisabled" if _at(obj, "spec", "unschedulable") else "")
    return "Unknown"


def _event_object(obj: Obj) -> Cell:
    about = _at(obj, "involvedObject", default={})
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _modes(obj: Obj) -> Cell:
    short = {
        "ReadWriteOnce": "RWO",
        "ReadOnlyMany": "ROX",
        "ReadWriteMany": "RWX",
        "ReadWriteOncePod": "RWOP",
    }
    return ",".join(short.get(mode, mode) for mode in _at(obj, "spec", "accessModes", default=[]))


def _role(obj: Obj) -> Cell:
    return f"{_at(obj, 'roleRef', 'kind')}/{_at(obj, 'roleRef', 'name')}"


_REPLICAS = (
    ("Ready", _ready_of),
    ("Up-to-date", _field("status", "updatedReplicas", default=0)),
    ("Available", _field("status", "availableReplicas", default=0)),
)
_COLUMNS: dict[str, tuple[tuple[str, Getter], ...]] = {
    "Pod": (("Ready", _pod_ready), ("Status", _pod_status), ("Restarts", _restarts)),
    "Deployment": _REPLICAS,
    "StatefulSet": (("Ready", _ready_of),),
    "ReplicaSet": (
        ("Desired", _field("spec", "replicas", default=0)),
        ("Current", _field("status", "replicas", default=0)),
        ("Ready", _field("status", "readyReplicas", default=0)),
    ),
    "Service": (
        ("Type", _field("spec", "type")),
        ("Cluster-IP", _field("spec", "clusterIP")),
        ("External-IP", _external),
        ("Port(s)", _service_ports),
    ),
    "Job": (("Status", _job_status), ("Completions", _completions), ("Duration", _job_duration)),
    "CronJob": (
        ("Schedule", _field("spec", "schedule")),
        ("Timezone", _field("spec", "timeZone")),
        ("Suspend", lambda obj: str(bool(_at(obj, "spec", "suspend", default=False)))),
        ("Active", _count("status", "active")),
        ("Last Schedule", _last_schedule),
    ),
    "Ingress": (
        ("Class", _field("spec", "ingressClassName")),
        ("Hosts", _hosts),
        ("Address", _ingress_address),
        ("Ports", _ingress_ports),
    ),
    "NetworkPolicy": (("Pod-Selector", _selector("spec", "podSelector")),),
    "ConfigMap": (("Data", _count("data")),),
    "Secret": (("Type", _field("type")), ("Data", _count("data"))),
    "Namespace": (("Status", _field("status", "phase")),),
    "Node": (
        ("Status", _node_status),
        ("Version", _field("status", "nodeInfo", "kubeletVersion", default="")),
    ),
    "PersistentVolumeClaim": (
        ("Status", _field("status", "phase")),
        ("Volume", _field("spec", "volumeName", default="")),
        ("Capacity", _field("status", "capacity", "storage", default="")),
        ("Access Modes", _modes),
        ("StorageClass", _field("spec", "storageClassName", default="")),
    ),
    "PersistentVolume": (
        ("Capacity", _field("spec", "capacity", "storage", default="")),
        ("Access Modes", _modes),
        ("Reclaim Policy", _field("spec", "persistentVolumeReclaimPolicy")),
        ("Status", _field("status", "phase")),
        ("Claim", _field("spec", "claimRef", "name", default="")),
        ("StorageClass", _field("spec", "storageClassName", default="")),
    ),
    "HorizontalPodAutoscaler": (
        ("Reference", _scaled),
        ("Targets", _targets),
        ("MinPods", _field("spec", "minReplicas")),
        ("MaxPods", _field("spec", "maxReplicas")),
        ("Replicas", _field("status", "currentReplicas", default=0)),
    ),
    "PodDisruptionBudget": (
        ("Min Available", _field("spec", "minAvailable", default="N/A")),
        ("Max Unavailable", _field("spec", "maxUnavailable", default="N/A")),
        ("Allowed Disruptions", _field("status", "disruptionsAllowed", default=0)),
    ),
    "RoleBinding": (("Role", _role),),
    "ClusterRoleBinding": (("Role", _role),),
    "StorageClass": (
        ("Provisioner", _field("provisioner")),
        ("ReclaimPolicy", _field("reclaimPolicy")),
        ("VolumeBindingMode", _field("volumeBindingMode")),
    ),
    "Lease": (("Holder", _field("spec", "holderIdentity", default="")),),
}
_EVENT = (
    ("Last Seen", lambda obj: age(obj.get("lastTimestamp") or _at(obj, "metadata", "creationTimestamp"))),
    ("Type", _field("type", default="")),
    ("Reason", _field("reason", default="")),
    ("Object", _event_object),
    ("Message", _field("message", default="")),
)


def table(kind: Kind, objs: Iterable[Obj]) -> Obj:
    """Return ``columnDefinitions`` and ``rows`` (cells only) of a Table for objects of a kind."""
    if kind.kind == "Event" and not kind.custom:
        columns: tuple[tuple[str, Getter], ...] = _EVENT
    elif kind.custom:
        columns = (("Name", _name), *_custom_columns(kind), ("Age", _age))
    else:
        columns = (("Name", _name), *_COLUMNS.get(kind.kind, ()), ("Age", _age))
    head = [
        {
            "name": name,
            "type": "string",
            "format": "name" if name == "Name" else "",
            "description": "",
            "priority": 0,
        }
        for name, _ in columns
    ]
    return {"columnDefinitions": head, "rows": [{"cells": [get(obj) for _, get in columns]} for obj in objs]}


def _custom_columns(kind: Kind) -> list[tuple[str, Getter]]:
    made: list[tuple[str, Getter]] = []
    for column in (kind.definition or {}).get("additionalPrinterColumns") or ():
        path = column.get("jsonPath", "")
        if path == ".metadata.creationTimestamp" or column.get("priority"):
            continue
        is_date = column.get("type") == "date"
        made.append((column.get("name", ""), _by_path(path, date=is_date)))
    return made


def _by_path(path: str, *, date: bool) -> Getter:
    """Follow a JSONPath of names and of filters like ``[?(@.type=="Ready")]``."""
    parts = re.findall(r'\.([\w\-]+)|\[\?\(@\.(\w+)\s*==\s*"([^"]*)"\)\]|\[(\d+)\]', path)

    def get(obj: Obj) -> Cell:
        here: Any = obj
        for name, key, value, index in parts:
            if name:
                here = here.get(name) if isinstance(here, dict) else None
            elif key and isinstance(here, list):
                here = next((item for item in here if item.get(key) == value), None)
            elif index and isinstance(here, list):
                here = here[int(index)] if int(index) < len(here) else None
        if here is None:
            return ""
        return age(here) if date else here if isinstance(here, (str, int)) else str(here)

    return get
