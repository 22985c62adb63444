"""Kinds that a CustomResourceDefinition brings: from its definition to its end."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.cluster.conformance.server import MERGE_PATCH, STRATEGIC_PATCH, Server

GROUP = "conformance.bais.example"


def _definition(plural: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "minimum": 1, "maximum": 9},
                    "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                },
            },
            "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    kind = plural.capitalize()[:-1]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {"plural": plural, "singular": plural[:-1], "kind": kind, "listKind": f"{kind}List"},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def test_a_kind_from_its_definition_to_its_end(server: Server, namespace: str, name: str) -> None:
    """Established, served, pruned, defaulted, validated; gone with its definition."""
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    crd, path = f"{crds}/boxes.{GROUP}", f"/apis/{GROUP}/v1/namespaces/{namespace}/boxes"
    server.make(crds, _definition("boxes"))
    try:
        _until_served(server, crd, path)
        _use(server, path, name)
    finally:
        server.ask("DELETE", path)
        assert server.ask("DELETE", crd).code == 200
    deadline = time.monotonic() + 10
    while server.ask("GET", path).code != 404:
        assert time.monotonic() < deadline, "the kind is still served"
        time.sleep(0.1)


def _until_served(server: Server, crd: str, path: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        status = server.ask("GET", crd).body.get("status") or {}
        true = {each["type"] for each in status.get("conditions") or [] if each["status"] == "True"}
        if {"NamesAccepted", "Established"} <= true and server.ask("GET", path).code == 200:
            break
        assert time.monotonic() < deadline, "the kind is not served"
        time.sleep(0.1)
    assert status["acceptedNames"]["kind"] == "Boxe"
    assert status["storedVersions"] == ["v1"]


def _use(server: Server, path: str, name: str) -> None:
    about = {"apiVersion": f"{GROUP}/v1", "kind": "Boxe"}
    body = {**about, "metadata": {"name": name}, "spec": {"size": 3, "bogus": 1}, "status": {"ready": True}}
    made = server.make(path, body)
    assert made["spec"] == {"size": 3, "color": "red"}
    assert "status" not in made
    assert made["metadata"]["generation"] == 1
    for spec, field in (
        ({"size": 99}, "spec.size"),
        ({"color": "red"}, "spec.size"),
        ({"size": 1, "color": "x"}, "spec.color"),
    ):
        wrong = server.ask("POST", path, {**body, "metadata": {"name": f"{name}-b"}, "spec": spec})
        assert (wrong.code, wrong.reason) == (422, "Invalid")
        assert wrong.body["details"]["causes"][0]["field"] == field
    one = f"{path}/{name}"
    assert server.patch(one, {"spec": {"size": 4}}, MERGE_PATCH).body["metadata"]["generation"] == 2
    assert server.patch(one, {"spec": {"size": 5}}, STRATEGIC_PATCH).code == 415
    told = server.patch(f"{one}/status", {"status": {"ready": True}, "spec": {"size": 9}})
    assert (told.body["status"], told.body["spec"]["size"]) == ({"ready": True}, 4)
    assert told.body["metadata"]["generation"] == 2
    unversioned = server.ask("PUT", one, {**about, "metadata": {"name": name}, "spec": {"size": 1}})
    assert (unversioned.code, unversioned.reason) == (422, "Invalid")
    assert (
        "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update" in unversioned.message
    )
    applied = server.apply(one, {**about, "metadata": {"name": name}, "spec": {"size": 4}}, "m")
    assert applied.code == 200
    listed = server.ask("GET", path).body
    assert (listed["kind"], listed["items"][0]["kind"]) == ("BoxeList", "Boxe")
    found = server.ask("GET", f"/apis/{GROUP}/v1").body["resources"]
    assert [each["name"] for each in found] == ["boxes", "boxes/status"]


def test_a_definition_that_cannot_be(server: Server) -> None:
    """422: its name is made of its plural and its group."""
    crd = _definition("crates")
    crd["metadata"]["name"] = "other.example"
    answer = server.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert any(each["field"] == "metadata.name" for each in answer.body["details"]["causes"])


@pytest.mark.parametrize(
    "path", ["/apis/nothing.example/v1/things", "/apis/apps/v1/things", "/api/v1/things"]
)
def test_what_nobody_serves_is_not_found(server: Server, path: str) -> None:
    """404, whatever is asked."""
    assert server.ask("GET", path).code == 404
    assert server.ask("POST", path, {}).code == 404
