"""PersistentVolumeClaims and PersistentVolumes: bound, protected while in use, and reclaimed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    format_time,
    is_finished,
    is_terminating,
    name_of,
    namespace_of,
    spec_of,
    status_of,
    uid_of,
    with_annotations,
    without_finalizer,
)
from bais_gates.sandbox.cluster.controllers.world import Create, Delete, Plan, Update

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

_CLAIM_IN_USE, _VOLUME_IN_USE = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"
_BIND_DONE = {"pv.kubernetes.io/bind-completed": "yes"}


def reconcile_claim(world: World, claim: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
    """Bind a claim to a volume made for it; let a deleted one go once no pod uses it."""
    plan = Plan()
    volume = world.get("PersistentVolume", "", str(spec_of(claim).get("volumeName") or volume_name(claim)))
    if is_terminating(claim):
        if not users(world, claim):
            _unprotect(plan, claim, _CLAIM_IN_USE)
    elif spec_of(claim).get("volumeName"):
        spec = spec_of(volume or {})
        bound = {"phase": "Bound", "accessModes": spec.get("accessModes"), "capacity": spec.get("capacity")}
        plan.set_status(claim, bound if volume is not None else {"phase": "Lost"})
    elif volume is not None:
        bound = {
            **with_annotations(claim, _BIND_DONE),
            "spec": {**spec_of(claim), "volumeName": name_of(volume)},
        }
        plan.add(Update(bound))
    elif status_of(claim).get("phase"):
        _provision(plan, world, claim)
    else:
        plan.set_status(claim, {"phase": "Pending"})
    return plan


def volume_name(claim: Object) -> str:
    """Return the name of the volume that is made for a claim."""
    return f"pvc-{uid_of(claim)}"


def users(world: World, claim: Object) -> list[Object]:
    """Return the pods that use a claim and have not ended."""
    pods = world.of_kind("Pod", namespace_of(claim))
    return [pod for pod in pods if not is_finished(pod) and name_of(claim) in claims_of(pod)]


def claims_of(pod: Object) -> list[str]:
    """Return the names of the claims that a pod mounts."""
    return [
        str(volume["persistentVolumeClaim"]["claimName"])
        for volume in spec_of(pod).get("volumes") or ()
        if volume.get("persistentVolumeClaim")
    ]


def waits_for_pod(world: World, claim: Object) -> bool:
    """Whether the claim's class binds it only once its first pod is there."""
    storage = world.get("StorageClass", "", str(spec_of(claim).get("storageClassName") or "")) or {}
    return storage.get("volumeBindingMode") == "WaitForFirstConsumer"


def _provision(plan: Plan, world: World, claim: Object) -> None:
    """Create a volume of the claim's class, or report why there is none yet."""
    wanted = spec_of(claim).get("storageClassName")
    storage = world.get("StorageClass", "", str(wanted))
    if not wanted:
        message = "no persistent volumes available for this claim and no storage class is set"
        plan.event(claim, "FailedBinding", message)
    elif storage is None:
        plan.warn(claim, "ProvisioningFailed", f'storageclass.storage.k8s.io "{wanted}" not found')
    elif waits_for_pod(world, claim) and not users(world, claim):
        message = "waiting for first consumer to be created before binding"
        plan.event(claim, "WaitForFirstConsumer", message)
    elif any(_reclaim_policy(volume) == "Delete" for volume in _earlier(world, claim)):
        plan.look_again(0.2)  # until the data of the earlier claim is wiped
    else:
        plan.add(Create(new_volume(world, claim, storage), owner=claim))
        message = f"Successfully provisioned volume {volume_name(claim)}"
        plan.event(claim, "ProvisioningSucceeded", message)


def _reclaim_policy(volume: Object) -> str:
    return str(spec_of(volume).get("persistentVolumeReclaimPolicy"))


def _earlier(world: World, claim: Object) -> list[Object]:
    """Return the volumes of earlier claims of the same name."""
    return [
        volume
        for volume in world.of_kind("PersistentVolume")
        if (ref := spec_of(volume).get("claimRef") or {}).get("name") == name_of(claim)
        and ref.get("namespace") == namespace_of(claim)
        and ref.get("uid") != uid_of(claim)
    ]


def new_volume(world: World, claim: Object, storage: Object) -> Object:
    """Return the volume of a claim: as large as asked for, in a folder of the claim's name."""
    folder = f"{namespace_of(claim)}.{name_of(claim)}"
    if _earlier(world, claim):  # one that is kept: its data stays its own
        folder += f"-{uid_of(claim)[:8]}"
    provisioner = str(storage.get("provisioner", ""))
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": volume_name(claim),
            "annotations": {"pv.kubernetes.io/provisioned-by": provisioner},
        },
        "spec": {
            "capacity": {"storage": spec_of(claim)["resources"]["requests"]["storage"]},
            "accessModes": spec_of(claim).get("accessModes"),
            "persistentVolumeReclaimPolicy": storage.get("reclaimPolicy") or "Delete",
            "storageClassName": name_of(storage),
            "volumeMode": spec_of(claim).get("volumeMode") or "Filesystem",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": namespace_of(claim),
                "name": name_of(claim),
                "uid": uid_of(claim),
            },
            "csi": {
                "driver": provisioner.replace("/", "."),
                "volumeHandle": folder,
                "volumeAttributes": dict(storage.get("parameters") or {}),
            },
        },
    }


def data_of(volume: Object) -> str:
    """Return the name that the container runtime knows a volume's data by: ``namespace.claim``."""
    return str((spec_of(volume).get("csi") or {}).get("volumeHandle", ""))


def _unprotect(plan: Plan, obj: Object, finalizer: str) -> None:
    if finalizer in (obj["metadata"].get("finalizers") or ()):
        plan.add(Update(without_finalizer(obj, finalizer)))


def volume_reconciler(wipe: Callable[[str], None]) -> Callable[[World, Object, datetime], Plan]:
    """Return the function for PersistentVolumes; ``wipe`` destroys the data of one (by ``data_of``)."""

    def reconcile(world: World, volume: Object, now: datetime) -> Plan:
        plan = Plan()
        ref = spec_of(volume).get("claimRef") or {}
        claim = world.by_uid(ref.get("uid"))
        phase = "Bound" if claim is not None else "Released" if ref else "Available"
        if is_terminating(volume):
            if claim is None:
                _unprotect(plan, volume, _VOLUME_IN_USE)
        elif status_of(volume).get("phase") != phase:
            plan.set_status(volume, {"phase": phase, "lastPhaseTransitionTime": format_time(now)})
        elif phase == "Released" and _reclaim_policy(volume) == "Delete":
            if data := data_of(volume):
                wipe(data)
            plan.add(Delete(obj=volume))
        return plan

    return reconcile
