"""Check pods beyond the Pod Security Standards: resources, images, file system, accounts, tokens, users.

Source: CKV_K8S_10-13 and kube-score container-resources (requests and limits), 14/43 and Polaris (images
pinned), 22 (root file system), 38/41 (accounts and their tokens); CIS Kubernetes Benchmark 5.1.5 and 5.1.6;
Kubernetes "Managing Service Accounts" (long-lived tokens); PCI DSS 2.2.2 (vendor's default passwords).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from bais_gates.rules.kubernetes.objects import (
    Finding,
    Object,
    Workload,
    containers_of,
    dig,
    labels_of,
    locate,
    name_of,
    namespace_of,
    of_kind,
    workloads,
)

PSS: Final = "pod-security.kubernetes.io"
PSS_MODES: Final = ("enforce", "audit", "warn")
PINNED: Final = "pod-security-version"
_VERSIONED: Final = re.compile(
    r"@sha256:[0-9a-f]+$|:[\w.-]*(\d+\.\d+|(?<![a-z0-9])[0-9a-f]{7,40}(?![a-z0-9]))[\w.-]*$"
)
TOKEN_MAX_S: Final = 86400
"""Seconds that a projected token may be valid; the API server warns above it (the default is an hour)."""


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


def moving_images(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for images without a digest or version: no tag, latest, 17, main.

    A version has two numbers (1.36) or is a commit. Source: Kubernetes documentation, "Images" (image names);
    CKV_K8S_14; kube-linter latest-tag.
    """
    return [
        Finding(
            rule="moving-image",
            where=pod.where,
            detail=f"container {c.get('name')} has image {c.get('image')}: name its digest or version",
        )
        for pod in workloads(objects)
        for c in containers_of(pod.spec)
        if not _VERSIONED.search(str(c.get("image") or ""))
    ]


def writable_root(objects: Iterable[Object], names: Collection[str] | None = None) -> list[Finding]:
    """Return findings for containers with a writable root file system.

    With ``names``, the pods of those names (app.kubernetes.io/name) must forbid it, and others not allow it.
    Source: CIS Kubernetes Benchmark 5.7.3; NSA/CISA Kubernetes Hardening Guide, "Immutable container file
    systems".
    """
    findings = []
    for pod in workloads(objects):
        strict = names is None or pod.labels.get("app.kubernetes.io/name") in names
        for c in containers_of(pod.spec, ephemeral=False):
            read_only = dig(c, "securityContext", "readOnlyRootFilesystem")
            if read_only is not True and (strict or read_only is False):
                detail = f"container {c.get('name')} has a writable root file system"
                findings.append(Finding(rule="writable-root-filesystem", where=pod.where, detail=detail))
    return findings


def account_findings(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for accounts and pods that get a token which they need not have.

    The pod's automountServiceAccountToken overrides the account's; unset in both means mounted. The default
    account must not mount tokens at all, as any pod may use it.
    """
    every = list(objects)
    accounts = {(namespace_of(a), name_of(a)): a for a in of_kind(every, "ServiceAccount")}
    findings = []
    for (_, name), account in accounts.items():
        automount = account.get("automountServiceAccountToken")
        if automount is True or (name == "default" and automount is not False):
            detail = "does not set automountServiceAccountToken: false"
            findings.append(Finding(rule="account-mounts-token", where=locate(account), detail=detail))
    for pod in workloads(every):
        name = pod.spec.get("serviceAccountName") or pod.spec.get("serviceAccount") or "default"
        if name == "default":
            detail = "uses the default service account"
            findings.append(Finding(rule="default-service-account", where=pod.where, detail=detail))
        if (how := _mounted_token(pod, accounts.get((pod.namespace, name)))) is not None:
            detail = f"mounts {how} of {name}"
            findings.append(Finding(rule="service-account-token", where=pod.where, detail=detail))
    return findings


def _mounted_token(pod: Workload, account: Object | None) -> str | None:
    """Return how a pod gets a token of its account; None if it gets none."""
    automount = pod.spec.get("automountServiceAccountToken")
    if automount is None and account is not None:
        automount = account.get("automountServiceAccountToken")
    sources = [
        source["serviceAccountToken"]
        for volume in pod.spec.get("volumes") or ()
        for source in dig(volume, "projected", "sources") or ()
        if source.get("serviceAccountToken") is not None
    ]
    longest = max((int(one.get("expirationSeconds") or 3600) for one in sources), default=0)
    if longest > TOKEN_MAX_S:
        return f"a token that is valid for {longest} s (at most {TOKEN_MAX_S} s)"
    return "the token" if automount is not False or sources else None


def long_lived_tokens(secrets: Iterable[Object]) -> list[Finding]:
    """Return findings for Secrets with a token of a service account, which never expires."""
    findings = []
    for secret in secrets:
        account = dig(secret, "metadata", "annotations", "kubernetes.io/service-account.name")
        if secret.get("type") == "kubernetes.io/service-account-token" or account:
            detail = f"has a token of ServiceAccount {account or '?'} that never expires: delete it"
            findings.append(Finding(rule="long-lived-token", where=locate(secret), detail=detail))
    return findings


def namespace_findings(namespace: Object, cluster: tuple[int, int]) -> list[Finding]:
    """Return findings for a namespace's Pod Security labels, in a cluster of version (major, minor).

    ``restricted`` must be enforced, by the rules of the cluster's version: ``latest``, no version, or
    one that is not older. A weaker ``audit`` or ``warn`` hides what would be refused. Source:
    Kubernetes "Pod Security Admission" and "Enforce Pod Security Standards with Namespace Labels".
    """
    labels, findings = labels_of(namespace), []
    for mode in PSS_MODES:
        level = labels.get(f"{PSS}/{mode}")
        if level != "restricted" and (level is not None or mode == "enforce"):
            findings.append(("pod-security-level", f"{PSS}/{mode} is {level or 'not set'}, not restricted"))
        pinned = labels.get(f"{PSS}/{mode}-version", "latest")
        match = re.fullmatch(r"v(\d+)\.(\d+)", pinned)
        if pinned != "latest" and (match is None or (int(match[1]), int(match[2])) < cluster):
            detail = f"{PSS}/{mode}-version is {pinned}, the cluster v{cluster[0]}.{cluster[1]}: set latest"
            findings.append((PINNED, detail))
    where = f"Namespace/{name_of(namespace)}"
    return [Finding(rule=rule, where=where, detail=detail) for rule, detail in findings]


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
