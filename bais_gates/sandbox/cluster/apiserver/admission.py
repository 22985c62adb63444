"""What is asked before a write: may this namespace take it, does the pod keep its security level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver import kinds
from bais_gates.sandbox.cluster.apiserver.core import resource_of
from bais_gates.sandbox.cluster.apiserver.statuses import Resource, forbidden, not_found

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.apiserver.core import Core
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind
    from bais_gates.sandbox.cluster.apiserver.request import Request

Object = dict[str, Any]
NAMESPACES = ("", "namespaces")
UNDELETABLE = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
_RUNS_PODS = frozenset(
    {"pods", "deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "cronjobs"}
)


def admit(
    core: Core,
    request: Request,
    kind: Kind,
    namespace: str,
    obj: Object,
    *,
    old: Object | None,
    subresource: str = "",
) -> None:
    """Refuse a write that the namespace's state or its Pod Security level forbids; warn as it asks to."""
    if not kind.namespaced:
        return
    found = core.store.get(NAMESPACES, ("", namespace))
    name = obj["metadata"].get("name", "")
    if old is None:
        if found is None:
            raise not_found(Resource(group="", plural="namespaces"), namespace)
        _refuse_if_terminating(kind, found, name)
    if found is not None and kind.plural in _RUNS_PODS and not subresource:
        _pod_security(request, kind, found, obj, old)


def _refuse_if_terminating(kind: Kind, namespace: Object, name: str) -> None:
    if not namespace["metadata"].get("deletionTimestamp"):
        return
    where = namespace["metadata"]["name"]
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {where} is being terminated",
        "field": "metadata.namespace",
    }
    why = f"unable to create new content in namespace {where} because it is being terminated"
    raise forbidden(resource_of(kind), name, why, causes=[cause])


def _pod_security(request: Request, kind: Kind, namespace: Object, obj: Object, old: Object | None) -> None:
    if old is not None and old.get("spec") == obj.get("spec"):
        return
    if old is not None and kind.plural == "pods":
        return  # what the levels look at can't be changed in a pod that exists
    labels = namespace["metadata"].get("labels") or {}
    if not any(label.startswith("pod-security.kubernetes.io/") for label in labels):
        return
    admission = kinds.admit_pod(namespace, kind, obj)
    if not admission.allowed:
        raise forbidden(resource_of(kind), obj["metadata"].get("name", ""), admission.message)
    request.warnings.extend(admission.warnings)
