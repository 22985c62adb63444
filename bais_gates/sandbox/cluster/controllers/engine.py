"""The loop: takes in what happened, asks the controllers what to do, and does it.

One thread does all of it, so no controller ever sees the cache change under it. What is written goes into the
cache at once, so that a controller never acts twice on what it has done already.
"""

from __future__ import annotations

import heapq
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty as QueueEmpty
from queue import SimpleQueue
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.client import ApiError, ApiUnreachableError
from bais_gates.sandbox.cluster.controllers.informers import Changed, Informer, Listed
from bais_gates.sandbox.cluster.controllers.objects import Object, name_of, namespace_of, uid_of
from bais_gates.sandbox.cluster.controllers.world import Plan, World
from bais_gates.sandbox.cluster.controllers.writer import RefusedError, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bais_gates.sandbox.cluster.controllers.client import Api
    from bais_gates.sandbox.cluster.controllers.resources import Resource


@dataclass(frozen=True, slots=True)
class Controller:
    """The function that makes the objects of some kinds come true.

    ``component`` is who its events come from. ``triggers`` returns, for objects of other kinds that changed,
    what to look at again (only objects of ``kinds`` count). ``gone`` is called with those that are gone.
    """

    name: str
    kinds: tuple[str, ...]
    reconcile: Callable[[World, Object, datetime], Plan]
    component: str
    triggers: Mapping[str, Callable[[World, Object], Iterable[Object | None]]] = field(default_factory=dict)
    gone: Callable[[Object], None] | None = None


_Key = tuple[str, str, str, str]
"""A controller's name, and the kind, namespace and name of one object."""


class Engine:
    """The controllers and everything they share."""

    def __init__(self, api: Api, resources: Sequence[Resource]) -> None:
        self.world = World()
        self.queue: SimpleQueue[object] = SimpleQueue()
        self.informers = [Informer(api, resource, self.queue) for resource in resources]
        self._writer = Writer(api, self.world, self._news)
        self._controllers: dict[str, Controller] = {}
        self._dirty: dict[_Key, None] = {}
        self._timers: list[tuple[float, _Key]] = []
        self._due: dict[_Key, float] = {}
        self._failures: dict[_Key, int] = {}
        self._unlisted = {resource.kind for resource in resources}
        self._ending = False

    def run(self, controllers: Iterable[Controller], when_ready: Callable[[], None]) -> None:
        """Work until ``stop``; call ``when_ready`` once every kind has been listed."""
        self._controllers = {controller.name: controller for controller in controllers}
        for informer in self.informers:
            informer.start()
        while self._unlisted and not self._ending:
            self._take_in(wait=True)
        if not self._ending:
            when_ready()
        while not self._ending:
            self._take_in(wait=not self._dirty and not self._writer.has_events)
            if self._dirty and not self._ending:
                key = next(iter(self._dirty))
                del self._dirty[key]
                self._work(key)
            elif self._writer.has_events:
                self._writer.record_next_event()
        for informer in self.informers:
            informer.stop()

    def stop(self) -> None:
        """Have ``run`` return; may be called from a signal handler or any thread."""
        self._ending = True
        self.queue.put(None)

    def post(self, call: Callable[[], None]) -> None:
        """Have ``call`` done by the loop; from any thread."""
        self.queue.put(call)

    def look_at(self, controller: str, obj: Object) -> None:
        """Have a controller look at one object; from the loop only."""
        self._dirty[(controller, obj["kind"], namespace_of(obj), name_of(obj))] = None

    def _look_later(self, key: _Key, in_s: float) -> None:
        due = time.monotonic() + in_s
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._timers, (due, key))

    def _take_in(self, *, wait: bool) -> None:
        timeout = max(self._timers[0][0] - time.monotonic(), 0.0) if self._timers else None
        try:
            found = self.queue.get(block=wait, timeout=timeout)
            while True:
                self._handle(found)
                found = self.queue.get_nowait()
        except QueueEmpty:
            pass
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            due, key = heapq.heappop(self._timers)
            if self._due.get(key) == due:
                del self._due[key]
                self._dirty[key] = None

    def _handle(self, found: object) -> None:
        if isinstance(found, Changed):
            if found.type != "DELETED":
                self._put(found.obj)
            elif self.world.drop(found.obj):
                self._news(found.obj, gone=True)
        elif isinstance(found, Listed):
            kept = {uid_of(obj) for obj in found.items}
            for known in self.world.of_kind(found.resource.kind):
                if uid_of(known) not in kept:
                    self.world.drop(known)
                    self._news(known, gone=True)
            for obj in found.items:
                self._put(obj)
            self._unlisted.discard(found.resource.kind)
        elif callable(found):
            found()

    def _put(self, obj: Object) -> None:
        if self.world.put(obj):
            self._news(obj)

    def _news(self, obj: Object, *, gone: bool = False) -> None:
        """Mark what has to be looked at because ``obj`` changed or is gone."""
        kind = obj["kind"]
        if kind == "CustomResourceDefinition":
            for informer in self.informers:
                if informer.resource.optional:
                    informer.nudge()
        for controller in self._controllers.values():
            if kind in controller.kinds:
                if not gone:
                    self.look_at(controller.name, obj)
                elif controller.gone is not None:
                    controller.gone(obj)
            trigger = controller.triggers.get(kind)
            for other in trigger(self.world, obj) if trigger is not None else ():
                if other is not None and other["kind"] in controller.kinds:
                    self.look_at(controller.name, other)

    def _work(self, key: _Key) -> None:
        controller = self._controllers[key[0]]
        obj = self.world.get(*key[1:])
        if obj is None:
            self._failures.pop(key, None)
            return
        try:
            plan = controller.reconcile(self.world, obj, datetime.now(UTC))
            for action in plan.actions:
                self._writer.do(action, component=controller.component)
            self._failures.pop(key, None)
            if plan.again_in_s is not None:
                self._look_later(key, plan.again_in_s)
        except RefusedError as refused:
            self._retry(key, quickly=refused.stale)
        except (ApiError, ApiUnreachableError):
            self._retry(key)
        except Exception as error:  # noqa: BLE001 - one object that can't be understood must not stop the others
            with suppress(OSError):
                sys.stderr.write(f"{' '.join(key)}: {type(error).__name__}: {error}\n")
            self._retry(key)

    def _retry(self, key: _Key, *, quickly: bool = False) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        quickly = quickly and failures < 10
        self._look_later(key, 0.02 if quickly else min(0.1 * 2 ** min(failures, 10), 15.0))
