"""Change a Kubernetes cluster: for staging, rollouts, the recovery drill and the sandbox's tests.

It is a separate module so that its importers show which code may write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bais_gates.errors import GateInputError
from bais_gates.probes.kubernetes.cluster import FIELD_MANAGER, Cluster, ClusterRefused, Object
from bais_gates.probes.kubernetes.transport import Transport

if TYPE_CHECKING:
    from bais_gates.probes.kubernetes.access import ClusterAccess

_APPLY: Final = "application/apply-patch+yaml"
_JSON: Final = "application/json"
_MERGE: Final = "application/merge-patch+json"


class ClusterWriter(Cluster):
    """A :class:`Cluster` that may also write; its creation raises GateInputError for a read-only access."""

    read_only = False

    def _open(self, access: ClusterAccess) -> Transport:
        if access.read_only:
            raise GateInputError(
                f"{access.kubeconfig}, context {access.context!r}: kubernetes.read_only is set for this "
                "cluster, so nothing is written. Use an environment file without kubernetes.read_only."
            )
        return Transport(access, writes=True)

    def apply(
        self, obj: Object, *, force: bool = True, manager: str = FIELD_MANAGER, dry_run: bool = False
    ) -> Object:
        """Apply an object server-side as a field manager; return the stored object.

        Without ``force``, a field that another manager owns is a Conflict whose causes name the managers.
        ``dry_run`` returns what would be stored.
        """
        metadata = obj["metadata"]
        path = self._path(obj["apiVersion"], obj["kind"], metadata.get("namespace"), metadata["name"])
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        query |= {"dryRun": "All"} if dry_run else {}
        return self._object("PATCH", path, "patch", obj["kind"], query=query, body=obj, content_type=_APPLY)

    def create(self, obj: Object) -> Object:
        """Create an object and return it; raise :class:`ClusterRefused` (AlreadyExists) if it exists."""
        path = self._path(obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace"), None)
        query = {"fieldManager": FIELD_MANAGER}
        return self._object("POST", path, "create", obj["kind"], query=query, body=obj, content_type=_JSON)

    def patch(
        self, api_version: str, kind: str, name: str, patch: Object, namespace: str | None = None
    ) -> Object:
        """Apply a JSON merge patch to an object and return it."""
        path = self._path(api_version, kind, namespace, name)
        query = {"fieldManager": FIELD_MANAGER}
        return self._object("PATCH", path, "patch", kind, query=query, body=patch, content_type=_MERGE)

    def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        grace_s: int | None = None,
    ) -> bool:
        """Delete an object; return False if it does not exist.

        With ``uid``, only the object with that uid is deleted: another object of that name is a Conflict.
        """
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
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
