"""Find what can be reached from outside the cluster: Services, host ports, Ingresses.

Source: PSS baseline (host ports and namespaces), CKV_K8S_26/152-154, kube-linter exposed-services, kube-score
service-type and ingress-targets-service, Polaris tlsSettingsMissing; CVE-2021-25742 for snippet annotations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

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

_MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"


def exposed_services(objects: Iterable[Object], expected: Collection[str] = ()) -> list[Finding]:
    """Return findings for Services that lead in from outside the cluster, or out of it.

    Those with ``expected`` names may be of type LoadBalancer or NodePort, no more.
    """
    findings = []
    for service in of_kind(objects, "Service"):
        spec = service.get("spec") or {}
        if spec.get("type") in {"LoadBalancer", "NodePort"} and name_of(service) not in expected:
            findings.append(
                Finding(rule="exposed-service", where=locate(service), detail=f"type {spec['type']}")
            )
        if spec.get("externalIPs"):
            detail = f"has externalIPs {', '.join(map(str, spec['externalIPs']))}"
            findings.append(Finding(rule="external-ips", where=locate(service), detail=detail))
        if spec.get("type") == "ExternalName":
            detail = f"type ExternalName, to {spec.get('externalName')}"
            findings.append(Finding(rule="external-name", where=locate(service), detail=detail))
    return findings


def misdirected_services(objects: Iterable[Object], names: Mapping[str, str]) -> list[Finding]:
    """Return findings for Services without a selector, and for those of a component that select others' pods.

    ``names`` maps the name of a component's Service, and of its pods' label, to the component.
    """
    every = list(objects)
    pods = workloads(every)
    findings = []
    for service in of_kind(every, "Service"):
        selector, fault = dig(service, "spec", "selector"), None
        if not selector and dig(service, "spec", "type") != "ExternalName":
            fault = "has no selector: it leads wherever its EndpointSlices say"
        component = names.get(name_of(service))
        others = {
            one.where
            for one in pods
            if component is not None
            and one.namespace == namespace_of(service)
            and selects({"matchLabels": selector or {}}, one.labels)
            and one.labels.get("app.kubernetes.io/component") != component
        }
        if selector and others:
            fault = f"selects pods that are not the {component}'s: {', '.join(sorted(others))}"
        if fault:
            findings.append(Finding(rule="misdirected-service", where=locate(service), detail=fault))
    return findings


def foreign_endpoints(slices: Iterable[Object], pods: Iterable[Object]) -> list[Finding]:
    """Return findings for endpoints of Services that are not pods of the namespace at their own address.

    A pod that is gone is none, as the two lists are read one after the other.
    """
    addresses = {
        name_of(pod): {str(one.get("ip")) for one in dig(pod, "status", "podIPs") or ()} for pod in pods
    }
    findings = []
    for one in slices:
        service = dig(one, "metadata", "labels", "kubernetes.io/service-name")
        by_controller = dig(one, "metadata", "labels", _MANAGED_BY) == "endpointslice-controller.k8s.io"
        for endpoint in one.get("endpoints") or ():
            target, claimed = endpoint.get("targetRef") or {}, set(endpoint.get("addresses") or ())
            own = addresses.get(str(target.get("name")))
            is_pod = by_controller and target.get("kind") == "Pod"
            if service and (not is_pod or (own and not claimed <= own)):
                detail = f"Service {service} leads to {', '.join(sorted(claimed))}, which is not its pod"
                findings.append(Finding(rule="foreign-endpoint", where=locate(one), detail=detail))
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
            if not any(covers(pattern, host) for pattern in covered):
                detail = f"host {host} is not in tls.hosts" if host else "a rule without a host has no TLS"
                findings.append(Finding(rule="ingress-tls", where=locate(ingress), detail=detail))
        if any(not entry.get("secretName") for entry in entries):
            findings.append(
                Finding(
                    rule="ingress-tls-secret", where=locate(ingress), detail="tls entry without secretName"
                )
            )
    return findings


def covers(pattern: str, host: str) -> bool:
    """Return whether a name of a certificate, or a wildcard of one label, covers a host."""
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
