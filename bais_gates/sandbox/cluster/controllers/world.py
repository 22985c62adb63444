"""What the controllers know, and what they can ask for: the cached objects, and plans of writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    controller_of,
    name_of,
    namespace_of,
    uid_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Make an object; ``owner`` is told by an event and its condition if the API server refuses."""

    obj: Object
    owner: Object | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Replace an object; refused by the API server if it has changed since it was read."""

    obj: Object


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStatus:
    """Replace an object's status; refused by the API server if the object has changed since it was read."""

    obj: Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete this very object (by uid); ``grace_s`` None leaves the grace period to the object."""

    obj: Object
    grace_s: int | None = None
    propagation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Put a pod on a node."""

    pod: Object
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    """Delete everything inside a namespace that is going, and let it go once nothing is left."""

    namespace: Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Record an event about an object; ``kind`` is Normal or Warning."""

    about: Object
    reason: str
    message: str
    kind: str = "Normal"


Action = Create | Update | SetStatus | Delete | Bind | Empty | Say


@dataclass(slots=True, kw_only=True)
class Plan:
    """What to write, in this order, and in how many seconds to look again though nothing changed."""

    actions: list[Action] = field(default_factory=list)
    again_in_s: float | None = None

    def add(self, *actions: Action | None) -> None:
        """Append the actions that are not None."""
        self.actions.extend(action for action in actions if action is not None)

    def look_again(self, seconds: float) -> None:
        """Ask to be looked at again in ``seconds`` at the latest."""
        seconds = max(seconds, 0.01)
        self.again_in_s = seconds if self.again_in_s is None else min(self.again_in_s, seconds)


class World:
    """The objects that are known, by kind, namespace and name. Kinds have names of their own here.

    What it gives out is what it holds: never to be changed in place.
    """

    def __init__(self, objects: Iterable[Object] = ()) -> None:
        self._objects: dict[str, dict[tuple[str, str], Object]] = {}
        self._by_uid: dict[str, Object] = {}
        self._gone: set[str] = set()
        self.refusals: dict[str, str] = {}
        """By uid of an owner, why the last object that was to be made for it was refused."""
        self.cpu_use: dict[str, float] = {}
        """By uid of a pod, the cores that its processes used lately."""
        for obj in objects:
            self.put(obj)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Give one object or None; ``namespace`` is empty for a kind of the whole cluster."""
        return self._objects.get(kind, {}).get((namespace, name))

    def of_kind(self, kind: str, namespace: str | None = None) -> list[Object]:
        """Give all objects of a kind, of one namespace if it is named, in the order of their names."""
        found = self._objects.get(kind, {})
        return [found[key] for key in sorted(found) if namespace is None or key[0] == namespace]

    def owned(self, kind: str, owner: Object) -> list[Object]:
        """Give the objects of a kind whose controller is ``owner``."""
        uid = uid_of(owner)
        return [
            obj
            for obj in self.of_kind(kind, namespace_of(owner) or None)
            if (ref := controller_of(obj)) is not None and ref.get("uid") == uid
        ]

    def by_uid(self, uid: str) -> Object | None:
        """Give the object with this uid."""
        return self._by_uid.get(uid)

    def everything(self) -> Iterator[Object]:
        """Go through all objects."""
        for found in self._objects.values():
            yield from list(found.values())

    def put(self, obj: Object) -> bool:
        """Take an object in, unless a later version is known or it is gone for good; whether it is news."""
        if uid_of(obj) in self._gone:
            return False
        known = self._objects.setdefault(obj["kind"], {})
        key = (namespace_of(obj), name_of(obj))
        old = known.get(key)
        if old is not None and uid_of(old) == uid_of(obj) and _version(old) >= _version(obj) > 0:
            return False
        if old is not None and uid_of(old) != uid_of(obj):
            self._by_uid.pop(uid_of(old), None)
        known[key] = obj
        if uid_of(obj):
            self._by_uid[uid_of(obj)] = obj
        return True

    def drop(self, obj: Object, *, for_good: bool = False) -> bool:
        """Forget an object; ``for_good`` if late news of it may still come. Whether it was known."""
        uid = uid_of(obj)
        if for_good:
            self._gone.add(uid)
        else:
            self._gone.discard(uid)
        self.refusals.pop(uid, None)
        self.cpu_use.pop(uid, None)
        known = self._objects.get(obj["kind"], {})
        key = (namespace_of(obj), name_of(obj))
        old = known.get(key)
        if old is None or uid_of(old) != uid:
            return False
        del known[key]
        self._by_uid.pop(uid, None)
        return True


def _version(obj: Object) -> int:
    text = str(obj["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0
