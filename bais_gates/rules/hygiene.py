"""What a pod of a payments platform must state about itself beyond the Pod Security Standards.

Source: CKV_K8S_10-13 and kube-score container-resources (requests and limits), 14/43 and Polaris (images
pinned), 22 (root file system), 38/41 (accounts and their tokens); kube-linter env-var-secret; Polaris
sensitiveContainerEnvVar and sensitiveConfigmapContent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bais_gates.rules.objects import (
    Finding,
    Object,
    Workload,
    containers_of,
    dig,
    name_of,
    namespace_of,
    of_kind,
    where,
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
    """Whether a named value is a secret to all appearance: by its name, if not plainly harmless, or its text.

    ``PASSWORD_FILE=/run/x`` names a file; ``RATE_LIMIT_PER_TOKEN=100`` is a figure; ``$(NAME)`` refers to
    another variable.
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
    """Name environment variables and ConfigMap keys that hold a secret as text; the text is never told."""
    every = list(objects)
    found = [
        Finding(
            rule="env-var-secret",
            where=pod.where,
            detail=f"container {container.get('name')} has {entry.get('name')} as text, not by secretKeyRef",
        )
        for pod in workloads(every)
        for container in containers_of(pod.spec)
        for entry in container.get("env") or ()
        if looks_secret(str(entry.get("name", "")), str(entry.get("value") or ""))
    ]
    found += [
        Finding(rule="configmap-secret", where=where(config), detail=f"key {key} holds a secret")
        for config in of_kind(every, "ConfigMap")
        for key, value in sorted((config.get("data") or {}).items())
        if looks_secret(key if "\n" not in str(value) else "", str(value))
    ]
    return found


def missing_resources(objects: Iterable[Object]) -> list[Finding]:
    """Name containers (init containers too) without requests and limits of CPU and memory.

    In a template a limit does not stand for its request, as every checker has it; in a pod the API server has
    filled the request in.
    """
    found = []
    for pod in workloads(objects):
        for container in containers_of(pod.spec, ephemeral=False):
            lacking = [
                f"{part}.{resource}"
                for part in ("requests", "limits")
                for resource in ("cpu", "memory")
                if not _stated(container, part, resource)
            ]
            if lacking:
                detail = f"container {container.get('name')} states no {', '.join(lacking)}"
                found.append(Finding(rule="missing-resources", where=pod.where, detail=detail))
    return found


def _stated(container: Mapping[str, Any], part: str, resource: str) -> bool:
    value = dig(container, "resources", part, resource)
    return value is not None and not re.fullmatch(r"0+(\.0*)?[A-Za-z]*", str(value))


def unpinned_images(objects: Iterable[Object]) -> list[Finding]:
    """Name containers whose image is not named by its digest: what runs may be another thing tomorrow.

    A digest that is too short is let through: no other image can be pulled for it, nor any at all.
    """
    return [
        Finding(rule="unpinned-image", where=pod.where, detail=f"container {c.get('name')}: {c.get('image')}")
        for pod in workloads(objects)
        for c in containers_of(pod.spec)
        if not re.search(r"@sha256:[0-9a-f]+$", str(c.get("image") or ""))
    ]


def writable_root(objects: Iterable[Object]) -> list[Finding]:
    """Name containers that can write to their image's file system."""
    return [
        Finding(rule="writable-root-filesystem", where=pod.where, detail=f"container {c.get('name')}")
        for pod in workloads(objects)
        for c in containers_of(pod.spec, ephemeral=False)
        if dig(c, "securityContext", "readOnlyRootFilesystem") is not True
    ]


def account_findings(objects: Iterable[Object], keeps_token: frozenset[str] = frozenset()) -> list[Finding]:
    """Name pods that run as the default account, or into which a token of the API server is mounted.

    ``keeps_token``: names of accounts that need theirs. The pod's own setting goes before the account's;
    neither means that it is mounted.
    """
    every = list(objects)
    accounts = {(namespace_of(a), name_of(a)): a for a in of_kind(every, "ServiceAccount")}
    found = []
    for pod in workloads(every):
        name = pod.spec.get("serviceAccountName") or pod.spec.get("serviceAccount") or "default"
        if name == "default":
            found.append(Finding(rule="default-service-account", where=pod.where, detail="runs as default"))
        if name not in keeps_token and _mounts_token(pod, accounts.get((pod.namespace, name))):
            found.append(
                Finding(rule="service-account-token", where=pod.where, detail=f"mounts the token of {name}")
            )
    return found


def _mounts_token(pod: Workload, account: Object | None) -> bool:
    stated = pod.spec.get("automountServiceAccountToken")
    if stated is None and account is not None:
        stated = account.get("automountServiceAccountToken")
    projected = any(
        source.get("serviceAccountToken") is not None
        for volume in pod.spec.get("volumes") or ()
        for source in dig(volume, "projected", "sources") or ()
    )
    return stated is not False or projected


def root_users(objects: Iterable[Object]) -> list[Finding]:
    """Name containers that may run as root: neither told not to nor given another user's number."""
    found = []
    for pod in workloads(objects):
        context = pod.spec.get("securityContext") or {}
        for container in containers_of(pod.spec):
            own = container.get("securityContext") or {}
            user = own.get("runAsUser", context.get("runAsUser"))
            non_root = own.get("runAsNonRoot", context.get("runAsNonRoot"))
            if user == 0 or (non_root is not True and not user):
                detail = f"container {container.get('name')} may run as root"
                found.append(Finding(rule="run-as-non-root", where=pod.where, detail=detail))
    return found
