"""The sandbox's nodes: machines that are made up, so that there is something to spread pods over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    age_s,
    name_of,
    spec_of,
    status_of,
    with_condition,
)
from bais_gates.sandbox.cluster.controllers.world import Create, Plan, Update

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

_LEASE_S, _RENEW_EVERY_S = 40, 10.0
_LEASES = "kube-node-lease"
_CAPACITY = {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "100Gi", "pods": "110"}
"""What each node is stated to have: made up, as all nodes are this one machine."""
_TAINT_OF_NEW_NODES = "node.kubernetes.io/not-ready"
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def names(count: int) -> list[str]:
    """Return the names of the nodes."""
    return [f"sandbox-{number}" for number in range(1, count + 1)]


def new_node(name: str, number: int) -> Object:
    """Return the object of one node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/region": "sandbox",
                "topology.kubernetes.io/zone": f"z{number}",
                "node-role.kubernetes.io/worker": "",
            },
            "annotations": {"sandbox.bais-gates/note": "stands for this machine; its capacity is made up"},
        },
        "spec": {"podCIDR": f"10.244.{number}.0/24", "podCIDRs": [f"10.244.{number}.0/24"]},
    }


def status_for(node: Object, now: datetime, version: str) -> Object:
    """Return the status of a node that is well."""
    conditions = status_of(node).get("conditions") or []
    for values in _CONDITIONS:
        conditions = with_condition(conditions, now, values, touch="lastHeartbeatTime")
    unknown = ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "kubeProxyVersion")
    return {
        **status_of(node),
        "capacity": _CAPACITY,
        "allocatable": _CAPACITY,
        "addresses": [
            {"type": "InternalIP", "address": "127.0.0.1"},
            {"type": "Hostname", "address": name_of(node)},
        ],
        "conditions": conditions,
        "nodeInfo": {
            **dict.fromkeys(unknown, "sandbox"),
            "containerRuntimeVersion": "sandbox://1",
            "kubeletVersion": version,
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    }


def reconciler(ours: frozenset[str], version: str) -> Callable[[World, Object, datetime], Plan]:
    """Return the function for Nodes: those named in ``ours`` are kept ready, others are left alone."""

    def reconcile(world: World, node: Object, now: datetime) -> Plan:
        plan = Plan()
        if name_of(node) not in ours:
            return plan
        taints = spec_of(node).get("taints") or []
        kept = [taint for taint in taints if taint.get("key") != _TAINT_OF_NEW_NODES]
        if len(kept) != len(taints):  # a real API server gives it to every new node
            plan.add(Update({**node, "spec": {**spec_of(node), "taints": kept}}))
            return plan
        plan.set_status(node, status_for(node, now, version))
        _renew(plan, world, name_of(node), now)
        return plan

    return reconcile


def _renew(plan: Plan, world: World, name: str, now: datetime) -> None:
    """Renew the lease that shows that the node is alive, when it is due."""
    lease = world.get("Lease", _LEASES, name)
    left = _RENEW_EVERY_S - age_s(spec_of(lease or {}).get("renewTime"), now) if lease is not None else 0.0
    plan.look_again(left if left > 0 else _RENEW_EVERY_S)
    if left > 0:
        return
    renewed = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_S, "renewTime": renewed}
    if lease is not None:
        plan.add(Update({**lease, "spec": spec}))
        return
    metadata = {"name": name, "namespace": _LEASES}
    api_version = "coordination.k8s.io/v1"
    plan.add(Create({"apiVersion": api_version, "kind": "Lease", "metadata": metadata, "spec": spec}))
