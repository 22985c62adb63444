"""What of a namespace can be reached from outside of the cluster, and how well that is protected.

Source: PSS baseline (host ports and namespaces), CKV_K8S_26/152-154, kube-linter exposed-services, kube-score
service-type and ingress-targets-service, Polaris tlsSettingsMissing; CVE-2021-25742 for snippet annotations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bais_gates.rules.objects import (
    Finding,
    Object,
    annotations_of,
    containers_of,
    dig,
    name_of,
    namespace_of,
    of_kind,
    selects,
    where,
    workloads,
)


def exposed_services(objects: Iterable[Object], expected: Collection[str] = ()) -> list[Finding]:
    """Name Services that the world can reach beside the Ingress, but for those whose names are expected."""
    found = []
    for service in of_kind(objects, "Service"):
        spec = service.get("spec") or {}
        if name_of(service) in expected:
            continue
        if spec.get("type") in {"LoadBalancer", "NodePort"}:
            found.append(Finding(rule="exposed-service", where=where(service), detail=f"type {spec['type']}"))
        if spec.get("externalIPs"):
            found.append(Finding(rule="external-ips", where=where(service), detail="has externalIPs"))
        if spec.get("type") == "ExternalName":
            found.append(
                Finding(rule="external-name", where=where(service), detail="points out of the cluster")
            )
    return found


def host_access(objects: Iterable[Object]) -> list[Finding]:
    """Name pods that open a port of the node, or share the node's network."""
    found = []
    for pod in workloads(objects):
        if pod.spec.get("hostNetwork"):
            found.append(Finding(rule="host-network", where=pod.where, detail="hostNetwork is true"))
        for container in containers_of(pod.spec):
            ports = [str(p["hostPort"]) for p in container.get("ports") or () if p.get("hostPort")]
            if ports:
                detail = f"container {container.get('name')} opens host port {', '.join(ports)}"
                found.append(Finding(rule="host-port", where=pod.where, detail=detail))
    return found


def ingress_tls(objects: Iterable[Object]) -> list[Finding]:
    """Name the hosts of Ingresses that are served without TLS, or with no Secret for the certificate."""
    found = []
    for ingress in of_kind(objects, "Ingress"):
        spec = ingress.get("spec") or {}
        entries = spec.get("tls") or []
        hosts = [str(rule.get("host") or "") for rule in spec.get("rules") or [{}]]
        covered = [str(host) for entry in entries for host in entry.get("hosts") or ()]
        if not entries:
            found.append(Finding(rule="ingress-tls", where=where(ingress), detail="no TLS at all"))
            continue
        for host in hosts:
            if not any(_covers(pattern, host) for pattern in covered):
                said = (
                    f"host {host} is not among tls.hosts"
                    if host
                    else "a rule without a host is served without TLS"
                )
                found.append(Finding(rule="ingress-tls", where=where(ingress), detail=said))
        if any(not entry.get("secretName") for entry in entries):
            found.append(
                Finding(
                    rule="ingress-tls-secret", where=where(ingress), detail="tls entry without secretName"
                )
            )
    return found


def _covers(pattern: str, host: str) -> bool:
    if pattern.startswith("*.") and not host.startswith("*."):
        first, _, rest = host.partition(".")
        return bool(first) and rest.lower() == pattern[2:].lower()
    return pattern.lower() == host.lower()


def snippets(objects: Iterable[Object]) -> list[Finding]:
    """Name annotations that put text of their own into the ingress controller's configuration."""
    return [
        Finding(rule="ingress-snippet", where=where(ingress), detail=f"annotation {key}")
        for ingress in of_kind(objects, "Ingress")
        for key in sorted(annotations_of(ingress))
        if key.rpartition("/")[2].lower().endswith(("-snippet", "-snippets"))
    ]


def dangling_services(objects: Iterable[Object]) -> list[Finding]:
    """Name Services whose selector selects no pod, and Ingress backends that are no port of a Service."""
    every = list(objects)
    found = []
    services = {(namespace_of(s), name_of(s)): s for s in of_kind(every, "Service")}
    pods = workloads(every)
    for (space, _), service in services.items():
        selector = dig(service, "spec", "selector")
        if selector and not any(
            p.namespace == space and selects({"matchLabels": selector}, p.labels) for p in pods
        ):
            found.append(
                Finding(rule="dangling-service", where=where(service), detail="its selector selects no pod")
            )
    for ingress in of_kind(every, "Ingress"):
        for backend in _backends(ingress.get("spec") or {}):
            target = services.get((namespace_of(ingress), backend[0]))
            if target is None:
                detail = f"there is no Service {backend[0]}"
                found.append(Finding(rule="dangling-ingress", where=where(ingress), detail=detail))
            elif not _has_port(target, backend[1]):
                detail = f"Service {backend[0]} has no port {backend[1]}"
                found.append(Finding(rule="dangling-ingress", where=where(ingress), detail=detail))
    return found


def _backends(spec: Mapping[str, Any]) -> list[tuple[str, object]]:
    given = [spec["defaultBackend"]] if spec.get("defaultBackend") else []
    for rule in spec.get("rules") or ():
        given += [path.get("backend") or {} for path in dig(rule, "http", "paths") or ()]
    found = []
    for backend in given:
        service = backend.get("service")
        if isinstance(service, Mapping):
            port = service.get("port") or {}
            found.append((str(service.get("name")), port.get("name") or port.get("number")))
        elif backend.get("serviceName"):  # extensions/v1beta1 and networking.k8s.io/v1beta1
            found.append((str(backend["serviceName"]), backend.get("servicePort")))
    return found


def _has_port(service: Object, wanted: object) -> bool:
    ports = dig(service, "spec", "ports") or ()
    return any(wanted in (port.get("port"), port.get("name")) for port in ports)
