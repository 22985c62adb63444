"""What holds for ConfigMaps, Secrets, claims, volumes, storage classes and service accounts."""

from __future__ import annotations

from decimal import Decimal

from bais_gates.sandbox.cluster.apiserver.kinds.errors import (
    Cause,
    forbidden,
    invalid,
    not_supported,
    required,
)
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Obj
from bais_gates.sandbox.cluster.apiserver.kinds.quantity import value_of
from bais_gates.sandbox.cluster.apiserver.kinds.validation import meta, names

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
SIZE_LIMIT = 1024 * 1024
SECRET_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
CLAIM_UPDATE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for "
    "bound claims"
)


def config_map(obj: Obj) -> list[Cause]:
    """Return what is wrong with a ConfigMap."""
    found: list[Cause] = []
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    for key in sorted(data):
        found += [invalid(f"data[{key}]", key, said) for said in names.config_key(key)]
        if key in binary:
            found.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    for key in sorted(binary):
        found += [invalid(f"binaryData[{key}]", key, said) for said in names.config_key(key)]
    size = sum(len(str(value).encode()) for value in (*data.values(), *binary.values()))
    return [*found, *_too_big(size, "")]


def _too_big(size: int, field: str) -> list[Cause]:
    if size <= SIZE_LIMIT:
        return []
    return [
        Cause(
            reason="FieldValueTooLong",
            message=f"Too long: may not be more than {SIZE_LIMIT} bytes",
            field=field,
        )
    ]


def secret(obj: Obj) -> list[Cause]:
    """Return what is wrong with a Secret."""
    data = obj.get("data") or {}
    found: list[Cause] = []
    for key in sorted(data):
        found += [invalid(f"data[{key}]", key, said) for said in names.config_key(key)]
    found += _too_big(sum(len(str(value)) * 3 // 4 for value in data.values()), "data")
    kind = obj.get("type")
    for key in SECRET_KEYS.get(str(kind), ()):
        if key not in data:
            found.append(required(f"data[{key}]"))
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & data.keys():
        found += [required("data[username]"), required("data[password]")]
    if kind == "kubernetes.io/service-account-token":
        annotation = "kubernetes.io/service-account.name"
        if not (obj["metadata"].get("annotations") or {}).get(annotation):
            found.append(required(f"metadata.annotations[{annotation}]"))
    return found


def updated_data(old: Obj, new: Obj, kind: str) -> list[Cause]:
    """Return what an update of a ConfigMap or Secret changes though it may not."""
    found: list[Cause] = []
    if kind == "Secret":
        found += meta.unchanged(old.get("type"), new.get("type"), "type")
    if old.get("immutable"):
        said = "field is immutable when `immutable` is set"
        if not new.get("immutable"):
            found.append(forbidden("immutable", said))
        found += [
            forbidden(key, said)
            for key in ("data", "binaryData")
            if (old.get(key) or {}) != (new.get(key) or {})
        ]
    return found


def claim(obj: Obj) -> list[Cause]:
    """Return what is wrong with a PersistentVolumeClaim."""
    return claim_spec(obj["spec"], "spec")


def claim_spec(spec: Obj, field: str) -> list[Cause]:
    """Return what is wrong with the specification of a claim."""
    found: list[Cause] = []
    modes = spec.get("accessModes") or []
    if not modes:
        found.append(required(f"{field}.accessModes", "at least 1 access mode is required"))
    found += meta.selector(spec.get("selector"), f"{field}.selector")
    for mode in modes:
        if mode not in ACCESS_MODES:
            found.append(not_supported(f"{field}.accessModes", mode, ACCESS_MODES))
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        said = "may not use ReadWriteOncePod with other access modes"
        found.append(forbidden(f"{field}.accessModes", said))
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        found.append(required(f"{field}.resources[storage]"))
    elif (value_of(str(size)) or 0) <= 0:
        found.append(invalid(f"{field}.resources[storage]", size, "must be greater than zero"))
    name = spec.get("storageClassName")
    if name:
        found += [invalid(f"{field}.storageClassName", name, said) for said in names.dns_subdomain(name)]
    mode = spec.get("volumeMode")
    return found + meta.one_of(mode, ("Block", "Filesystem"), f"{field}.volumeMode")


def updated_claim(old: Obj, new: Obj) -> list[Cause]:
    """Return what an update of a claim changes though it may not."""
    before, after = dict(old["spec"]), dict(new["spec"])
    bound = (old.get("status") or {}).get("phase") == "Bound"
    size, was = (_size(spec) for spec in (after, before))
    found: list[Cause] = []
    if not before.get("volumeName"):
        before["volumeName"] = after.get("volumeName")
    before.setdefault("volumeName", None)
    after.setdefault("volumeName", None)
    if bound:
        for spec in (before, after):
            spec.pop("resources", None)
            spec.pop("volumeAttributesClassName", None)
    if before != after:
        found.append(forbidden("spec", CLAIM_UPDATE))
    elif size is not None and was is not None and size < was:
        said = "field can not be less than status.capacity"
        found.append(forbidden("spec.resources.requests.storage", said))
    return found


def _size(spec: Obj) -> Decimal | None:
    return value_of(str(((spec.get("resources") or {}).get("requests") or {}).get("storage", "")))


def volume(obj: Obj) -> list[Cause]:
    """Return what is wrong with a PersistentVolume."""
    spec = obj["spec"]
    found: list[Cause] = []
    if not spec.get("accessModes"):
        found.append(required("spec.accessModes"))
    modes = spec.get("accessModes") or ()
    found += [
        not_supported("spec.accessModes", each, ACCESS_MODES) for each in modes if each not in ACCESS_MODES
    ]
    if not spec.get("capacity"):
        found.append(required("spec.capacity"))
    elif "storage" not in spec["capacity"]:
        found.append(not_supported("spec.capacity", spec["capacity"], ("storage",)))
    elif (value_of(str(spec["capacity"]["storage"])) or 0) <= 0:
        size = spec["capacity"]["storage"]
        found.append(invalid("spec.capacity[storage]", size, "must be greater than zero"))
    policy = spec.get("persistentVolumeReclaimPolicy")
    choices = ("Delete", "Recycle", "Retain")
    found += meta.one_of(policy, choices, "spec.persistentVolumeReclaimPolicy")
    path = (spec.get("hostPath") or {}).get("path")
    if "hostPath" in spec and not path:
        found.append(required("spec.hostPath.path"))
    if not any(key in spec for key in ("hostPath", "nfs", "csi", "local", "iscsi", "fc")):
        found.append(required("spec", "must specify a volume type"))
    return found


def storage_class(obj: Obj) -> list[Cause]:
    """Return what is wrong with a StorageClass."""
    found: list[Cause] = []
    provisioner = obj.get("provisioner", "")
    if not provisioner:
        found.append(required("provisioner"))
    else:
        found += [
            invalid("provisioner", provisioner, said) for said in names.qualified_name(provisioner.lower())
        ]
    found += meta.one_of(obj.get("reclaimPolicy"), ("Delete", "Retain"), "reclaimPolicy")
    mode = obj.get("volumeBindingMode")
    return found + meta.one_of(mode, ("Immediate", "WaitForFirstConsumer"), "volumeBindingMode")


def updated_storage_class(old: Obj, new: Obj) -> list[Cause]:
    """Return what an update of a StorageClass changes though it never changes."""
    found: list[Cause] = []
    if (old.get("parameters") or {}) != (new.get("parameters") or {}):
        found.append(forbidden("parameters", "updates to parameters are forbidden."))
    if old.get("provisioner") != new.get("provisioner"):
        found.append(forbidden("provisioner", "updates to provisioner are forbidden."))
    if old.get("reclaimPolicy") != new.get("reclaimPolicy"):
        found.append(forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden."))
    was, has = old.get("volumeBindingMode"), new.get("volumeBindingMode")
    return found + meta.unchanged(was, has, "volumeBindingMode")
