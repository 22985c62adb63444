"""What the platform needs of its cluster, as pure functions over objects as the API server gives them.

A component is there when its kinds are established and its workload is available, as their status says: an
operator whose CRDs were left behind by an uninstall, or whose pod does not start, is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bais_gates.rules.objects import Object

_NAME: Final = "app.kubernetes.io/name"
_COMPONENT: Final = "app.kubernetes.io/component"
_INSTANCE: Final = "app.kubernetes.io/instance"

CRDS: Final[dict[str, tuple[str, ...]]] = {
    "prometheus_operator": ("servicemonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com"),
    "cert_manager": ("certificates.cert-manager.io", "clusterissuers.cert-manager.io"),
    "ingress_controller": (),
}
"""The kinds that the platform's manifests use of each component."""

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
"""app.kubernetes.io/name of the workload behind each IngressClass controller that is common."""
_HELM_OWNER: Final = "owner=helm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The newest revision of a Helm 3 release, as its Secret's labels say."""

    name: str
    revision: int
    status: str
    """``deployed`` when all is well; ``failed``, ``pending-upgrade`` ... when not."""


def unmet_kinds(wanted: Iterable[str], crds: Iterable[Object]) -> dict[str, str]:
    """Say of each wanted CustomResourceDefinition that can not be used why; nothing of those that can."""
    known = {crd["metadata"]["name"]: crd for crd in crds}
    found = {}
    for name in wanted:
        if name not in known:
            found[name] = "not installed"
        elif known[name]["metadata"].get("deletionTimestamp"):
            found[name] = "being deleted"
        elif _condition(known[name], "Established") != "True":
            found[name] = "not established"
    return found


def unhealthy(workload: Object) -> str | None:
    """Say why a Deployment, StatefulSet or DaemonSet is not available; None when it is."""
    metadata, status = workload["metadata"], workload.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int(metadata.get("generation") or 0):
        return "its controller has not seen the last change"
    if workload["kind"] == "DaemonSet":
        wanted, ready = _number(status, "desiredNumberScheduled"), _number(status, "numberReady")
    else:
        replicas = (workload.get("spec") or {}).get("replicas")
        wanted = 1 if replicas is None else int(replicas)
        ready = _number(status, "readyReplicas")
    if wanted == 0:
        return "it is scaled to nothing"
    if ready < wanted:
        return f"{ready} of {wanted} are ready"
    if workload["kind"] == "Deployment" and _condition(workload, "Available") != "True":
        return "it is not Available"
    return None


def workloads_of(
    component: str, workloads: Iterable[Object], *, controllers: Iterable[str] = ()
) -> list[Object]:
    """Find the workloads of a component by the labels that its charts and manifests give them.

    ``controllers``: what the IngressClasses name as theirs. cert-manager's webhook and CA injector belong to
    it, as no Certificate is issued without them.
    """
    workloads = list(workloads)
    if component == "ingress_controller":
        names = {name for one in controllers for name in INGRESS_WORKLOADS.get(_trunk(one), ())}
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


def newest_release(name: str, secrets: Iterable[Object]) -> Release | None:
    """Give a Helm 3 release's newest revision out of its namespace's Secrets; None when there is none."""
    found = []
    for secret in secrets:
        labels = secret["metadata"].get("labels") or {}
        if secret.get("type") != "helm.sh/release.v1" or labels.get("name") != name:
            continue
        revision = str(labels.get("version", ""))
        if revision.isdigit():
            found.append(Release(name=name, revision=int(revision), status=str(labels.get("status", ""))))
    return max(found, key=lambda one: one.revision, default=None)


def helm_selector(name: str) -> str:
    """Give the label selector of a Helm 3 release's Secrets."""
    return f"{_HELM_OWNER},name={name}"


def _is_prometheus_operator(workload: Object) -> bool:
    names = {_label(workload, _NAME), _label(workload, _COMPONENT), _label(workload, "app")}
    return any(name == "prometheus-operator" or name.endswith("-prometheus-operator") for name in names) or (
        "kube-prometheus-stack-operator" in names
    )


def _trunk(controller: str) -> str:
    """Take the instance off a controller's name (haproxy.org/ingress-controller/internal)."""
    return "/".join(controller.split("/")[:2])


def _label(one: Object, key: str) -> str:
    return str((one["metadata"].get("labels") or {}).get(key, ""))


def _number(status: dict[str, Any], key: str) -> int:
    return int(status.get(key) or 0)


def _condition(one: Object, kind: str) -> str:
    conditions = (one.get("status") or {}).get("conditions") or ()
    return next((str(each.get("status")) for each in conditions if each.get("type") == kind), "")
