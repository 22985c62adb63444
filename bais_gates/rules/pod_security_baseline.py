"""The controls of the Pod Security Standards' level baseline, one function each."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bais_gates.rules.pod_view import (
    PodView,
    Refusal,
    Setting,
    bad_values,
    container_names,
    dig,
    paths,
    plural,
    quoted,
    say_containers,
    say_setters,
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
SYSCTLS = (  # the minor version that lets the names in
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
    """Forbid AppArmor profiles other than the runtime's and local ones, by field or annotation."""
    bad = [
        Setting(container=profile.container, path=f"{profile.path}.type", value=profile.value.get("type"))
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
    setters = [say_setters(bad)] if bad else []
    setters += [plural(len(annotations), "annotation", "annotations")] if annotations else []
    return Refusal(
        reason=plural(len(values), "forbidden AppArmor profile", "forbidden AppArmor profiles"),
        detail=f"{' and '.join(setters)} must not set AppArmor profile type to {quoted(values)}",
        fields=(*paths(bad), *(f"metadata.annotations[{key}]" for key, _ in annotations)),
    )


def capabilities_baseline(pod: PodView) -> Refusal | None:
    """Forbid capabilities beyond the container runtime's default set."""
    bad = [
        s for s in pod.container_settings("capabilities", "add") if set(s.value or ()) - DEFAULT_CAPABILITIES
    ]
    if not bad:
        return None
    added = sorted({str(name) for s in bad for name in s.value} - DEFAULT_CAPABILITIES)
    return Refusal(
        reason="non-default capabilities",
        detail=f"{say_containers(bad)} must not include {quoted(added)} in securityContext.capabilities.add",
        fields=paths(bad),
    )


def host_namespaces(pod: PodView) -> Refusal | None:
    """Forbid sharing the host's network, process and IPC namespaces."""
    bad = [key for key in ("hostIPC", "hostNetwork", "hostPID") if pod.spec.get(key)]
    fields = tuple(f"spec.{key}" for key in bad)
    return Refusal(reason="host namespaces", detail=", ".join(bad), fields=fields) if bad else None


def host_path_volumes(pod: PodView) -> Refusal | None:
    """Forbid volumes that are folders of the host."""
    volumes = pod.spec.get("volumes") or ()
    bad = [(index, v) for index, v in enumerate(volumes) if v.get("hostPath") is not None]
    if not bad:
        return None
    names = [str(volume.get("name", "")) for _, volume in bad]
    return Refusal(
        reason="hostPath volumes",
        detail=f"{plural(len(names), 'volume', 'volumes')} {quoted(names)}",
        fields=tuple(f"spec.volumes[{index}].hostPath" for index, _ in bad),
    )


def host_ports(pod: PodView) -> Refusal | None:
    """Forbid ports of the host."""
    bad = [
        Setting(container=str(container.get("name", "")), path=f"{path}.ports[{index}].hostPort", value=port)
        for path, container in pod.containers()
        for index, entry in enumerate(container.get("ports") or ())
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
        fields=paths(bad),
    )


HOOKS = (
    *((probe,) for probe in ("livenessProbe", "readinessProbe", "startupProbe")),
    *(("lifecycle", hook) for hook in ("postStart", "preStop")),
)


def host_probes(pod: PodView) -> Refusal | None:
    """Forbid probes and life-cycle hooks that ask another host than the pod (1.34 and later)."""
    if pod.minor < 34:
        return None
    bad = [
        Setting(
            container=str(container.get("name", "")), path=".".join((path, *hook, how, "host")), value=host
        )
        for path, container in pod.containers()
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
        fields=paths(bad),
    )


def privileged(pod: PodView) -> Refusal | None:
    """Forbid privileged containers."""
    bad = [s for s in pod.container_settings("privileged") if s.value is True]
    if not bad:
        return None
    detail = f"{say_containers(bad)} must not set securityContext.privileged=true"
    return Refusal(reason="privileged", detail=detail, fields=paths(bad))


def proc_mount(pod: PodView) -> Refusal | None:
    """Require the default masks of /proc."""
    bad = [s for s in pod.container_settings("procMount") if s.value is not None and s.value != "Default"]
    if not bad:
        return None
    detail = f"{say_containers(bad)} must not set securityContext.procMount to {quoted(bad_values(bad))}"
    return Refusal(reason="procMount", detail=detail, fields=paths(bad))


def proc_mount_baseline(pod: PodView) -> Refusal | None:
    """Require the default masks of /proc; since 1.35 not of a pod in a user namespace."""
    return None if pod.minor >= 35 and pod.has_user_namespace else proc_mount(pod)


def selinux(pod: PodView) -> Refusal | None:
    """Forbid SELinux types that are no container's, and any user or role."""
    allowed = _allowed(SELINUX_TYPES, pod.minor)
    found = [s for s in pod.settings("seLinuxOptions") if isinstance(s.value, Mapping)]
    bad = [
        s
        for s in found
        if (s.value.get("type") or "") not in allowed or s.value.get("user") or s.value.get("role")
    ]
    if not bad:
        return None
    types = sorted({str(s.value.get("type") or "") for s in bad} - allowed)
    said = [f"{plural(len(types), 'type', 'types')} {quoted(types)}"] if types else []
    said += [f"{key} may not be set" for key in ("user", "role") if any(s.value.get(key) for s in bad)]
    return Refusal(
        reason="seLinuxOptions",
        detail=f"{say_setters(bad)} set forbidden securityContext.seLinuxOptions: {'; '.join(said)}",
        fields=paths(bad),
    )


def bad_seccomp(pod: PodView) -> Refusal | None:
    """Refuse what sets another seccomp profile than the runtime's or a local one."""
    bad = [
        Setting(container=s.container, path=f"{s.path}.type", value=s.value.get("type"))
        for s in pod.settings("seccompProfile")
        if isinstance(s.value, Mapping) and s.value.get("type") not in {"RuntimeDefault", "Localhost"}
    ]
    if not bad:
        return None
    detail = (
        f"{say_setters(bad)} must not set securityContext.seccompProfile.type to {quoted(bad_values(bad))}"
    )
    return Refusal(reason="seccompProfile", detail=detail, fields=paths(bad))


def seccomp_baseline(pod: PodView) -> Refusal | None:
    """Forbid unconfined system calls: by annotation before 1.19, by field since."""
    if pod.minor >= 19:
        return bad_seccomp(pod)
    keys = [SECCOMP_POD_ANNOTATION]
    keys += [
        f"{SECCOMP_CONTAINER_ANNOTATION}{container.get('name', '')}" for _, container in pod.containers()
    ]
    bad = sorted(
        (key, value)
        for key in dict.fromkeys(keys)
        if (value := pod.annotations.get(key)) is not None
        and value not in {"runtime/default", "docker/default"}
        and not value.startswith("localhost/")
    )
    if not bad:
        return None
    said = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in bad)
    return Refusal(
        reason="seccompProfile",
        detail=f"forbidden {plural(len(bad), 'annotation', 'annotations')} {said}",
        fields=tuple(f"metadata.annotations[{key}]" for key, _ in bad),
    )


def sysctls(pod: PodView) -> Refusal | None:
    """Forbid kernel settings that are not known to be the pod's own."""
    allowed = _allowed(SYSCTLS, pod.minor)
    bad = [
        (index, str(entry.get("name", "")))
        for index, entry in enumerate(dig(pod.spec, "securityContext", "sysctls") or ())
        if entry.get("name", "") not in allowed
    ]
    if not bad:
        return None
    fields = tuple(f"spec.securityContext.sysctls[{index}].name" for index, _ in bad)
    return Refusal(reason="forbidden sysctls", detail=", ".join(name for _, name in bad), fields=fields)


def windows_host_process(pod: PodView) -> Refusal | None:
    """Forbid Windows pods that run as processes of the host."""
    bad = [s for s in pod.settings("windowsOptions", "hostProcess") if s.value is True]
    if not bad:
        return None
    detail = f"{say_setters(bad)} must not set securityContext.windowsOptions.hostProcess=true"
    return Refusal(reason="hostProcess", detail=detail, fields=paths(bad))
