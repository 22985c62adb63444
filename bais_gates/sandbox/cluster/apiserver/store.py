"""Everything the server knows, in memory: one counter of versions, the objects, and what changed lately.

An object in the store is never changed: a write puts another one in its place, so that readers may keep what
they were handed. The log of changes is etcd's history in small: it feeds watches, and lists of an earlier
version (``limit``/``continue``) are the present with later changes undone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

Object = dict[str, Any]
Type = tuple[str, str]
"""API group and plural: what a collection is kept under, whatever version asks for it."""
Key = tuple[str, str]
"""Namespace (empty for cluster-wide kinds) and name."""
KEPT_CHANGES = 20_000
"""Changes remembered; an older version asked for is 410 Expired, as after etcd's compaction."""

_encoder = msgspec.json.Encoder()
_decode = msgspec.json.Decoder().decode


def encode(value: object) -> bytes:
    """Return ``value`` as JSON."""
    return _encoder.encode(value)


def copy(value: Object) -> Object:
    """Return a copy of ``value`` that shares nothing with it."""
    copied: Object = _decode(_encoder.encode(value))
    return copied


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One write: ``old`` is None when it made the object, ``new`` is None when it removed it.

    ``final`` is what a removal shows to watches: the object's last state at the version of its removal.
    """

    version: int
    type: Type
    key: Key
    old: Object | None
    new: Object | None
    final: Object | None = None


class Watcher:
    """The changes that one watch has not sent yet."""

    def __init__(self, type_: Type) -> None:
        self.type = type_
        self.pending: deque[Change] = deque()
        self.wake = asyncio.Event()
        self.closed = False

    def put(self, change: Change) -> None:
        """Take a change and wake who waits."""
        self.pending.append(change)
        self.wake.set()

    def close(self) -> None:
        """End the watch: its type is served no more, or the server ends."""
        self.closed = True
        self.wake.set()


class ExpiredVersionError(Exception):
    """The version asked for is older than what is remembered."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {asked} ({oldest})")


class Store:
    """The objects by type and key. Single-threaded: every method is one step of the event loop."""

    def __init__(self, *, kept_changes: int = KEPT_CHANGES) -> None:
        self.version = 1
        self._kept = kept_changes
        self._objects: dict[Type, dict[Key, Object]] = {}
        self._changes: deque[Change] = deque()
        self._oldest = 1
        self._watchers: dict[Type, set[Watcher]] = {}

    @property
    def oldest(self) -> int:
        """The oldest version that a watch may start from."""
        return self._oldest

    def get(self, type_: Type, key: Key) -> Object | None:
        """Return the object, or None."""
        return self._objects.get(type_, {}).get(key)

    def items(self, type_: Type, namespace: str = "") -> list[Object]:
        """Return the objects of a type, of one namespace or all, in the order of their keys."""
        found = self._objects.get(type_, {})
        return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def items_at(self, type_: Type, version: int) -> list[tuple[Key, Object]]:
        """Return the objects of a type as they were at ``version``, in order; raises ExpiredVersionError."""
        if version < self._oldest:
            raise ExpiredVersionError(version, self._oldest)
        found = dict(self._objects.get(type_, {}))
        for change in reversed(self._changes):
            if change.version <= version:
                break
            if change.type != type_:
                continue
            if change.old is None:
                found.pop(change.key, None)
            else:
                found[change.key] = change.old
        return sorted(found.items())

    def put(self, type_: Type, key: Key, value: Object) -> Object:
        """Keep ``value``, with the next version in its metadata; returns what is kept."""
        self.version += 1
        value = {**value, "metadata": {**value["metadata"], "resourceVersion": str(self.version)}}
        objects = self._objects.setdefault(type_, {})
        old = objects.get(key)
        objects[key] = value
        self._note(Change(version=self.version, type=type_, key=key, old=old, new=value))
        return value

    def remove(self, type_: Type, key: Key) -> Object:
        """Forget the object; returns its last state, at the version of its removal. KeyError without it."""
        old = self._objects[type_].pop(key)
        self.version += 1
        final = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.version)}}
        self._note(Change(version=self.version, type=type_, key=key, old=old, new=None, final=final))
        return final

    def drop_type(self, type_: Type) -> None:
        """End the watches of a type that is served no more."""
        for watcher in self._watchers.pop(type_, set()):
            watcher.close()

    def changes_since(self, type_: Type, version: int) -> Iterator[Change]:
        """Return what changed after ``version``, oldest first; raises ExpiredVersionError."""
        if version < self._oldest:
            raise ExpiredVersionError(version, self._oldest)
        missed = []
        for change in reversed(self._changes):
            if change.version <= version:
                break
            if change.type == type_:
                missed.append(change)
        return reversed(missed)

    def watch(self, type_: Type) -> Watcher:
        """Return a watcher that takes what changes from now on, until :meth:`unwatch`."""
        watcher = Watcher(type_)
        self._watchers.setdefault(type_, set()).add(watcher)
        return watcher

    def unwatch(self, watcher: Watcher) -> None:
        """Let the watcher take no more changes."""
        self._watchers.get(watcher.type, set()).discard(watcher)

    def close(self) -> None:
        """End every watch."""
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.close()

    def _note(self, change: Change) -> None:
        self._changes.append(change)
        while len(self._changes) > self._kept:
            self._oldest = self._changes.popleft().version
        for watcher in self._watchers.get(change.type, ()):
            watcher.put(change)
