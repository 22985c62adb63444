"""The controls of the Pod Security Standards' level restricted, one function each."""

from __future__ import annotations

from bais_gates.rules.pod_security_baseline import bad_seccomp
from bais_gates.rules.pod_view import PodView, Refusal, paths, plural, quoted, say_containers, say_setters

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
FOREIGN_VOLUME_TYPES = (
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
    """Require drop ALL, and allow only NET_BIND_SERVICE to be added; Windows has no capabilities."""
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
        details.append(f'{say_containers(kept)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        added = sorted({str(name) for s in adding for name in s.value} - {"NET_BIND_SERVICE"})
        details.append(
            f"{say_containers(adding)} must not include {quoted(added)} in securityContext.capabilities.add"
        )
    return Refusal(
        reason="unrestricted capabilities", detail="; ".join(details), fields=paths([*kept, *adding])
    )


def seccomp_restricted(pod: PodView) -> Refusal | None:
    """Require a seccomp profile, by the pod or by every container; Windows has none."""
    if pod.minor >= 25 and pod.is_windows:
        return None
    refused = bad_seccomp(pod)
    if refused is not None:
        return refused
    unset = [s for s in pod.container_settings("seccompProfile") if s.value is None]
    if not unset or pod.pod_setting("seccompProfile").value is not None:
        return None
    return Refusal(
        reason="seccompProfile",
        detail=f"pod or {say_containers(unset)} must set "
        'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"',
        fields=tuple(f"{s.path}.type" for s in unset),
    )


def privilege_escalation(pod: PodView) -> Refusal | None:
    """Require allowPrivilegeEscalation=false of every container; Windows has none since 1.25."""
    if pod.minor >= 25 and pod.is_windows:
        return None
    bad = [s for s in pod.container_settings("allowPrivilegeEscalation") if s.value is not False]
    if not bad:
        return None
    detail = f"{say_containers(bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Refusal(reason="allowPrivilegeEscalation != false", detail=detail, fields=paths(bad))


def restricted_volumes(pod: PodView) -> Refusal | None:
    """Allow only volumes that hold the pod's own data or come from a claim.

    A volume that names no source at all is an emptyDir, as the API server makes it one before admission.
    """
    bad = [
        (index, volume)
        for index, volume in enumerate(pod.spec.get("volumes") or ())
        if any(value is not None for key, value in volume.items() if key != "name")
        and not any(volume.get(kind) is not None for kind in VOLUME_TYPES)
    ]
    if not bad:
        return None
    kinds = [next((k for k in FOREIGN_VOLUME_TYPES if v.get(k) is not None), "unknown") for _, v in bad]
    names = [str(volume.get("name", "")) for _, volume in bad]
    found = sorted(set(kinds))
    return Refusal(
        reason="restricted volume types",
        detail=f"{plural(len(names), 'volume', 'volumes')} {quoted(names)} "
        f"{plural(len(names), 'uses', 'use')} "
        f"{plural(len(found), 'restricted volume type', 'restricted volume types')} {quoted(found)}",
        fields=tuple(f"spec.volumes[{index}].{kind}" for (index, _), kind in zip(bad, kinds, strict=True)),
    )


def run_as_non_root(pod: PodView) -> Refusal | None:
    """Require runAsNonRoot=true, by the pod or by every container; since 1.35 not in a user namespace."""
    if pod.minor >= 35 and pod.has_user_namespace:
        return None
    bad = [s for s in pod.settings("runAsNonRoot") if s.value is False]
    if bad:
        detail = f"{say_setters(bad)} must not set securityContext.runAsNonRoot=false"
        return Refusal(reason="runAsNonRoot != true", detail=detail, fields=paths(bad))
    unset = [s for s in pod.container_settings("runAsNonRoot") if s.value is None]
    if not unset or pod.pod_setting("runAsNonRoot").value is True:
        return None
    detail = f"pod or {say_containers(unset)} must set securityContext.runAsNonRoot=true"
    return Refusal(reason="runAsNonRoot != true", detail=detail, fields=paths(unset))


def run_as_user(pod: PodView) -> Refusal | None:
    """Forbid the user 0 (1.23 and later); since 1.35 not in a user namespace."""
    if pod.minor >= 35 and pod.has_user_namespace:
        return None
    bad = [s for s in pod.settings("runAsUser") if s.value == 0 and s.value is not False]
    if not bad:
        return None
    return Refusal(
        reason="runAsUser=0", detail=f"{say_setters(bad)} must not set runAsUser=0", fields=paths(bad)
    )
