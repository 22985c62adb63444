"""The sandbox's nodes: machines that are said to be there, so that there is something to spread pods over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import Object, changed, name_of, spec_of, stamp, status_of
from bais_gates.sandbox.cluster.controllers.world import Plan, SetStatus, Update

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

LEASE_S = 40
RENEW_EVERY_S = 10.0
_CAPACITY = {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "100Gi", "pods": "110"}
"""What each node is said to have: made up, as all nodes are this one machine."""
_TAINT_OF_NEW_NODES = "node.kubernetes.io/not-ready"


def names(count: int) -> list[str]:
    """Name the nodes."""
    return [f"sandbox-{number}" for number in range(1, count + 1)]


def new_node(name: str, number: int) -> Object:
    """Make the object of one node."""
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


def new_lease(name: str, now: datetime) -> Object:
    """Make the lease that says that a node is alive."""
    moment = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_S, "renewTime": moment},
    }


def status_for(node: Object, now: datetime, *, version: str, kubelet_port: int = 0) -> Object:
    """Give the status of a node that is well."""
    conditions = {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        "Ready": ("True", "KubeletReady", "kubelet is posting ready status"),
    }
    known = {one["type"]: one for one in status_of(node).get("conditions") or ()}
    found: Object = {
        "capacity": dict(_CAPACITY),
        "allocatable": dict(_CAPACITY),
        "addresses": [
            {"type": "InternalIP", "address": "127.0.0.1"},
            {"type": "Hostname", "address": name_of(node)},
        ],
        "conditions": [
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": stamp(now),
                "lastTransitionTime": (known.get(kind) or {}).get("lastTransitionTime")
                if (known.get(kind) or {}).get("status") == status
                else stamp(now),
            }
            for kind, (status, reason, message) in conditions.items()
        ],
        "nodeInfo": {
            **dict.fromkeys(
                ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "kubeProxyVersion"),
                "sandbox",
            ),
            "containerRuntimeVersion": "sandbox://1",
            "kubeletVersion": version,
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    }
    if kubelet_port:
        found["daemonEndpoints"] = {"kubeletEndpoint": {"Port": kubelet_port}}
    return found


def reconciler(
    ours: frozenset[str], version: str, kubelet_port: Callable[[], int]
) -> Callable[[World, Object, datetime], Plan]:
    """Make the function for Nodes: those named in ``ours`` are kept well, others are left alone."""

    def reconcile(world: World, node: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
        plan = Plan()
        if name_of(node) not in ours:
            return plan
        taints = spec_of(node).get("taints") or []
        kept = [taint for taint in taints if taint.get("key") != _TAINT_OF_NEW_NODES]
        if len(kept) != len(taints):  # a real API server gives it to every new node
            plan.add(Update(obj={**node, "spec": {**spec_of(node), "taints": kept}}))
            return plan
        status = status_for(node, now, version=version, kubelet_port=kubelet_port())
        if _but_heartbeats(status) != _but_heartbeats(status_of(node)) and (
            update := changed(node, status={**status_of(node), **status})
        ):
            plan.add(SetStatus(obj=update))
        return plan

    return reconcile


def _but_heartbeats(status: Object) -> list[object]:
    conditions = [
        {key: value for key, value in one.items() if not key.startswith("last")}
        for one in status.get("conditions") or ()
    ]
    return [
        conditions,
        *(status.get(key) for key in ("capacity", "allocatable", "addresses", "daemonEndpoints")),
    ]
