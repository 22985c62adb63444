"""Pod Security admission, with the rules that the sandbox hands in."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.rules.kubernetes import pod_security
from bais_gates.sandbox.cluster.apiserver.admission import admit_pod
from bais_gates.sandbox.cluster.apiserver.core import Core
from bais_gates.sandbox.cluster.apiserver.request import Request, read_info
from bais_gates.sandbox.cluster.apiserver.statuses import StatusError
from tests.cluster.kinds.objects import created, kind

SAFE: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def admitted(obj: dict[str, Any], *, rules: Any = pod_security.violations, **labels: str) -> list[str]:
    """Admit an object into a namespace with these Pod Security labels, by mode; return the warnings."""
    core = Core(pod_security=rules)
    given = {f"pod-security.kubernetes.io/{mode.replace('_', '-')}": level for mode, level in labels.items()}
    core.store.put(("", "namespaces"), ("", "shop"), {"metadata": {"name": "shop", "labels": given}})
    path = "/api/v1/namespaces/shop/pods"
    request = Request(
        method="POST", path=path, raw_target=path, query={}, headers={}, info=read_info("POST", path, {})
    )
    admit_pod(core, request, kind(obj["kind"]), obj)
    return request.warnings


def test_a_pod_that_the_level_forbids_is_refused() -> None:
    """The message names the level and every control that refuses."""
    with pytest.raises(StatusError) as refused:
        admitted(created("Pod"), enforce="restricted")

    assert str(refused.value).startswith(
        'pods "web" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'
    )


@pytest.mark.parametrize(
    ("labels", "changes"),
    [
        ({}, {}),
        ({"enforce": "privileged"}, {}),
        ({"enforce": "baseline"}, {}),
        ({"enforce": "restricted"}, {"spec__containers__0__securityContext": SAFE}),
    ],
)
def test_a_pod_that_keeps_to_the_level_is_admitted(labels: dict[str, str], changes: dict[str, Any]) -> None:
    """Without a label, or within the level, a pod is admitted without a warning."""
    assert admitted(created("Pod", **changes), **labels) == []


@pytest.mark.parametrize("version", [{}, {"enforce_version": "v1.99"}])
def test_the_server_knows_no_newer_policy_than_its_own(version: dict[str, str]) -> None:
    """What a later version of the policy permits is refused by the version of the server."""
    pod = created("Pod")
    pod["spec"]["securityContext"] = {"sysctls": [{"name": "net.ipv4.tcp_notsent_lowat", "value": "1"}]}

    with pytest.raises(StatusError, match="sysctls"):
        admitted(pod, enforce="baseline", **version)


def test_of_a_workload_only_warnings_come() -> None:
    """A Deployment is admitted; the level of warn is worded as a warning."""
    [warning] = admitted(created("Deployment"), enforce="restricted", warn="restricted")

    assert warning.startswith('would violate PodSecurity "restricted:latest": ')


def test_without_rules_no_level_is_enforced() -> None:
    """A server that was handed no rules admits every pod."""
    assert admitted(created("Pod"), rules=None, enforce="restricted") == []
