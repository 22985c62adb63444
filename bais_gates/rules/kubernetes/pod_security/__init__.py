"""Check a pod, or a workload's pod template, against the Pod Security Standards.

`violations` returns what the API server's admission reports: the same controls at the same version of the
policy, in the same order and with the same messages. Source:
kubernetes.io/docs/concepts/security/pod-security-standards, as implemented in Kubernetes 1.36 (and the
sysctls that 1.37 adds).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bais_gates.rules.kubernetes.objects import dig
from bais_gates.rules.kubernetes.pod_security import baseline, restricted
from bais_gates.rules.kubernetes.pod_security.pod_view import Control, PodView

Level = Literal["privileged", "baseline", "restricted"]
POD_KINDS = frozenset(
    {
        "Pod",
        "PodTemplate",
        "Deployment",
        "DeploymentConfig",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "ReplicationController",
        "Job",
        "CronJob",
    }
)
LATEST = 37
"""The newest minor version whose rules are implemented; they apply to newer versions, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One control that the pod violates."""

    control: str
    """The control's name in the admission plugin's source, such as ``runAsNonRoot``."""
    message: str
    """Reason and, in brackets, detail, in the API server's words."""


# name, first minor version, function; a restricted control may replace one of baseline.
BASELINE: tuple[tuple[str, int, Control], ...] = (
    ("appArmorProfile", 0, baseline.app_armor),
    ("capabilities_baseline", 0, baseline.capabilities_baseline),
    ("hostNamespaces", 0, baseline.host_namespaces),
    ("hostPathVolumes", 0, baseline.host_path_volumes),
    ("hostPorts", 0, baseline.host_ports),
    ("hostProbesAndHostLifecycle", 34, baseline.host_probes),
    ("privileged", 0, baseline.privileged),
    ("procMount", 0, baseline.proc_mount_baseline),
    ("seLinuxOptions", 0, baseline.selinux),
    ("seccompProfile_baseline", 0, baseline.seccomp_baseline),
    ("sysctls", 0, baseline.sysctls),
    ("windowsHostProcess", 0, baseline.windows_host_process),
)
RESTRICTED: tuple[tuple[str, int, Control, str | None], ...] = (
    ("allowPrivilegeEscalation", 8, restricted.privilege_escalation, None),
    ("capabilities_restricted", 22, restricted.capabilities_restricted, "capabilities_baseline"),
    ("procMount_restricted", 35, baseline.proc_mount, "procMount"),
    ("restrictedVolumes", 0, restricted.restricted_volumes, "hostPathVolumes"),
    ("runAsNonRoot", 0, restricted.run_as_non_root, None),
    ("runAsUser", 23, restricted.run_as_user, None),
    ("seccompProfile_restricted", 19, restricted.seccomp_restricted, "seccompProfile_baseline"),
)


def minor_version(version: str) -> int:
    """Return N of ``v1.N`` (``1.N`` too), or the newest for ``latest``; ValueError for anything else."""
    if version == "latest":
        return LATEST
    match = re.fullmatch(r"v?1\.(0|[1-9][0-9]{0,4})", version)
    if match is None:
        raise ValueError(f"{version!r} is not a version of the Pod Security Standards: use latest or v1.N")
    return min(int(match[1]), LATEST)


def pod_of(obj: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the pod's metadata and spec from a pod spec, a pod, or a workload with a pod template.

    Raises ValueError without a pod: an object that holds none must not pass as one without violations.
    """
    spec = obj.get("spec")
    if not isinstance(spec, Mapping) and isinstance(obj.get("containers"), list):
        return {}, obj
    known = obj.get("kind") in POD_KINDS
    for path in (("spec", "jobTemplate", "spec", "template"), ("spec", "template"), ("template",), ()):
        holder = dig(obj, *path)
        inner = dig(holder, "spec")
        # An object of a kind that holds a pod is checked even without containers.
        whole = known and isinstance(inner, Mapping) and (bool(path) or obj.get("kind") == "Pod")
        if whole or isinstance(dig(inner, "containers"), list):
            return holder.get("metadata") or {}, inner
    raise ValueError(f"no pod in this object (kind {obj.get('kind')!r}): it has no containers")


def violations(obj: Mapping[str, Any], level: Level, *, version: str = "latest") -> list[Violation]:
    """Return the violations of a level that the API server's admission reports; [] if it admits the pod.

    ``obj`` is a pod spec, a Pod, or an object with a pod template (Deployment, StatefulSet, DaemonSet,
    ReplicaSet, Job, CronJob, PodTemplate). Raises ValueError for an unknown level or version, or without a
    pod.
    """
    minor = minor_version(version)
    metadata, spec = pod_of(obj)
    pod = PodView(annotations=metadata.get("annotations") or {}, spec=spec, minor=minor)
    return [
        Violation(
            control=name,
            message=f"{refusal.reason} ({refusal.detail})" if refusal.detail else refusal.reason,
        )
        for name, control in controls(level, minor)
        if (refusal := control(pod)) is not None
    ]


def controls(level: str, minor: int) -> list[tuple[str, Control]]:
    """Return the controls of a level at a minor version: baseline's first, each group sorted by name."""
    if level == "privileged":
        return []
    base = [(name, control) for name, since, control in BASELINE if since <= minor]
    if level == "baseline":
        return base
    if level != "restricted":
        raise ValueError(
            f"{level!r} is not a level of the Pod Security Standards: use privileged, baseline or restricted"
        )
    more = [(name, control, over) for name, since, control, over in RESTRICTED if since <= minor]
    overridden = {over for _, _, over in more}
    return [entry for entry in base if entry[0] not in overridden] + [(n, c) for n, c, _ in more]


def summary(found: Iterable[Violation], level: str, version: str = "latest") -> str:
    """Return the API server's message for violations: ``violates PodSecurity "restricted:latest": ...``."""
    return f'violates PodSecurity "{level}:{version}": {", ".join(violation.message for violation in found)}'
