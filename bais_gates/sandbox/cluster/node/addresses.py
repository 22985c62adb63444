"""The sandbox's DNS and kube-proxy: a Service's name in a pod's settings becomes a loopback address."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from bais_gates.sandbox.cluster.controllers.endpoints import SERVICE_ADDRESS
from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    annotations_of,
    is_ready,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    selects,
    spec_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.sandbox.cluster.controllers.world import World

_HOST = re.compile(r"(?<=[@/])([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::(\d+))?(?=[/?,]|$)")

_LOOPBACK = frozenset({"localhost", "127.0.0.1"})


class NotYetError(Exception):
    """A Service is there, but no process behind it has an address yet; the message names the Service."""


def resolve(
    world: World, namespace: str, text: str, own: Mapping[int, str | None] = MappingProxyType({})
) -> str:
    """Replace the Service names in the URLs of ``text``, as a pod of ``namespace`` would resolve them.

    ``own`` has the ports of the pod's other containers, with the addresses of their processes (None: not
    yet), which are meant by its loopback address. A name that no Service has is left as it is. Raise
    ``NotYetError``.
    """
    if "://" not in text:
        return text

    def replacement(found: re.Match[str]) -> str:
        port = int(found[2] or 0)
        if found[1] in _LOOPBACK and port in own:
            return own[port] or _not_yet(found[0])
        return _address(world, namespace, found[1]) or found[0]

    return _HOST.sub(replacement, text)


def _not_yet(service: str) -> NoReturn:
    raise NotYetError(service)


def _address(world: World, namespace: str, host: str) -> str | None:
    names = host.removesuffix(".cluster.local").removesuffix(".svc").split(".")
    for pod_name, rest in ((None, names), (names[0], names[1:])):  # the second: pod-0.service, if headless
        if len(rest) in {1, 2}:
            service = world.get("Service", rest[1] if len(rest) == 2 else namespace, rest[0])
            if service is not None:
                return _behind(world, service, pod_name)
    return None


def _behind(world: World, service: Object, pod_name: str | None) -> str:
    selector = spec_of(service).get("selector")
    pods = [
        pod
        for pod in world.of_kind("Pod", namespace_of(service))
        if selects(selector, labels_of(pod))
        and not is_terminating(pod)
        and annotations_of(pod).get(SERVICE_ADDRESS)
        and pod_name in {None, name_of(pod)}
    ]
    if not pods:
        raise NotYetError(f"{namespace_of(service)}/{name_of(service)}")
    return annotations_of(min(pods, key=lambda pod: not is_ready(pod)))[SERVICE_ADDRESS]
