"""Check the controls of the Pod Security Standards' level baseline, one function per control."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bais_gates.rules.kubernetes.objects import containers_of, dig
from bais_gates.rules.kubernetes.pod_security.pod_view import (
    PodView,
    Refusal,
    Setting,
    bad_values,
    container_names,
    format_containers,
    format_setters,
    plural,
    quoted,
)

APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_POD_ANNOTATION = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER_ANNOTATION = "container.seccomp.security.alpha.kubernetes.io/"
DEFAULT_CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    )
)
SYSCTLS = (  # the first minor version that allows the names
    (0, ("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start")),
    (0, ("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range")),
    (27, ("net.ipv4.ip_local_reserved_ports",)),
    (29, ("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout")),
    (29, ("net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes")),
    (32, ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")),
    (37, ("net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat")),
)
SELINUX_TYPES = (
    (0, ("", "container_t", "container_init_t", "container_kvm_t")),
    (31, ("container_engine_t",)),
)


def _allowed(table: tuple[tuple[int, tuple[str, ...]], ...], minor: int) -> set[str]:
    return {name for since, names in table if since <= minor for name in names}


def app_armor(pod: PodView) -> Refusal | None:
    """Allow only the AppArmor profiles RuntimeDefault and Localhost, in fields and annotations."""
    bad = [
        Setting(container=profile.container, value=profile.value.get("type"))
        for profile in pod.settings("appArmorProfile")
        if isinstance(profile.value, Mapping)
        and profile.value.get("type") not in {"RuntimeDefault", "Localhost"}
    ]
    annotations = sorted(
        (key, value)
        for key, value in pod.annotations.items()
        if key.startswith(APPARMOR_ANNOTATION)
        and value not in {"", "runtime/default"}
        and not value.startswith("localhost/")
    )
    if not bad and not annotations:
        return None
    values = bad_values(bad) if bad else []
    values += [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in annotations]
    setters = [format_setters(bad)] if bad else []
    setters += [plural(len(annotations), "annotation", "annotations")] if annotations else []
    return Refusal(
        reason=plural(len(values), "forbidden AppArmor profile", "forbidden AppArmor profiles"),
        detail=f"{' and '.join(setters)} must not set AppArmor profile type to {quoted(values)}",
    )


def capabilities_baseline(pod: PodView) -> Refusal | None:
    """Forbid adding capabilities beyond the container runtime's defaults."""
    bad = [
        s for s in pod.container_settings("capabilities", "add") if set(s.value or ()) - DEFAULT_CAPABILITIES
    ]
    if not bad:
        return None
    added = sorted({str(name) for s in bad for name in s.value} - DEFAULT_CAPABILITIES)
    detail = f"must not include {quoted(added)} in securityContext.capabilities.add"
    return Refusal(reason="non-default capabilities", detail=f"{format_containers(bad)} {detail}")


def host_namespaces(pod: PodView) -> Refusal | None:
    """Forbid sharing the host's network, process and IPC namespaces."""
    bad = [key for key in ("hostIPC", "hostNetwork", "hostPID") if pod.spec.get(key)]
    return Refusal(reason="host namespaces", detail=", ".join(bad)) if bad else None


def host_path_volumes(pod: PodView) -> Refusal | None:
    """Forbid hostPath volumes."""
    volumes = pod.spec.get("volumes") or ()
    names = [str(volume.get("name", "")) for volume in volumes if volume.get("hostPath") is not None]
    if not names:
        return None
    detail = f"{plural(len(names), 'volume', 'volumes')} {quoted(names)}"
    return Refusal(reason="hostPath volumes", detail=detail)


def host_ports(pod: PodView) -> Refusal | None:
    """Forbid host ports."""
    bad = [
        Setting(container=str(container.get("name", "")), value=port)
        for container in containers_of(pod.spec)
        for entry in container.get("ports") or ()
        if (port := entry.get("hostPort"))
    ]
    if not bad:
        return None
    names = list(dict.fromkeys(container_names(bad)))
    ports = bad_values(bad)
    return Refusal(
        reason="hostPort",
        detail=f"{plural(len(names), 'container', 'containers')} {quoted(names)} "
        f"{plural(len(names), 'uses', 'use')} "
        f"{plural(len(ports), 'hostPort', 'hostPorts')} {', '.join(ports)}",
    )


HOOKS = (
    *((probe,) for probe in ("livenessProbe", "readinessProbe", "startupProbe")),
    *(("lifecycle", hook) for hook in ("postStart", "preStop")),
)


def host_probes(pod: PodView) -> Refusal | None:
    """Forbid the host field in probes and lifecycle hooks (1.34 and later)."""
    if pod.minor < 34:
        return None
    bad = [
        Setting(container=str(container.get("name", "")), value=host)
        for container in containers_of(pod.spec)
        for hook in HOOKS
        for how in ("httpGet", "tcpSocket")
        if (host := dig(container, *hook, how, "host"))
    ]
    if not bad:
        return None
    names, hosts = sorted(set(container_names(bad))), bad_values(bad)
    return Refusal(
        reason="probe or lifecycle host",
        detail=f"{plural(len(names), 'container', 'containers')} {quoted(names)} "
        f"{plural(len(names), 'uses', 'use')} "
        f"{plural(len(hosts), 'probe or lifecycle host', 'probe or lifecycle hosts')} {quoted(hosts)}",
    )


def privileged(pod: PodView) -> Refusal | None:
    """Forbid privileged containers."""
    bad = [s for s in pod.container_settings("privileged") if s.value is True]
    if not bad:
        return None
    detail = f"{format_containers(bad)} must not set securityContext.privileged=true"
    return Refusal(reason="privileged", detail=detail)


def proc_mount(pod: PodView) -> Refusal | None:
    """Require the default /proc mask."""
    bad = [s for s in pod.container_settings("procMount") if s.value is not None and s.value != "Default"]
    if not bad:
        return None
    detail = f"{format_containers(bad)} must not set securityContext.procMount to {quoted(bad_values(bad))}"
    return Refusal(reason="procMount", detail=detail)


def proc_mount_baseline(pod: PodView) -> Refusal | None:
    """Require the default /proc mask; since 1.35 not for a pod in a user namespace."""
    return None if pod.minor >= 35 and pod.has_user_namespace else proc_mount(pod)


def selinux(pod: PodView) -> Refusal | None:
    """Allow only the SELinux types of containers, and no SELinux user or role."""
    allowed = _allowed(SELINUX_TYPES, pod.minor)
    bad = [
        s
        for s in pod.settings("seLinuxOptions")
        if isinstance(s.value, Mapping)
        and ((s.value.get("type") or "") not in allowed or s.value.get("user") or s.value.get("role"))
    ]
    if not bad:
        return None
    types = sorted({str(s.value.get("type") or "") for s in bad} - allowed)
    faults = [f"{plural(len(types), 'type', 'types')} {quoted(types)}"] if types else []
    faults += [f"{key} may not be set" for key in ("user", "role") if any(s.value.get(key) for s in bad)]
    return Refusal(
        reason="seLinuxOptions",
        detail=f"{format_setters(bad)} set forbidden securityContext.seLinuxOptions: {'; '.join(faults)}",
    )


def bad_seccomp(pod: PodView) -> Refusal | None:
    """Allow only the seccomp profiles RuntimeDefault and Localhost, where one is set."""
    bad = [
        Setting(container=s.container, value=s.value.get("type"))
        for s in pod.settings("seccompProfile")
        if isinstance(s.value, Mapping) and s.value.get("type") not in {"RuntimeDefault", "Localhost"}
    ]
    if not bad:
        return None
    detail = (
        f"{format_setters(bad)} must not set securityContext.seccompProfile.type to {quoted(bad_values(bad))}"
    )
    return Refusal(reason="seccompProfile", detail=detail)


def seccomp_baseline(pod: PodView) -> Refusal | None:
    """Forbid the seccomp profile Unconfined: in annotations before 1.19, in fields since."""
    if pod.minor >= 19:
        return bad_seccomp(pod)
    keys = [SECCOMP_POD_ANNOTATION]
    keys += [f"{SECCOMP_CONTAINER_ANNOTATION}{c.get('name', '')}" for c in containers_of(pod.spec)]
    bad = sorted(
        (key, value)
        for key in dict.fromkeys(keys)
        if (value := pod.annotations.get(key)) is not None
        and value not in {"runtime/default", "docker/default"}
        and not value.startswith("localhost/")
    )
    if not bad:
        return None
    values = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in bad)
    return Refusal(
        reason="seccompProfile",
        detail=f"forbidden {plural(len(bad), 'annotation', 'annotations')} {values}",
    )


def sysctls(pod: PodView) -> Refusal | None:
    """Forbid sysctls outside the safe set."""
    allowed = _allowed(SYSCTLS, pod.minor)
    names = [str(entry.get("name", "")) for entry in dig(pod.spec, "securityContext", "sysctls") or ()]
    bad = [name for name in names if name not in allowed]
    return Refusal(reason="forbidden sysctls", detail=", ".join(bad)) if bad else None


def windows_host_process(pod: PodView) -> Refusal | None:
    """Forbid Windows HostProcess pods."""
    bad = [s for s in pod.settings("windowsOptions", "hostProcess") if s.value is True]
    if not bad:
        return None
    detail = f"{format_setters(bad)} must not set securityContext.windowsOptions.hostProcess=true"
    return Refusal(reason="hostProcess", detail=detail)
