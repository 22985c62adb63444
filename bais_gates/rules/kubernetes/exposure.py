"""Find what can be reached from outside the cluster: Services, host ports, Ingresses.

Source: PSS baseline (host ports and namespaces), CKV_K8S_26/152-154, kube-linter exposed-services, kube-score
service-type and ingress-targets-service, Polaris tlsSettingsMissing; CVE-2021-25742 for snippet annotations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bais_gates.rules.kubernetes.objects import (
    Finding,
    Object,
    annotations_of,
    containers_of,
    dig,
    locate,
    name_of,
    namespace_of,
    of_kind,
    selects,
    workloads,
)


def exposed_services(objects: Iterable[Object], expected: Collection[str] = ()) -> list[Finding]:
    """Return findings for Services reachable from outside the cluster whose names are not ``expected``."""
    findings = []
    for service in of_kind(objects, "Service"):
        spec = service.get("spec") or {}
        if name_of(service) in expected:
            continue
        if spec.get("type") in {"LoadBalancer", "NodePort"}:
            findings.append(
                Finding(rule="exposed-service", where=locate(service), detail=f"type {spec['type']}")
            )
        if spec.get("externalIPs"):
            findings.append(Finding(rule="external-ips", where=locate(service), detail="has externalIPs"))
        if spec.get("type") == "ExternalName":
            findings.append(Finding(rule="external-name", where=locate(service), detail="type ExternalName"))
    return findings


def host_access(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for pods that use a host port or the host network."""
    findings = []
    for pod in workloads(objects):
        if pod.spec.get("hostNetwork"):
            findings.append(Finding(rule="host-network", where=pod.where, detail="hostNetwork is true"))
        for container in containers_of(pod.spec):
            ports = [str(p["hostPort"]) for p in container.get("ports") or () if p.get("hostPort")]
            if ports:
                detail = f"container {container.get('name')} uses host port {', '.join(ports)}"
                findings.append(Finding(rule="host-port", where=pod.where, detail=detail))
    return findings


def ingress_tls(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for Ingress hosts without TLS, and for TLS entries without a Secret."""
    findings = []
    for ingress in of_kind(objects, "Ingress"):
        spec = ingress.get("spec") or {}
        entries = spec.get("tls") or []
        hosts = [str(rule.get("host") or "") for rule in spec.get("rules") or [{}]]
        covered = [str(host) for entry in entries for host in entry.get("hosts") or ()]
        if not entries:
            findings.append(Finding(rule="ingress-tls", where=locate(ingress), detail="spec.tls is empty"))
            continue
        for host in hosts:
            if not any(_covers(pattern, host) for pattern in covered):
                detail = f"host {host} is not in tls.hosts" if host else "a rule without a host has no TLS"
                findings.append(Finding(rule="ingress-tls", where=locate(ingress), detail=detail))
        if any(not entry.get("secretName") for entry in entries):
            findings.append(
                Finding(
                    rule="ingress-tls-secret", where=locate(ingress), detail="tls entry without secretName"
                )
            )
    return findings


def _covers(pattern: str, host: str) -> bool:
    if pattern.startswith("*.") and not host.startswith("*."):
        first, _, rest = host.partition(".")
        return bool(first) and rest.lower() == pattern[2:].lower()
    return pattern.lower() == host.lower()


def snippets(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for annotations that add snippets to the ingress controller's configuration."""
    return [
        Finding(rule="ingress-snippet", where=locate(ingress), detail=f"annotation {key}")
        for ingress in of_kind(objects, "Ingress")
        for key in sorted(annotations_of(ingress))
        if key.rpartition("/")[2].lower().endswith(("-snippet", "-snippets"))
    ]


def dangling_services(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for Services that select no pod, and Ingress backends without a Service port."""
    every = list(objects)
    findings = []
    services = {(namespace_of(s), name_of(s)): s for s in of_kind(every, "Service")}
    pods = workloads(every)
    for (space, _), service in services.items():
        selector = dig(service, "spec", "selector")
        if selector and not any(
            p.namespace == space and selects({"matchLabels": selector}, p.labels) for p in pods
        ):
            findings.append(
                Finding(rule="dangling-service", where=locate(service), detail="its selector selects no pod")
            )
    for ingress in of_kind(every, "Ingress"):
        for backend in _backends(ingress.get("spec") or {}):
            target = services.get((namespace_of(ingress), backend[0]))
            if target is None:
                detail = f"there is no Service {backend[0]}"
                findings.append(Finding(rule="dangling-ingress", where=locate(ingress), detail=detail))
            elif not _has_port(target, backend[1]):
                detail = f"Service {backend[0]} has no port {backend[1]}"
                findings.append(Finding(rule="dangling-ingress", where=locate(ingress), detail=detail))
    return findings


def _backends(spec: Mapping[str, Any]) -> list[tuple[str, object]]:
    backends = [spec["defaultBackend"]] if spec.get("defaultBackend") else []
    for rule in spec.get("rules") or ():
        backends += [path.get("backend") or {} for path in dig(rule, "http", "paths") or ()]
    targets = []
    for backend in backends:
        service = backend.get("service")
        if isinstance(service, Mapping):
            port = service.get("port") or {}
            targets.append((str(service.get("name")), port.get("name") or port.get("number")))
        elif backend.get("serviceName"):  # extensions/v1beta1 and networking.k8s.io/v1beta1
            targets.append((str(backend["serviceName"]), backend.get("servicePort")))
    return targets


def _has_port(service: Object, name_or_number: object) -> bool:
    ports = dig(service, "spec", "ports") or ()
    return any(name_or_number in (port.get("port"), port.get("name")) for port in ports)
