"""EndpointSlices, and the addresses of Ingresses: where a Service's clients end up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    annotations_of,
    digest,
    is_finished,
    is_ready,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    selects,
    significant,
    spec_of,
    status_of,
    uid_of,
)
from bais_gates.sandbox.cluster.controllers.world import Create, Plan, Update

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

SERVICE_ADDRESS = "sandbox.bais-gates/service-address"
"""On a pod: where the clients of its Service really connect to (``host:port``)."""


def reconcile(world: World, service: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
    """Keep the EndpointSlice of a Service that has a selector."""
    plan = Plan()
    selector = spec_of(service).get("selector")
    if not selector or is_terminating(service) or spec_of(service).get("type") == "ExternalName":
        return plan
    pods = [
        pod
        for pod in world.of_kind("Pod", namespace_of(service))
        if selects(selector, labels_of(pod)) and status_of(pod).get("podIP") and not is_finished(pod)
    ]
    wanted = endpoint_slice(service, pods)
    there = world.get("EndpointSlice", namespace_of(service), name_of(wanted))
    if there is None:
        plan.add(Create(wanted))
    elif not is_terminating(there):
        content = {key: wanted[key] for key in ("endpoints", "ports")}
        if significant({key: there.get(key) for key in content}) != significant(content):
            plan.add(Update({**there, **content}))
    return plan


def endpoint_slice(service: Object, pods: list[Object]) -> Object:
    """Return the slice of a Service whose selected pods with an address are ``pods``."""
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
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": [_endpoint(service, pod) for pod in pods],
        "ports": ports(service, pods),
    }


def _endpoint(service: Object, pod: Object) -> Object:
    always = bool(spec_of(service).get("publishNotReadyAddresses"))
    ready = is_ready(pod)
    found: Object = {
        "addresses": [status_of(pod)["podIP"]],
        "conditions": {
            "ready": always or (ready and not is_terminating(pod)),
            "serving": always or ready,
            "terminating": is_terminating(pod),
        },
        "targetRef": {
            "kind": "Pod",
            "namespace": namespace_of(pod),
            "name": name_of(pod),
            "uid": uid_of(pod),
        },
        "nodeName": spec_of(pod).get("nodeName"),
    }
    if spec_of(pod).get("hostname") and spec_of(pod).get("subdomain") == name_of(service):
        found["hostname"] = spec_of(pod)["hostname"]
    return found


def ports(service: Object, pods: list[Object]) -> list[Object]:
    """Return the ports behind a Service, as numbers: a name is looked up in the pods."""
    names = {
        port.get("name"): int(port["containerPort"])
        for pod in pods
        for container in spec_of(pod).get("containers") or ()
        for port in container.get("ports") or ()
    }
    found = []
    for port in spec_of(service).get("ports") or ():
        target = port.get("targetPort", port["port"])
        number = target if isinstance(target, int) else names.get(target)
        if number is not None:
            protocol = port.get("protocol", "TCP")
            found.append({"name": port.get("name", ""), "port": number, "protocol": protocol})
    return found


def reconcile_ingress(world: World, ingress: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
    """Report in the status where the Ingress is reached: the real address of the pods behind it."""
    plan = Plan()
    points: list[Object] = []
    if (port := _ingress_port(world, ingress)) is not None:
        points = [{"ip": "127.0.0.1", "ports": [{"port": port, "protocol": "TCP"}]}]
    plan.set_status(ingress, {"loadBalancer": {"ingress": points}})
    return plan


def _ingress_port(world: World, ingress: Object) -> int | None:
    for backend in backends(ingress):
        service = world.get("Service", namespace_of(ingress), backend)
        for pod in world.of_kind("Pod", namespace_of(ingress)):
            address = annotations_of(pod).get(SERVICE_ADDRESS, "")
            if address and selects(spec_of(service or {}).get("selector"), labels_of(pod)) and is_ready(pod):
                return int(address.rpartition(":")[2])
    return None


def backends(ingress: Object) -> list[str]:
    """Return the names of the Services that an Ingress sends to."""
    found = [spec_of(ingress).get("defaultBackend")]
    for rule in spec_of(ingress).get("rules") or ():
        found += [path["backend"] for path in (rule.get("http") or {}).get("paths") or ()]
    return [backend["service"]["name"] for backend in found if backend and backend.get("service")]
