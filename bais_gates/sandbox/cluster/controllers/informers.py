"""Lists and watches: one thread a kind that puts into a queue what is there and what becomes of it."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.client import ApiError, ApiUnreachableError

if TYPE_CHECKING:
    from queue import SimpleQueue

    from bais_gates.sandbox.cluster.controllers.client import Api
    from bais_gates.sandbox.cluster.controllers.objects import Object
    from bais_gates.sandbox.cluster.controllers.resources import Resource

_ABSENT_S = 30.0
"""How long to wait before asking again for a kind that the server does not know (or until a CRD changes)."""


@dataclass(frozen=True, slots=True)
class Listed:
    """All objects of a kind, as they are now: any other that was known is gone."""

    resource: Resource
    items: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """One object was ADDED, MODIFIED or DELETED."""

    type: str
    obj: Object


class Informer:
    """Follows one kind until ``stop``; what it finds goes into the queue, in order."""

    def __init__(self, api: Api, resource: Resource, queue: SimpleQueue[object]) -> None:
        self._api, self.resource, self._queue = api, resource, queue
        self._nudge = threading.Event()
        self._ending = False

    def start(self) -> None:
        """Begin, in a thread of its own that does not keep the process alive."""
        threading.Thread(target=self._follow, name=self.resource.plural, daemon=True).start()

    def nudge(self) -> None:
        """Have it ask again at once for a kind that was absent."""
        self._nudge.set()

    def stop(self) -> None:
        """Have it end at the next chance."""
        self._ending = True
        self._nudge.set()

    def _follow(self) -> None:
        failures = 0
        while not self._ending:
            try:
                version = self._list()
                failures = 0
                while not self._ending:
                    version = self._watch(version)
            except (ApiError, ApiUnreachableError) as error:
                status = error.status if isinstance(error, ApiError) else 0
                if status == 410:  # the version is too old: list anew
                    continue
                failures += 1
                pause_s = min(0.1 * 2**failures, 5.0)
                if status == 404:
                    self._queue.put(Listed(self.resource, ()))
                    pause_s = _ABSENT_S
                self._nudge.wait(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - spreads retries, hides nothing
                self._nudge.clear()

    def _list(self) -> str:
        items: list[Object] = []
        query = {"limit": "500"}
        while True:
            page = self._api.request("GET", self.resource.path(), query=query)
            items += (self._typed(item) for item in page.get("items") or ())
            following = page["metadata"].get("continue")
            if not following:
                break
            query["continue"] = following
        self._queue.put(Listed(self.resource, tuple(items)))
        return str(page["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> str:
        for type_, obj in self._api.watch(self.resource.path(), version):
            version = str(obj["metadata"].get("resourceVersion", version))
            if type_ != "BOOKMARK":
                self._queue.put(Changed(type_, self._typed(obj)))
            if self._ending:
                break
        return version

    def _typed(self, obj: Object) -> Object:
        """Name the kind, which the items of a list leave out."""
        return {**obj, "apiVersion": self.resource.api_version, "kind": self.resource.kind}
