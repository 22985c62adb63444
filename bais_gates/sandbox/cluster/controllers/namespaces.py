"""Namespaces: what each is given when it is made, and emptying those that are being deleted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.client import ApiError
from bais_gates.sandbox.cluster.controllers.objects import Object, is_terminating, name_of, spec_of
from bais_gates.sandbox.cluster.controllers.world import Create, Empty, Plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.client import Api
    from bais_gates.sandbox.cluster.controllers.world import World

_LOOK_AGAIN_S = 0.3
_KINDS_FOR_S = 10.0
"""How long the list of kinds is believed: a CRD may add one."""


def reconciler(authority: str) -> Callable[[World, Object, datetime], Plan]:
    """Return the function for Namespaces; ``authority`` is the PEM text that clients in pods trust."""

    def reconcile(world: World, namespace: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
        plan = Plan()
        name = name_of(namespace)
        if is_terminating(namespace):
            if "kubernetes" in (spec_of(namespace).get("finalizers") or ()):
                plan.add(Empty(namespace=namespace))
                plan.look_again(_LOOK_AGAIN_S)
            return plan
        for kind, given, content in (
            ("ServiceAccount", "default", {}),
            ("ConfigMap", "kube-root-ca.crt", {"data": {"ca.crt": authority}}),
        ):
            if world.get(kind, name, given) is None:
                metadata = {"name": given, "namespace": name}
                plan.add(Create({"apiVersion": "v1", "kind": kind, "metadata": metadata, **content}))
        return plan

    return reconcile


class Emptier:
    """Deletes the content of namespaces, whatever its kind, and finalizes them."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._kinds: list[str] = []
        self._asked = float("-inf")

    def empty(self, namespace: Object) -> Object | None:
        """Delete what is left; once nothing is, remove the finalizer ``kubernetes``.

        Return the finalized namespace, None while something is left.
        """
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        name = name_of(namespace)
        left = 0
        for collection in self._collections():
            path = collection.format(namespace=name)
            try:
                if self._count(path):
                    self._api.request("DELETE", path, body=options)
                    left += self._count(path)
            except ApiError as error:
                if error.status not in {404, 405}:
                    raise
        if left:
            return None
        finalizers = [one for one in spec_of(namespace).get("finalizers") or () if one != "kubernetes"]
        finalized = {**namespace, "spec": {**spec_of(namespace), "finalizers": finalizers}}
        try:
            answered = self._api.request("PUT", f"/api/v1/namespaces/{name}/finalize", body=finalized)
        except ApiError as error:
            if error.status in {404, 409}:
                return None
            raise
        return {**answered, "apiVersion": "v1", "kind": "Namespace"}

    def _count(self, path: str) -> int:
        return len(self._api.request("GET", path, query={"limit": "200"}).get("items") or [])

    def _collections(self) -> list[str]:
        """Return the path of every kind in namespaces that can be listed and deleted, events last."""
        if time.monotonic() - self._asked < _KINDS_FOR_S:
            return self._kinds
        groups = self._api.request("GET", "/apis").get("groups") or []
        found: list[str] = []
        for root in ("/api/v1", *(f"/apis/{one['preferredVersion']['groupVersion']}" for one in groups)):
            try:
                listed = self._api.request("GET", root).get("resources") or []
            except ApiError as error:
                if error.status in {404, 503}:
                    continue
                raise
            found += [
                f"{root}/namespaces/{{namespace}}/{kind['name']}"
                for kind in listed
                if kind.get("namespaced")
                and "/" not in kind["name"]
                and {"list", "deletecollection"} <= set(kind.get("verbs") or ())
            ]
        self._kinds = sorted(found, key=lambda path: path.endswith("/events"))
        self._asked = time.monotonic()
        return self._kinds
