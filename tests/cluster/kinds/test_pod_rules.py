"""What makes a pod's specification invalid beside its containers: placement, volumes, names, identity."""

# ruff: noqa: E501  # the API server's messages are long, and each is kept in one piece
from __future__ import annotations

from typing import Any

import pytest

from bais_gates.sandbox.cluster.apiserver import kinds
from tests.cluster.kinds.objects import changed, created, kind, said_of

NEEDED = "requiredDuringSchedulingIgnoredDuringExecution"
WANTED = "preferredDuringSchedulingIgnoredDuringExecution"
CASES: list[tuple[str, Any, str, str]] = [
    ("topologySpreadConstraints", [{"maxSkew": 1, "topologyKey": "a"}], "topologySpreadConstraints[0].whenUnsatisfiable", 'Unsupported value: "": supported values: "DoNotSchedule", "ScheduleAnyway"'),
    ("affinity", {"podAntiAffinity": {WANTED: [{"weight": 0, "podAffinityTerm": {"topologyKey": "a"}}]}}, f"affinity.podAntiAffinity.{WANTED}[0].weight", "Invalid value: 0: must be in the range 1-100"),
    ("affinity", {"podAffinity": {NEEDED: [{}]}}, f"affinity.podAffinity.{NEEDED}[0].topologyKey", "Required value: can not be empty"),
    ("securityContext", {"seccompProfile": {"type": "X"}}, "securityContext.seccompProfile.type", 'Unsupported value: "X": supported values: "Localhost", "RuntimeDefault", "Unconfined"'),
    ("volumes", [{"name": "a", "secret": {"secretName": "a", "items": [{"key": "a", "path": "/x"}]}}], "volumes[0].secret.items[0].path", 'Invalid value: "/x": must be a relative path'),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "field", "said"), CASES)
def test_what_a_pod_may_not_say(key: str, value: Any, field: str, said: str) -> None:
    """Each rule is broken alone and told with its field."""
    found = said_of("Pod", **{f"spec__{key}": value})

    assert found
    assert found[0][1] == f"spec.{field}"
    assert found[0][2].startswith(said)


def test_a_service_without_an_address_of_its_own_loses_it() -> None:
    """An ExternalName has no address; any other update keeps the one that is there."""
    service = kind("Service")
    old = changed(created("Service"), spec__clusterIP="10.0.0.9", spec__clusterIPs=["10.0.0.9"])
    outer = changed(old, spec__type="ExternalName", spec__externalName="a.example")
    named = kinds.prepare_update(service, old, outer, strict=True).obj["spec"]
    again = kinds.prepare_update(service, old, changed(old, spec__clusterIP=...), strict=True).obj["spec"]

    assert "clusterIP" not in named
    assert again["clusterIP"] == "10.0.0.9"
