"""Create, update and patch: what the server adds to an object, and what it refuses.

The steps: the namespace takes it, decode and the kind's rules, Pod Security, field owners, the write.
"""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver import kinds
from bais_gates.sandbox.cluster.apiserver.admission import admit_into, admit_pod
from bais_gates.sandbox.cluster.apiserver.bodies import go_type
from bais_gates.sandbox.cluster.apiserver.core import (
    check_identity,
    key_of,
    now,
    prepared,
    resource_of,
    type_of,
)
from bais_gates.sandbox.cluster.apiserver.effects import after_write, before_create, with_address
from bais_gates.sandbox.cluster.apiserver.statuses import (
    MODIFIED,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    invalid,
    not_found,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.sandbox.cluster.apiserver.core import Core, WriteOptions
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind
    from bais_gates.sandbox.cluster.apiserver.request import Request

Object = dict[str, Any]
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
"""Letters of generated names: no vowels, so that no word comes out."""
_LONGEST_PREFIX = 58
# kinds whose metadata.generation counts changes of their specification
_GENERATION = frozenset(
    {
        "deployments",
        "replicasets",
        "statefulsets",
        "jobs",
        "cronjobs",
        "pods",
        "ingresses",
        "ingressclasses",
        "networkpolicies",
        "poddisruptionbudgets",
        "endpointslices",
        "customresourcedefinitions",
    }
)
_UNCONDITIONAL = frozenset({"leases", "poddisruptionbudgets", "customresourcedefinitions"})
"""Kinds that are never replaced without saying which version is."""
_CREATED_BY_UPDATE = frozenset({"events", "endpoints", "leases"})


def create(
    core: Core, request: Request, kind: Kind, body: Object, *, namespace: str, options: WriteOptions
) -> Object:
    """Make an object; returns it as kept (or, on a dry run, as it would be)."""
    metadata = _fresh_metadata(core, kind, namespace, body)
    name = metadata["name"]
    managed = metadata.pop("managedFields", None)
    body = before_create(kind, {**body, "metadata": metadata})
    admit_into(core, kind, namespace, name)
    rules = prepared(
        request, kind, options, name, lambda: kinds.prepare_create(kind, body, strict=options.strict)
    )
    admit_pod(core, request, kind, rules.obj)
    made = with_address(core, kind, {**rules.obj, "metadata": _without_empty(rules.obj["metadata"])})
    if kind.custom or kind.plural in _GENERATION:
        made["metadata"]["generation"] = 1
    if managed is None:
        made = kinds.track_update(
            kind,
            None,
            made,
            decoded=rules.read,
            manager=options.manager,
            operation="Update",
            subresource=None,
            now=now(),
        )
    elif managed:
        made["metadata"]["managedFields"] = managed
    key = key_of(kind, namespace, name)
    if core.store.get(type_of(kind), key) is not None:
        raise already_exists(resource_of(kind), name)
    if options.dry_run:
        return made
    kept = core.store.put(type_of(kind), key, made)
    return after_write(core, kind, None, kept)


def _fresh_metadata(core: Core, kind: Kind, namespace: str, body: Object) -> Object:
    """Return the metadata of an object that is to be made: what the client says, and what the server does."""
    metadata = _own_metadata(body)
    if kind.namespaced and not namespace:
        raise bad_request("an empty namespace may not be set during creation")
    check_identity(kind, metadata, namespace, metadata.get("name") or "")
    if metadata.get("resourceVersion"):
        raise StatusError(500, "", "resourceVersion should not be set on objects to be created")
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = _generated(core, kind, namespace, str(metadata["generateName"]))
    elif not metadata.get("name"):
        message = "Required value: name or generateName is required"
        raise invalid(kind.group, kind.kind, "", [("FieldValueRequired", message, "metadata.name")])
    if kind.namespaced:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
        metadata.pop(field, None)
    return {**metadata, "uid": str(uuid.uuid4()), "creationTimestamp": now()}


def _own_metadata(body: Object) -> Object:
    metadata = body.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise bad_request("metadata must be an object")
    for field in ("name", "generateName", "namespace", "resourceVersion", "uid"):
        value = metadata.get(field)
        if value is not None and not isinstance(value, str):
            raise bad_request(
                f"json: cannot unmarshal {type(value).__name__} into Go struct field "
                f"ObjectMeta.metadata.{field} of type string"
            )
    for field in ("managedFields", "finalizers", "ownerReferences"):
        if not isinstance(metadata.get(field, []), list | None):
            raise bad_request(
                f"json: cannot unmarshal {go_type(metadata[field])} into Go struct field "
                f"ObjectMeta.metadata.{field} of type []"
            )
        if not all(
            isinstance(each, str if field == "finalizers" else dict) for each in metadata.get(field) or []
        ):
            raise bad_request(f"json: cannot unmarshal an entry of ObjectMeta.metadata.{field}")
    return dict(metadata)


def _generated(core: Core, kind: Kind, namespace: str, prefix: str) -> str:
    while True:
        suffix = "".join(secrets.choice(_SUFFIX) for _ in range(5))
        name = prefix[:_LONGEST_PREFIX] + suffix
        if core.store.get(type_of(kind), key_of(kind, namespace, name)) is None:
            return name


def replace(
    core: Core,
    request: Request,
    kind: Kind,
    body: Object,
    *,
    namespace: str,
    name: str,
    options: WriteOptions,
    subresource: str = "",
) -> tuple[Object, bool]:
    """Put ``body`` in the object's place; returns it, and whether it was made by that."""
    metadata = _own_metadata(body)
    if not metadata.get("name"):
        raise bad_request(nameless(name))
    check_identity(kind, metadata, namespace, name)
    old = core.store.get(type_of(kind), key_of(kind, namespace, name))
    if old is None:
        if subresource or kind.plural not in _CREATED_BY_UPDATE or metadata.get("uid"):
            raise not_found(resource_of(kind), name)
        return create(core, request, kind, body, namespace=namespace, options=options), True
    if not metadata.get("resourceVersion") and (kind.custom or kind.plural in _UNCONDITIONAL):
        cause = ("FieldValueInvalid", "Invalid value: 0x0: must be specified for an update")
        raise invalid(kind.group, kind.kind, name, [(*cause, "metadata.resourceVersion")])
    body = {**body, "metadata": metadata}
    return update(core, request, kind, old, body, options=options, subresource=subresource), False


def nameless(name: str) -> str:
    """Return the message for a body that names no object, in the server's words."""
    return f"the name of the object ({name} based on URL) was undeterminable: name must be provided"


def update(
    core: Core,
    request: Request,
    kind: Kind,
    old: Object,
    new: Object,
    *,
    options: WriteOptions,
    subresource: str = "",
    tracked: Callable[[Object], Object] | None = None,
) -> Object:
    """Put ``new`` in the place of ``old``: the end of every kind of change.

    ``tracked``: sets managedFields, where an apply did so already; else this write is noted as an Update.
    """
    name = old["metadata"]["name"]
    metadata = _kept_metadata(kind, old, new)
    new = {**new, "metadata": metadata}
    managed = metadata.pop("managedFields", None)
    rules = prepared(
        request,
        kind,
        options,
        name,
        lambda: kinds.prepare_update(kind, old, new, strict=options.strict, subresource=subresource or None),
    )
    if not subresource:
        admit_pod(core, request, kind, rules.obj, old)
    made = with_address(core, kind, {**rules.obj, "metadata": _without_empty(rules.obj["metadata"])})
    _set_generation(kind, old, made, subresource)
    if tracked is not None:
        made = tracked(made)
    elif managed in ([], [{}]):
        made["metadata"].pop("managedFields", None)  # the documented way to forget who owns what
    else:
        base = old if managed is None else {**old, "metadata": {**old["metadata"], "managedFields": managed}}
        made = kinds.track_update(
            kind,
            base,
            made,
            manager=options.manager,
            operation="Update",
            subresource=subresource or None,
            now=now(),
        )
    if kinds.same_but_times(old, made):
        return old
    return commit(core, kind, old, made, dry_run=options.dry_run)


def commit(core: Core, kind: Kind, old: Object, made: Object, *, dry_run: bool) -> Object:
    """Write ``made``, or remove the object if this freed it of what held its deletion up."""
    metadata = made["metadata"]
    key = key_of(kind, metadata.get("namespace", ""), metadata["name"])
    if dry_run:
        return made
    freed = (
        metadata.get("deletionTimestamp")
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not (kind.plural == "namespaces" and (made.get("spec") or {}).get("finalizers"))
    )
    if freed:
        core.store.remove(type_of(kind), key)
        after_write(core, kind, old, None)
        return made
    return after_write(core, kind, old, core.store.put(type_of(kind), key, made))


def _kept_metadata(kind: Kind, old: Object, new: Object) -> Object:
    """Check the new metadata against the old, and keep what a client doesn't decide."""
    before, metadata = old["metadata"], _own_metadata(new)
    name = before["name"]
    if metadata.get("uid") and metadata["uid"] != before["uid"]:
        why = f"UID in precondition: {metadata['uid']}, UID in object meta: {before['uid']}"
        raise conflict(resource_of(kind), name, f"Precondition failed: {why}")
    version = metadata.get("resourceVersion")
    if version and version != "0" and version != before["resourceVersion"]:
        if not version.isdecimal():
            cause = (
                "FieldValueInvalid",
                f'Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax',
                "metadata.resourceVersion",
            )
            raise invalid(kind.group, kind.kind, name, [cause])
        raise conflict(resource_of(kind), name, MODIFIED)
    if before.get("deletionTimestamp"):
        _check_finalizers(kind, name, before, metadata)
    metadata.pop("selfLink", None)
    for field in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation",
                  "generateName", "resourceVersion", "namespace"):  # fmt: skip
        if field in before:
            metadata[field] = before[field]
        else:
            metadata.pop(field, None)
    return metadata


def _without_empty(metadata: Object) -> Object:
    """Leave out what says nothing: the server keeps no empty labels or finalizers."""
    return {key: value for key, value in metadata.items() if value not in (None, {}, [], "")}


def _check_finalizers(kind: Kind, name: str, before: Object, metadata: Object) -> None:
    known = before.get("finalizers") or []
    fresh = [each for each in metadata.get("finalizers") or [] if each not in known]
    if fresh:
        listed = ", ".join(f'"{each}"' for each in fresh)
        message = (
            "Forbidden: no new finalizers can be added if the object is being deleted, "
            f"found new finalizers []string{{{listed}}}"
        )
        raise invalid(kind.group, kind.kind, name, [("FieldValueForbidden", message, "metadata.finalizers")])


def _set_generation(kind: Kind, old: Object, made: Object, subresource: str) -> None:
    before = old["metadata"].get("generation")
    if before is None:
        return
    left_out = {"metadata"}
    if kind.plural != "endpointslices" and (not kind.custom or "status" in kind.subresources):
        left_out.add("status")
    changed = not subresource and _without(old, left_out) != _without(made, left_out)
    if kind.plural == "deployments" and kind.group == "apps" and not subresource:
        # The one kind whose annotations count: a rollout's change cause is an annotation.
        notes = [each["metadata"].get("annotations") or {} for each in (old, made)]
        changed = changed or notes[0] != notes[1]
    made["metadata"]["generation"] = before + 1 if changed else before


def _without(obj: Object, fields: set[str]) -> Object:
    return {key: value for key, value in obj.items() if key not in fields}
