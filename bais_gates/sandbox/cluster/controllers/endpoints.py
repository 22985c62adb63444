"""EndpointSlices, Endpoints and the addresses of Ingresses: where a Service's clients end up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    annotations_of,
    changed,
    digest,
    is_going,
    is_over,
    is_ready,
    labels_of,
    name_of,
    namespace_of,
    reference,
    selects,
    significant,
    spec_of,
    status_of,
    uid_of,
)
from bais_gates.sandbox.cluster.controllers.world import Create, Plan, SetStatus, Update

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

SERVICE_ADDRESS = "sandbox.bais-gates/service-address"
"""On a pod: where the clients of its Service really connect to (``host:port``)."""


def reconcile(world: World, service: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
    """Keep the EndpointSlice and the Endpoints of a Service that has a selector."""
    plan = Plan()
    selector = spec_of(service).get("selector")
    if not selector or is_going(service) or spec_of(service).get("type") == "ExternalName":
        return plan
    pods = [
        pod
        for pod in world.of_kind("Pod", namespace_of(service))
        if selects(selector, labels_of(pod)) and status_of(pod).get("podIP") and not is_over(pod)
    ]
    for wanted in (endpoint_slice(service, pods), endpoints(service, pods)):
        there = world.get(wanted["kind"], namespace_of(wanted), name_of(wanted))
        if there is None:
            plan.add(Create(obj=wanted))
            continue
        if is_going(there):
            continue
        content = [key for key in ("endpoints", "ports", "subsets") if key in wanted or key in there]
        if any(_plain(there.get(key)) != _plain(wanted.get(key)) for key in content):
            plan.add(Update(obj={**there, **{key: wanted.get(key) for key in content}}))
    return plan


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in significant(value).items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value or None


def endpoint_slice(service: Object, pods: list[Object]) -> Object:
    """Make the slice of a Service whose selected pods with an address are ``pods``."""
    headless = {"service.kubernetes.io/headless": ""} if spec_of(service).get("clusterIP") == "None" else {}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name_of(service)}-{digest(uid_of(service), 5)}",
            "namespace": namespace_of(service),
            "labels": {
                **labels_of(service),
                "kubernetes.io/service-name": name_of(service),
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                **headless,
            },
            "ownerReferences": [reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": [_endpoint(service, pod) for pod in pods],
        "ports": ports(service, pods),
    }


def _endpoint(service: Object, pod: Object) -> Object:
    ready = is_ready(pod)
    always = bool(spec_of(service).get("publishNotReadyAddresses"))
    found: Object = {
        "addresses": [status_of(pod)["podIP"]],
        "conditions": {
            "ready": always or (ready and not is_going(pod)),
            "serving": always or ready,
            "terminating": is_going(pod),
        },
        "targetRef": _target(pod),
        "nodeName": spec_of(pod).get("nodeName"),
    }
    if spec_of(pod).get("hostname") and spec_of(pod).get("subdomain") == name_of(service):
        found["hostname"] = spec_of(pod)["hostname"]
    return found


def _target(pod: Object) -> Object:
    return {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}


def ports(service: Object, pods: list[Object]) -> list[Object]:
    """Give the ports behind a Service, as the pods name them."""
    found = []
    for port in spec_of(service).get("ports") or ():
        target = port.get("targetPort", port["port"])
        number = (
            target
            if isinstance(target, int)
            else next((n for pod in pods if (n := container_port(pod, str(target))) is not None), None)
        )
        if number is not None:
            found.append(
                {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}
            )
    return found


def container_port(pod: Object, name: str) -> int | None:
    """Give the number of the port that a pod's containers name so (or is that number)."""
    if name.isdigit():
        return int(name)
    for container in spec_of(pod).get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name") == name:
                return int(port["containerPort"])
    return None


def endpoints(service: Object, pods: list[Object]) -> Object:
    """Make the older Endpoints object: ready and not ready addresses of the Service's pods."""
    always = bool(spec_of(service).get("publishNotReadyAddresses"))
    subset: Object = {}
    for pod in pods:
        if is_going(pod) and not always:
            continue
        address: Object = {
            "ip": status_of(pod)["podIP"],
            "nodeName": spec_of(pod).get("nodeName"),
            "targetRef": _target(pod),
        }
        ready = always or is_ready(pod)
        subset.setdefault("addresses" if ready else "notReadyAddresses", []).append(address)
    numbers = ports(service, pods)
    if subset and numbers:
        subset["ports"] = numbers
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": name_of(service),
            "namespace": namespace_of(service),
            "labels": dict(labels_of(service)),
            "ownerReferences": [reference(service)],
        },
        "subsets": [subset] if subset else [],
    }


def reconcile_ingress(world: World, ingress: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
    """Say in the status where the Ingress is reached: the real address of the pods behind it."""
    plan = Plan()
    status: Object = {"loadBalancer": {}}
    if (port := _ingress_port(world, ingress)) is not None:
        status["loadBalancer"] = {
            "ingress": [{"ip": "127.0.0.1", "ports": [{"port": port, "protocol": "TCP"}]}]
        }
    before = (status_of(ingress).get("loadBalancer") or {}).get("ingress") or []
    if _plain(before) != _plain(status["loadBalancer"].get("ingress") or []):
        update = changed(ingress, status=status) or {**ingress, "status": status}
        plan.add(SetStatus(obj=update))
    return plan


def _ingress_port(world: World, ingress: Object) -> int | None:
    for backend in backends(ingress):
        service = world.get("Service", namespace_of(ingress), backend)
        selector = spec_of(service).get("selector") if service else None
        for pod in world.of_kind("Pod", namespace_of(ingress)):
            address = annotations_of(pod).get(SERVICE_ADDRESS, "")
            if selects(selector, labels_of(pod)) and is_ready(pod) and ":" in address:
                return int(address.rpartition(":")[2])
    return None


def backends(ingress: Object) -> list[str]:
    """Give the names of the Services that an Ingress sends to."""
    spec = spec_of(ingress)
    found = [
        path["backend"]["service"]["name"]
        for rule in spec.get("rules") or ()
        for path in (rule.get("http") or {}).get("paths") or ()
        if path.get("backend", {}).get("service")
    ]
    default = (spec.get("defaultBackend") or {}).get("service")
    return [*found, default["name"]] if default else found
