"""Check that the cluster has what the platform needs: each component installed and available."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from bais_gates import Environment, Evidence, KubernetesPart
from bais_gates.probes import Cluster, Objects, resolve, version_number
from bais_gates.rules.kubernetes import prerequisites as needed


@pytest.mark.gate("staging.prerequisites")
def test_prerequisites(environment: Environment, cluster: Cluster, evidence: Evidence) -> None:
    """The named cluster is new enough, with Prometheus operator, ingress controller and cert-manager."""
    part = environment.kubernetes
    check_cluster(part, cluster, evidence)
    workloads = [one for kind in ("Deployment", "DaemonSet") for one in cluster.list("apps/v1", kind)]
    crds = cluster.list("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    controllers = check_ingress_classes(part, cluster, evidence)
    for component in part.COMPONENTS:
        kinds = needed.CRDS[component]
        if kinds:
            evidence.check(
                f"unavailable kinds ({_title(component)})",
                needed.unusable_crds(kinds, crds),
                "==",
                {},
                n=len(kinds),
                source="CustomResourceDefinitions and their condition Established",
            )
        check_workload(part, component, workloads, controllers, evidence)
    check_helm_releases(part, evidence)
    if environment.describes("api"):
        check_name(environment, cluster, evidence)


def check_cluster(part: KubernetesPart, cluster: Cluster, evidence: Evidence) -> None:
    """Check version, context, identity, and the permissions of the gates' credentials."""
    version = cluster.version()
    context, source = cluster.access.context, cluster.address
    evidence.check("kubeconfig context", context, "==", part.context, source=source)
    outdated = (version_number(version) or (0, 0)) < (version_number(part.minimum_version) or ())
    evidence.check(
        f"API servers older than Kubernetes {part.minimum_version}",
        [version] if outdated else [],
        "==",
        [],
        n=1,
        source=f"/version of {cluster.address}: {version}",
    )
    if part.cluster_uid is not None:
        uid = cluster.uid()
        evidence.check("cluster uid", uid, "==", part.cluster_uid, source="namespace kube-system")
    needs: list[tuple[str, str | None]] = [(kind, part.namespace) for kind in needed.LISTED]
    needs += [(kind, None) for kind in needed.LISTED_EVERYWHERE]
    refused = [
        f"{kind} in {namespace or 'the whole cluster'}"
        for kind, namespace in needs
        if not cluster.may("list", kind, namespace)
    ]
    name, source = "missing list permissions (bais-gates-reader)", "SelfSubjectAccessReview"
    evidence.require(name, refused, "==", [], n=len(needs), source=source)


def check_ingress_classes(part: KubernetesPart, cluster: Cluster, evidence: Evidence) -> list[str]:
    """Check that the class of the platform's Ingress exists; return the controllers of all classes in use."""
    classes = {
        one["metadata"]["name"]: str((one.get("spec") or {}).get("controller", ""))
        for one in cluster.list("networking.k8s.io/v1", "IngressClass")
    }
    evidence.check("IngressClasses", len(classes), ">=", 1, source="networking.k8s.io/v1 IngressClass")
    ingresses = cluster.list("networking.k8s.io/v1", "Ingress", part.namespace)
    used = {
        str(name)
        for one in ingresses
        if (name := (one.get("spec") or {}).get("ingressClassName")) is not None
    }
    evidence.check("missing IngressClasses", sorted(used - set(classes)), "==", [])
    return sorted({classes[name] for name in (used & set(classes) or set(classes))})


def check_workload(
    part: KubernetesPart, component: str, workloads: Objects, controllers: list[str], evidence: Evidence
) -> None:
    """Check that a component's workload is available, or attach the reason why it has none."""
    described, title = part.component(component), _title(component)
    if described.absent is not None:
        evidence.attach(f"{title}: absent by the environment file", described.absent)
        return
    wanted = title
    if described.workload is not None:
        matching = [one for one in workloads if _name(one) == described.workload]
        wanted, source = f"{title}: {described.workload}", f"kubernetes.components.{component}.workload"
    else:
        matching = needed.component_workloads(component, workloads, controllers=controllers)
        names = f" ({', '.join(controllers)})" if component == "ingress_controller" else ""
        source = f"its labels{names}"
    evidence.check(f"workloads ({wanted})", len(matching), ">=", 1, source=source)
    unavailable = {
        _name(one): reason for one in matching if (reason := needed.explain_unavailable(one)) is not None
    }
    evidence.check(f"unavailable workloads ({title})", unavailable, "==", {}, source=source)


def check_helm_releases(part: KubernetesPart, evidence: Evidence) -> None:
    """Check that the newest revision of each Helm release in the environment file is deployed."""
    with Cluster(part.secrets_access()) as reader:
        for named in part.helm_releases:
            check_helm_release(named, part.namespace, reader, evidence)


def check_helm_release(named: str, namespace: str, reader: Cluster, evidence: Evidence) -> None:
    """Check the newest revision of one release, ``namespace/name`` or a name in the platform's namespace."""
    space, _, release = named.rpartition("/")
    space, state, source = space or namespace, None, ""
    if not reader.may("list", "secrets", space):
        source = (
            f"context {reader.access.context} may not list Secrets in {space}: grant it, or omit the release"
        )
    else:
        found = needed.latest_release(
            release, reader.list("v1", "Secret", space, labels=needed.helm_selector(release))
        )
        state = "absent" if found is None else found.status
        source = "Secrets helm.sh/release.v1" if found is None else f"revision {found.revision}"
    evidence.check(f"Helm release status ({named})", state, "==", "deployed", source=source)


def check_name(environment: Environment, cluster: Cluster, evidence: Evidence) -> None:
    """Check that the API's public name resolves to its Ingress, or attach that this one has no address."""
    part, host = environment.kubernetes, urlsplit(environment.api.url).hostname or ""
    ingress = cluster.named("networking.k8s.io/v1", "Ingress", part.names.ingress, part.namespace) or {}
    named = environment.api.ingress_address
    points = [named] if named else needed.ingress_addresses(ingress)
    if not points:
        evidence.attach("address of the Ingress", f"No controller has assigned one to {part.names.ingress}.")
        return
    source = "api.ingress_address" if named else f"status of the Ingress {part.names.ingress}"
    expected = sorted({address for point in points for address in resolve(point)})
    evidence.require(f"addresses of {', '.join(points)}", len(expected), ">=", 1, source=source)
    resolved = resolve(host)
    evidence.require(f"addresses of {host}", len(resolved), ">=", 1, source="name resolution, from here")
    stray = [
        f"{host} resolves to {address}, which is not {', '.join(expected)}"
        for address in needed.stray_addresses(resolved, expected)
    ]
    name = "addresses of the API other than the Ingress'"
    evidence.check(name, stray, "==", [], n=len(resolved), source=source)


def _name(workload: dict[str, Any]) -> str:
    metadata = workload["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"


def _title(component: str) -> str:
    return {"cert_manager": "cert-manager", "prometheus_operator": "Prometheus operator"}.get(
        component, component.replace("_", " ")
    )
