"""The sandbox's DNS and kube-proxy: a Service's name in a pod's settings becomes a loopback address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.endpoints import SERVICE_ADDRESS
from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    annotations_of,
    is_going,
    is_ready,
    labels_of,
    selects,
    spec_of,
)

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.controllers.world import World

_HOST = re.compile(r"(?<=[@/])([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::(\d+))?(?=[/?,]|$)")
_TAILS: tuple[list[str], ...] = ([], ["svc"], ["svc", "cluster", "local"])


class NotYetError(Exception):
    """A Service is there, but no process behind it has an address yet; the message names the Service."""


def resolve(world: World, namespace: str, text: str) -> str:
    """Replace the Service names in the URLs of ``text``, as a pod of ``namespace`` would resolve them.

    A name that no Service has is left as it is. Raises ``NotYetError``.
    """
    if "://" not in text:
        return text
    return _HOST.sub(lambda found: _address(world, namespace, found[1]) or found[0], text)


def _address(world: World, namespace: str, host: str) -> str | None:
    names = host.split(".")
    for service_at in (0, 1):  # the second: pod-0.service of a headless Service
        if len(names) <= service_at:
            break
        where = names[service_at + 1] if len(names) > service_at + 1 else namespace
        if names[service_at + 2 :] not in _TAILS:
            continue
        service = world.get("Service", where, names[service_at])
        if service is not None:
            return _behind(world, service, pod_name=names[0] if service_at else None)
    return None


def _behind(world: World, service: Object, *, pod_name: str | None) -> str:
    selector = spec_of(service).get("selector")
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    pods = [
        pod
        for pod in world.of_kind("Pod", namespace)
        if selects(selector, labels_of(pod))
        and not is_going(pod)
        and annotations_of(pod).get(SERVICE_ADDRESS)
        and pod_name in {None, pod["metadata"]["name"]}
    ]
    if not pods:
        raise NotYetError(f"{namespace}/{name}")
    return annotations_of(min(pods, key=lambda pod: not is_ready(pod)))[SERVICE_ADDRESS]
