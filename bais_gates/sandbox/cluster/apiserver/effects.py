"""What a write brings with it: addresses of Services, a namespace's own fields, kinds that a CRD defines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver import kinds
from bais_gates.sandbox.cluster.apiserver.core import now, type_of

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.apiserver.core import Core
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind

Object = dict[str, Any]
CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")
SERVICES = ("", "services")


def before_create(kind: Kind, obj: Object) -> Object:
    """Return a new namespace with the label of its own name; any other object as it is."""
    if type_of(kind) != ("", "namespaces"):
        return obj
    labels = {**(obj["metadata"].get("labels") or {})}
    labels["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")
    return {**obj, "metadata": {**obj["metadata"], "labels": labels}}


def with_address(core: Core, kind: Kind, made: Object) -> Object:
    """Return a Service with an address of 10.0.0.0/16 that no other has, unless it has one or needs none."""
    if type_of(kind) != SERVICES or made["spec"].get("type") == "ExternalName":
        return made
    address = made["spec"].get("clusterIP")
    if not address:
        taken = {(each.get("spec") or {}).get("clusterIP") for each in core.store.items(SERVICES)}
        numbers = (f"10.0.{number // 250}.{number % 250 + 1}" for number in range(64_000))
        address = next(each for each in numbers if each not in taken)
    given = {
        "clusterIP": address,
        "clusterIPs": [address],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
    }
    return {**made, "spec": {**given, **made["spec"]}}


def after_write(core: Core, kind: Kind, old: Object | None, kept: Object | None) -> Object:
    """Do what follows from a write that is done; returns the object as it is then."""
    if type_of(kind) != CRDS:
        return kept if kept is not None else (old or {})
    if kept is None:
        core.registry.unregister_crd((old or {})["metadata"]["name"])
        _forget_custom_objects(core, old or {})
        return old or {}
    if kept["metadata"].get("deletionTimestamp"):
        return kept
    core.registry.register_crd(kept)
    if old is not None and _established(kept) and old.get("spec") == kept.get("spec"):
        return kept
    return _establish(core, kept)


def _established(crd: Object) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _establish(core: Core, crd: Object) -> Object:
    """Note in the status, as the real server's controllers do, that the names are accepted and served."""
    made = {**crd, "status": kinds.established(crd, now())}
    if made == crd:
        return crd
    return core.store.put(CRDS, ("", crd["metadata"]["name"]), made)


def _forget_custom_objects(core: Core, crd: Object) -> None:
    type_ = (crd["spec"]["group"], crd["spec"]["names"]["plural"])
    for obj in core.store.items(type_):
        core.store.remove(type_, (obj["metadata"].get("namespace", ""), obj["metadata"]["name"]))
    core.store.drop_type(type_)
