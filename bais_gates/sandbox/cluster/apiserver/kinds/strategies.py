"""What happens to an object between reading and storing: generated parts, and who may change which part."""

from __future__ import annotations

import uuid
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds import pod_defaults
from bais_gates.sandbox.cluster.apiserver.kinds.decoding import written
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj

KEEPS_STATUS_WHEN_CREATED = frozenset({"Node"})
# What of the metadata a write of the status leaves as it was.
_KEPT_BESIDE_STATUS = {"Pod": ("ownerReferences",), "Deployment": ("labels",)}
_ADDRESS = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
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
            _keep_address(obj["spec"], {})
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
        made["spec"] = dict(made["spec"])
        _keep_address(made["spec"], old["spec"])
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


def _keep_address(spec: Obj, old: Obj) -> None:
    """Let a Service keep the address that it has; an ExternalName has none."""
    for key in _ADDRESS:
        if spec.get("type") == "ExternalName":
            spec.pop(key, None)
        elif not spec.get(key) and key in old:
            spec[key] = old[key]


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
