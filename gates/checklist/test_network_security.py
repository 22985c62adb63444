"""Whether the network lets through what the platform needs, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from bais_gates import Environment, Evidence
from bais_gates.probes import Cluster, read_namespace, read_network
from bais_gates.rules import (
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
    """A part that keeps data, its port, and the parts that need it."""

    component: str
    port: int
    needing: frozenset[str]


STORES: Final = (
    Store(component="database", port=5432, needing=frozenset({"api", "migration", "backup"})),
    Store(component="cache", port=6379, needing=frozenset({"api"})),
)


@pytest.mark.gate("checklist.network_security")
def test_network_security(cluster: Cluster, environment: Environment, evidence: Evidence) -> None:
    """Every pod is closed but for what is allowed, stores admit who needs them, the one way in has TLS."""
    namespace = environment.kubernetes.namespace
    objects = read_namespace(cluster, namespace)
    around = read_network(cluster, namespace)
    templates = [obj for obj in objects if obj["kind"] != "Pod"]
    network = Network.of([*around, *templates], complete=True)
    closed(network, namespace, evidence)
    for store in STORES:
        let_in(network, namespace, store, evidence)
    monitors = cluster.list("monitoring.coreos.com/v1", "ServiceMonitor", namespace)
    astray = [*wiring.missing_accounts(objects), *wiring.dangling_monitors([*objects, *monitors])]
    evidence.check(
        "accounts and monitors that lead nowhere",
        [str(one) for one in astray],
        "==",
        [],
        source="kube-linter",
    )
    expected = environment.security.expected_exposed if environment.describes("security") else ()
    seen_from_outside(objects, expected, evidence)


def closed(network: Network, namespace: str, evidence: Evidence) -> None:
    """Check that pods are isolated both ways, tomorrow's too, and that no policy misses its mark."""
    pods = [pod for pod in network.workloads if pod.namespace == namespace and pod.kind == "Pod"]
    evidence.require("running pods", len(pods), ">=", 1, source=f"pods of {namespace}")
    for way in DIRECTIONS:
        evidence.check(
            f"a policy of all pods denies {way} by default",
            has_default_deny(namespace, network.policies, way),
            "==",
            limit=True,
            source="CIS 5.3.2",
        )
    open_pods = [str(finding) for finding in isolation_findings(network, namespace)]
    evidence.check("pods open in a direction", open_pods, "==", [], n=len(pods), source="CIS 5.3.2")
    evidence.check(
        "policies and peers that match nothing",
        [str(finding) for finding in dangling_findings(network, namespace)],
        "==",
        [],
    )


def let_in(network: Network, namespace: str, store: Store, evidence: Evidence) -> None:
    """Check that a store lets in exactly the parts that need it."""
    pods = _parts(network, namespace, store.component)
    evidence.require(f"pods of the {store.component}", len(pods), ">=", 1)
    unknown = unknown_pods(namespace)
    admitted = {
        _said(source, namespace)
        for pod in pods
        for source in (
            *allowed_sources(pod, store.port, network),
            *(stranger for stranger in unknown if allows_ingress(pod, stranger, store.port, network)),
        )
    }
    reaching = {_said(s, namespace) for pod in pods for s in connecting_sources(pod, store.port, network)}
    blocks = sorted({block for pod in pods for block in allowed_cidrs(pod, network.policies)})
    evidence.check(
        f"whom the {store.component} allows_ingress without need", sorted(admitted - store.needing), "==", []
    )
    evidence.check(f"the API reaches the {store.component}", "api" in reaching, "==", limit=True)
    evidence.check(f"address blocks that reach the {store.component}", blocks, "==", [])


def _parts(network: Network, namespace: str, component: str) -> list[Workload]:
    return [p for p in network.workloads if p.namespace == namespace and p.labels.get(COMPONENT) == component]


def _said(source: Workload, namespace: str) -> str:
    if source.namespace == namespace and source.labels.get(PART_OF) == "bais":
        return source.labels.get(COMPONENT, source.name)
    return f"{source.namespace}/{source.name}"


def seen_from_outside(objects: Sequence[dict[str, Any]], expected: Sequence[str], evidence: Evidence) -> None:
    """Check that the Ingress is the one way in, by TLS for every host, with no text of its own."""
    ingresses = of_kind(objects, "Ingress")
    evidence.check("Ingresses", len(ingresses), ">=", 1)
    for name, found, source in (
        ("Services open to the world", exposure.exposed_services(objects, expected), "CIS 5.3; kube-linter"),
        ("pods on the node's network", exposure.host_access(objects), "Pod Security Standards baseline"),
        ("Ingress hosts without TLS", exposure.ingress_tls(objects), "Polaris tlsSettingsMissing"),
        ("snippet annotations", exposure.snippets(objects), "CVE-2021-25742"),
        ("Services and backends that lead nowhere", exposure.dangling_services(objects), "kube-linter"),
    ):
        evidence.check(name, [str(finding) for finding in found], "==", [], source=source)
