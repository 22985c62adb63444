"""Change a Kubernetes cluster: what staging, the recovery drill and the sandbox's own tests may have.

It is a module of its own so that one can see who writes: whoever imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bais_gates.errors import GateInputError
from bais_gates.probes.kubernetes.cluster import FIELD_MANAGER, Cluster, ClusterRefused, Object
from bais_gates.probes.kubernetes.transport import Transport

if TYPE_CHECKING:
    from bais_gates.probes.kubernetes.access import ClusterAccess

_JSON: Final = "application/json"
_MERGE: Final = "application/merge-patch+json"


class ClusterWriter(Cluster):
    """A :class:`Cluster` that may also write; GateInputError for an access that is read-only."""

    read_only = False

    def _open(self, access: ClusterAccess) -> Transport:
        if access.read_only:
            raise GateInputError(
                f"{access.kubeconfig}, context {access.context!r}: the environment file marks this cluster "
                "read_only, and something was about to write there. Nothing was sent. Only a target without "
                "kubernetes.read_only may be written to."
            )
        return Transport(access, writes=True)

    def apply(self, obj: Object, *, force: bool = True, dry_run: bool = False) -> Object:
        """Apply an object server-side, as field manager ``bais-gates``; give it as it is then."""
        return self._apply(obj, {"dryRun": "All"} if dry_run else {}, force=force)

    def create(self, obj: Object) -> Object:
        """Create an object; :class:`ClusterRefused` (AlreadyExists) when there is one."""
        path = self._path(obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace"), None)
        return self._object(
            "POST",
            path,
            "create",
            obj["kind"],
            query={"fieldManager": FIELD_MANAGER},
            body=obj,
            content_type=_JSON,
        )

    def replace(self, obj: Object, *, subresource: str = "") -> Object:
        """Replace an object, or its ``status`` or ``scale``; Conflict when its resourceVersion is old."""
        metadata = obj["metadata"]
        path = self._path(obj["apiVersion"], obj["kind"], metadata.get("namespace"), metadata["name"])
        path += f"/{subresource}" if subresource else ""
        query = {"fieldManager": FIELD_MANAGER}
        return self._object("PUT", path, "update", obj["kind"], query=query, body=obj, content_type=_JSON)

    def patch(
        self,
        api_version: str,
        kind: str,
        name: str,
        patch: Object,
        namespace: str | None = None,
        *,
        subresource: str = "",
    ) -> Object:
        """Change parts of an object by a JSON merge patch; give it as it is then."""
        path = self._path(api_version, kind, namespace, name)
        path += f"/{subresource}" if subresource else ""
        return self._object(
            "PATCH",
            path,
            "patch",
            kind,
            query={"fieldManager": FIELD_MANAGER},
            body=patch,
            content_type=_MERGE,
        )

    def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        propagation: str = "Background",
        uid: str | None = None,
        grace_s: int | None = None,
    ) -> bool:
        """Have an object deleted; False when there is none of that name.

        ``uid``: only this very object (Conflict when another one has its name by now).
        """
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        body |= {"preconditions": {"uid": uid}} if uid is not None else {}
        body |= {"gracePeriodSeconds": grace_s} if grace_s is not None else {}
        path = self._path(api_version, kind, namespace, name)
        try:
            self._object("DELETE", path, "delete", kind, body=body, content_type=_JSON)
        except ClusterRefused as e:
            if e.reason == "NotFound" and not e.kind_missing:
                return False
            raise
        return True

    def evict(self, pod: str, namespace: str) -> None:
        """Ask for a pod to be evicted; :class:`ClusterRefused` (429) when a disruption budget forbids it."""
        path = f"{self._path('v1', 'Pod', namespace, pod)}/eviction"
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
        }
        self._object("POST", path, "create", "pods/eviction", body=body, content_type=_JSON)
