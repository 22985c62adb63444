"""Whose a namespace is: one that staging did not make is never touched.

Every object that staging makes carries the label ``bais-gates/owner`` with the name of the environment it was
made for. A namespace with the same label is ours to provision anew and to take away; any other is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bais_gates.staging.errors import StageCode, StageError

if TYPE_CHECKING:
    from collections.abc import Mapping

OWNER: Final = "bais-gates/owner"
"""Label: the environment that the object was made for."""
RUN: Final = "bais-gates/run"
"""Annotation of the namespace: the run that provisioned it last, and so takes it away at its end."""
KEPT: Final = "bais-gates/kept"
"""Annotation of the namespace: ``true`` when a person asked for it to stay."""


def owner_of(obj: Mapping[str, Any]) -> str | None:
    """Return the owner that an object's label names, None without one."""
    labels = (obj.get("metadata") or {}).get("labels") or {}
    owner = labels.get(OWNER)
    return str(owner) if owner else None


def annotation(obj: Mapping[str, Any], name: str) -> str | None:
    """Return an annotation of an object, None without one."""
    return ((obj.get("metadata") or {}).get("annotations") or {}).get(name)


def is_terminating(namespace: Mapping[str, Any]) -> bool:
    """Return whether a namespace is on its way out."""
    leaving = (namespace.get("metadata") or {}).get("deletionTimestamp")
    return bool(leaving) or (namespace.get("status") or {}).get("phase") == "Terminating"


def require_own(namespace: Mapping[str, Any], owner: str) -> None:
    """Raise ``StageError`` unless the namespace carries this owner's label."""
    found = owner_of(namespace)
    if found == owner:
        return
    name = namespace["metadata"]["name"]
    whose = f"it belongs to {found!r}" if found else "it has no label bais-gates/owner"
    raise StageError(
        StageCode.NAMESPACE_FOREIGN,
        f"The namespace {name} exists and was not made by `bais-gates stage` for the environment {owner!r}: "
        f"{whose}. It is left exactly as it is",
    )


def owned(obj: dict[str, Any], owner: str) -> dict[str, Any]:
    """Return the object with the owner's label on it."""
    metadata = obj.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), OWNER: owner}
    return {**obj, "metadata": {**metadata, "labels": labels}}


def why_terminating(namespace: Mapping[str, Any]) -> str:
    """Return what holds a namespace that is being deleted, from its conditions; empty without any."""
    conditions = (namespace.get("status") or {}).get("conditions") or []
    told = [
        str(one.get("message") or one.get("reason"))
        for one in conditions
        if one.get("status") == "True" and str(one.get("type", "")).startswith("Namespace")
    ]
    return "; ".join(told)
