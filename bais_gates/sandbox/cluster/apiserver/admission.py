"""Admission: whether the namespace takes a write, and whether the pod keeps to its Pod Security level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver.core import resource_of, type_of
from bais_gates.sandbox.cluster.apiserver.discovery import VERSION
from bais_gates.sandbox.cluster.apiserver.statuses import Resource, forbidden, not_found

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.apiserver.config import PodSecurity
    from bais_gates.sandbox.cluster.apiserver.core import Core
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind
    from bais_gates.sandbox.cluster.apiserver.request import Request

Object = dict[str, Any]
NAMESPACES = ("", "namespaces")
PREFIX = "pod-security.kubernetes.io/"
SERVED = int(VERSION["minor"])
UNDELETABLE = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
_RUN_PODS = frozenset(
    {
        ("", "pods"),
        *(("apps", plural) for plural in ("deployments", "replicasets", "statefulsets")),
        *(("batch", plural) for plural in ("jobs", "cronjobs")),
    }
)


def admit_into(core: Core, kind: Kind, namespace: str, name: str) -> None:
    """Refuse a new object whose namespace isn't there (404) or is being deleted (403)."""
    if not kind.namespaced:
        return
    found = core.store.get(NAMESPACES, ("", namespace))
    if found is None:
        raise not_found(Resource(group="", plural="namespaces"), namespace)
    if not found["metadata"].get("deletionTimestamp"):
        return
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    raise forbidden(resource_of(kind), name, why, causes=[cause])


def admit_pod(core: Core, request: Request, kind: Kind, obj: Object, old: Object | None = None) -> None:
    """Refuse a pod that the namespace's ``enforce`` level forbids; warn of pods and workloads by ``warn``."""
    if core.pod_security is None or type_of(kind) not in _RUN_PODS:
        return
    if old is not None and (kind.plural == "pods" or old.get("spec") == obj.get("spec")):
        return  # what the levels look at can't be changed in a pod that exists
    namespace = core.store.get(NAMESPACES, ("", obj["metadata"]["namespace"])) or {"metadata": {}}
    labels = namespace["metadata"].get("labels") or {}
    if kind.plural == "pods" and (message := _violated(core.pod_security, labels, "enforce", obj)):
        raise forbidden(resource_of(kind), obj["metadata"]["name"], message)
    if message := _violated(core.pod_security, labels, "warn", obj):
        request.warnings.append(message.replace("violates", "would violate", 1))


def _violated(pod_security: PodSecurity, labels: dict[str, str], mode: str, obj: Object) -> str:
    """Return what the label of that mode forbids about ``obj``, in the words of the real admission."""
    level = labels.get(PREFIX + mode, "privileged")
    if level == "privileged":
        return ""
    version = labels.get(f"{PREFIX}{mode}-version", "latest")
    # No version of the policy is newer than the server.
    minor = min(int(version.removeprefix("v1.")) if version != "latest" else SERVED, SERVED)
    found = list(pod_security(obj, level, version=f"v1.{minor}"))
    if not found:
        return ""
    return f'violates PodSecurity "{level}:{version}": {", ".join(each.message for each in found)}'
