"""Check the network: isolation, access to the stores, dangling references and exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from bais_gates import Environment, Evidence
from bais_gates.probes import Cluster, read_namespace, read_network
from bais_gates.rules.kubernetes import (
    DIRECTIONS,
    Network,
    Workload,
    allowed_cidrs,
    allowed_sources,
    allows_ingress,
    connecting_sources,
    dangling_findings,
    exposure,
    has_default_deny,
    isolation_findings,
    of_kind,
    unknown_pods,
    wiring,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPONENT: Final = "app.kubernetes.io/component"
PART_OF: Final = "app.kubernetes.io/part-of"


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A component that stores data, its port, and the components that need it."""

    component: str
    port: int
    clients: frozenset[str]


STORES: Final = (
    Store(component="database", port=5432, clients=frozenset({"api", "migration", "backup"})),
    Store(component="cache", port=6379, clients=frozenset({"api"})),
)


@pytest.mark.gate("checklist.network_security")
def test_network_security(cluster: Cluster, environment: Environment, evidence: Evidence) -> None:
    """Pods are isolated, stores allow only peers that need them, and only the Ingress is exposed, by TLS."""
    namespace = environment.kubernetes.namespace
    objects = read_namespace(cluster, namespace)
    templates = [obj for obj in objects if obj["kind"] != "Pod"]
    network = Network.of([*read_network(cluster, namespace), *templates], complete=True)
    check_isolation(network, namespace, evidence)
    for store in STORES:
        check_store(network, namespace, store, evidence)
    monitors = cluster.list("monitoring.coreos.com/v1", "ServiceMonitor", namespace)
    findings = [*wiring.missing_accounts(objects), *wiring.dangling_monitors([*objects, *monitors])]
    name = "missing ServiceAccounts and dangling ServiceMonitors"
    evidence.check(name, list(map(str, findings)), "==", [], source="kube-linter")
    expected = environment.security.expected_exposed if environment.describes("security") else ()
    check_exposure(objects, expected, evidence)


def check_isolation(network: Network, namespace: str, evidence: Evidence) -> None:
    """Check that pods, also future ones, are isolated in both directions, and that no policy is dangling."""
    n = sum(pod.namespace == namespace and pod.kind == "Pod" for pod in network.workloads)
    evidence.require("running pods", n, ">=", 1, source=f"pods of {namespace}")
    for direction in DIRECTIONS:
        denied = "present" if has_default_deny(namespace, network.policies, direction) else "missing"
        evidence.check(f"default deny policy ({direction})", denied, "==", "present", source="CIS 5.3.2")
    unisolated = list(map(str, isolation_findings(network, namespace)))
    evidence.check("pods that are not isolated", unisolated, "==", [], n=n, source="CIS 5.3.2")
    dangling = list(map(str, dangling_findings(network, namespace)))
    evidence.check("network policies and peers that match nothing", dangling, "==", [])


def check_store(network: Network, namespace: str, store: Store, evidence: Evidence) -> None:
    """Check that exactly the components that need a store may reach it."""
    pods = [
        pod
        for pod in network.workloads
        if pod.namespace == namespace and pod.labels.get(COMPONENT) == store.component
    ]
    evidence.require(f"pods of the {store.component}", len(pods), ">=", 1)
    unknown = unknown_pods(namespace)
    allowed = {
        component_of(peer, namespace)
        for pod in pods
        for peer in (
            *allowed_sources(pod, store.port, network),
            *(one for one in unknown if allows_ingress(pod, one, store.port, network)),
        )
    }
    connecting = {
        component_of(peer, namespace) for pod in pods for peer in connecting_sources(pod, store.port, network)
    }
    cidrs = sorted({cidr for pod in pods for cidr in allowed_cidrs(pod, network.policies)})
    unneeded, access = sorted(allowed - store.clients), "allowed" if "api" in connecting else "denied"
    evidence.check(f"unneeded peers that may reach the {store.component}", unneeded, "==", [])
    evidence.check(f"access of the API to the {store.component}", access, "==", "allowed")
    evidence.check(f"IP blocks that may reach the {store.component}", cidrs, "==", [])


def component_of(peer: Workload, namespace: str) -> str:
    """Return the platform's component that a peer is, or its namespace and name."""
    if peer.namespace == namespace and peer.labels.get(PART_OF) == "bais":
        return peer.labels.get(COMPONENT, peer.name)
    return f"{peer.namespace}/{peer.name}"


def check_exposure(objects: Sequence[dict[str, Any]], expected: Sequence[str], evidence: Evidence) -> None:
    """Check that only the Ingress is exposed, with TLS for every host and without snippets."""
    evidence.check("Ingresses", len(of_kind(objects, "Ingress")), ">=", 1)
    for name, findings, source in (
        ("unexpected exposed Services", exposure.exposed_services(objects, expected), "CIS 5.3; kube-linter"),
        (
            "pods with host ports or the host network",
            exposure.host_access(objects),
            "Pod Security Standards baseline",
        ),
        ("Ingress hosts without TLS", exposure.ingress_tls(objects), "Polaris tlsSettingsMissing"),
        ("snippet annotations", exposure.snippets(objects), "CVE-2021-25742"),
        ("dangling Services and Ingress backends", exposure.dangling_services(objects), "kube-linter"),
    ):
        evidence.check(name, list(map(str, findings)), "==", [], source=source)
