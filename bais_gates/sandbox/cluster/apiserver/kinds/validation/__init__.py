"""The rules of the kinds, in the API server's words: what makes a 422, cause by cause."""

from __future__ import annotations

from bais_gates.sandbox.cluster.apiserver.kinds.errors import Cause
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj
from bais_gates.sandbox.cluster.apiserver.kinds.validation import (
    definitions,
    fields,
    meta,
    objects,
    structural,
    updates,
)

_JUDGED_BY_UPDATE_ALONE = frozenset({"Pod", "PersistentVolumeClaim"})


def causes_of_create(kind: Kind, obj: Obj) -> list[Cause]:
    """Return why a fresh object may not be stored; nothing if it may."""
    return meta.causes(kind, obj) + _rules(kind, obj)


def causes_of_update(kind: Kind, old: Obj, new: Obj, subresource: str | None) -> list[Cause]:
    """Return why ``new`` may not take the place of ``old``; nothing if it may."""
    violations = meta.update_causes(old, new) + meta.causes(kind, new)
    if kind.custom:
        return violations + structural.causes(kind, new)
    if subresource == "status":
        return violations
    if kind.kind not in _JUDGED_BY_UPDATE_ALONE:
        violations += _rules(kind, new)
    update = updates.KINDS.get(kind.kind)
    return violations + (update(old, new) if update is not None else [])


def _rules(kind: Kind, obj: Obj) -> list[Cause]:
    if kind.custom:
        return structural.causes(kind, obj)
    if kind.kind == "CustomResourceDefinition":
        return definitions.definition(obj)
    whole = objects.KINDS.get(kind.kind)
    return (whole(obj) if whole else []) + fields.causes(kind.node, obj, "", objects.PARTS)
