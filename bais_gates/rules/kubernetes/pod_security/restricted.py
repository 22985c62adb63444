"""Check the controls of the Pod Security Standards' level restricted, one function per control."""

from __future__ import annotations

from bais_gates.rules.kubernetes.pod_security.baseline import bad_seccomp
from bais_gates.rules.kubernetes.pod_security.pod_view import (
    PodView,
    Refusal,
    format_containers,
    format_setters,
    plural,
    quoted,
)

VOLUME_TYPES = frozenset(
    (
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    )
)
OTHER_VOLUME_TYPES = (
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
)


def capabilities_restricted(pod: PodView) -> Refusal | None:
    """Require dropping ALL capabilities and allow adding only NET_BIND_SERVICE; Windows has none."""
    if pod.minor >= 25 and pod.is_windows:
        return None
    kept = [s for s in pod.container_settings("capabilities", "drop") if "ALL" not in (s.value or ())]
    adding = [
        s for s in pod.container_settings("capabilities", "add") if set(s.value or ()) - {"NET_BIND_SERVICE"}
    ]
    if not kept and not adding:
        return None
    details = []
    if kept:
        details.append(f'{format_containers(kept)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        added = sorted({str(name) for s in adding for name in s.value} - {"NET_BIND_SERVICE"})
        detail = f"must not include {quoted(added)} in securityContext.capabilities.add"
        details.append(f"{format_containers(adding)} {detail}")
    return Refusal(reason="unrestricted capabilities", detail="; ".join(details))


def seccomp_restricted(pod: PodView) -> Refusal | None:
    """Require a seccomp profile for the pod or every container; Windows has none."""
    if pod.minor >= 25 and pod.is_windows:
        return None
    refusal = bad_seccomp(pod)
    if refusal is not None:
        return refusal
    unset = [s for s in pod.container_settings("seccompProfile") if s.value is None]
    if not unset or pod.pod_setting("seccompProfile").value is not None:
        return None
    return Refusal(
        reason="seccompProfile",
        detail=f"pod or {format_containers(unset)} must set "
        'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"',
    )


def privilege_escalation(pod: PodView) -> Refusal | None:
    """Require allowPrivilegeEscalation=false for every container; since 1.25 not on Windows."""
    if pod.minor >= 25 and pod.is_windows:
        return None
    bad = [s for s in pod.container_settings("allowPrivilegeEscalation") if s.value is not False]
    if not bad:
        return None
    detail = f"{format_containers(bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Refusal(reason="allowPrivilegeEscalation != false", detail=detail)


def restricted_volumes(pod: PodView) -> Refusal | None:
    """Allow only the volume types in ``VOLUME_TYPES``.

    A volume without a source is an emptyDir: the API server sets this default before admission.
    """
    bad = [
        volume
        for volume in pod.spec.get("volumes") or ()
        if any(value is not None for key, value in volume.items() if key != "name")
        and not any(volume.get(kind) is not None for kind in VOLUME_TYPES)
    ]
    if not bad:
        return None
    types = sorted({next((t for t in OTHER_VOLUME_TYPES if v.get(t) is not None), "unknown") for v in bad})
    names = [str(volume.get("name", "")) for volume in bad]
    return Refusal(
        reason="restricted volume types",
        detail=f"{plural(len(names), 'volume', 'volumes')} {quoted(names)} "
        f"{plural(len(names), 'uses', 'use')} "
        f"{plural(len(types), 'restricted volume type', 'restricted volume types')} {quoted(types)}",
    )


def run_as_non_root(pod: PodView) -> Refusal | None:
    """Require runAsNonRoot=true for the pod or every container; since 1.35 not in a user namespace."""
    if pod.minor >= 35 and pod.has_user_namespace:
        return None
    bad = [s for s in pod.settings("runAsNonRoot") if s.value is False]
    if bad:
        detail = f"{format_setters(bad)} must not set securityContext.runAsNonRoot=false"
        return Refusal(reason="runAsNonRoot != true", detail=detail)
    unset = [s for s in pod.container_settings("runAsNonRoot") if s.value is None]
    if not unset or pod.pod_setting("runAsNonRoot").value is True:
        return None
    detail = f"pod or {format_containers(unset)} must set securityContext.runAsNonRoot=true"
    return Refusal(reason="runAsNonRoot != true", detail=detail)


def run_as_user(pod: PodView) -> Refusal | None:
    """Forbid runAsUser=0 (1.23 and later); since 1.35 not in a user namespace."""
    if pod.minor >= 35 and pod.has_user_namespace:
        return None
    bad = [s for s in pod.settings("runAsUser") if s.value == 0 and s.value is not False]
    if not bad:
        return None
    return Refusal(reason="runAsUser=0", detail=f"{format_setters(bad)} must not set runAsUser=0")
