"""Check that bound volumes are encrypted, by their attributes and the parameters of their StorageClasses.

Source: PCI DSS 3.5, and the parameters of the CSI drivers' StorageClasses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bais_gates.rules.kubernetes.objects import Finding, Object, dig, locate, name_of, of_kind

_FLAGS = ("encrypted", "encryption")
_KEYS = ("kmskeyid", "disk-encryption-kms-key", "diskencryptionsetid", "encryptionkmsid", "encryptionkey")
ALWAYS_ENCRYPTED = frozenset({"pd.csi.storage.gke.io", "disk.csi.azure.com"})
"""Drivers that always encrypt disks (Google, Azure)."""


def is_encrypted(parameters: Mapping[str, str], driver: str = "") -> bool:
    """Return whether a StorageClass's parameters, or a volume's attributes, enable encryption."""
    values = {key.lower(): str(value).strip().lower() for key, value in parameters.items()}
    flags = [values[key] for key in _FLAGS if key in values]
    if any(flag in {"false", "no", "0", "off", "none"} for flag in flags):
        return False
    return (
        any(flag in {"true", "yes", "1", "on", "luks"} for flag in flags)
        or any(values.get(key) for key in _KEYS)
        or driver in ALWAYS_ENCRYPTED
    )


def unencrypted_claims(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for claims that are not bound, or whose volume is not known to be encrypted.

    The volume's attributes override its class, as a class may have changed after the volume was provisioned.
    """
    every = list(objects)
    volumes = {name_of(volume): volume for volume in of_kind(every, "PersistentVolume")}
    classes = {name_of(kind): kind for kind in of_kind(every, "StorageClass")}
    findings = []
    for claim in of_kind(every, "PersistentVolumeClaim"):
        volume = volumes.get(str(dig(claim, "spec", "volumeName")))
        if dig(claim, "status", "phase") != "Bound" or volume is None:
            findings.append(
                Finding(rule="unbound-claim", where=locate(claim), detail="not bound to a volume")
            )
            continue
        fault = _volume_fault(volume, classes)
        if fault:
            findings.append(Finding(rule="unencrypted-volume", where=locate(claim), detail=fault))
    return findings


def _volume_fault(volume: Object, classes: Mapping[str, Object]) -> str | None:
    driver = str(dig(volume, "spec", "csi", "driver") or "")
    attributes = dig(volume, "spec", "csi", "volumeAttributes") or {}
    if any(key.lower() in _FLAGS for key in attributes):
        return None if is_encrypted(attributes, driver) else f"volume {name_of(volume)} is not encrypted"
    name = str(dig(volume, "spec", "storageClassName") or "")
    kind = classes.get(name)
    if kind is None:
        return f"there is no StorageClass {name or '(none)'} of volume {name_of(volume)}"
    if is_encrypted(kind.get("parameters") or {}, str(kind.get("provisioner") or driver)):
        return None
    return f"StorageClass {name} does not enable encryption"
