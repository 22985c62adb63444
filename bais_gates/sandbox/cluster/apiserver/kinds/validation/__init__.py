"""The rules of the kinds, in the API server's words: what makes a 422, cause by cause."""

from __future__ import annotations

from collections.abc import Callable

from bais_gates.sandbox.cluster.apiserver.kinds.admission import bad_labels
from bais_gates.sandbox.cluster.apiserver.kinds.errors import Cause, invalid
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj
from bais_gates.sandbox.cluster.apiserver.kinds.validation import (
    definitions,
    meta,
    pods,
    policies,
    services,
    storage,
    structural,
    workloads,
)

_RULES: dict[str, Callable[[Obj], list[Cause]]] = {
    "Pod": lambda obj: pods.spec_causes(obj["spec"], "spec"),
    "Namespace": lambda obj: [invalid(*wrong) for wrong in bad_labels(obj)],
    "Deployment": workloads.deployment,
    "ReplicaSet": workloads.replica_set,
    "StatefulSet": workloads.stateful_set,
    "DaemonSet": workloads.daemon_set,
    "Job": workloads.job,
    "CronJob": workloads.cron_job,
    "Service": services.service,
    "Ingress": services.ingress,
    "NetworkPolicy": services.network_policy,
    "EndpointSlice": services.endpoint_slice,
    "Endpoints": services.endpoints,
    "ConfigMap": storage.config_map,
    "Secret": storage.secret,
    "PersistentVolumeClaim": storage.claim,
    "PersistentVolume": storage.volume,
    "StorageClass": storage.storage_class,
    "HorizontalPodAutoscaler": policies.autoscaler,
    "PodDisruptionBudget": policies.disruption_budget,
    "Role": lambda obj: policies.role(obj, namespaced=True),
    "ClusterRole": policies.cluster_role,
    "RoleBinding": policies.binding,
    "ClusterRoleBinding": policies.binding,
    "PriorityClass": policies.priority_class,
    "Lease": policies.lease,
    "Event": policies.event,
    "IngressClass": policies.ingress_class,
    "ResourceQuota": policies.quota,
    "CustomResourceDefinition": definitions.definition,
}
_UPDATES: dict[str, Callable[[Obj, Obj], list[Cause]]] = {
    "Pod": pods.update_causes,
    "Deployment": lambda old, new: workloads.updated("Deployment", old, new),
    "ReplicaSet": lambda old, new: workloads.updated("ReplicaSet", old, new),
    "StatefulSet": lambda old, new: workloads.updated("StatefulSet", old, new),
    "DaemonSet": lambda old, new: workloads.updated("DaemonSet", old, new),
    "Job": lambda old, new: workloads.updated("Job", old, new),
    "Service": services.updated_service,
    "ConfigMap": lambda old, new: storage.updated_data(old, new, "ConfigMap"),
    "Secret": lambda old, new: storage.updated_data(old, new, "Secret"),
    "PersistentVolumeClaim": storage.updated_claim,
    "StorageClass": storage.updated_storage_class,
    "RoleBinding": policies.updated_binding,
    "ClusterRoleBinding": policies.updated_binding,
    "PriorityClass": policies.updated_priority_class,
    "CustomResourceDefinition": definitions.updated,
}
_JUDGED_BY_UPDATE_ALONE = frozenset({"Pod", "PersistentVolumeClaim"})


def causes_of_create(kind: Kind, obj: Obj) -> list[Cause]:
    """Return why a fresh object may not be stored; nothing if it may."""
    found = meta.causes(kind, obj)
    if kind.custom:
        return found + structural.causes(kind, obj)
    rule = _RULES.get(kind.kind)
    return found + (rule(obj) if rule is not None else [])


def causes_of_update(kind: Kind, old: Obj, new: Obj, subresource: str | None) -> list[Cause]:
    """Return why ``new`` may not take the place of ``old``; nothing if it may."""
    found = meta.update_causes(old, new) + meta.causes(kind, new)
    if kind.custom:
        return found + structural.causes(kind, new)
    if subresource == "status":
        return found
    rule = _RULES.get(kind.kind)
    if rule is not None and kind.kind not in _JUDGED_BY_UPDATE_ALONE:
        found += rule(new)
    update = _UPDATES.get(kind.kind)
    return found + (update(old, new) if update is not None else [])


def warnings_of(kind: Kind, obj: Obj) -> tuple[str, ...]:
    """Return what the API server warns about though it stores the object."""
    if kind.kind != "Endpoints" or kind.custom or not obj.get("subsets"):
        return ()
    return ("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",)
