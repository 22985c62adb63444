"""Namespaces: what each is given when it is made, and emptying those that are going."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import Object, is_going, name_of, spec_of
from bais_gates.sandbox.cluster.controllers.world import Create, Empty, Plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

_LOOK_AGAIN_S = 0.3


def reconciler(authority: str) -> Callable[[World, Object, datetime], Plan]:
    """Make the function for Namespaces; ``authority`` is the PEM text that clients in pods trust."""

    def reconcile(world: World, namespace: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
        plan = Plan()
        name = name_of(namespace)
        if is_going(namespace):
            if "kubernetes" in (spec_of(namespace).get("finalizers") or ()):
                plan.add(Empty(namespace=namespace))
                plan.look_again(_LOOK_AGAIN_S)
            return plan
        if world.get("ServiceAccount", name, "default") is None:
            metadata = {"name": "default", "namespace": name}
            plan.add(Create(obj={"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}))
        if world.get("ConfigMap", name, "kube-root-ca.crt") is None:
            metadata = {"name": "kube-root-ca.crt", "namespace": name}
            data = {"ca.crt": authority}
            plan.add(
                Create(obj={"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
            )
        return plan

    return reconcile
