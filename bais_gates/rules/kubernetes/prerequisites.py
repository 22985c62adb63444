"""Check that the components that the platform requires are installed in the cluster and available.

A component is available when its CustomResourceDefinitions are established and its workload is available, by
their status: CRDs that an uninstall left behind do not count. Source: Kubernetes documentation, "Extend the
Kubernetes API with CustomResourceDefinitions" and "Recommended Labels"; the Secrets of Helm 3 releases.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from bais_gates.rules.kubernetes.workloads import condition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bais_gates.rules.kubernetes.workloads import Object

_NAME: Final = "app.kubernetes.io/name"
_COMPONENT: Final = "app.kubernetes.io/component"
_INSTANCE: Final = "app.kubernetes.io/instance"

CRDS: Final[dict[str, tuple[str, ...]]] = {
    "prometheus_operator": ("servicemonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com"),
    "cert_manager": ("certificates.cert-manager.io", "clusterissuers.cert-manager.io"),
    "ingress_controller": (),
}
"""The CRDs of each component that the platform's manifests use."""

LISTED: Final = (
    *("pods", "services", "configmaps", "serviceaccounts", "persistentvolumeclaims", "resourcequotas"),
    *(
        "limitranges",
        "deployments.apps",
        "statefulsets.apps",
        "daemonsets.apps",
        "jobs.batch",
        "cronjobs.batch",
    ),
    *(
        "horizontalpodautoscalers.autoscaling",
        "poddisruptionbudgets.policy",
        "endpointslices.discovery.k8s.io",
    ),
    *("ingresses.networking.k8s.io", "networkpolicies.networking.k8s.io", "certificates.cert-manager.io"),
    *("roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io"),
    "servicemonitors.monitoring.coreos.com",
)
"""What the gates list in the platform's namespace."""
LISTED_EVERYWHERE: Final = (
    *("nodes", "namespaces", "persistentvolumes", "pods", "services", "storageclasses.storage.k8s.io"),
    *(
        "deployments.apps",
        "daemonsets.apps",
        "ingresses.networking.k8s.io",
        "ingressclasses.networking.k8s.io",
    ),
    *("customresourcedefinitions.apiextensions.k8s.io", "clusterissuers.cert-manager.io"),
    *(
        f"{kind}.rbac.authorization.k8s.io"
        for kind in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
    ),
)
"""What the gates list in the whole cluster."""

INGRESS_WORKLOADS: Final[dict[str, tuple[str, ...]]] = {
    "k8s.io/ingress-nginx": ("ingress-nginx",),
    "nginx.org/ingress-controller": ("nginx-ingress", "nginx-ingress-controller"),
    "traefik.io/ingress-controller": ("traefik",),
    "haproxy.org/ingress-controller": ("kubernetes-ingress", "haproxy-ingress"),
    "haproxy-ingress.github.io/controller": ("haproxy-ingress",),
    "ingress-controllers.konghq.com/kong": ("kong", "ingress", "kong-ingress"),
    "projectcontour.io/ingress-controller": ("contour",),
    "ingress.k8s.aws/alb": ("aws-load-balancer-controller",),
}
"""Values of app.kubernetes.io/name of the workloads of common IngressClass controllers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The latest revision of a Helm 3 release, from the labels of its Secret."""

    name: str
    revision: int
    status: str
    """``deployed``, or ``failed``, ``pending-upgrade`` ..."""


def unusable_crds(required: Iterable[str], crds: Iterable[Object]) -> dict[str, str]:
    """Return the required CustomResourceDefinitions that cannot be used, each with the reason."""
    installed = {crd["metadata"]["name"]: crd for crd in crds}
    unusable = {}
    for name in required:
        if name not in installed:
            unusable[name] = "not installed"
        elif installed[name]["metadata"].get("deletionTimestamp"):
            unusable[name] = "being deleted"
        elif condition(installed[name], "Established") != "True":
            unusable[name] = "not established"
    return unusable


def explain_unavailable(workload: Object) -> str | None:
    """Return why a Deployment, StatefulSet or DaemonSet is not available; None when it is."""
    metadata, status = workload["metadata"], workload.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int(metadata.get("generation") or 0):
        return "its controller has not observed the last change"
    if workload["kind"] == "DaemonSet":
        desired, ready = _number(status, "desiredNumberScheduled"), _number(status, "numberReady")
    else:
        replicas = (workload.get("spec") or {}).get("replicas")
        desired = 1 if replicas is None else int(replicas)
        ready = _number(status, "readyReplicas")
    if desired == 0:
        return "scaled to 0"
    if ready < desired:
        return f"{ready} of {desired} replicas are ready"
    if workload["kind"] == "Deployment" and condition(workload, "Available") != "True":
        return "the condition Available is not True"
    return None


def component_workloads(
    component: str, workloads: Iterable[Object], *, controllers: Iterable[str] = ()
) -> list[Object]:
    """Return the workloads of a component, by the labels that its charts and manifests set.

    ``controllers`` are the controllers of the IngressClasses. cert-manager includes its webhook and its CA
    injector, as no Certificate is issued without them.
    """
    workloads = list(workloads)
    if component == "ingress_controller":
        names = {name for one in controllers for name in INGRESS_WORKLOADS.get(_base_name(one), ())}
        return [one for one in workloads if _label(one, _NAME) in names]
    if component == "prometheus_operator":
        return [one for one in workloads if _is_prometheus_operator(one)]
    main = [one for one in workloads if "cert-manager" in {_label(one, _NAME), _label(one, "app")}]
    homes = {(one["metadata"]["namespace"], _label(one, _INSTANCE)) for one in main}
    return [
        one
        for one in workloads
        if one in main
        or (_label(one, _INSTANCE) and (one["metadata"]["namespace"], _label(one, _INSTANCE)) in homes)
    ]


def latest_release(name: str, secrets: Iterable[Object]) -> Release | None:
    """Return the latest revision of a Helm 3 release from its namespace's Secrets; None without one."""
    releases = []
    for secret in secrets:
        labels = secret["metadata"].get("labels") or {}
        if secret.get("type") != "helm.sh/release.v1" or labels.get("name") != name:
            continue
        revision = str(labels.get("version", ""))
        if revision.isdigit():
            releases.append(Release(name=name, revision=int(revision), status=str(labels.get("status", ""))))
    return max(releases, key=lambda release: release.revision, default=None)


def ingress_addresses(ingress: Object) -> list[str]:
    """Return the addresses and names in an Ingress' status, sorted; none before a controller assigned one.

    Source: Kubernetes documentation, "Ingress": ``status.loadBalancer.ingress``.
    """
    points = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return sorted({str(point.get("ip") or point.get("hostname")) for point in points})


def stray_addresses(resolved: Iterable[str], expected: Iterable[str]) -> list[str]:
    """Return the addresses of the API's name that do not lead to its Ingress, sorted.

    A client connects to any of them. All loopback addresses are one machine's.
    Source: Kubernetes documentation, "Ingress"; RFC 1034, "CNAME and address records".
    """
    admitted = {ip_address(one) for one in expected}
    own = any(one.is_loopback for one in admitted)
    return sorted(
        one
        for one in resolved
        if ip_address(one) not in admitted and not (own and ip_address(one).is_loopback)
    )


def helm_selector(name: str) -> str:
    """Return the label selector of a Helm 3 release's Secrets."""
    return f"owner=helm,name={name}"


def _is_prometheus_operator(workload: Object) -> bool:
    names = {_label(workload, _NAME), _label(workload, _COMPONENT), _label(workload, "app")}
    return any(name == "prometheus-operator" or name.endswith("-prometheus-operator") for name in names) or (
        "kube-prometheus-stack-operator" in names
    )


def _base_name(controller: str) -> str:
    """Return a controller's name without the instance (haproxy.org/ingress-controller/internal)."""
    return "/".join(controller.split("/")[:2])


def _label(one: Object, key: str) -> str:
    return str((one["metadata"].get("labels") or {}).get(key, ""))


def _number(status: dict[str, Any], key: str) -> int:
    return int(status.get(key) or 0)
