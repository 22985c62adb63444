"""The loop: takes in what happened, asks the controllers what to do, and does it.

One thread does all of it, so no controller ever sees the cache change under it. What is written goes into the
cache at once, so that a controller never acts twice on what it has done already.
"""

from __future__ import annotations

import heapq
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty as QueueEmpty
from queue import SimpleQueue
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.client import ApiError, ApiUnreachableError
from bais_gates.sandbox.cluster.controllers.informers import Happened, Informer, Listed
from bais_gates.sandbox.cluster.controllers.objects import Object, is_going, name_of, namespace_of
from bais_gates.sandbox.cluster.controllers.world import Plan, World
from bais_gates.sandbox.cluster.controllers.writer import Refused, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bais_gates.sandbox.cluster.controllers.client import Api
    from bais_gates.sandbox.cluster.controllers.resources import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """One kind and the function that makes it come true.

    ``triggers`` says, for objects of other kinds that changed, which objects of this kind to look at again
    (as namespace and name). ``gone`` hears of objects of the kind that no longer exist. ``component`` is who
    its events come from.
    """

    name: str
    kind: str
    reconcile: Callable[[World, Object, datetime], Plan]
    component: str
    triggers: Mapping[str, Callable[[World, Object], Iterable[tuple[str, str]]]] = field(default_factory=dict)
    gone: Callable[[Object], None] | None = None


_Key = tuple[str, str, str]
"""A controller's name, and the namespace and name of one object."""


class Engine:
    """The controllers and everything they share."""

    def __init__(self, api: Api, resources: Sequence[Resource], controllers: Sequence[Controller]) -> None:
        self.world = World()
        self.queue: SimpleQueue[object] = SimpleQueue()
        self.informers = [Informer(api, resource, self.queue) for resource in resources]
        self._writer = Writer(api, self.world, self._news)
        self._controllers = {controller.name: controller for controller in controllers}
        self._dirty: dict[_Key, None] = {}
        self._timers: list[tuple[float, _Key]] = []
        self._due: dict[_Key, float] = {}
        self._failures: dict[_Key, int] = {}
        self._repeated: list[tuple[float, Callable[[], None]]] = []
        self._unlisted = {resource.kind for resource in resources}
        self._ending = False
        self.when_ready: Callable[[], None] | None = None
        """Called once, when every kind has been listed."""

    def add(self, controller: Controller) -> None:
        """Take in one more controller, before ``run``."""
        self._controllers[controller.name] = controller

    def every(self, seconds: float, call: Callable[[], None]) -> None:
        """Have the loop do ``call`` every so many seconds."""
        self._repeated.append((seconds, call))

    def is_going(self, namespace: str) -> bool:
        """Whether a namespace is being deleted."""
        found = self.world.get("Namespace", "", namespace)
        return found is not None and is_going(found)

    def run(self) -> None:
        """Work until ``stop``."""
        for seconds, call in self._repeated:
            self._repeat(seconds, call)
        for informer in self.informers:
            informer.start()
        while not self._ending:
            self._take_in(wait=not self._dirty)
            if self._ending or self._unlisted:
                continue
            if self._dirty:
                key = next(iter(self._dirty))
                del self._dirty[key]
                self._work(key)
        for informer in self.informers:
            informer.stop()

    def stop(self) -> None:
        """Have ``run`` return; may be called from a signal handler or any thread."""
        self._ending = True
        self.queue.put(None)

    def post(self, call: Callable[[], None]) -> None:
        """Have ``call`` done by the loop; from any thread."""
        self.queue.put(call)

    def look_at(self, controller: str, namespace: str, name: str, *, in_s: float = 0.0) -> None:
        """Have a controller look at one object now, or in a while; from the loop only."""
        key = (controller, namespace, name)
        if in_s <= 0:
            self._dirty[key] = None
            return
        due = time.monotonic() + in_s
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._timers, (due, key))

    def _repeat(self, seconds: float, call: Callable[[], None]) -> None:
        def do() -> None:
            call()
            self._repeat(seconds, call)

        timer = threading.Timer(seconds, self.post, [do])
        timer.daemon = True
        timer.start()

    def _take_in(self, *, wait: bool) -> None:
        timeout = None
        if self._timers:
            timeout = max(self._timers[0][0] - time.monotonic(), 0.0)
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
        if isinstance(found, Happened):
            if found.type == "DELETED":
                if self.world.drop(found.obj):
                    self._news(found.obj, gone=True)
            elif self.world.put(found.obj):
                self._news(found.obj)
        elif isinstance(found, Listed):
            self._replace(found)
        elif callable(found):
            found()

    def _replace(self, listed: Listed) -> None:
        kept = {(namespace_of(obj), name_of(obj), obj["metadata"]["uid"]) for obj in listed.items}
        for known in self.world.of_kind(listed.resource.kind):
            if (namespace_of(known), name_of(known), known["metadata"]["uid"]) not in kept:
                self.world.drop(known)
                self._news(known, gone=True)
        for obj in listed.items:
            if self.world.put(obj):
                self._news(obj)
        if self._unlisted:
            self._unlisted.discard(listed.resource.kind)
            if not self._unlisted and self.when_ready is not None:
                self.when_ready()

    def _news(self, obj: Object, *, gone: bool = False) -> None:
        """Mark what has to be looked at because ``obj`` changed or is gone."""
        kind = obj["kind"]
        if kind == "CustomResourceDefinition":
            for informer in self.informers:
                if informer.resource.optional:
                    informer.nudge()
        for controller in self._controllers.values():
            if controller.kind == kind:
                if not gone:
                    self._dirty[(controller.name, namespace_of(obj), name_of(obj))] = None
                elif controller.gone is not None:
                    controller.gone(obj)
            trigger = controller.triggers.get(kind)
            if trigger is not None:
                for namespace, name in trigger(self.world, obj):
                    self._dirty[(controller.name, namespace, name)] = None

    def _work(self, key: _Key) -> None:
        controller = self._controllers[key[0]]
        obj = self.world.get(controller.kind, key[1], key[2])
        if obj is None:
            self._failures.pop(key, None)
            return
        try:
            plan = controller.reconcile(self.world, obj, datetime.now(UTC))
            for action in plan.actions:
                self._writer.do(action, component=controller.component)
            self._failures.pop(key, None)
            if plan.again_in_s is not None:
                self.look_at(*key, in_s=plan.again_in_s)
        except Refused as refused:
            self._again(key, quickly=refused.stale)
        except (ApiError, ApiUnreachableError):
            self._again(key)
        except Exception as error:  # noqa: BLE001 - one object that can't be understood must not stop the others
            with suppress(OSError):
                sys.stderr.write(f"{key[0]} {key[1]}/{key[2]}: {type(error).__name__}: {error}\n")
            self._again(key)

    def _again(self, key: _Key, *, quickly: bool = False) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self.look_at(
            *key, in_s=0.02 if quickly and failures < 10 else min(0.1 * 2 ** min(failures, 10), 15.0)
        )
