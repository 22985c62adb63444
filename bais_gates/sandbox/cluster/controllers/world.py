"""What the controllers know, and what they can ask for: the cached objects, and plans of writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    controller_of,
    is_active,
    labels_of,
    matches,
    name_of,
    namespace_of,
    owners_of,
    significant,
    uid_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object; where the API server refuses, ``owner`` gets an event and keeps the refusal."""

    obj: Object
    owner: Object | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """Replace an object; refused by the API server if it has changed since it was read."""

    obj: Object


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Replace an object's status; refused by the API server if the object has changed since it was read."""

    obj: Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete this very object (by uid); ``grace_s`` None leaves the grace period to the object."""

    obj: Object
    grace_s: int | None = None
    propagation: str = "Background"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Assign a pod to a node."""

    pod: Object
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    """Delete everything inside a terminating namespace, and finalize it once nothing is left."""

    namespace: Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Record an event about an object; ``type`` is Normal or Warning."""

    about: Object
    reason: str
    message: str
    type: str = "Normal"


Action = Create | Update | SetStatus | Delete | Bind | Empty | Event


@dataclass(slots=True, kw_only=True)
class Plan:
    """What to write, in this order, and in how many seconds to look again though nothing changed."""

    actions: list[Action] = field(default_factory=list)
    again_in_s: float | None = None

    def add(self, *actions: Action) -> None:
        """Append the actions."""
        self.actions.extend(actions)

    def event(self, about: Object, reason: str, message: str) -> None:
        """Append an event of type Normal."""
        self.add(Event(about=about, reason=reason, message=message))

    def warn(self, about: Object, reason: str, message: str) -> None:
        """Append an event of type Warning."""
        self.add(Event(about=about, reason=reason, message=message, type="Warning"))

    def set_status(self, obj: Object, status: Object, *, first: bool = False) -> bool:
        """Write the status (``first``: before all else) if it differs; return whether it does."""
        if significant(obj.get("status") or {}) == significant(status):
            return False
        self.actions.insert(0 if first else len(self.actions), SetStatus({**obj, "status": status}))
        return True

    def look_again(self, seconds: float) -> None:
        """Ask to be called again in ``seconds`` at the latest."""
        seconds = max(seconds, 0.01)
        self.again_in_s = seconds if self.again_in_s is None else min(self.again_in_s, seconds)


class World:
    """The objects that are known, by kind, namespace and name.

    What it returns is what it holds: never to be changed in place.
    """

    def __init__(self, objects: Iterable[Object] = ()) -> None:
        self._objects: dict[str, dict[tuple[str, str], Object]] = {}
        self._by_uid: dict[str, Object] = {}
        self._gone: set[str] = set()
        self.refusals: dict[str, str] = {}
        """By uid of an owner, why the last object that was to be created for it was refused."""
        self.cpu_use: dict[str, float] = {}
        """By uid of a pod, the cores that its processes used lately."""
        for obj in objects:
            self.put(obj)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return one object or None; ``namespace`` is empty for a kind of the whole cluster."""
        return self._objects.get(kind, {}).get((namespace, name))

    def of_kind(self, kind: str, namespace: str | None = None) -> list[Object]:
        """Return all objects of a kind, of one namespace if it is named, in the order of their names."""
        found = self._objects.get(kind, {})
        return [found[key] for key in sorted(found) if namespace is None or key[0] == namespace]

    def active_pods(self, namespace: str, selector: Mapping[str, Any] | None) -> list[Object]:
        """Return the active pods of a namespace that a LabelSelector selects."""
        pods = self.of_kind("Pod", namespace)
        return [pod for pod in pods if matches(selector, labels_of(pod)) and is_active(pod)]

    def owned(self, kind: str, owner: Object) -> list[Object]:
        """Return the objects of a kind whose controller is ``owner``."""
        uid, candidates = uid_of(owner), self.of_kind(kind, namespace_of(owner) or None)
        return [obj for obj in candidates if (controller_of(obj) or {}).get("uid") == uid]

    def dependents(self, owner: Object) -> list[Object]:
        """Return every object that names ``owner`` among its owners."""
        uid = uid_of(owner)
        every = (obj for known in self._objects.values() for obj in known.values())
        return [obj for obj in every if any(ref.get("uid") == uid for ref in owners_of(obj))]

    def by_uid(self, uid: object) -> Object | None:
        """Return the object with this uid."""
        return self._by_uid.get(str(uid))

    def put(self, obj: Object) -> bool:
        """Keep an object unless a later version is known or it is gone for good; return whether it is new."""
        if uid_of(obj) in self._gone:
            return False
        known = self._objects.setdefault(obj["kind"], {})
        key = (namespace_of(obj), name_of(obj))
        old = known.get(key)
        if old is not None and uid_of(old) == uid_of(obj) and _version(old) >= _version(obj) > 0:
            return False
        if old is not None and uid_of(old) != uid_of(obj):
            self._by_uid.pop(uid_of(old), None)
        known[key] = self._by_uid[uid_of(obj)] = obj
        return True

    def drop(self, obj: Object, *, for_good: bool = False) -> bool:
        """Forget an object, ``for_good`` if late news of it may still come; return whether it was known."""
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
