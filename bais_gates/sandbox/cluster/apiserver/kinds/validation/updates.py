"""What an update may not change, kind by kind."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from bais_gates.sandbox.cluster.apiserver.kinds.errors import Cause, forbidden, invalid, required
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Obj
from bais_gates.sandbox.cluster.apiserver.kinds.quantity import value_of
from bais_gates.sandbox.cluster.apiserver.kinds.validation import definitions, meta

_POD_UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_SET_UPDATABLE = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_SET_FREE = frozenset(
    {
        "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
    }
)  # fmt: skip
_CLAIM_UPDATABLE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for "
    "bound claims"
)


def _pod(old: Obj, new: Obj) -> list[Cause]:
    before, after = dict(old.get("spec") or {}), dict(new.get("spec") or {})
    for group in ("containers", "initContainers"):
        had, has = before.get(group) or [], after.get(group) or []
        if len(had) != len(has):
            return [forbidden(f"spec.{group}", "pod updates may not add or remove containers")]
        for index, container in enumerate(has):
            if not container.get("image"):
                return [required(f"spec.{group}[{index}].image")]
        if has:
            after[group] = [{**item, "image": was.get("image")} for item, was in zip(has, had, strict=True)]
    tolerated = [before.pop("tolerations", None) or [], after.pop("tolerations", None) or []]
    violations: list[Cause] = []
    if any(toleration not in tolerated[1] for toleration in tolerated[0]):
        message = "existing toleration can not be modified except its tolerationSeconds"
        violations.append(forbidden("spec.tolerations", message))
    if before != after:
        changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        violations.append(forbidden("spec", f"{_POD_UPDATABLE}\n  changed: {', '.join(changed)}\n"))
    return violations


def _selector(old: Obj, new: Obj) -> list[Cause]:
    return meta.unchanged(old["spec"].get("selector"), new["spec"].get("selector"), "spec.selector")


def _stateful_set(old: Obj, new: Obj) -> list[Cause]:
    before, after = (
        {key: value for key, value in obj["spec"].items() if key not in _SET_FREE} for obj in (old, new)
    )
    return [] if before == after else [forbidden("spec", _SET_UPDATABLE)]


def _job(old: Obj, new: Obj) -> list[Cause]:
    return [
        cause
        for key in ("completions", "selector", "template", "completionMode")
        for cause in meta.unchanged(old["spec"].get(key), new["spec"].get(key), f"spec.{key}")
    ]


def _service(old: Obj, new: Obj) -> list[Cause]:
    before, after = old["spec"], new["spec"]
    if "ExternalName" in {before.get("type"), after.get("type")}:
        return []
    was, has = before.get("clusterIP"), after.get("clusterIP")
    if not was or (was == has and was in (after.get("clusterIPs") or [was])):
        return []
    return [invalid("spec.clusterIPs[0]", after.get("clusterIPs") or [has], "may not change once set")]


def _data(old: Obj, new: Obj) -> list[Cause]:
    violations = meta.unchanged(old.get("type"), new.get("type"), "type")
    if not old.get("immutable"):
        return violations
    message = "field is immutable when `immutable` is set"
    if not new.get("immutable"):
        violations.append(forbidden("immutable", message))
    changed = [key for key in ("data", "binaryData") if (old.get(key) or {}) != (new.get(key) or {})]
    return violations + [forbidden(key, message) for key in changed]


def _claim(old: Obj, new: Obj) -> list[Cause]:
    before, after = dict(old["spec"]), dict(new["spec"])
    size, was = _size(after), _size(before)
    if not before.get("volumeName"):  # who binds it says which
        before["volumeName"] = after.get("volumeName")
    before.setdefault("volumeName", None)
    after.setdefault("volumeName", None)
    if (old.get("status") or {}).get("phase") == "Bound":
        for spec in (before, after):
            spec.pop("resources", None)
            spec.pop("volumeAttributesClassName", None)
    if before != after:
        return [forbidden("spec", _CLAIM_UPDATABLE)]
    if size is not None and was is not None and size < was:
        message = "field can not be less than status.capacity"
        return [forbidden("spec.resources.requests.storage", message)]
    return []


def _size(spec: Obj) -> Decimal | None:
    return value_of(str(((spec.get("resources") or {}).get("requests") or {}).get("storage", "")))


def _storage_class(old: Obj, new: Obj) -> list[Cause]:
    violations = [
        forbidden(key, f"updates to {key} are forbidden.")
        for key in ("parameters", "provisioner", "reclaimPolicy")
        if (old.get(key) or None) != (new.get(key) or None)
    ]
    was, has = old.get("volumeBindingMode"), new.get("volumeBindingMode")
    return violations + meta.unchanged(was, has, "volumeBindingMode")


def _binding(old: Obj, new: Obj) -> list[Cause]:
    if old.get("roleRef") == new.get("roleRef"):
        return []
    return [invalid("roleRef", new.get("roleRef"), "cannot change roleRef")]


KINDS: dict[str, Callable[[Obj, Obj], list[Cause]]] = {
    "Pod": _pod,
    "Deployment": _selector,
    "ReplicaSet": _selector,
    "StatefulSet": _stateful_set,
    "Job": _job,
    "Service": _service,
    "ConfigMap": _data,
    "Secret": _data,
    "PersistentVolumeClaim": _claim,
    "StorageClass": _storage_class,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "CustomResourceDefinition": definitions.updated,
}
"""Each takes the old object and the new one."""
