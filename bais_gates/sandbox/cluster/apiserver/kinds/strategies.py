"""What happens to an object between reading and storing: generated parts, and who may change which part."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds import pod_defaults
from bais_gates.sandbox.cluster.apiserver.kinds.decoding import written
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj

KEEPS_STATUS_WHEN_CREATED = frozenset({"Node"})
# What of the metadata a write of the status leaves as it was.
_KEPT_BESIDE_STATUS = {"Pod": ("ownerReferences",), "Deployment": ("labels",)}
_REACHED_FROM_OUTSIDE = frozenset({"NodePort", "LoadBalancer"})
CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"


def before_create(kind: Kind, obj: Obj) -> None:
    """Do to a fresh object what the API server does before it stores it: in place."""
    if kind.custom:
        if "status" in kind.subresources:
            obj.pop("status", None)
        return
    if "status" in kind.subresources and kind.kind not in KEEPS_STATUS_WHEN_CREATED:
        _reset_status(kind, obj)
    match kind.kind:
        case "Pod":
            pod_defaults.admitted_pod(obj)
        case "Service":
            _addresses(obj, {})
        case "Job":
            _job_selector(obj)
        case "Namespace":
            _namespace(obj)
        case "PersistentVolumeClaim":
            _protect(obj, "kubernetes.io/pvc-protection")
        case "PersistentVolume":
            _protect(obj, "kubernetes.io/pv-protection")


def before_update(kind: Kind, old: Obj, new: Obj, subresource: str | None) -> Obj:
    """Return the new object with what this request may not change taken from the old one."""
    if subresource == "status":
        return _only_status(kind, old, new)
    made = dict(new)
    if "status" in kind.subresources:
        made.pop("status", None)
        if "status" in old:
            made["status"] = old["status"]
    if kind.custom:
        return made
    if kind.kind == "Pod":
        made["spec"] = pod_defaults.with_default_tolerations(made["spec"])
    elif kind.kind == "Service":
        made["spec"] = _without_old_type(made["spec"], old.get("spec") or {})
        _addresses(made, old.get("spec") or {})
    elif kind.kind == "Namespace":
        made["spec"] = old.get("spec", {})
    elif kind.kind == "Job":
        _keep_job_selector(made, old)
    elif kind.kind == "Secret" and "type" not in new:
        made["type"] = old.get("type")
    return made


def _only_status(kind: Kind, old: Obj, new: Obj) -> Obj:
    """Return ``old`` with the status of ``new``; of the built-in kinds the labels and notes go with it."""
    made = dict(old)
    made.pop("status", None)
    if "status" in new:
        made["status"] = new["status"]
    whole = kind.custom or kind.kind == "CustomResourceDefinition"
    meta = dict(old["metadata"] if whole else new["metadata"])
    for key in () if whole else _KEPT_BESIDE_STATUS.get(kind.kind, ()):
        meta.pop(key, None)
        if key in old["metadata"]:
            meta[key] = old["metadata"][key]
    for key in ("managedFields", "resourceVersion"):
        if key in new["metadata"]:
            meta[key] = new["metadata"][key]
    made["metadata"] = meta
    return made


def _reset_status(kind: Kind, obj: Obj) -> None:
    obj["status"] = written(kind.node.fields["status"])
    if kind.kind in {"PersistentVolumeClaim", "PersistentVolume"}:
        obj["status"]["phase"] = "Pending"


def _namespace(obj: Obj) -> None:
    obj["status"] = {"phase": "Active"}
    finalizers = obj["spec"].setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")


def _protect(obj: Obj, finalizer: str) -> None:
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if finalizer not in finalizers:
        finalizers.append(finalizer)


def _digest(obj: Obj, salt: str = "") -> int:
    meta = obj["metadata"]
    text = f"{meta.get('namespace')}/{meta.get('name')}/{salt}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def _without_old_type(spec: Obj, old: Obj) -> Obj:
    """Return a Service's specification without what only its type before needed and nobody changed."""
    made, kind = dict(spec), spec.get("type")
    if kind == "ExternalName" and made.get("clusterIP") in {None, "", old.get("clusterIP")}:
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            made.pop(key, None)
    if kind in _REACHED_FROM_OUTSIDE or old.get("type") not in _REACHED_FROM_OUTSIDE:
        return made
    if made.get("externalTrafficPolicy") == old.get("externalTrafficPolicy"):
        made.pop("externalTrafficPolicy", None)
    numbers = [[port.get("nodePort") for port in each.get("ports") or ()] for each in (made, old)]
    if numbers[0] == numbers[1]:
        made["ports"] = [
            {key: value for key, value in port.items() if key != "nodePort"}
            for port in made.get("ports") or ()
        ]
    return made


def _addresses(obj: Obj, old: Obj) -> None:
    """Give a Service its address and node ports, or keep those that it has.

    The address comes from the Service's name, in 10.0.0.0/16: no state is kept for it.
    """
    spec = obj["spec"]
    if spec.get("type") == "ExternalName":
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            spec.pop(key, None)
        return
    if not spec.get("clusterIP"):
        number = _digest(obj)
        spec["clusterIP"] = old.get("clusterIP") or f"10.0.{number % 255}.{number // 255 % 253 + 2}"
    if not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    spec.setdefault("ipFamilies", old.get("ipFamilies") or ["IPv4"])
    spec.setdefault("ipFamilyPolicy", old.get("ipFamilyPolicy") or "SingleStack")
    if spec.get("type") in {"NodePort", "LoadBalancer"}:
        had = {
            (port.get("port"), port.get("protocol")): port.get("nodePort") for port in old.get("ports", ())
        }
        spec["ports"] = [
            port
            if port.get("nodePort")
            else {
                **port,
                "nodePort": had.get((port.get("port"), port.get("protocol")))
                or 30000 + _digest(obj, str(port.get("port"))) % 2768,
            }
            for port in spec.get("ports", ())
        ]


def _job_selector(obj: Obj) -> None:
    spec = obj["spec"]
    if spec.get("manualSelector"):
        return
    uid = obj["metadata"].setdefault("uid", str(uuid.uuid4()))
    name = obj["metadata"].get("name", "")
    template = spec["template"]["metadata"]
    labels: dict[str, Any] = template.setdefault("labels", {})
    for key, value in (
        ("job-name", name),
        (JOB_NAME, name),
        ("controller-uid", uid),
        (CONTROLLER_UID, uid),
    ):
        labels.setdefault(key, value)
    selector = spec.setdefault("selector", {}).setdefault("matchLabels", {})
    selector.setdefault(CONTROLLER_UID, uid)
    if not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = dict(labels)


def _keep_job_selector(made: Obj, old: Obj) -> None:
    """Let an update that leaves the generated selector out keep it, as an applied manifest does."""
    spec = dict(made["spec"])
    if "selector" not in spec and "selector" in old["spec"]:
        spec["selector"] = old["spec"]["selector"]
    made["spec"] = spec
