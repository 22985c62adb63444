"""ResourceQuotas: what a namespace uses now. Without that status the API server refuses what they limit."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    is_finished,
    namespace_of,
    pod_requests,
    quantity,
    spec_of,
)
from bais_gates.sandbox.cluster.controllers.resources import BY_KIND
from bais_gates.sandbox.cluster.controllers.world import Plan

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

_BY_PLURAL = {resource.plural: resource.kind for resource in BY_KIND.values()}
_OPEN = {"services.loadbalancers": {"LoadBalancer"}, "services.nodeports": {"NodePort", "LoadBalancer"}}
"""The types of Services that count against a limit."""


def reconcile(world: World, quota: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
    """Fill in what is used of each limited resource."""
    plan = Plan()
    hard = dict(spec_of(quota).get("hard") or {})
    used = {name: written(name, use(world, namespace_of(quota), name)) for name in hard}
    plan.set_status(quota, {"hard": hard, "used": used})
    return plan


def use(world: World, namespace: str, resource: str) -> Decimal:
    """Return how much of a quota's resource the namespace uses."""
    pods = [pod for pod in world.of_kind("Pod", namespace) if not is_finished(pod)]
    services = world.of_kind("Service", namespace)
    counted = _BY_PLURAL.get(resource.removeprefix("count/").partition(".")[0])
    if resource in _OPEN:
        return Decimal(sum(spec_of(service).get("type") in _OPEN[resource] for service in services))
    if resource == "requests.storage":
        claims = world.of_kind("PersistentVolumeClaim", namespace)
        return sum((quantity(spec_of(one)["resources"]["requests"]["storage"]) for one in claims), Decimal(0))
    if counted is not None:
        return Decimal(len(pods if resource == "pods" else world.of_kind(counted, namespace)))
    kind, _, name = resource.rpartition(".")
    return sum((pod_requests(pod, kind or "requests").get(name, Decimal(0)) for pod in pods), Decimal(0))


def written(resource: str, amount: Decimal) -> str:
    """Write an amount: cores in thousandths if need be, bytes in Gi, Mi or Ki where it comes out even."""
    if amount != amount.to_integral_value():
        return f"{int(amount * 1000)}m"
    number = int(amount)
    if number and ("memory" in resource or "storage" in resource):
        for suffix, size in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
            if number % size == 0:
                return f"{number // size}{suffix}"
    return str(number)
