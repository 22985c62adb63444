"""Carry out plans: the writes, what each response means, and events."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.client import ApiError, ApiUnreachableError
from bais_gates.sandbox.cluster.controllers.namespaces import Emptier
from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    digest,
    format_time,
    is_terminating,
    name_of,
    namespace_of,
    spec_of,
    uid_of,
)
from bais_gates.sandbox.cluster.controllers.resources import BY_KIND, EVENTS
from bais_gates.sandbox.cluster.controllers.world import Bind, Create, Delete, Empty, Event, SetStatus, Update

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.sandbox.cluster.controllers.client import Api
    from bais_gates.sandbox.cluster.controllers.world import Action, World

_EVENTS_KEPT = 2000


class RefusedError(Exception):
    """The API server refused a write; ``stale`` if what it was based on is no longer so."""

    def __init__(self, message: str, *, stale: bool = False) -> None:
        super().__init__(message)
        self.stale = stale


class Writer:
    """Carries out actions, and keeps the cache in step with the responses."""

    def __init__(self, api: Api, world: World, news: Callable[..., None]) -> None:
        self._api, self._world, self._news = api, world, news
        self._emptier = Emptier(api)
        self._events: dict[tuple[str, ...], tuple[str, int]] = {}
        self._waiting: deque[tuple[Event, str, str]] = deque()

    @property
    def has_events(self) -> bool:
        """Whether there are events to record when nothing else is to do."""
        return bool(self._waiting)

    def record_next_event(self) -> None:
        """Record an event that waits; one that can't be recorded is lost."""
        with suppress(ApiError, ApiUnreachableError):
            self._record_event(*self._waiting.popleft())

    def do(self, action: Action, *, component: str) -> None:
        """Carry out one action. Raise ``RefusedError`` when the object has to be looked at again."""
        match action:
            case Create():
                self._create(action, component)
            case Update(obj=obj):
                self._replace(obj, "")
            case SetStatus(obj=obj):
                self._replace(obj, "status")
            case Delete():
                self._delete(action)
            case Bind():
                self._bind(action)
            case Empty(namespace=namespace):
                if (finalized := self._emptier.empty(namespace)) is not None:
                    self._take(finalized)
            case Event(type="Warning"):
                self._record_event(action, component, format_time(datetime.now(UTC)))
            case Event():
                self._waiting.append((action, component, format_time(datetime.now(UTC))))

    def _take(self, answered: Object) -> None:
        left = answered["metadata"].get("finalizers") or spec_of(answered).get("finalizers")
        if is_terminating(answered) and not left and answered["kind"] != "Pod":
            self._forget(answered)
        elif self._world.put(answered):
            self._news(answered)

    def _create(self, action: Create, component: str) -> None:
        obj, owner = action.obj, action.owner
        kind = obj["kind"]
        try:
            made = self._api.request("POST", BY_KIND[kind].path(namespace_of(obj)), body=obj)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                self._refresh(obj)
                return
            if owner is not None and error.status in {400, 403, 422}:
                self._world.refusals[uid_of(owner)] = error.message
                if "is being terminated" not in error.message:
                    refusal = f"Error creating: {error.message}"
                    event = Event(about=owner, reason="FailedCreate", message=refusal, type="Warning")
                    self.do(event, component=component)
            raise RefusedError(error.message) from error
        if owner is not None:
            self._world.refusals.pop(uid_of(owner), None)
            if kind in {"Pod", "Job"}:
                message = f"Created {kind.lower()}{':' if kind == 'Pod' else ''} {name_of(made)}"
                event = Event(about=owner, reason="SuccessfulCreate", message=message)
                self.do(event, component=component)
        self._take({**made, "apiVersion": obj["apiVersion"], "kind": kind})

    def _replace(self, obj: Object, subresource: str) -> None:
        path = BY_KIND[obj["kind"]].path(namespace_of(obj), name_of(obj), subresource)
        try:
            self._take(self._api.request("PUT", path, body=obj))
        except ApiError as error:
            if error.status == 404:
                self._forget(obj)
            elif error.status == 409:
                self._refresh(obj)
                raise RefusedError(error.message, stale=True) from error
            else:
                raise

    def _delete(self, action: Delete) -> None:
        obj = action.obj
        options: Object = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid_of(obj)},
            "propagationPolicy": action.propagation,
        }
        if action.grace_s is not None:
            options["gracePeriodSeconds"] = action.grace_s
        path = BY_KIND[obj["kind"]].path(namespace_of(obj), name_of(obj))
        try:
            answered = self._api.request("DELETE", path, body=options)
        except ApiError as error:
            if error.status not in {404, 409}:
                raise
            answered = {}
        if answered.get("kind") == obj["kind"]:
            self._take({**answered, "apiVersion": obj["apiVersion"]})
        if answered.get("kind") != obj["kind"] or action.grace_s == 0:
            self._refresh(obj)

    def _bind(self, action: Bind) -> None:
        pod = action.pod
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": action.node},
        }
        path = BY_KIND["Pod"].path(namespace_of(pod), name_of(pod), "binding")
        try:
            self._api.request("POST", path, body=binding)
        except ApiError as error:
            if error.status not in {404, 409}:
                raise
        self._refresh(pod)

    def _refresh(self, obj: Object) -> None:
        """Bring the cache to what the server has now, instead of waiting for the watch."""
        resource = BY_KIND[obj["kind"]]
        try:
            live = self._api.request("GET", resource.path(namespace_of(obj), name_of(obj)))
        except ApiError as error:
            if error.status != 404:
                raise
            self._forget(obj)
            return
        live = {**live, "apiVersion": resource.api_version, "kind": resource.kind}
        if uid_of(obj) and uid_of(live) != uid_of(obj):
            self._forget(obj)
        if self._world.put(live):
            self._news(live)

    def _forget(self, obj: Object) -> None:
        if uid_of(obj) and self._world.drop(obj, for_good=True):
            self._news(obj, gone=True)

    def _record_event(self, event: Event, component: str, now: str) -> None:
        """Record an event; the same one again counts up. That it can't be recorded stops nothing."""
        about = event.about
        key = (uid_of(about), event.reason, event.message, component)
        namespace = namespace_of(about) or "default"
        name, count = self._events.get(key, ("", 0))
        try:
            if name:
                self._api.request(
                    "PATCH",
                    EVENTS.path(namespace, name),
                    body={"count": count + 1, "lastTimestamp": now},
                    content_type="application/merge-patch+json",
                )
            else:
                name = f"{name_of(about)[:230]}.{digest([*key, now, os.getpid()], 16)}"
                body = _event(event, name, namespace, component, now)
                self._api.request("POST", EVENTS.path(namespace), body=body)
            self._events[key] = (name, count + 1)
        except ApiError as error:
            self._events.pop(key, None)
            if error.status >= 500:
                raise
        while len(self._events) > _EVENTS_KEPT:
            del self._events[next(iter(self._events))]


def _event(event: Event, name: str, namespace: str, component: str, now: str) -> Object:
    about = event.about
    involved = {
        "apiVersion": about["apiVersion"],
        "kind": about["kind"],
        "name": name_of(about),
        "uid": uid_of(about),
        "resourceVersion": str(about["metadata"].get("resourceVersion", "")),
    }
    if namespace_of(about):
        involved["namespace"] = namespace_of(about)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": involved,
        "reason": event.reason,
        "message": event.message[:1024],
        "type": event.type,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": "",
    }
