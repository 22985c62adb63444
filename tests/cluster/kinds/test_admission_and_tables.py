"""What a namespace's labels let in, and what kubectl shows."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.sandbox.cluster.apiserver import kinds
from tests.cluster.kinds.objects import REGISTRY, SPECS, Obj, created, kind

SAFE: Obj = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def namespace(**labels: str) -> Obj:
    """Return a namespace with Pod Security labels, by mode."""
    given = {f"pod-security.kubernetes.io/{mode}": level for mode, level in labels.items()}
    return {"metadata": {"name": "shop", "labels": given}}


def test_a_pod_that_the_level_refuses_is_kept_out() -> None:
    """The message names the level and every control that refuses."""
    said = kinds.admit_pod(namespace(enforce="restricted"), kind("Pod"), created("Pod"))

    assert not said.allowed
    assert said.message.startswith(
        'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false ('
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
def test_a_pod_that_keeps_to_the_level_is_let_in(labels: dict[str, str], changes: dict[str, Any]) -> None:
    """Without a label, or within the level, a pod is admitted without a word."""
    said = kinds.admit_pod(namespace(**labels), kind("Pod"), created("Pod", **changes))

    assert said == kinds.Admission()


@pytest.mark.parametrize("version", [{}, {"enforce-version": "v1.99"}])
def test_the_server_knows_no_newer_policy_than_its_own(version: dict[str, str]) -> None:
    """What a later version of the policy lets in is refused by the version that is stood in for."""
    sysctls = [{"name": "net.ipv4.tcp_notsent_lowat", "value": "1"}]
    one = created("Pod")
    one["spec"]["securityContext"] = {"sysctls": sysctls}

    assert not kinds.admit_pod(namespace(enforce="baseline", **version), kind("Pod"), one).allowed


def test_of_a_workload_only_warnings_come() -> None:
    """A Deployment is let through; the level of warn is worded as a warning."""
    said = kinds.admit_pod(
        namespace(enforce="restricted", warn="restricted"), kind("Deployment"), created("Deployment")
    )

    assert said.allowed
    assert said.warnings[0].startswith('would violate PodSecurity "restricted:latest": ')


@pytest.mark.parametrize("name", SPECS)
def test_every_kind_can_be_shown(name: str) -> None:
    """A table has a cell for every column, the name first."""
    made = kinds.table(kind(name), [created(name)])

    assert len(made["rows"][0]["cells"]) == len(made["columnDefinitions"])
    assert made["rows"][0]["cells"][0] == "web"


def test_published_references_lead_somewhere() -> None:
    """Every reference of the OpenAPI v2 document has its definition."""
    made = kinds.openapi_v2_definitions(REGISTRY.all())["definitions"]

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*(references(item) for item in value.values()))
        return set().union(*(references(item) for item in value)) if isinstance(value, list) else set()

    assert references(made) <= {f"#/definitions/{name}" for name in made}
    assert {kinds.schema_name(each) for each in REGISTRY.all()} <= made.keys()
