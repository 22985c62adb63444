"""The rules of the kinds, in the API server's words: what makes a 422, cause by cause."""

from __future__ import annotations

from bais_gates.sandbox.cluster.kinds.errors import Cause
from bais_gates.sandbox.cluster.kinds.kind import Kind, Obj


def causes_of_create(kind: Kind, obj: Obj) -> list[Cause]:
    """Return why a fresh object may not be stored; nothing if it may."""
    return []


def causes_of_update(kind: Kind, old: Obj, new: Obj, subresource: str | None) -> list[Cause]:
    """Return why ``new`` may not take the place of ``old``; nothing if it may."""
    return []


def warnings_of(kind: Kind, obj: Obj) -> tuple[str, ...]:
    """Return what the API server warns about though it stores the object."""
    return ()
