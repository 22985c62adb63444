"""Check the network: isolation, who may reach what, dangling references and exposure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from bais_gates import Environment, Evidence
from bais_gates.probes import Cluster, read_exposure, read_namespace, read_network
from bais_gates.rules.kubernetes import (
    COMPONENT,
    DIRECTIONS,
    NAME,
    Network,
    Peers,
    Workload,
    allows,
    dangling_findings,
    default_deny,
    exposure,
    ingresses,
    isolation_findings,
    of_kind,
    peers,
    prerequisites,
    wiring,
)

MIGRATION: Final = "bais-migrate"
CALLERS: Final = {
    "ingress_controller": ("ingress-nginx", "ingress-nginx"),
    "prometheus_operator": ("monitoring", "prometheus"),
}
"""Who may reach the API from where: the usual namespace, and the name of the pods there."""
PATHS: Final = ("/api", "/health", "/ready")
"""What the API serves to everybody; an Ingress may also name all of it, by /."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A component of the platform, its port, and whom it needs."""

    port: int
    clients: frozenset[str] = frozenset()
    """The components that connect to it."""
    called: bool = False
    """Whether the ingress controller and monitoring connect to it."""
    needs: frozenset[str] = frozenset()
    """The components that it connects to."""
    outside: bool = True
    """Whether it may also connect to addresses outside the cluster."""


COMPONENTS: Final = {
    "database": Component(port=5432, clients=frozenset({"api", "migration", "backup"}), outside=False),
    "cache": Component(port=6379, clients=frozenset({"api"}), outside=False),
    "api": Component(port=8443, called=True, needs=frozenset({"database", "cache"})),
}
CLIENTS: Final = {"migration": frozenset({"database"}), "backup": frozenset({"database"})}
"""The components that nobody connects to, and those that they connect to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The network, and the platform's part of it."""

    network: Network
    namespace: str
    names: dict[str, str]
    """Each component by the value of its pods' label app.kubernetes.io/name."""
    callers: dict[str, str]
    """The namespaces whose pods may reach the API, with the name of those pods."""

    def pods(self, *components: str) -> list[Workload]:
        """Return the pods and pod templates of components."""
        return [
            pod
            for pod in self.network.workloads
            if pod.namespace == self.namespace and pod.labels.get(COMPONENT) in components
        ]


@pytest.mark.gate("checklist.network_security")
def test_network_security(cluster: Cluster, environment: Environment, evidence: Evidence) -> None:
    """Pods are isolated, components reach only those that they need, and only the API is exposed, by TLS."""
    namespace = environment.kubernetes.namespace
    names = component_names(environment)
    callers = caller_namespaces(environment)
    objects = read_namespace(cluster, namespace)
    templates = [obj for obj in objects if obj["kind"] != "Pod"]
    network = Network.of([*read_network(cluster, namespace), *templates], complete=True)
    check_isolation(network, namespace, evidence)
    platform = Platform(network=network, namespace=namespace, names=names, callers=callers)
    for name, component in COMPONENTS.items():
        check_ingress(platform, name, component, evidence)
    check_egress(platform, evidence)
    findings = peers.impostors(objects, names)
    name = "workloads and pods with another component's labels"
    evidence.check(name, list(map(str, findings)), "==", [], source="labels and ownerReferences")
    findings = [*wiring.missing_accounts(objects), *wiring.dangling_monitors(objects)]
    name = "missing ServiceAccounts and dangling ServiceMonitors"
    evidence.check(name, list(map(str, findings)), "==", [], source="kube-linter")
    check_exposure(objects, names, environment, evidence)
    slices = cluster.list("discovery.k8s.io/v1", "EndpointSlice", namespace)
    foreign = exposure.foreign_endpoints(slices, of_kind(objects, "Pod"))
    name = "endpoints of Services that are not their pods"
    evidence.check(name, list(map(str, foreign)), "==", [], source="EndpointSlices")
    check_ingresses(objects, cluster, environment, evidence)


def component_names(environment: Environment) -> dict[str, str]:
    """Return the platform's components by the value of their pods' label app.kubernetes.io/name."""
    names = environment.kubernetes.names
    return {
        names.api: "api",
        names.database: "database",
        names.cache: "cache",
        names.backup: "backup",
        MIGRATION: "migration",
    }


def caller_namespaces(environment: Environment) -> dict[str, str]:
    """Return the namespaces that may reach the API, by kubernetes.components where it names a workload."""
    callers = {}
    for component, (usual, name) in CALLERS.items():
        space, _, workload = (environment.kubernetes.component(component).workload or "").partition("/")
        callers[space or usual] = workload or name
    return callers


def check_isolation(network: Network, namespace: str, evidence: Evidence) -> None:
    """Check that pods, also future ones, are isolated in both directions, and that no policy is dangling."""
    n = sum(pod.namespace == namespace and pod.kind == "Pod" for pod in network.workloads)
    evidence.require("running pods", n, ">=", 1, source=f"pods of {namespace}")
    for direction in DIRECTIONS:
        denied = default_deny(namespace, network.policies, direction)
        evidence.check(f"default deny policy ({direction})", denied, "==", "present", source="CIS 5.3.2")
    unisolated = list(map(str, isolation_findings(network, namespace)))
    evidence.check("pods that are not isolated", unisolated, "==", [], n=n, source="CIS 5.3.2")
    dangling = list(map(str, dangling_findings(network, namespace)))
    evidence.check("network policies and peers that match nothing", dangling, "==", [])


def check_ingress(platform: Platform, name: str, component: Component, evidence: Evidence) -> None:
    """Check that exactly the peers that need a component may reach it, and at its port alone."""
    pods, network, port, called = platform.pods(name), platform.network, component.port, label(name)
    evidence.require(f"pods of the {called}", len(pods), ">=", 1)
    callers = frozenset(platform.callers if component.called else ())
    needed = Peers(names=platform.names, components=component.clients, namespaces=callers)
    denied = denied_callers(platform, pods, port) if component.called else []
    for what, found in (
        (
            "unneeded peers that may reach",
            [peers.unneeded_sources(pod, port, network, needed) for pod in pods],
        ),
        ("IP blocks that may reach", [peers.admitted_blocks(pod, network) for pod in pods]),
        (
            "unneeded ports that peers may reach at",
            [peers.needless_ports(pod, port, network) for pod in pods],
        ),
        (
            "denied connections that are needed by",
            [peers.unreachable_for(component.clients, pods, port, network), denied],
        ),
    ):
        observed = sorted({one for part in found for one in part})
        evidence.check(f"{what} the {called}", observed, "==", [], source="CIS 5.3.2; NetworkPolicies")


def label(component: str) -> str:
    """Return a component's name as reports print it."""
    return {"api": "API"}.get(component, component)


def denied_callers(platform: Platform, pods: Sequence[Workload], port: int) -> list[str]:
    """Return the callers' namespaces none of whose pods, also of those usual there, may reach a port."""
    denied = []
    for space, name in sorted(platform.callers.items()):
        usual = Workload(kind="Pod", namespace=space, name=name, labels={NAME: name}, spec={})
        sources = [usual, *(one for one in platform.network.workloads if one.namespace == space)]
        denied += [
            f"pods of namespace {space} -> {pod.where}"
            for pod in pods
            if not any(allows(one, pod, port, platform.network, egress=False) for one in sources)
        ]
    return denied


def check_egress(platform: Platform, evidence: Evidence) -> None:
    """Check that every client may ask DNS, and no component reaches what it does not need."""
    needs = {name: (one.needs, one.outside) for name, one in COMPONENTS.items()}
    needs |= {name: (targets, True) for name, targets in CLIENTS.items()}
    clients = platform.pods(*(name for name, (targets, _) in needs.items() if targets))
    source = "UDP and TCP 53 of k8s-app kube-dns in kube-system"
    unnamed = peers.without_dns(clients, platform.network)
    evidence.check("pods without DNS egress", unnamed, "==", [], source=source)
    for name, (targets, outside) in needs.items():
        needed = Peers(names=platform.names, components=targets)
        found = {
            one
            for pod in platform.pods(name)
            for one in peers.unneeded_destinations(pod, platform.network, needed, outside=outside)
        }
        what, source = f"unneeded destinations of the {label(name)}", "NSA/CISA Kubernetes Hardening Guide"
        evidence.check(what, sorted(found), "==", [], source=source)


def check_exposure(
    objects: Sequence[dict[str, Any]], names: dict[str, str], environment: Environment, evidence: Evidence
) -> None:
    """Check that no Service or pod is exposed beside the Ingress, and that Services lead where they say."""
    expected = environment.security.expected_exposed if environment.describes("security") else ()
    for name, findings, source in (
        ("unexpected exposed Services", exposure.exposed_services(objects, expected), "CIS 5.3; kube-linter"),
        (
            "pods with host ports or the host network",
            exposure.host_access(objects),
            "Pod Security Standards baseline",
        ),
        (
            "Services that lead to others' pods",
            exposure.misdirected_services(objects, names),
            "Kubernetes documentation, Service",
        ),
        ("dangling Services and Ingress backends", exposure.dangling_services(objects), "kube-linter"),
    ):
        evidence.check(name, list(map(str, findings)), "==", [], source=source)


def check_ingresses(
    objects: Sequence[dict[str, Any]], cluster: Cluster, environment: Environment, evidence: Evidence
) -> None:
    """Check that Ingresses expose the API alone, at its host and paths, by TLS and safe settings."""
    part = environment.kubernetes
    evidence.check("Ingresses", len(of_kind(objects, "Ingress")), ">=", 1)
    everywhere = read_exposure(cluster)
    classes = of_kind(everywhere, "IngressClass")
    certificates = cluster.list("cert-manager.io/v1", "Certificate", part.namespace)
    routes = [one for one in everywhere if one["kind"].endswith("Route")]
    service, hosts = part.names.api, public_hosts(environment.api.url)
    exposed = ingresses.ingress_findings(objects, service=service, hosts=hosts, paths=PATHS)
    annotations, controllers = ingresses.annotation_findings(objects), prerequisites.INGRESS_WORKLOADS
    for name, findings, source in (
        ("exposed hosts, paths and backends other than the API's", exposed, "Ingresses; api.url"),
        (
            "routes that expose anything but the API",
            ingresses.route_findings(routes, part.namespace, service),
            "Gateway API",
        ),
        (
            "Ingresses of other namespaces that lead to the API",
            ingresses.foreign_findings(everywhere, part.namespace, hosts),
            "Ingresses of all namespaces",
        ),
        (
            "Ingresses without a known class",
            ingresses.class_findings(objects, classes, controllers),
            "IngressClasses",
        ),
        ("Ingress hosts without TLS", exposure.ingress_tls(objects), "Polaris tlsSettingsMissing"),
        (
            "Ingress Secrets without a Certificate",
            ingresses.certificate_findings(objects, certificates),
            "cert-manager Certificates",
        ),
        ("snippet annotations", exposure.snippets(objects), "CVE-2021-25742"),
        ("unsafe annotations", annotations, "ingress-nginx documentation, Annotations Scope and Risk"),
    ):
        evidence.check(name, list(map(str, findings)), "==", [], source=source)


def public_hosts(url: str) -> set[str]:
    """Return the host names by which the API is addressed; those of this machine are one."""
    host = (urlsplit(url).hostname or "").lower()
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return {host, "localhost"} if local else {host}
