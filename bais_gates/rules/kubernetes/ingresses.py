"""Find what Ingresses and Gateway API routes expose beyond the API: backends, hosts, paths, annotations, TLS.

Source: Kubernetes documentation, "Ingress" and "Gateway API"; ingress-nginx documentation, "Annotations Scope
and Risk"; CVE-2021-25742, CVE-2021-25745, CVE-2021-25748, CVE-2025-1097, CVE-2025-1098 and CVE-2025-24514.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from bais_gates.rules.kubernetes.exposure import covers
from bais_gates.rules.kubernetes.objects import (
    Finding,
    Object,
    annotations_of,
    dig,
    locate,
    name_of,
    namespace_of,
    of_kind,
)

NGINX: Final = "nginx.ingress.kubernetes.io/"
_CLASS: Final = "kubernetes.io/ingress.class"
_PLAIN_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]*")
_INTERNAL: Final = frozenset(
    re.findall(
        r"\w+",
        "actuator admin administration administrator admins backoffice console debug diagnostics env heapdump"
        " internal jolokia management metrics monitoring pprof private profiler prometheus",
    )
)
"""Words in the paths of operators' interfaces: administration, metrics, profiles and debugging."""
_TUNING: Final = re.compile(
    r"proxy-(connect|read|send)-timeout|proxy-(request-)?buffering|proxy-buffers?-(size|number)"
    r"|proxy-next-upstream(-timeout|-tries)?|proxy-http-version|proxy-max-temp-file-size|client-body-buffer-size"
    r"|proxy-ssl-(verify-depth|protocols|server-name|secret)|connection-proxy-header|http2-push-preload"
    r"|limit-(connections|rps|rpm|rate|rate-after|burst-multiplier)|denylist-source-range|service-upstream"
    r"|load-balance|preserve-trailing-slash|enable-opentelemetry|opentelemetry-trust-incoming-span"
)
"""Annotations that change speed, limits and tracing, not what is exposed or to whom."""
_VALUES: Final = {
    "ssl-redirect": r"true",
    "force-ssl-redirect": r"true",
    "backend-protocol": r"(HTTPS|GRPCS)",
    "proxy-ssl-verify": r"on",
    "proxy-body-size": r"0*[1-9]\d*[kKmMgG]?",
    "enable-access-log": r"true",
    "enable-modsecurity": r"true",
    "enable-owasp-core-rules": r"true",
    "enable-rewrite-log": r"false",
    "satisfy": r"all",
    "ssl-passthrough": r"false",
    "ssl-prefer-server-ciphers": r"true",
    "use-regex": r"false",
    "enable-cors": r"(true|false)",
    "cors-allow-origin": r"[^*]+",
    "cors-allow-methods": r"[A-Z, ]+",
    "cors-allow-headers": r"[A-Za-z0-9, -]+",
    "cors-expose-headers": r"[A-Za-z0-9, -]+",
    "cors-allow-credentials": r"(true|false)",
    "cors-max-age": r"\d+",
}
"""The values of further annotations that keep TLS, logs, filters and the paths that are exposed."""


def ingress_findings(
    objects: Iterable[Object], *, service: str, hosts: Collection[str], paths: Collection[str]
) -> list[Finding]:
    """Return findings for what Ingresses expose but a Service, at these hosts, without its internal paths.

    ``paths`` are what the Service publishes: nothing below them is internal. Source: Kubernetes
    documentation, "Ingress"; OWASP WSTG-CONF-05, "Enumerate Infrastructure and Application Admin
    Interfaces"; OWASP API Security Top 10, API5:2023 and API8:2023.
    """
    found = []
    for ingress in of_kind(objects, "Ingress"):
        spec = ingress.get("spec") or {}
        where = locate(ingress)
        if spec.get("defaultBackend"):
            detail = f"defaultBackend {_backend(spec['defaultBackend'])} answers for every host and path"
            found.append(Finding(rule="ingress-default-backend", where=where, detail=detail))
        for rule in spec.get("rules") or ():
            host = str(rule.get("host") or "")
            if host.lower() not in hosts:
                leads = {_backend(path.get("backend") or {}) for path in dig(rule, "http", "paths") or ()}
                detail = (
                    f"exposes host {host or '(every host)'} of {', '.join(sorted(leads)) or 'no backend'}: "
                    f"expected {' or '.join(sorted(hosts))}"
                )
                found.append(Finding(rule="ingress-host", where=where, detail=detail))
            found += [
                Finding(rule="ingress-path", where=where, detail=fault)
                for path in dig(rule, "http", "paths") or ()
                for fault in _path_faults(path, service, paths)
            ]
    return found


def _path_faults(path: Mapping[str, Any], service: str, paths: Collection[str]) -> Iterator[str]:
    text, backend = str(path.get("path") or "/"), _backend(path.get("backend") or {})
    published = text == "/" or any(f"{text}/".startswith(f"{one}/") for one in paths)
    internal = sorted(set(re.split(r"[^a-z0-9]+", text.lower())) & _INTERNAL)
    if backend != f"Service {service}":
        yield f"exposes path {text} of {backend}: expected Service {service} alone"
    if not _PLAIN_PATH.fullmatch(text) or ".." in text:
        yield f"path {text} of {backend} is a pattern: the controller may match more than it says"
    elif not published and (internal or "/." in text.replace("/.well-known", "")):
        yield f"exposes path {text} of {backend}, which is for operators ({', '.join(internal) or 'hidden'})"


def _backends(spec: Mapping[str, Any]) -> list[str]:
    backends = [spec["defaultBackend"]] if spec.get("defaultBackend") else []
    for rule in spec.get("rules") or ():
        backends += [path.get("backend") or {} for path in dig(rule, "http", "paths") or ()]
    return [str(dig(one, "service", "name") or "") for one in backends]


def _backend(backend: Mapping[str, Any]) -> str:
    """Return a backend as its kind and name: ``Service bais-api``."""
    name, resource = dig(backend, "service", "name"), backend.get("resource") or {}
    return f"Service {name}" if name else f"{resource.get('kind', 'no backend')} {resource.get('name', '')}"


def annotation_findings(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for ingress-nginx annotations not known to keep what is exposed, and its TLS."""
    found = []
    for ingress in of_kind(objects, "Ingress"):
        annotations = annotations_of(ingress)
        named = {
            key.removeprefix(NGINX): str(annotations[key]) for key in annotations if key.startswith(NGINX)
        }
        faults = [
            f"annotation {name}: {value[:80]}" + (f" (allowed: {_VALUES[name]})" if name in _VALUES else "")
            for name, value in sorted(named.items())
            if not _TUNING.fullmatch(name) and not re.fullmatch(_VALUES.get(name, "(?!)"), value.strip())
        ]
        if named.get("enable-cors") == "true" and "cors-allow-origin" not in named:
            faults.append("annotation enable-cors without cors-allow-origin allows every origin")
        found += [Finding(rule="ingress-annotation", where=locate(ingress), detail=fault) for fault in faults]
    return found


def class_findings(
    objects: Iterable[Object], classes: Iterable[Object], controllers: Collection[str]
) -> list[Finding]:
    """Return findings for Ingresses whose class is absent, differs, or is not of a known controller."""
    served = {name_of(one): str(dig(one, "spec", "controller")) for one in classes}
    found, used = [], set()
    for ingress in of_kind(objects, "Ingress"):
        named = dig(ingress, "spec", "ingressClassName") or annotations_of(ingress).get(_CLASS)
        used.add(named)
        fault = None
        if not named:
            fault = "names no ingressClassName: any controller may serve it"
        elif named not in served:
            fault = f"there is no IngressClass {named}"
        elif "/".join(served[named].split("/")[:2]) not in controllers:
            fault = f"IngressClass {named} is of {served[named]}, which no known controller serves"
        elif annotations_of(ingress).get(_CLASS, named) != named:
            fault = f"its annotation {_CLASS} names another class than ingressClassName"
        elif len(used) > 1:
            fault = f"is of IngressClass {named}, another Ingress is of {', '.join(map(str, used - {named}))}"
        if fault:
            found.append(Finding(rule="ingress-class", where=locate(ingress), detail=fault))
    return found


def certificate_findings(objects: Iterable[Object], certificates: Iterable[Object]) -> list[Finding]:
    """Return findings for TLS Secrets of Ingresses that no Certificate keeps for their hosts."""
    kept = {(namespace_of(one), str(dig(one, "spec", "secretName"))): one for one in certificates}
    found = []
    for ingress in of_kind(objects, "Ingress"):
        for entry in dig(ingress, "spec", "tls") or ():
            secret = str(entry.get("secretName"))
            certificate = kept.get((namespace_of(ingress), secret))
            names = [str(one) for one in dig(certificate, "spec", "dnsNames") or ()]
            missing = [one for one in entry.get("hosts") or () if not any(covers(n, str(one)) for n in names)]
            fault = f"no Certificate keeps its Secret {secret}" if certificate is None else None
            if certificate is not None and missing:
                fault = f"Certificate {name_of(certificate)} is not for {', '.join(missing)}"
            if fault:
                found.append(Finding(rule="ingress-certificate", where=locate(ingress), detail=fault))
    return found


def foreign_findings(everywhere: Iterable[Object], namespace: str, hosts: Collection[str]) -> list[Finding]:
    """Return findings for other namespaces' Ingresses that claim these hosts or lead into this namespace."""
    every = [one for one in everywhere if namespace_of(one) != namespace]
    inward = {
        (namespace_of(one), name_of(one))
        for one in of_kind(every, "Service")
        if f".{namespace}.svc" in f".{dig(one, 'spec', 'externalName') or ''}"
    }
    found = []
    for ingress in of_kind(every, "Ingress"):
        spec = ingress.get("spec") or {}
        claimed = {str(rule.get("host") or "").lower() for rule in spec.get("rules") or ()} & set(hosts)
        faults = [f"claims the API's host {host} from another namespace" for host in sorted(claimed)]
        faults += [
            f"leads into namespace {namespace} by the ExternalName Service {name}"
            for name in sorted(set(_backends(spec)))
            if (namespace_of(ingress), name) in inward
        ]
        found += [Finding(rule="foreign-ingress", where=locate(ingress), detail=fault) for fault in faults]
    return found


def route_findings(routes: Iterable[Object], namespace: str, service: str) -> list[Finding]:
    """Return findings for Gateway API routes into a namespace, but HTTPRoutes to ``service``."""
    found = []
    for route in routes:
        backends = [
            one for rule in dig(route, "spec", "rules") or () for one in rule.get("backendRefs") or ()
        ]
        for one in backends:
            home, name = one.get("namespace") or namespace_of(route), str(one.get("name"))
            if home == namespace and (name != service or route.get("kind") != "HTTPRoute"):
                detail = f"exposes {name}: only an HTTPRoute to {service} may"
                found.append(Finding(rule="gateway-route", where=locate(route), detail=detail))
    return found
