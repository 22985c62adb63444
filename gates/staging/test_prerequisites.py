"""Whether the cluster has what the platform stands on: each component there, and healthy."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates import Environment, Evidence, KubernetesPart
from bais_gates.probes import Cluster, Objects, version_number
from bais_gates.rules import prerequisites as needed

READ = ("pods", "deployments.apps", "services", "networkpolicies.networking.k8s.io")

"""What the gates' credentials must be allowed to list in the platform's namespace."""


@pytest.mark.gate("staging.prerequisites")
def test_prerequisites(environment: Environment, cluster: Cluster, evidence: Evidence) -> None:
    """The cluster is the one named, new enough, and has operators, an ingress controller and cert-manager."""
    part = environment.kubernetes
    the_cluster(part, cluster, evidence)
    workloads = [one for kind in ("Deployment", "DaemonSet") for one in cluster.list("apps/v1", kind)]
    crds = cluster.list("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    controllers = ingress_classes(part, cluster, evidence)
    for component in part.COMPONENTS:
        kinds = needed.CRDS[component]
        if kinds:
            evidence.check(
                f"kinds of {_words(component)} that can not be used",
                needed.unusable_crds(kinds, crds),
                "==",
                {},
                n=len(kinds),
                source="CustomResourceDefinitions and their condition Established",
            )
        the_workload(part, component, workloads, controllers, evidence)
    helm_releases(part, cluster, evidence)


def the_cluster(part: KubernetesPart, cluster: Cluster, evidence: Evidence) -> None:
    """Check version, context, identity, and that the gates may look."""
    version = cluster.version()
    evidence.check(
        "context that is asked", cluster.access.context, "==", part.context, source=cluster.address
    )
    evidence.check(
        f"versions of Kubernetes older than {part.minimum_version}",
        [version]
        if (version_number(version) or (0, 0)) < (version_number(part.minimum_version) or ())
        else [],
        "==",
        [],
        n=1,
        source=f"/version of {cluster.address}: {version}",
    )
    if part.cluster_uid is not None:
        evidence.check(
            "uid of the cluster", cluster.uid(), "==", part.cluster_uid, source="namespace kube-system"
        )
    refused = [right for right in READ if not cluster.may("list", right, part.namespace)]
    evidence.check(
        f"what the gates may not list in namespace {part.namespace}",
        refused,
        "==",
        [],
        n=len(READ),
        source="SelfSubjectAccessReview",
    )


def ingress_classes(part: KubernetesPart, cluster: Cluster, evidence: Evidence) -> list[str]:
    """Check that the class that the platform's Ingress names is there; give the controllers of all in use."""
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
    evidence.check(
        "IngressClasses that the platform names and that are not there", sorted(used - set(classes)), "==", []
    )
    return sorted({classes[name] for name in (used & set(classes) or set(classes))})


def the_workload(
    part: KubernetesPart, component: str, workloads: Objects, controllers: list[str], evidence: Evidence
) -> None:
    """Check that a component's workload is there and available, or attach why there is to be none."""
    said = part.component(component)
    if said.absent is not None:
        evidence.attach(f"{_words(component)}: no workload, as the environment file says", said.absent)
        return
    if said.workload is not None:
        found = [one for one in workloads if _place(one) == said.workload]
        how = f"kubernetes.components.{component}.workload: {said.workload}"
    else:
        found = needed.component_workloads(component, workloads, controllers=controllers)
        how = f"by its labels{f' ({controllers})' if component == 'ingress_controller' else ''}"
    evidence.check(f"workloads of {_words(component)}", len(found), ">=", 1, source=how)
    evidence.check(
        f"workloads of {_words(component)} that are not available",
        {_place(one): why for one in found if (why := needed.explain_unavailable(one)) is not None},
        "==",
        {},
        source=how,
    )


def helm_releases(part: KubernetesPart, cluster: Cluster, evidence: Evidence) -> None:
    """Check that each Helm release that the environment file names is deployed, in its newest revision."""
    for named in part.helm_releases:
        namespace, _, name = named.rpartition("/")
        secrets = cluster.list("v1", "Secret", namespace or part.namespace, labels=needed.helm_selector(name))
        release = needed.latest_release(name, secrets)
        evidence.check(
            f"Helm release {named}",
            release.status if release is not None else "not there",
            "==",
            "deployed",
            source=f"revision {release.revision}" if release is not None else "Secrets helm.sh/release.v1",
        )


def _place(workload: dict[str, Any]) -> str:
    metadata = workload["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"


def _words(component: str) -> str:
    return {"cert_manager": "cert-manager"}.get(component, f"the {component.replace('_', ' ')}")
