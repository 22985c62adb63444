"""The controls of the Pod Security Standards: what each refuses, its message and its first version."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bais_gates.rules.kubernetes.pod_security import BASELINE, RESTRICTED, minor_version, summary, violations

Spec = dict[str, Any]
GOOD: Spec = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "a",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}


def with_context(**fields: Any) -> Spec:
    """Return a good pod with further fields in the container's security context."""
    spec = copy.deepcopy(GOOD)
    spec["containers"][0]["securityContext"] |= fields
    return spec


def with_pod(**fields: Any) -> Spec:
    """Return a good pod with further fields."""
    return copy.deepcopy(GOOD) | fields


def with_pod_context(**fields: Any) -> Spec:
    """Return a good pod with further fields in its security context."""
    return with_pod(securityContext=GOOD["securityContext"] | fields)


def with_container(**fields: Any) -> Spec:
    """Return a good pod with further fields in its container."""
    spec = copy.deepcopy(GOOD)
    spec["containers"][0] |= fields
    return spec


def controls(spec: Spec, level: str = "restricted", version: str = "latest", **metadata: Any) -> list[str]:
    """Return the controls that refuse a pod."""
    pod = {"kind": "Pod", "metadata": metadata, "spec": spec}
    return [v.control for v in violations(pod, level, version=version)]  # type: ignore[arg-type]  # level is a word


ANNOTATION = "container.apparmor.security.beta.kubernetes.io/a"
BAD_BASELINE: list[tuple[str, Spec]] = [
    ("appArmorProfile", with_context(appArmorProfile={"type": "Unconfined"})),
    ("appArmorProfile", with_pod_context(appArmorProfile={"type": "Unconfined"})),
    ("capabilities_baseline", with_context(capabilities={"add": ["NET_RAW"], "drop": ["ALL"]})),
    ("capabilities_baseline", with_context(capabilities={"add": ["ALL"]})),
    ("hostNamespaces", with_pod(hostNetwork=True)),
    ("hostNamespaces", with_pod(hostPID=True)),
    ("hostNamespaces", with_pod(hostIPC=True)),
    ("hostPathVolumes", with_pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}])),
    ("hostPorts", with_container(ports=[{"containerPort": 80, "hostPort": 80}])),
    ("hostProbesAndHostLifecycle", with_container(livenessProbe={"httpGet": {"host": "x", "port": 1}})),
    ("hostProbesAndHostLifecycle", with_container(startupProbe={"tcpSocket": {"host": "x", "port": 1}})),
    ("hostProbesAndHostLifecycle", with_container(lifecycle={"preStop": {"httpGet": {"host": "x"}}})),
    ("privileged", with_context(privileged=True)),
    ("procMount", with_context(procMount="Unmasked")),
    ("seLinuxOptions", with_context(seLinuxOptions={"type": "spc_t"})),
    ("seLinuxOptions", with_pod_context(seLinuxOptions={"user": "u"})),
    ("seLinuxOptions", with_context(seLinuxOptions={"role": "r"})),
    ("seccompProfile_baseline", with_context(seccompProfile={"type": "Unconfined"})),
    ("seccompProfile_baseline", with_pod_context(seccompProfile={"type": "Unconfined"})),
    ("sysctls", with_pod_context(sysctls=[{"name": "kernel.msgmax", "value": "1"}])),
    ("windowsHostProcess", with_pod_context(windowsOptions={"hostProcess": True})),
    ("windowsHostProcess", with_context(windowsOptions={"hostProcess": True})),
]
BAD_RESTRICTED: list[tuple[str, Spec]] = [
    ("allowPrivilegeEscalation", with_context(allowPrivilegeEscalation=True)),
    ("allowPrivilegeEscalation", with_context(allowPrivilegeEscalation=None)),
    ("capabilities_restricted", with_context(capabilities={"drop": ["NET_RAW"]})),
    ("capabilities_restricted", with_context(capabilities=None)),
    ("capabilities_restricted", with_context(capabilities={"drop": ["ALL"], "add": ["CHOWN"]})),
    ("procMount_restricted", with_context(procMount="Unmasked")),
    ("restrictedVolumes", with_pod(volumes=[{"name": "v", "nfs": {"server": "s", "path": "/"}}])),
    ("restrictedVolumes", with_pod(volumes=[{"name": "v", "unheardOf": {}}])),
    ("runAsNonRoot", with_pod_context(runAsNonRoot=None)),
    ("runAsNonRoot", with_pod_context(runAsNonRoot=False)),
    ("runAsNonRoot", with_context(runAsNonRoot=False)),
    ("runAsUser", with_pod_context(runAsUser=0)),
    ("runAsUser", with_context(runAsUser=0)),
    ("seccompProfile_restricted", with_pod_context(seccompProfile=None)),
    ("seccompProfile_restricted", with_context(seccompProfile={"type": "Unconfined"})),
]


@pytest.mark.parametrize("level", ["baseline", "restricted"])
@pytest.mark.parametrize("minor", range(38))
def test_a_good_pod_passes_every_version(level: str, minor: int) -> None:
    """A pod with all required fields has no violations at any level and version."""
    assert controls(GOOD, level, f"v1.{minor}") == []


@pytest.mark.parametrize(("control", "spec"), BAD_BASELINE)
def test_baseline_refuses(control: str, spec: Spec) -> None:
    """Each bad field is refused by its own control only."""
    assert controls(spec, "baseline") == [control]


@pytest.mark.parametrize(("control", "spec"), BAD_RESTRICTED)
def test_restricted_refuses(control: str, spec: Spec) -> None:
    """Each missing field is refused by its own control only."""
    assert controls(spec) == [control]


@pytest.mark.parametrize(("control", "spec"), BAD_BASELINE)
def test_restricted_refuses_what_baseline_does(control: str, spec: Spec) -> None:
    """By the same control or its replacement."""
    replacements = {over: name for name, _, _, over in RESTRICTED if over}

    assert replacements.get(control, control) in controls(spec)


@pytest.mark.parametrize("where", ["initContainers", "ephemeralContainers"])
@pytest.mark.parametrize(
    ("control", "context"),
    [
        ("privileged", {"privileged": True}),
        ("allowPrivilegeEscalation", {"allowPrivilegeEscalation": True}),
        ("runAsUser", {"runAsUser": 0}),
        ("seccompProfile_restricted", {"seccompProfile": {"type": "Unconfined"}}),
        ("windowsHostProcess", {"windowsOptions": {"hostProcess": True}}),
    ],
)
def test_every_kind_of_container_counts(where: str, control: str, context: dict[str, Any]) -> None:
    """Init and ephemeral containers are checked, too."""
    spec = with_context()
    spec[where] = [with_context(**context)["containers"][0] | {"name": "b"}]
    found = violations(spec, "restricted")

    assert [v.control for v in found] == [control]
    assert '"b"' in found[0].message


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("net.ipv4.tcp_syncookies", 0),
        ("net.ipv4.ip_local_reserved_ports", 27),
        ("net.ipv4.tcp_keepalive_time", 29),
        ("net.ipv4.tcp_fin_timeout", 29),
        ("net.ipv4.tcp_rmem", 32),
    ],
)
def test_a_sysctl_is_safe_since_a_version(name: str, since: int) -> None:
    """A safe sysctl is allowed from its version on."""
    spec = with_pod_context(sysctls=[{"name": name, "value": "1"}])

    assert controls(spec, "baseline", f"v1.{since}") == []
    assert since == 0 or controls(spec, "baseline", f"v1.{since - 1}") == ["sysctls"]


@pytest.mark.parametrize(
    ("control", "since", "spec"),
    [
        ("allowPrivilegeEscalation", 8, with_context(allowPrivilegeEscalation=None)),
        ("seccompProfile_restricted", 19, with_pod_context(seccompProfile=None)),
        ("capabilities_restricted", 22, with_context(capabilities=None)),
        ("runAsUser", 23, with_pod_context(runAsUser=0)),
        ("hostProbesAndHostLifecycle", 34, with_container(readinessProbe={"httpGet": {"host": "x"}})),
    ],
)
def test_a_control_begins_at_a_version(control: str, since: int, spec: Spec) -> None:
    """A control does not apply before its first version."""
    assert controls(spec, version=f"v1.{since}") == [control]
    assert controls(spec, version=f"v1.{since - 1}") == []


def test_a_pod_in_a_user_namespace_is_relaxed_since_1_35() -> None:
    """With hostUsers false, root is allowed; restricted still requires the default /proc mask."""
    root = with_pod(
        hostUsers=False, securityContext={"runAsUser": 0, "seccompProfile": {"type": "Localhost"}}
    )
    proc = with_context(procMount="Unmasked") | {"hostUsers": False}

    assert controls(root) == []
    assert controls(root, version="v1.34") == ["runAsNonRoot", "runAsUser"]
    assert controls(proc, "baseline") == []
    assert controls(proc, "baseline", "v1.34") == ["procMount"]
    assert controls(proc) == ["procMount_restricted"]
    assert controls(proc, version="v1.34") == ["procMount"]


def test_windows_needs_no_linux_settings_since_1_25() -> None:
    """It needs no seccomp, capabilities or privilege escalation settings, but runAsNonRoot."""
    spec = {"os": {"name": "windows"}, "containers": [{"name": "a"}]}

    assert controls(spec) == ["runAsNonRoot"]
    assert len(controls(spec, version="v1.24")) == 4


def test_seccomp_annotations_before_1_19() -> None:
    """Old versions read the annotations, newer ones only the fields."""
    annotations = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}

    assert controls(GOOD, "baseline", "v1.18", annotations=annotations) == ["seccompProfile_baseline"]
    assert controls(GOOD, "baseline", "v1.19", annotations=annotations) == []
    assert (
        controls(
            GOOD, "baseline", "v1.18", annotations={"seccomp.security.alpha.kubernetes.io/pod": "localhost/x"}
        )
        == []
    )


@pytest.mark.parametrize(
    ("value", "refused"), [("runtime/default", 0), ("", 0), ("localhost/x", 0), ("unconfined", 1)]
)
def test_app_armor_annotations_count(value: str, refused: int) -> None:
    """The annotation can still disable AppArmor."""
    assert len(controls(GOOD, "baseline", annotations={ANNOTATION: value})) == refused


def test_container_engine_t_is_allowed_since_1_31() -> None:
    """It is the SELinux type for container engines in containers."""
    spec = with_context(seLinuxOptions={"type": "container_engine_t"})

    assert controls(spec, "baseline", "v1.31") == []
    assert controls(spec, "baseline", "v1.30") == ["seLinuxOptions"]


def test_the_summary_is_the_message_of_the_api_server() -> None:
    """For a pod without a security context."""
    found = violations({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}, "restricted")

    assert summary(found, "restricted") == " ".join(
        (
            'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (containers',
            '"a", "b" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities',
            '(containers "a", "b" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true',
            '(pod or containers "a", "b" must set securityContext.runAsNonRoot=true), seccompProfile',
            '(pod or containers "a", "b" must set securityContext.seccompProfile.type to',
            '"RuntimeDefault" or "Localhost")',
        )
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (with_pod(hostPID=True, hostNetwork=True), "host namespaces (hostNetwork, hostPID)"),
        (
            with_container(ports=[{"hostPort": 80}, {"hostPort": 81}]),
            'hostPort (container "a" uses hostPorts 80, 81)',
        ),
        (with_pod(volumes=[{"name": "v", "hostPath": {}}]), 'hostPath volumes (volume "v")'),
        (
            with_context(capabilities={"add": ["SYS_TIME", "BPF"]}),
            (
                'non-default capabilities (container "a" must not include "BPF", "SYS_TIME" in '
                "securityContext.capabilities.add)"
            ),
        ),
        (
            with_context(seLinuxOptions={"type": "x", "user": "u"}),
            (
                'seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "x"; '
                "user may not be set)"
            ),
        ),
    ],
)
def test_messages_have_the_violating_parts(spec: Spec, message: str) -> None:
    """Containers, volumes and values are in the message."""
    assert [v.message for v in violations(spec, "baseline")] == [message]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda spec: spec,
        lambda spec: {"kind": "Pod", "spec": spec},
        lambda spec: {"kind": "Deployment", "spec": {"template": {"spec": spec}}},
        lambda spec: {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}},
        lambda spec: {"kind": "PodTemplate", "template": {"spec": spec}},
    ],
    ids=["spec", "pod", "deployment", "cron job", "pod template"],
)
def test_a_pod_is_found_in_every_kind(wrap: Any) -> None:
    """A pod spec, a pod and every workload's template have the same violations."""
    assert [v.control for v in violations(wrap(with_context(privileged=True)), "baseline")] == ["privileged"]


def test_a_volume_without_source_is_an_empty_dir() -> None:
    """It is the API server's default."""
    assert controls(with_pod(volumes=[{"name": "v"}, {"name": "w", "hostPath": None}])) == []


def test_a_workload_without_containers_is_checked() -> None:
    """Its pod-level fields may violate a control."""
    host = {"kind": "Deployment", "spec": {"template": {"spec": {"hostNetwork": True}}}}

    assert [v.control for v in violations(host, "baseline")] == ["hostNamespaces"]
    assert violations({"kind": "Pod", "spec": {"restartPolicy": "Never"}}, "restricted") == []


@pytest.mark.parametrize("obj", [{}, {"kind": "Service", "spec": {"ports": []}}, {"spec": {"template": {}}}])
def test_an_object_without_a_pod_is_an_error(obj: dict[str, Any]) -> None:
    """It must not pass as an object without violations."""
    with pytest.raises(ValueError, match="no pod"):
        violations(obj, "restricted")


@pytest.mark.parametrize("version", ["", "1", "v2.0", "v1.x", "v1.01", "newest"])
def test_an_unknown_version_is_an_error(version: str) -> None:
    """Only latest and v1.N are valid."""
    with pytest.raises(ValueError, match="not a version"):
        minor_version(version)


def test_an_unknown_level_is_an_error() -> None:
    """It must not admit every pod."""
    with pytest.raises(ValueError, match="not a level"):
        violations(GOOD, "strict")  # type: ignore[arg-type]  # what is tested


def test_privileged_admits_every_pod() -> None:
    """The level has no controls."""
    assert controls(with_pod(hostPID=True), "privileged") == []


@settings(max_examples=100, deadline=None)
@given(
    spec=st.sampled_from([spec for _, spec in BAD_BASELINE + BAD_RESTRICTED]),
    minor=st.integers(min_value=0, max_value=99),
)
def test_restricted_is_never_more_lenient(spec: Spec, minor: int) -> None:
    """At any version, restricted refuses every pod that baseline refuses."""
    if controls(spec, "baseline", f"v1.{minor}"):
        assert controls(spec, "restricted", f"v1.{minor}")


def test_the_order_of_the_controls() -> None:
    """Baseline's controls come first, each group sorted by name, as in the API server's message."""
    assert [name for name, *_ in BASELINE] == sorted(name for name, *_ in BASELINE)
    assert [name for name, *_ in RESTRICTED] == sorted(name for name, *_ in RESTRICTED)
