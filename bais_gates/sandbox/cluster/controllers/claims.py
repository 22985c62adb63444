"""PersistentVolumeClaims and PersistentVolumes: bound, protected while in use, and reclaimed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    annotations_of,
    changed,
    is_going,
    is_over,
    name_of,
    namespace_of,
    spec_of,
    stamp,
    status_of,
    uid_of,
)
from bais_gates.sandbox.cluster.controllers.world import Create, Delete, Plan, Say, SetStatus, Update

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

_CLAIM_IN_USE, _VOLUME_IN_USE = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"
_BIND_DONE = "pv.kubernetes.io/bind-completed"


def reconcile_claim(world: World, claim: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
    """Bind a claim to a volume made for it; let a deleted one go once no pod uses it."""
    plan = Plan()
    if is_going(claim):
        if not users(world, claim):
            plan.add(_unprotect(claim, _CLAIM_IN_USE))
        return plan
    volume = world.get("PersistentVolume", "", volume_name(claim))
    if spec_of(claim).get("volumeName"):
        _bind(plan, world, claim)
        return plan
    if volume is None:
        _provision(plan, world, claim)
        return plan
    bound = {
        **claim,
        "metadata": {
            **claim["metadata"],
            "annotations": {**annotations_of(claim), _BIND_DONE: "yes"},
        },
        "spec": {**spec_of(claim), "volumeName": name_of(volume)},
    }
    plan.add(Update(obj=bound))
    return plan


def volume_name(claim: Object) -> str:
    """Name the volume that is made for a claim."""
    return f"pvc-{uid_of(claim)}"


def users(world: World, claim: Object) -> list[Object]:
    """Give the pods that use a claim and have not ended."""
    return [
        pod
        for pod in world.of_kind("Pod", namespace_of(claim))
        if not is_over(pod) and name_of(claim) in claims_of(pod)
    ]


def claims_of(pod: Object) -> list[str]:
    """Give the names of the claims that a pod mounts."""
    return [
        str(volume["persistentVolumeClaim"]["claimName"])
        for volume in spec_of(pod).get("volumes") or ()
        if volume.get("persistentVolumeClaim")
    ]


def _bind(plan: Plan, world: World, claim: Object) -> None:
    volume = world.get("PersistentVolume", "", str(spec_of(claim)["volumeName"]))
    if volume is None:
        status: Object = {"phase": "Lost"}
    else:
        status = {
            "phase": "Bound",
            "accessModes": spec_of(volume).get("accessModes"),
            "capacity": spec_of(volume).get("capacity"),
        }
    if (update := changed(claim, status=status)) is not None:
        plan.add(SetStatus(obj=update))


def _provision(plan: Plan, world: World, claim: Object) -> None:
    """Make a volume as the claim's class says, when that class wants it."""
    if not status_of(claim).get("phase"):
        update = changed(claim, status={"phase": "Pending"})
        if update is not None:
            plan.add(SetStatus(obj=update))
            return
    wanted = spec_of(claim).get("storageClassName")
    if not wanted:
        told = "no persistent volumes available for this claim and no storage class is set"
        plan.add(Say(about=claim, reason="FailedBinding", message=told))
        plan.look_again(60)
        return
    storage = world.get("StorageClass", "", str(wanted))
    if storage is None:
        told = f'storageclass.storage.k8s.io "{wanted}" not found'
        plan.add(Say(about=claim, reason="ProvisioningFailed", message=told, kind="Warning"))
        plan.look_again(15)
        return
    if storage.get("volumeBindingMode") == "WaitForFirstConsumer" and not users(world, claim):
        told = "waiting for first consumer to be created before binding"
        plan.add(Say(about=claim, reason="WaitForFirstConsumer", message=told))
        plan.look_again(60)
        return
    if _being_wiped(world, claim):
        plan.look_again(0.2)
        return
    plan.add(
        Create(obj=new_volume(world, claim, storage), owner=claim),
        Say(
            about=claim,
            reason="ProvisioningSucceeded",
            message=f"Successfully provisioned volume {volume_name(claim)}",
        ),
    )


def _earlier(world: World, claim: Object) -> list[Object]:
    """Give the volumes of earlier claims of the same name."""
    return [
        volume
        for volume in world.of_kind("PersistentVolume")
        if (ref := spec_of(volume).get("claimRef") or {}).get("name") == name_of(claim)
        and ref.get("namespace") == namespace_of(claim)
        and ref.get("uid") != uid_of(claim)
    ]


def _being_wiped(world: World, claim: Object) -> bool:
    return any(
        spec_of(volume).get("persistentVolumeReclaimPolicy") == "Delete" for volume in _earlier(world, claim)
    )


def new_volume(world: World, claim: Object, storage: Object) -> Object:
    """Make the volume of a claim: as large as asked for, in a folder of the claim's name."""
    folder = f"{namespace_of(claim)}.{name_of(claim)}"
    if _earlier(world, claim):  # one that is kept: its data stays its own
        folder += f"-{uid_of(claim)[:8]}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": volume_name(claim),
            "annotations": {"pv.kubernetes.io/provisioned-by": str(storage.get("provisioner", ""))},
        },
        "spec": {
            "capacity": {"storage": spec_of(claim)["resources"]["requests"]["storage"]},
            "accessModes": spec_of(claim).get("accessModes"),
            "persistentVolumeReclaimPolicy": storage.get("reclaimPolicy") or "Delete",
            "storageClassName": storage["metadata"]["name"],
            "volumeMode": spec_of(claim).get("volumeMode") or "Filesystem",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": namespace_of(claim),
                "name": name_of(claim),
                "uid": uid_of(claim),
            },
            "csi": {
                "driver": str(storage.get("provisioner", "")).replace("/", "."),
                "volumeHandle": folder,
                "volumeAttributes": dict(storage.get("parameters") or {}),
            },
        },
    }


def data_of(volume: Object) -> str:
    """Give the name that the container runtime knows a volume's data by: ``namespace.claim``."""
    return str((spec_of(volume).get("csi") or {}).get("volumeHandle", ""))


def _unprotect(obj: Object, finalizer: str) -> Update | None:
    finalizers = obj["metadata"].get("finalizers") or []
    if finalizer not in finalizers:
        return None
    kept = [one for one in finalizers if one != finalizer]
    return Update(obj={**obj, "metadata": {**obj["metadata"], "finalizers": kept}})


def volume_reconciler(wipe: Callable[[str], None]) -> Callable[[World, Object, datetime], Plan]:
    """Make the function for PersistentVolumes; ``wipe`` destroys the data of one (by ``data_of``)."""

    def reconcile(world: World, volume: Object, now: datetime) -> Plan:
        plan = Plan()
        ref = spec_of(volume).get("claimRef") or {}
        claim = world.get("PersistentVolumeClaim", str(ref.get("namespace", "")), str(ref.get("name", "")))
        bound = claim is not None and uid_of(claim) == ref.get("uid")
        if is_going(volume):
            if not bound:
                plan.add(_unprotect(volume, _VOLUME_IN_USE))
            return plan
        phase = "Bound" if bound else "Released" if ref else "Available"
        if status_of(volume).get("phase") != phase:
            status = {"phase": phase, "lastPhaseTransitionTime": stamp(now)}
            plan.add(SetStatus(obj={**volume, "status": status}))
        elif phase == "Released" and spec_of(volume).get("persistentVolumeReclaimPolicy") == "Delete":
            if data := data_of(volume):
                wipe(data)
            plan.add(Delete(obj=volume))
        return plan

    return reconcile
