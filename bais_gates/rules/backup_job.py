"""Judge where the next backups go, and for whom they are encrypted: no backup of before shows it."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final

from bais_gates.rules.kubernetes.objects import Object, containers_of, dig

if TYPE_CHECKING:
    from collections.abc import Iterable

_RECIPIENT: Final = re.compile(r"\bage1[02-9ac-hj-np-z]{58}\b")


def secret_references(cron_job: Object) -> set[str]:
    """Return the names of the Secrets from which a CronJob's containers have variables."""
    return {source for _, source, _ in _variables(cron_job) if source}


def recipient_faults(cron_job: Object, secrets: Iterable[Object], own: str) -> list[str]:
    """List the variables with age recipients of a CronJob, if none of them is ``own``, the gates' key's.

    ``secrets`` are those that :func:`secret_references` names. A recipient that is no variable is not seen.
    Source: C2SP, age-encryption.org/v1; NIST SP 800-57, 5.3.4 (keys that stored data needs are kept).
    """
    data = {str(dig(one, "metadata", "name")): one.get("data") or {} for one in secrets}
    found: list[str] = []
    for name, source, text in _variables(cron_job):
        values = {name: text} if not source else data.get(source, {})
        for key, value in values.items():
            if source and text and key != text:
                continue
            plain = base64.b64decode(str(value)).decode("utf-8", "replace") if source else str(value)
            if own in (recipients := _RECIPIENT.findall(plain)):
                return []
            where = f"{key} of Secret {source}" if source else f"the variable {key}"
            found += [
                f"{where}: {one[:12]}... is not the public key of backup.identity" for one in recipients
            ]
    return sorted(set(found))


def _variables(cron_job: Object) -> list[tuple[str, str, str]]:
    """Return (name, "", value), (name, Secret, key), or for all keys of a Secret ("", Secret, "")."""
    found = []
    for container in containers_of(dig(cron_job, "spec", "jobTemplate", "spec", "template", "spec") or {}):
        for one in container.get("env") or ():
            reference = dig(one, "valueFrom", "secretKeyRef") or {}
            text = reference.get("key") or one.get("value") or ""
            found.append((str(one.get("name")), str(reference.get("name") or ""), str(text)))
        names = [dig(one, "secretRef", "name") for one in container.get("envFrom") or ()]
        found += [("", str(name), "") for name in names if name]
    return found


_SCRATCH: Final = re.compile(r"/(var/)?(tmp|cache|run)(/.*)?")


def volume_faults(cron_job: Object) -> list[str]:
    """List the folders that a CronJob's variables and arguments name, and that end with their pod.

    Folders for temporary files are free. Source: Kubernetes documentation, "Volumes" (emptyDir).
    """
    spec = dig(cron_job, "spec", "jobTemplate", "spec", "template", "spec") or {}
    ending = {one["name"] for one in spec.get("volumes") or () if "emptyDir" in one}
    faults = []
    for container in containers_of(spec):
        mounts = {
            str(one["mountPath"]).rstrip("/"): one["name"] for one in container.get("volumeMounts") or ()
        }
        named = [(str(one.get("name")), str(one.get("value") or "")) for one in container.get("env") or ()]
        named += [
            ("an argument", str(one)) for key in ("command", "args") for one in container.get(key) or ()
        ]
        for name, text in named:
            path = text.rpartition("=")[2].rstrip("/")
            inside = [at for at in mounts if path == at or path.startswith(f"{at}/")]
            if not inside or _SCRATCH.fullmatch(path):
                continue
            volume = mounts[max(inside, key=len)]
            if volume in ending:
                faults.append(f"{name} is {path}, in the emptyDir {volume}, which ends with its pod")
    return sorted(set(faults))
