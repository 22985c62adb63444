"""Garbage: objects whose owners are gone, and owners that wait for what they own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import Object, is_going, name_of, namespace_of, uid_of
from bais_gates.sandbox.cluster.controllers.resources import BY_KIND
from bais_gates.sandbox.cluster.controllers.world import Delete, Plan, Update

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"
_CONTROLLED = frozenset(
    {"ReplicaSet", "Pod", "Job", "PersistentVolumeClaim", "EndpointSlice", "Endpoints", "Secret", "ConfigMap"}
)
"""The kinds that are collected here: those that others of the watched kinds own."""


def kinds() -> tuple[str, ...]:
    """Give the kinds to look at: those that may be owned, and those that may own."""
    owners = {"Deployment", "StatefulSet", "CronJob", "Service", "Certificate"}
    return tuple(kind for kind in BY_KIND if kind in _CONTROLLED | owners)


def reconcile(world: World, obj: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
    """Delete ``obj`` if all its owners are gone; let a deleted owner go once its dependents are settled."""
    plan = Plan()
    if is_going(obj):
        _let_go(plan, world, obj)
        return plan
    references = obj["metadata"].get("ownerReferences") or []
    if not references or obj["kind"] not in _CONTROLLED:
        return plan
    if any(_may_live(world, obj, ref) for ref in references):
        if any(_waits_for(world, ref) for ref in references):
            plan.add(Delete(obj=obj, propagation="Foreground" if _dependents(world, obj) else "Background"))
        return plan
    plan.add(Delete(obj=obj))
    return plan


def _may_live(world: World, obj: Object, ref: Object) -> bool:
    """Whether the owner exists; one of a kind that is not watched is taken to."""
    if ref["kind"] not in BY_KIND:
        return True
    owner = world.by_uid(str(ref["uid"]))
    return owner is not None and namespace_of(owner) in {"", namespace_of(obj)}


def _waits_for(world: World, ref: Object) -> bool:
    owner = world.by_uid(str(ref["uid"]))
    return (
        owner is not None and is_going(owner) and _FOREGROUND in (owner["metadata"].get("finalizers") or ())
    )


def _dependents(world: World, owner: Object) -> list[Object]:
    uid = uid_of(owner)
    return [
        obj
        for obj in world.everything()
        if any(ref.get("uid") == uid for ref in obj["metadata"].get("ownerReferences") or ())
    ]


def dependents_of(world: World, obj: Object) -> Iterable[Object]:
    """Give the objects to look at when ``obj`` has changed or is gone."""
    return _dependents(world, obj)


def _let_go(plan: Plan, world: World, owner: Object) -> None:
    """Take a finalizer away: ``orphan`` once the dependents are cut off, the other once they are gone."""
    finalizers = owner["metadata"].get("finalizers") or []
    if _ORPHAN in finalizers:
        for obj in _dependents(world, owner):
            kept = [ref for ref in obj["metadata"]["ownerReferences"] if ref.get("uid") != uid_of(owner)]
            plan.add(Update(obj={**obj, "metadata": {**obj["metadata"], "ownerReferences": kept}}))
        plan.add(_without(owner, _ORPHAN))
    elif _FOREGROUND in finalizers and not any(
        ref.get("blockOwnerDeletion")
        for obj in _dependents(world, owner)
        for ref in obj["metadata"]["ownerReferences"]
        if ref.get("uid") == uid_of(owner)
    ):
        plan.add(_without(owner, _FOREGROUND))


def _without(obj: Object, finalizer: str) -> Update:
    kept = [one for one in obj["metadata"].get("finalizers") or () if one != finalizer]
    return Update(obj={**obj, "metadata": {**obj["metadata"], "finalizers": kept}})


def owners_of(obj: Object) -> list[tuple[str, str, str]]:
    """Give kind, namespace and name of each owner that may be waiting for ``obj`` to be gone."""
    return [
        (str(ref["kind"]), namespace_of(obj), str(ref["name"]))
        for ref in obj["metadata"].get("ownerReferences") or ()
    ]


def describe(obj: Object) -> str:
    """Name an object for a log line."""
    return f"{obj['kind']} {namespace_of(obj)}/{name_of(obj)}"
