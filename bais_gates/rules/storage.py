"""Whether the platform's data lies encrypted on its disks, by what the bound volumes and their classes say.

Source: PCI DSS 3.5, and the parameters of the CSI drivers' StorageClasses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bais_gates.rules.objects import Finding, Object, dig, name_of, of_kind, where

_FLAGS = ("encrypted", "encryption")
_KEYS = ("kmskeyid", "disk-encryption-kms-key", "diskencryptionsetid", "encryptionkmsid", "encryptionkey")
ALWAYS_ENCRYPTED = frozenset({"pd.csi.storage.gke.io", "disk.csi.azure.com"})
"""Drivers whose disks are encrypted whether a parameter says so or not (Google, Azure)."""


def is_encrypted(parameters: Mapping[str, str], driver: str = "") -> bool:
    """Whether a StorageClass's parameters, or a volume's attributes, say that it is encrypted."""
    stated = {key.lower(): str(value).strip().lower() for key, value in parameters.items()}
    flags = [stated[key] for key in _FLAGS if key in stated]
    if any(flag in {"false", "no", "0", "off", "none"} for flag in flags):
        return False
    return (
        any(flag in {"true", "yes", "1", "on", "luks"} for flag in flags)
        or any(stated.get(key) for key in _KEYS)
        or driver in ALWAYS_ENCRYPTED
    )


def unencrypted_claims(objects: Iterable[Object]) -> list[Finding]:
    """Name claims that are not bound, or whose bound volume is not known to be encrypted.

    What the volume itself says goes before its class: a class changed later says nothing of older volumes.
    """
    every = list(objects)
    volumes = {name_of(volume): volume for volume in of_kind(every, "PersistentVolume")}
    classes = {name_of(kind): kind for kind in of_kind(every, "StorageClass")}
    found = []
    for claim in of_kind(every, "PersistentVolumeClaim"):
        volume = volumes.get(str(dig(claim, "spec", "volumeName")))
        if dig(claim, "status", "phase") != "Bound" or volume is None:
            found.append(Finding(rule="unbound-claim", where=where(claim), detail="not bound to a volume"))
            continue
        said = _volume_fault(volume, classes)
        if said:
            found.append(Finding(rule="unencrypted-volume", where=where(claim), detail=said))
    return found


def _volume_fault(volume: Object, classes: Mapping[str, Object]) -> str | None:
    driver = str(dig(volume, "spec", "csi", "driver") or "")
    attributes = dig(volume, "spec", "csi", "volumeAttributes") or {}
    if any(key.lower() in _FLAGS for key in attributes):
        return None if is_encrypted(attributes, driver) else f"volume {name_of(volume)} says that it is not"
    name = str(dig(volume, "spec", "storageClassName") or "")
    kind = classes.get(name)
    if kind is None:
        return f"the class {name or '(none)'} of volume {name_of(volume)} is not there to be looked at"
    if is_encrypted(kind.get("parameters") or {}, str(kind.get("provisioner") or driver)):
        return None
    return f"StorageClass {name} says nothing of encryption"
