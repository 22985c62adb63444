"""Exposure to the outside of the cluster: each rule violated and satisfied."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.rules.kubernetes import exposure


def obj(kind: str, name: str = "x", **fields: Any) -> dict[str, Any]:
    """Return an object of namespace n."""
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": "n", **fields.pop("metadata", {})},
        **fields,
    }


def rules(findings: list[Any]) -> list[str]:
    """Return the rules of findings."""
    return [finding.rule for finding in findings]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, []),
        ({"type": "ClusterIP"}, []),
        ({"type": "NodePort"}, ["exposed-service"]),
        ({"type": "LoadBalancer"}, ["exposed-service"]),
        ({"type": "ClusterIP", "externalIPs": ["192.0.2.1"]}, ["external-ips"]),
        ({"type": "ExternalName", "externalName": "x.example"}, ["external-name"]),
    ],
)
def test_exposed_services(spec: dict[str, Any], found: list[str]) -> None:
    """A Service inside the cluster is no finding; an expected one may be of another type, no more."""
    assert rules(exposure.exposed_services([obj("Service", spec=spec)])) == found
    remaining = [rule for rule in found if rule != "exposed-service"]
    assert rules(exposure.exposed_services([obj("Service", spec=spec)], ["x"])) == remaining


def test_host_network_and_host_ports() -> None:
    """A pod on the host network or with a host port is a finding, whatever its controller."""
    spec = {
        "hostNetwork": True,
        "initContainers": [{"name": "i", "ports": [{"hostPort": 80}]}],
        "containers": [],
    }

    assert rules(exposure.host_access([obj("Deployment", spec={"template": {"spec": spec}})])) == [
        "host-network",
        "host-port",
    ]
    assert exposure.host_access([obj("Pod", spec={"containers": [{"ports": [{"hostPort": 0}]}]})]) == []


def ingress(hosts: list[str], tls: list[dict[str, Any]] | None, **annotations: str) -> dict[str, Any]:
    """Return an Ingress of hosts; an empty host is a rule without a host."""
    given = [{"host": host} if host else {} for host in hosts]
    return obj("Ingress", metadata={"annotations": annotations}, spec={"rules": given, "tls": tls})


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (ingress(["a.example"], [{"hosts": ["a.example"], "secretName": "s"}]), []),
        (ingress(["a.example"], [{"hosts": ["*.example"], "secretName": "s"}]), []),
        (ingress(["A.example"], [{"hosts": ["a.example"], "secretName": "s"}]), []),
        (ingress(["a.example"], None), ["ingress-tls"]),
        (ingress([], []), ["ingress-tls"]),
        (ingress(["a.example", "b.example"], [{"hosts": ["a.example"], "secretName": "s"}]), ["ingress-tls"]),
        (ingress(["a.b.example"], [{"hosts": ["*.example"], "secretName": "s"}]), ["ingress-tls"]),
        (ingress([""], [{"hosts": ["a.example"], "secretName": "s"}]), ["ingress-tls"]),
        (ingress(["a.example"], [{"hosts": ["a.example"]}]), ["ingress-tls-secret"]),
    ],
)
def test_every_host_of_an_ingress_needs_tls(one: dict[str, Any], found: list[str]) -> None:
    """A host without a TLS entry, a rule for any host, and an entry without a Secret are findings."""
    assert rules(exposure.ingress_tls([one])) == found


@pytest.mark.parametrize(
    ("key", "count"),
    [
        ("nginx.ingress.kubernetes.io/configuration-snippet", 1),
        ("nginx.ingress.kubernetes.io/server-snippet", 1),
        ("nginx.ingress.kubernetes.io/auth-snippet", 1),
        ("nginx.org/location-snippets", 1),
        ("nginx.ingress.kubernetes.io/proxy-body-size", 0),
    ],
)
def test_snippets(key: str, count: int) -> None:
    """Any annotation that adds a snippet to the controller's configuration is a finding."""
    assert len(exposure.snippets([ingress(["a"], [], **{key: "x"})])) == count


def test_dangling_services_and_backends() -> None:
    """A Service without pods, and a backend without its Service or port, are findings."""
    pod = obj("Pod", metadata={"labels": {"app": "a"}}, spec={"containers": []})
    good = obj("Service", "good", spec={"selector": {"app": "a"}, "ports": [{"name": "https", "port": 443}]})
    lost = obj("Service", "lost", spec={"selector": {"app": "b"}, "ports": []})

    def to(name: str, port: dict[str, Any]) -> dict[str, Any]:
        backend = {"service": {"name": name, "port": port}}
        return obj("Ingress", spec={"rules": [{"http": {"paths": [{"backend": backend}]}}]})

    assert (
        exposure.dangling_services([pod, good, to("good", {"number": 443}), to("good", {"name": "https"})])
        == []
    )
    assert rules(exposure.dangling_services([pod, lost])) == ["dangling-service"]
    assert rules(exposure.dangling_services([pod, good, to("gone", {"number": 443})])) == ["dangling-ingress"]
    assert rules(exposure.dangling_services([pod, good, to("good", {"number": 80})])) == ["dangling-ingress"]


def component(name: str) -> dict[str, Any]:
    """Return a pod of a component."""
    labels = {"app": name, "app.kubernetes.io/component": name, "part": "bais"}
    return obj("Pod", name, metadata={"labels": labels}, spec={})


@pytest.mark.parametrize(
    ("name", "spec", "fault"),
    [
        ("db", {"selector": {"app": "database"}}, None),
        ("db", {"selector": {"part": "bais"}}, "selects pods that are not the database's: Pod/n/cache"),
        ("db", {"selector": {"app": "cache"}}, "selects pods that are not the database's: Pod/n/cache"),
        ("other", {"selector": {"part": "bais"}}, None),
        ("other", {"type": "ExternalName"}, None),
        ("other", {}, "has no selector: it leads wherever its EndpointSlices say"),
    ],
)
def test_a_components_service_selects_its_pods_alone(
    name: str, spec: dict[str, Any], fault: str | None
) -> None:
    """A Service without a selector leads anywhere."""
    objects = [component("database"), component("cache"), obj("Service", name, spec=spec)]

    found = exposure.misdirected_services(objects, {"db": "database"})

    assert [one.detail for one in found] == ([fault] if fault else [])


@pytest.mark.parametrize(
    ("managed", "endpoint", "found"),
    [
        (True, {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "a"}}, []),
        (True, {"addresses": ["10.0.0.2"], "targetRef": {"kind": "Pod", "name": "gone"}}, []),
        (True, {"addresses": ["10.0.0.2"], "targetRef": {"kind": "Pod", "name": "a"}}, ["foreign-endpoint"]),
        (True, {"addresses": ["10.0.0.1"]}, ["foreign-endpoint"]),
        (False, {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "a"}}, ["foreign-endpoint"]),
    ],
)
def test_endpoints_are_pods_at_their_own_address(
    *, managed: bool, endpoint: dict[str, Any], found: list[str]
) -> None:
    """Kept by the cluster's controller; a pod that is gone by now is no finding."""
    labels = {"kubernetes.io/service-name": "s"}
    labels |= {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"} if managed else {}
    pod = obj("Pod", "a", status={"podIPs": [{"ip": "10.0.0.1"}]})

    given = [obj("EndpointSlice", metadata={"labels": labels}, endpoints=[endpoint])]

    assert rules(exposure.foreign_endpoints(given, [pod])) == found
