"""Check pods beyond the Pod Security Standards: secrets, resources, images, file system, accounts, users.

Source: CKV_K8S_10-13 and kube-score container-resources (requests and limits), 14/43 and Polaris (images
pinned), 22 (root file system), 38/41 (accounts and their tokens); kube-linter env-var-secret; Polaris
sensitiveContainerEnvVar and sensitiveConfigmapContent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bais_gates.rules.kubernetes.objects import (
    Finding,
    Object,
    Workload,
    containers_of,
    dig,
    locate,
    name_of,
    namespace_of,
    of_kind,
    workloads,
)

_SECRET_NAME = re.compile(
    r"secret|passw|pwd|api_?-?key|access_?-?key|private_?-?key|batch_?-?key|key_?-?content|credential|encryption_?-?key|signing_?-?key"
    r"|(^|[_.-])(token|pass|dsn)([_.-]|$)",
    re.IGNORECASE,
)
_NO_SECRET_NAME = re.compile(r"_?(FILE|PATH|DIR|DIRECTORY|NAME)$", re.IGNORECASE)
_PLAIN_VALUE = re.compile(r"|true|false|yes|no|on|off|none|null|\d+(\.\d+)?(ms|s|m|h)?", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"-{3,} ?BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\bsk_live_[A-Za-z0-9]{10,}"
    r"|hooks\.slack\.com/services/\w+/\w+/\w+"
    r"|\b[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@$][^\s/@]*@"
)


def looks_secret(name: str, value: str) -> bool:
    """Return whether a value is likely a secret, by its name (unless the value is harmless) or by its format.

    ``PASSWORD_FILE=/run/x`` is a file name, ``RATE_LIMIT_PER_TOKEN=100`` a number, and ``$(NAME)`` a
    reference to another variable: these are not secrets.
    """
    text = value.strip()
    if not text or re.fullmatch(r"\$[({][A-Za-z_][A-Za-z0-9_]*[)}]", text):
        return False
    if _SECRET_VALUE.search(text):
        return True
    if not _SECRET_NAME.search(name) or _NO_SECRET_NAME.search(name):
        return False
    harmless = _PLAIN_VALUE.fullmatch(text) is not None
    return not harmless or re.search(r"passw|pwd|(^|[_.-])pass([_.-]|$)", name, re.IGNORECASE) is not None


def literal_secrets(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for secrets in environment variables and ConfigMaps, without their values."""
    every = list(objects)
    findings = [
        Finding(
            rule="env-var-secret",
            where=pod.where,
            detail=f"container {container.get('name')} has {entry.get('name')} as text, not secretKeyRef",
        )
        for pod in workloads(every)
        for container in containers_of(pod.spec)
        for entry in container.get("env") or ()
        if looks_secret(str(entry.get("name", "")), str(entry.get("value") or ""))
    ]
    findings += [
        Finding(rule="configmap-secret", where=locate(config), detail=f"key {key} holds a secret")
        for config in of_kind(every, "ConfigMap")
        for key, value in sorted((config.get("data") or {}).items())
        if looks_secret(key if "\n" not in str(value) else "", str(value))
    ]
    return findings


def missing_resources(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for containers and init containers without CPU and memory requests and limits.

    A limit alone is not a request: in a running pod, the API server has set the request.
    """
    findings = []
    for pod in workloads(objects):
        for container in containers_of(pod.spec, ephemeral=False):
            missing = [
                f"{part}.{resource}"
                for part in ("requests", "limits")
                for resource in ("cpu", "memory")
                if not _is_set(container, part, resource)
            ]
            if missing:
                detail = f"container {container.get('name')} does not set {', '.join(missing)}"
                findings.append(Finding(rule="missing-resources", where=pod.where, detail=detail))
    return findings


def _is_set(container: Mapping[str, Any], part: str, resource: str) -> bool:
    value = dig(container, "resources", part, resource)
    return value is not None and not re.fullmatch(r"0+(\.0*)?[A-Za-z]*", str(value))


def unpinned_images(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for containers whose image has no digest, as its tag may be moved to another image.

    A digest that is too short is accepted: no image can be pulled by it.
    """
    return [
        Finding(rule="unpinned-image", where=pod.where, detail=f"container {c.get('name')}: {c.get('image')}")
        for pod in workloads(objects)
        for c in containers_of(pod.spec)
        if not re.search(r"@sha256:[0-9a-f]+$", str(c.get("image") or ""))
    ]


def writable_root(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for containers with a writable root file system."""
    return [
        Finding(rule="writable-root-filesystem", where=pod.where, detail=f"container {c.get('name')}")
        for pod in workloads(objects)
        for c in containers_of(pod.spec, ephemeral=False)
        if dig(c, "securityContext", "readOnlyRootFilesystem") is not True
    ]


def account_findings(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for pods with the default service account, or with a service account token mounted.

    The pod's automountServiceAccountToken overrides the account's; unset in both means mounted.
    """
    every = list(objects)
    accounts = {(namespace_of(a), name_of(a)): a for a in of_kind(every, "ServiceAccount")}
    findings = []
    for pod in workloads(every):
        name = pod.spec.get("serviceAccountName") or pod.spec.get("serviceAccount") or "default"
        if name == "default":
            findings.append(
                Finding(
                    rule="default-service-account", where=pod.where, detail="uses the default service account"
                )
            )
        if _mounts_token(pod, accounts.get((pod.namespace, name))):
            findings.append(
                Finding(rule="service-account-token", where=pod.where, detail=f"mounts the token of {name}")
            )
    return findings


def _mounts_token(pod: Workload, account: Object | None) -> bool:
    automount = pod.spec.get("automountServiceAccountToken")
    if automount is None and account is not None:
        automount = account.get("automountServiceAccountToken")
    projected = any(
        source.get("serviceAccountToken") is not None
        for volume in pod.spec.get("volumes") or ()
        for source in dig(volume, "projected", "sources") or ()
    )
    return automount is not False or projected


def root_users(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for containers that may run as root: no runAsNonRoot and no runAsUser above 0."""
    findings = []
    for pod in workloads(objects):
        context = pod.spec.get("securityContext") or {}
        for container in containers_of(pod.spec):
            own = container.get("securityContext") or {}
            user = own.get("runAsUser", context.get("runAsUser"))
            non_root = own.get("runAsNonRoot", context.get("runAsNonRoot"))
            if user == 0 or (non_root is not True and not user):
                detail = f"container {container.get('name')} may run as root"
                findings.append(Finding(rule="run-as-non-root", where=pod.where, detail=detail))
    return findings
