"""ResourceQuotas: what a namespace uses now. Without that status the API server refuses what they limit."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    changed,
    is_over,
    namespace_of,
    pod_requests,
    quantity,
    spec_of,
)
from bais_gates.sandbox.cluster.controllers.resources import BY_KIND
from bais_gates.sandbox.cluster.controllers.world import Plan, SetStatus

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

_COUNTED = {
    "pods": "Pod",
    "services": "Service",
    "secrets": "Secret",
    "configmaps": "ConfigMap",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "resourcequotas": "ResourceQuota",
}


def reconcile(world: World, quota: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
    """Fill in what is used of each limited resource."""
    plan = Plan()
    hard = dict(spec_of(quota).get("hard") or {})
    used = {name: written(name, use(world, namespace_of(quota), name)) for name in hard}
    before = (quota.get("status") or {}).get("used") or {}
    if {name: quantity(amount) for name, amount in before.items()} == {
        name: quantity(amount) for name, amount in used.items()
    } and (quota.get("status") or {}).get("hard") == hard:
        return plan
    if (update := changed(quota, status={"hard": hard, "used": used})) is not None:
        plan.add(SetStatus(obj=update))
    return plan


def use(world: World, namespace: str, resource: str) -> Decimal:  # noqa: PLR0911 - a kind of resource a line
    """Give how much of a quota's resource the namespace uses."""
    kind, _, name = resource.partition(".")
    pods = [pod for pod in world.of_kind("Pod", namespace) if not is_over(pod)]
    if resource.startswith("count/"):
        plural = resource.removeprefix("count/").split(".")[0]
        found = next((one.kind for one in BY_KIND.values() if one.plural == plural), "")
        return Decimal(len(world.of_kind(found, namespace)))
    if resource == "pods":
        return Decimal(len(pods))
    if resource in _COUNTED:
        return Decimal(len(world.of_kind(_COUNTED[resource], namespace)))
    if kind == "services":
        return Decimal(sum(_is_of(service, name) for service in world.of_kind("Service", namespace)))
    if kind in {"requests", "limits"} and name != "storage":
        return sum((pod_requests(spec_of(pod), kind).get(name, Decimal(0)) for pod in pods), Decimal(0))
    if resource == "requests.storage":
        claims = world.of_kind("PersistentVolumeClaim", namespace)
        return sum((quantity(spec_of(one)["resources"]["requests"]["storage"]) for one in claims), Decimal(0))
    return sum((pod_requests(spec_of(pod)).get(resource, Decimal(0)) for pod in pods), Decimal(0))


def _is_of(service: Object, what: str) -> bool:
    kind = spec_of(service).get("type")
    if what == "loadbalancers":
        return kind == "LoadBalancer"
    return kind in {"NodePort", "LoadBalancer"}


def written(resource: str, amount: Decimal) -> str:
    """Write an amount: cores in thousandths if need be, bytes in Mi where it comes out even."""
    if amount != amount.to_integral_value():
        return f"{int(amount * 1000)}m"
    number = int(amount)
    if number and ("memory" in resource or "storage" in resource):
        for suffix, size in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
            if number % size == 0:
                return f"{number // size}{suffix}"
    return str(number)
