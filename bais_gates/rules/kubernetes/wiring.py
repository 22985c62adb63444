"""Find references to missing objects, removed API versions, and objects in the namespace ``default``.

Source: kube-linter (dangling-servicemonitor, non-existent-service-account, use-namespace), kube-score
(stable-version), CKV_K8S_21; the Kubernetes deprecation guide for the removed API versions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bais_gates.rules.kubernetes.objects import (
    Finding,
    Object,
    dig,
    labels_of,
    locate,
    name_of,
    namespace_of,
    of_kind,
    selects,
    workloads,
)

# API versions that Kubernetes 1.32 and later do not serve; None stands for every kind.
REMOVED: dict[str, frozenset[str] | None] = {
    "extensions/v1beta1": None,
    "apps/v1beta1": None,
    "apps/v1beta2": None,
    "batch/v1beta1": None,
    "batch/v2alpha1": None,
    "policy/v1beta1": None,
    "networking.k8s.io/v1beta1": frozenset({"Ingress", "IngressClass"}),
    "autoscaling/v2beta1": None,
    "autoscaling/v2beta2": None,
    "rbac.authorization.k8s.io/v1beta1": None,
    "storage.k8s.io/v1beta1": frozenset({"StorageClass", "CSIDriver", "CSINode", "VolumeAttachment"}),
    "discovery.k8s.io/v1beta1": None,
    "scheduling.k8s.io/v1beta1": None,
    "apiextensions.k8s.io/v1beta1": None,
    "admissionregistration.k8s.io/v1beta1": frozenset(
        {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}
    ),
    "events.k8s.io/v1beta1": None,
    "flowcontrol.apiserver.k8s.io/v1beta3": None,
}


def dangling_monitors(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for ServiceMonitors that select no Service.

    Without a namespaceSelector, a monitor selects in its own namespace; a manifest without a namespace is
    compared with the Services of all namespaces.
    """
    every = list(objects)
    services = of_kind(every, "Service")
    return [
        Finding(
            rule="dangling-service-monitor", where=locate(monitor), detail="its selector selects no Service"
        )
        for monitor in of_kind(every, "ServiceMonitor")
        if not any(monitors_service(monitor, service) for service in services)
    ]


def monitors_service(monitor: Object, service: Object) -> bool:
    """Return whether a ServiceMonitor selects a Service, by its labels and namespace."""
    selector: dict[str, Any] = dig(monitor, "spec", "namespaceSelector") or {}
    spaces = selector.get("matchNames") or [home for home in [dig(monitor, "metadata", "namespace")] if home]
    here = bool(selector.get("any")) or not spaces or namespace_of(service) in spaces
    return here and selects(dig(monitor, "spec", "selector") or {}, labels_of(service))


def missing_accounts(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for workloads whose ServiceAccount is missing: their pods cannot be created."""
    every = list(objects)
    known = {(namespace_of(account), name_of(account)) for account in of_kind(every, "ServiceAccount")}
    findings = []
    for pod in workloads(every):
        name = pod.spec.get("serviceAccountName") or pod.spec.get("serviceAccount") or "default"
        # Kubernetes creates the account "default" in every namespace.
        if name != "default" and (pod.namespace, name) not in known:
            detail = f"there is no ServiceAccount {name}"
            findings.append(Finding(rule="missing-service-account", where=pod.where, detail=detail))
    return findings


def removed_apis(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for objects of an API version that is no longer served."""
    findings = []
    for obj in objects:
        version, kind = str(obj.get("apiVersion")), str(obj.get("kind"))
        kinds = REMOVED.get(version, frozenset())
        if kinds is None or kind in kinds:
            findings.append(
                Finding(rule="removed-api", where=locate(obj), detail=f"{version} is no longer served")
            )
    return findings


def in_default_namespace(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for workloads and Services in the namespace ``default``, or without a namespace."""
    every = list(objects)
    places = [pod.where for pod in workloads(every) if pod.namespace == "default"]
    places += [locate(one) for one in of_kind(every, "Service") if namespace_of(one) == "default"]
    # The Service of the API server is in every cluster.
    return [
        Finding(rule="default-namespace", where=place, detail="is in the namespace default")
        for place in places
        if place != "Service/default/kubernetes"
    ]
