"""Garbage: objects whose owners are gone, and owners that wait for what they own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    is_terminating,
    namespace_of,
    owners_of,
    uid_of,
    without_finalizer,
)
from bais_gates.sandbox.cluster.controllers.resources import BY_KIND
from bais_gates.sandbox.cluster.controllers.world import Delete, Plan, Update

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"
_OWNED = frozenset(
    {"ReplicaSet", "Pod", "Job", "PersistentVolumeClaim", "EndpointSlice", "Secret", "ConfigMap"}
)
"""The kinds that are collected here: those that others of the watched kinds own."""
KINDS = (*sorted(_OWNED), "Deployment", "StatefulSet", "CronJob", "Service", "Certificate")
"""The kinds to look at: those that may be owned, and those that may own."""


def reconcile(world: World, obj: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
    """Delete ``obj`` if all its owners are gone; let a deleted owner go after its dependents."""
    plan = Plan()
    if is_terminating(obj):
        _let_go(plan, world, obj)
    elif obj["kind"] in _OWNED and owners_of(obj):
        if not any(_may_live(world, obj, ref) for ref in owners_of(obj)):
            plan.add(Delete(obj=obj))
        elif any(_waits(world.by_uid(ref["uid"])) for ref in owners_of(obj)):
            plan.add(Delete(obj=obj, propagation="Foreground" if world.dependents(obj) else "Background"))
    return plan


def related(world: World, obj: Object) -> Iterator[Object | None]:
    """Yield what to look at when ``obj`` has changed or is gone: its dependents and its owners."""
    yield from world.dependents(obj)
    yield from (world.by_uid(ref["uid"]) for ref in owners_of(obj))


def _may_live(world: World, obj: Object, ref: Object) -> bool:
    """Whether the owner exists; one of a kind that is not watched is taken to."""
    owner = world.by_uid(ref["uid"])
    if owner is None:
        return ref["kind"] not in BY_KIND
    return namespace_of(owner) in {"", namespace_of(obj)}


def _waits(owner: Object | None) -> bool:
    """Whether an owner is being deleted in the foreground."""
    finalizers = owner["metadata"].get("finalizers") or () if owner is not None else ()
    return owner is not None and is_terminating(owner) and _FOREGROUND in finalizers


def _let_go(plan: Plan, world: World, owner: Object) -> None:
    """Remove a finalizer: ``orphan`` once the dependents are cut off, the other once they are gone."""
    finalizers = owner["metadata"].get("finalizers") or ()
    dependents, uid = world.dependents(owner), uid_of(owner)
    if _ORPHAN in finalizers:
        for obj in dependents:
            kept = [ref for ref in owners_of(obj) if ref.get("uid") != uid]
            plan.add(Update({**obj, "metadata": {**obj["metadata"], "ownerReferences": kept}}))
        plan.add(Update(without_finalizer(owner, _ORPHAN)))
    elif _FOREGROUND in finalizers and not any(
        ref.get("uid") == uid and ref.get("blockOwnerDeletion")
        for obj in dependents
        for ref in owners_of(obj)
    ):
        plan.add(Update(without_finalizer(owner, _FOREGROUND)))
