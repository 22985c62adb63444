"""Emptying a namespace that is going: everything inside, whatever its kind, then its finalizer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.controllers.client import ApiError
from bais_gates.sandbox.cluster.controllers.objects import Object, name_of

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.controllers.client import Api

_KINDS_FOR_S = 10.0
"""How long the list of kinds is believed: a CRD may add one."""
_LAST = ("events",)
"""Deleted last: what the others' deletion still says."""


class Emptier:
    """Deletes the content of namespaces and finalizes them."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._kinds: list[tuple[str, str]] = []
        self._asked = float("-inf")

    def empty(self, namespace: Object) -> Object | None:
        """Delete what is left; once nothing is, take the finalizer ``kubernetes`` away.

        Gives the finalized namespace, or None while something is left.
        """
        name = name_of(namespace)
        left = 0
        for root, plural in self._collections():
            path = f"{root}/namespaces/{name}/{plural}"
            try:
                items = self._api.request("GET", path, query={"limit": "200"}).get("items") or []
                if not items:
                    continue
                self._api.request(
                    "DELETE",
                    path,
                    body={
                        "apiVersion": "v1",
                        "kind": "DeleteOptions",
                        "propagationPolicy": "Background",
                    },
                )
                left += len(self._api.request("GET", path, query={"limit": "200"}).get("items") or [])
            except ApiError as error:
                if error.status not in {404, 405}:
                    raise
        if left:
            return None
        spec = namespace.get("spec") or {}
        others = [one for one in spec.get("finalizers") or () if one != "kubernetes"]
        finalized = {**namespace, "spec": {**spec, "finalizers": others}}
        try:
            answered = self._api.request("PUT", f"/api/v1/namespaces/{name}/finalize", body=finalized)
        except ApiError as error:
            if error.status in {404, 409}:
                return None
            raise
        return {**answered, "apiVersion": "v1", "kind": "Namespace"}

    def _collections(self) -> list[tuple[str, str]]:
        """Give root path and plural of every kind in namespaces that can be listed and deleted."""
        if time.monotonic() - self._asked < _KINDS_FOR_S:
            return self._kinds
        groups = self._api.request("GET", "/apis").get("groups") or []
        roots = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
        found: list[tuple[str, str]] = []
        for root in roots:
            try:
                listed: list[dict[str, Any]] = self._api.request("GET", root).get("resources") or []
            except ApiError as error:
                if error.status in {404, 503}:
                    continue
                raise
            found += [
                (root, kind["name"])
                for kind in listed
                if kind.get("namespaced")
                and "/" not in kind["name"]
                and {"list", "deletecollection"} <= set(kind.get("verbs") or ())
            ]
        self._kinds = sorted(found, key=lambda one: one[1] in _LAST)
        self._asked = time.monotonic()
        return self._kinds
