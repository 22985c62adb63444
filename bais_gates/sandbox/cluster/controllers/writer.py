"""Doing what a plan says: the writes, what each answer means, and events."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.controllers.client import ApiError
from bais_gates.sandbox.cluster.controllers.emptying import Emptier
from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    digest,
    is_going,
    name_of,
    namespace_of,
    stamp,
    uid_of,
)
from bais_gates.sandbox.cluster.controllers.resources import BY_KIND, EVENTS
from bais_gates.sandbox.cluster.controllers.world import Bind, Create, Delete, Empty, Say, SetStatus, Update

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.sandbox.cluster.controllers.client import Api
    from bais_gates.sandbox.cluster.controllers.world import Action, World


class Refused(Exception):  # noqa: N818 - an answer to act on, not a fault
    """The API server refused a write; ``stale`` if what it was based on is no longer so."""

    def __init__(self, message: str, *, stale: bool = False) -> None:
        super().__init__(message)
        self.stale = stale


class Writer:
    """Does actions, keeps the cache in step with what was answered."""

    def __init__(self, api: Api, world: World, news: Callable[..., None]) -> None:
        self._api, self._world, self._news = api, world, news
        self._emptier = Emptier(api)
        self._events: dict[tuple[str, ...], tuple[str, int]] = {}

    def do(self, action: Action, *, component: str) -> None:
        """Do one action. Raises ``Refused`` when the object has to be looked at again."""
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
                self._take(self._emptier.empty(namespace))
            case Say():
                self.say(action, component)

    def _take(self, answered: Object | None) -> None:
        if answered is None or not uid_of(answered):
            return
        finished = is_going(answered) and not answered["metadata"].get("finalizers")
        if finished and answered["kind"] != "Pod" and not (answered.get("spec") or {}).get("finalizers"):
            if self._world.drop(answered, for_good=True):
                self._news(answered, gone=True)
        elif self._world.put(answered):
            self._news(answered)

    def _create(self, action: Create, component: str) -> None:
        obj, owner = action.obj, action.owner
        resource = BY_KIND[obj["kind"]]
        try:
            made = self._api.request("POST", resource.path(namespace_of(obj)), body=obj)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                self._refresh(obj)
                return
            if owner is not None and error.status in {400, 403, 422}:
                self._world.refusals[uid_of(owner)] = error.message
                going = "is being terminated" in error.message
                if not going:
                    self.say(
                        Say(
                            about=owner,
                            reason="FailedCreate",
                            message=f"Error creating: {error.message}",
                            kind="Warning",
                        ),
                        component,
                    )
            raise Refused(error.message) from error
        if owner is not None:
            self._world.refusals.pop(uid_of(owner), None)
            if obj["kind"] in {"Pod", "Job"}:
                message = (
                    f"Created {obj['kind'].lower()}{':' if obj['kind'] == 'Pod' else ''} {name_of(made)}"
                )
                self.say(Say(about=owner, reason="SuccessfulCreate", message=message), component)
        self._take({**made, "apiVersion": obj["apiVersion"], "kind": obj["kind"]})

    def _replace(self, obj: Object, subresource: str) -> None:
        resource = BY_KIND[obj["kind"]]
        path = resource.path(namespace_of(obj), name_of(obj), subresource)
        try:
            self._take(self._api.request("PUT", path, body=obj))
        except ApiError as error:
            if error.status == 409:
                self._refresh(obj)
                raise Refused(error.message, stale=True) from error
            if error.status == 404:
                self._forget(obj)
                return
            raise

    def _delete(self, action: Delete) -> None:
        obj = action.obj
        options: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid_of(obj)},
        }
        if action.grace_s is not None:
            options["gracePeriodSeconds"] = action.grace_s
        options["propagationPolicy"] = action.propagation or "Background"
        path = BY_KIND[obj["kind"]].path(namespace_of(obj), name_of(obj))
        try:
            answered = self._api.request("DELETE", path, body=options)
        except ApiError as error:
            if error.status not in {404, 409}:
                raise
            self._refresh(obj)
            return
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
        """Bring the cache to what the server has now, instead of waiting for the watch to tell."""
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

    def say(self, said: Say, component: str) -> None:
        """Record an event; the same one again counts up. That it can't be recorded stops nothing."""
        about = said.about
        key = (uid_of(about), said.reason, said.message, component)
        now = stamp(datetime.now(UTC))
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
                self._api.request(
                    "POST", EVENTS.path(namespace), body=_event(said, name, namespace, component, now)
                )
            self._events[key] = (name, count + 1)
        except ApiError as error:
            self._events.pop(key, None)
            if error.status >= 500:
                raise
        while len(self._events) > 2000:
            del self._events[next(iter(self._events))]


def _event(said: Say, name: str, namespace: str, component: str, now: str) -> Object:
    about = said.about
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
        "reason": said.reason,
        "message": said.message[:1024],
        "type": said.kind,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": "",
    }
