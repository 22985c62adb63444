"""PATCH: JSON patch, merge patch, strategic merge patch and server-side apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver import bodies, kinds
from bais_gates.sandbox.cluster.apiserver.core import (
    check_identity,
    key_of,
    now,
    refused,
    resource_of,
    type_of,
    write_options,
)
from bais_gates.sandbox.cluster.apiserver.statuses import (
    StatusError,
    bad_request,
    conflict,
    invalid,
    not_found,
    unsupported_media_type,
)
from bais_gates.sandbox.cluster.apiserver.store import copy, encode
from bais_gates.sandbox.cluster.apiserver.writing import create, nameless, update

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.apiserver.core import Core, WriteOptions
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind
    from bais_gates.sandbox.cluster.apiserver.request import Request

Object = dict[str, Any]


def patch(
    core: Core, request: Request, kind: Kind, *, namespace: str, name: str, subresource: str = ""
) -> tuple[Object, bool]:
    """Change an object by a patch; returns it, and whether an apply made it."""
    media = bodies.media_type(request) if request.headers.get("content-type") else ""
    if not media:
        raise unsupported_media_type(bodies.accepted_patches(kind))
    patch_ = bodies.read_patch(request, kind, media)
    options = _options(request, media)
    old = core.store.get(type_of(kind), key_of(kind, namespace, name))
    if media == bodies.APPLY_PATCH:
        return _apply(
            core,
            request,
            kind,
            _checked(kind, namespace, name, patch_),
            old,
            options=options,
            subresource=subresource,
        )
    if old is None:
        raise not_found(resource_of(kind), name)
    new = patched(kind, old, patch_, media)
    metadata = new.get("metadata")
    if metadata is None:
        raise bad_request(nameless(name))
    if not isinstance(metadata, dict):
        raise _unpatchable(new, "metadata is not an object")
    _check_identity(kind, old, new, namespace)
    try:
        return update(core, request, kind, old, new, options=options, subresource=subresource), False
    except StatusError as error:
        if error.body.get("reason") != "BadRequest" or (
            " error: " not in str(error) and "json: " not in str(error)
        ):
            raise
        message = str(error).partition(f" cannot be handled as a {kind.kind}: ")[2] or str(error)
        raise _unpatchable(new, message) from error


def _options(request: Request, media: str) -> WriteOptions:
    options = write_options(request, "PatchOptions")
    causes = []
    if media == bodies.APPLY_PATCH:
        if not request.option("fieldManager"):
            causes.append(
                ("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
            )
    elif options.force is not None:
        causes.append(("FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", "force"))
    if causes:
        raise invalid("meta.k8s.io", "PatchOptions", "", causes)
    return options


def patched(kind: Kind, old: Object, patch_: Any, media: str) -> Object:
    """Return ``old`` with the patch put onto it."""
    name = old["metadata"]["name"]
    try:
        if media == bodies.JSON_PATCH:
            new = kinds.json_patch(copy(old), patch_)
        elif media == bodies.MERGE_PATCH:
            new = kinds.merge_patch(copy(old), patch_)
        else:
            new = kinds.strategic_merge(kind, copy(old), patch_)
    except kinds.KindError as error:
        raise refused(kind, name, error) from error
    if not isinstance(new, dict):
        raise _unpatchable(new, f"json: cannot unmarshal {type(new).__name__} into Go value")
    return new


def _check_identity(kind: Kind, old: Object, new: Object, namespace: str) -> None:
    name = old["metadata"]["name"]
    if not new["metadata"].get("name"):
        raise bad_request(nameless(name))
    check_identity(kind, new["metadata"], namespace, name)
    if (new.get("apiVersion"), new.get("kind")) != (old.get("apiVersion"), old.get("kind")):
        raise bad_request(
            f'{new.get("kind")} in version "{new.get("apiVersion")}" cannot be handled as a {kind.kind}'
        )


def _unpatchable(new: object, why: str) -> StatusError:
    """422 for a patch whose result can't be read as the kind: its causes name the patch, not the object."""
    shown = encode(encode(new).decode()).decode()
    return invalid("", "", "", [("FieldValueInvalid", f"Invalid value: {shown}: {why}", "patch")])


def _apply(
    core: Core,
    request: Request,
    kind: Kind,
    applied: Object,
    old: Object | None,
    *,
    options: WriteOptions,
    subresource: str,
) -> tuple[Object, bool]:
    metadata = applied["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    if old is None and subresource:
        raise not_found(resource_of(kind), name)
    if old is None and metadata.get("uid"):
        uid = metadata["uid"]
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise conflict(resource_of(kind), name, why)
    try:
        merged = kinds.apply(
            kind,
            old,
            applied,
            manager=request.option("fieldManager"),
            force=bool(options.force),
            subresource=subresource or None,
            now=now(),
        )
    except kinds.KindError as error:
        raise refused(kind, name, error) from error
    managed = merged["metadata"].get("managedFields") or []
    if old is None:
        return create(core, request, kind, merged, namespace=namespace, options=options), True
    if metadata.get("resourceVersion"):
        merged = {
            **merged,
            "metadata": {**merged["metadata"], "resourceVersion": metadata["resourceVersion"]},
        }

    def tracked(made: Object) -> Object:
        return {**made, "metadata": {**made["metadata"], "managedFields": managed}}

    made = update(core, request, kind, old, merged, options=options, subresource=subresource, tracked=tracked)
    return made, False


def _checked(kind: Kind, namespace: str, name: str, applied: Any) -> Object:
    if not isinstance(applied, dict):
        raise bad_request(
            "error decoding YAML: json: cannot unmarshal value into Go value of type map[string]interface {}"
        )
    metadata = applied.get("metadata")
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict):
        raise bad_request("metadata must be an object")
    if (applied.get("apiVersion"), applied.get("kind")) != (kind.api_version, kind.kind):
        raise bad_request(f"invalid object type: {applied.get('apiVersion')}, Kind={applied.get('kind')}")
    if metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    check_identity(kind, metadata, namespace, name)
    own = {**metadata, "name": name}
    if kind.namespaced:
        own["namespace"] = namespace
    return {**applied, "metadata": own}
