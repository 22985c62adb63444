"""What Ingresses and routes expose beyond the API."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.rules.kubernetes import ingresses

HOST = "api.bais.example"


def ingress(
    path: str = "/", service: str = "bais-api", host: str | None = HOST, **over: Any
) -> dict[str, Any]:
    """Return the API's Ingress, changed."""
    backend = {"service": {"name": service, "port": {"name": "https"}}}
    rule = {"http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}
    metadata = {
        "name": "i",
        "namespace": over.pop("namespace", "bais"),
        "annotations": over.pop("annotations", {}),
    }
    spec = {
        "ingressClassName": "nginx",
        "rules": [rule | ({"host": host} if host else {})],
        "tls": [{"hosts": [HOST], "secretName": "bais-api-tls"}],
    }
    return {"kind": "Ingress", "metadata": metadata, "spec": spec | over}


def details(findings: list[Any]) -> list[str]:
    """Return what the findings say."""
    return [finding.detail for finding in findings]


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        (ingress(), []),
        (ingress("/api/v1"), []),
        (ingress(host="API.bais.example"), []),
        (ingress("/v1"), []),
        (ingress("/api/admin"), []),
        (ingress("/.well-known/acme-challenge"), []),
        (
            ingress("/metrics"),
            ["exposes path /metrics of Service bais-api, which is for operators"],
        ),
        (ingress("/v1/Debug/pprof"), ["exposes path /v1/Debug/pprof of Service bais-api"]),
        (ingress("/admin-panel"), ["exposes path /admin-panel of Service bais-api"]),
        (ingress("/.git"), ["exposes path /.git of Service bais-api, which is for operators (hidden)"]),
        (ingress("/api/../internal"), ["path /api/../internal of Service bais-api is a pattern"]),
        (ingress("/api(/|$)(.*)"), ["path /api(/|$)(.*) of Service bais-api is a pattern"]),
        (ingress("/v1", "bais-redis"), ["exposes path /v1 of Service bais-redis: expected Service bais-api"]),
        (ingress(host="evil.example"), ["exposes host evil.example"]),
        (ingress(host="*.bais.example"), ["exposes host *.bais.example"]),
        (ingress(host=None), ["exposes host (every host)"]),
        (
            ingress(defaultBackend={"service": {"name": "bais-api"}}),
            ["defaultBackend Service bais-api answers for every host and path"],
        ),
        (
            ingress(rules=[], defaultBackend={"resource": {"kind": "StorageBucket", "name": "public"}}),
            ["defaultBackend StorageBucket public answers"],
        ),
    ],
)
def test_an_ingress_exposes_the_api_alone(given: dict[str, Any], faults: list[str]) -> None:
    """At its own host, but none of its paths for operators, and no other Service."""
    found = details(
        ingresses.ingress_findings([given], service="bais-api", hosts={HOST}, paths=("/api", "/health"))
    )

    assert len(found) == len(faults)
    assert all(text.startswith(fault) for text, fault in zip(found, faults, strict=True))


@pytest.mark.parametrize(
    ("name", "value", "safe"),
    [
        ("proxy-read-timeout", "30", True),
        ("limit-rps", "50", True),
        ("denylist-source-range", "192.0.2.0/24", True),
        ("proxy-body-size", "1m", True),
        ("proxy-body-size", "0", False),
        ("backend-protocol", "HTTPS", True),
        ("backend-protocol", "HTTP", False),
        ("ssl-redirect", "false", False),
        ("force-ssl-redirect", "false", False),
        ("proxy-ssl-verify", "off", False),
        ("ssl-passthrough", "true", False),
        ("use-regex", "true", False),
        ("rewrite-target", "/internal", False),
        ("server-alias", "evil.example", False),
        ("permanent-redirect", "https://evil.example", False),
        ("temporal-redirect", "https://evil.example", False),
        ("auth-url", "http://evil.example", False),
        ("auth-tls-match-cn", "CN=.*", False),
        ("mirror-target", "https://evil.example", False),
        ("configuration-snippet", "return 200;", False),
        ("whitelist-source-range", "0.0.0.0/0", False),
        ("limit-whitelist", "0.0.0.0/0", False),
        ("default-backend", "bais-redis", False),
        ("enable-cors", "true", False),
        ("cors-allow-origin", "*", False),
        ("cors-allow-origin", "https://*.example", False),
        ("cors-allow-origin", "https://shop.example", True),
        ("something-new", "x", False),
    ],
)
def test_annotations_are_allowed_by_name_and_value(name: str, value: str, *, safe: bool) -> None:
    """Those that ingress-nginx does not know are refused as well, as is CORS for every origin."""
    found = ingresses.annotation_findings([ingress(annotations={ingresses.NGINX + name: value, "a/b": "c"})])

    assert (found == []) is safe
    assert all(name in finding.detail for finding in found)


NGINX_CLASS = {
    "kind": "IngressClass",
    "metadata": {"name": "nginx"},
    "spec": {"controller": "k8s.io/ingress-nginx"},
}
OTHER_CLASS = {"kind": "IngressClass", "metadata": {"name": "x"}, "spec": {"controller": "example.com/x"}}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ([ingress()], None),
        ([ingress(ingressClassName=None, annotations={"kubernetes.io/ingress.class": "nginx"})], None),
        ([ingress(ingressClassName=None)], "names no ingressClassName"),
        ([ingress(ingressClassName="gone")], "there is no IngressClass gone"),
        ([ingress(ingressClassName="x")], "IngressClass x is of example.com/x"),
        ([ingress(annotations={"kubernetes.io/ingress.class": "x"})], "its annotation"),
    ],
)
def test_the_class_is_of_a_known_controller(given: list[dict[str, Any]], fault: str | None) -> None:
    """The class exists, and the older annotation does not contradict it."""
    found = details(ingresses.class_findings(given, [NGINX_CLASS, OTHER_CLASS], {"k8s.io/ingress-nginx"}))

    assert [text.startswith(fault) for text in found] == [True] if fault else found == []


def certificate(secret: str, *names: str) -> dict[str, Any]:
    """Return a Certificate of the namespace."""
    return {
        "kind": "Certificate",
        "metadata": {"name": "c", "namespace": "bais"},
        "spec": {"secretName": secret, "dnsNames": list(names)},
    }


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (certificate("bais-api-tls", HOST), None),
        (certificate("bais-api-tls", "*.bais.example"), None),
        (certificate("bais-api-tls", "bais.example"), "Certificate c is not for api.bais.example"),
        (certificate("other", HOST), "no Certificate keeps its Secret bais-api-tls"),
    ],
)
def test_a_certificate_keeps_the_secret_of_each_host(given: dict[str, Any], fault: str | None) -> None:
    """By the Secret's name and the host's."""
    assert details(ingresses.certificate_findings([ingress()], [given])) == ([fault] if fault else [])


def test_other_namespaces_neither_claim_the_host_nor_lead_in() -> None:
    """An Ingress of another namespace with its own host and Services is no finding."""
    alias = {
        "kind": "Service",
        "metadata": {"name": "alias", "namespace": "m"},
        "spec": {"externalName": "bais-api.bais.svc.cluster.local"},
    }
    claim = ingress("/admin", "web", namespace="m")
    inward, own = (
        ingress(host="m.example", service="alias", namespace="m"),
        ingress(host="m.example", namespace="n"),
    )

    found = details(ingresses.foreign_findings([ingress(), alias, claim, inward, own], "bais", {HOST}))

    assert found == [
        f"claims the API's host {HOST} from another namespace",
        "leads into namespace bais by the ExternalName Service alias",
    ]


def test_only_an_http_route_to_the_api_may_lead_in() -> None:
    """Whatever namespace the route is in."""

    def route(kind: str, name: str, **ref: str) -> dict[str, Any]:
        rules = [{"backendRefs": [{"name": name} | ref]}]
        return {"kind": kind, "metadata": {"name": "r", "namespace": "bais"}, "spec": {"rules": rules}}

    given = [
        route("HTTPRoute", "bais-api"),
        route("TCPRoute", "bais-redis", namespace="elsewhere"),
        route("HTTPRoute", "bais-redis"),
        route("TCPRoute", "bais-api"),
    ]

    assert len(ingresses.route_findings(given, "bais", "bais-api")) == 2
