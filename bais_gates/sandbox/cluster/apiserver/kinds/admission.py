"""Pod Security admission: what a namespace's labels let in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bais_gates.rules import pod_security
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj

PREFIX = "pod-security.kubernetes.io/"
WORKLOADS = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob"})
SERVED = 36
"""The minor version that is stood in for: a newer version of the policy, also latest, is this one to it."""
LEVELS: tuple[pod_security.Level, ...] = ("privileged", "baseline", "restricted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What admission says of a pod or a workload.

    ``message``: why it is not allowed, as it follows ``pods "x" is forbidden: ``; ``warnings``: for Warning
    headers.
    """

    allowed: bool = True
    message: str = ""
    warnings: tuple[str, ...] = ()


def admit_pod(namespace: Obj, kind: Kind, obj: Obj) -> Admission:
    """Judge a pod, or the template of a workload, by its namespace's Pod Security labels.

    A pod that the ``enforce`` level refuses is not allowed; ``warn`` adds warnings. Of a workload only
    warnings come (its pods are judged by themselves). Other kinds are let through.
    """
    if kind.group not in {"", "apps", "batch"} or (kind.kind != "Pod" and kind.kind not in WORKLOADS):
        return Admission()
    labels = (namespace.get("metadata") or {}).get("labels") or {}
    refused = _violated(labels, "enforce", obj) if kind.kind == "Pod" else ""
    if refused:
        return Admission(allowed=False, message=refused)
    warned = _violated(labels, "warn", obj)
    return Admission(warnings=(warned.replace("violates", "would violate", 1),) if warned else ())


def _violated(labels: dict[str, Any], mode: str, obj: Obj) -> str:
    level = labels.get(PREFIX + mode)
    if level is None or level == "privileged":
        return ""
    version = labels.get(f"{PREFIX}{mode}-version", "latest")
    # An unknown level counts as the strictest one, as in the real admission.
    known: pod_security.Level = next((each for each in LEVELS if each == level), "restricted")
    try:
        minor = min(pod_security.minor_version(version), SERVED)
        found = pod_security.violations(obj, known, version=f"v1.{minor}")
    except ValueError:
        return ""
    return pod_security.summary(found, known, version) if found else ""


def bad_labels(namespace: Obj) -> list[tuple[str, str, str]]:
    """Return the Pod Security labels of a namespace that say nothing: (field, value, what is wrong)."""
    labels = (namespace.get("metadata") or {}).get("labels") or {}
    found = []
    for mode in ("enforce", "audit", "warn"):
        level, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
        if level is not None and level not in LEVELS:
            said = f"must be one of {', '.join(LEVELS)}"
            found.append((f"metadata.labels[{PREFIX}{mode}]", level, said))
        if version is not None:
            try:
                pod_security.minor_version(version)
            except ValueError:
                said = 'must be "latest" or "v1.x"'
                found.append((f"metadata.labels[{PREFIX}{mode}-version]", version, said))
    return found
