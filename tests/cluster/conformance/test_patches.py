"""The four patch formats, and who owns which field."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.conformance.server import (
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    Server,
    config_map,
    container,
    deployment,
)


def _containers(answer: Any) -> list[Any]:
    found: list[Any] = answer.body["spec"]["template"]["spec"]["containers"]
    return found


def test_a_json_patch_changes_by_path(server: Server, core: str, name: str) -> None:
    """add, replace, remove and test; a test that fails changes nothing."""
    path = f"{core}/configmaps/{name}"
    server.make(f"{core}/configmaps", config_map(name, a="1", b="2"))
    operations = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "3"},
        {"op": "remove", "path": "/data/b"},
        {"op": "add", "path": "/metadata/labels", "value": {"x": "z"}},
    ]
    answer = server.patch(path, operations, JSON_PATCH)
    assert (answer.code, answer.body["data"]) == (200, {"a": "3"})
    assert answer.body["metadata"]["labels"] == {"x": "z"}
    wrong = server.patch(path, [{"op": "test", "path": "/data/a", "value": "9"}], JSON_PATCH)
    assert (wrong.code, wrong.reason) == (422, "Invalid")
    missing = server.patch(path, [{"op": "remove", "path": "/data/nope"}], JSON_PATCH)
    assert (missing.code, missing.reason) == (422, "Invalid")
    assert server.ask("GET", path).body == answer.body


def test_a_merge_patch_merges_maps_and_replaces_lists(server: Server, apps: str, name: str) -> None:
    """Null removes; a list is one value."""
    path = f"{apps}/deployments/{name}"
    server.make(f"{apps}/deployments", deployment(name, [container("a"), container("b")]))
    server.patch(path, {"metadata": {"labels": {"x": "1", "y": "2"}}})
    labels = server.patch(path, {"metadata": {"labels": {"x": None}}}).body["metadata"]["labels"]
    assert labels == {"y": "2"}
    change = {"spec": {"template": {"spec": {"containers": [container("c")]}}}}
    assert [each["name"] for each in _containers(server.patch(path, change, MERGE_PATCH))] == ["c"]


def test_a_strategic_patch_merges_lists_by_their_keys(server: Server, apps: str, name: str) -> None:
    """Containers by name, variables by name, ports by containerPort, directives that delete and replace."""
    path = f"{apps}/deployments/{name}"
    first = container("a", env=[{"name": "X", "value": "1"}], ports=[{"containerPort": 80}])
    server.make(f"{apps}/deployments", deployment(name, [first, container("b")]))

    def patched(containers: list[Any]) -> list[Any]:
        change = {"spec": {"template": {"spec": {"containers": containers}}}}
        answer = server.patch(path, change, STRATEGIC_PATCH)
        assert answer.code == 200, answer.body
        return _containers(answer)

    more = {"name": "a", "env": [{"name": "Y", "value": "2"}], "ports": [{"containerPort": 80, "name": "w"}]}
    found = patched([more])
    assert [each["name"] for each in found] == ["a", "b"]
    assert {each["name"]: each["value"] for each in found[0]["env"]} == {"X": "1", "Y": "2"}
    assert found[0]["ports"] == [{"containerPort": 80, "name": "w", "protocol": "TCP"}]
    found = patched(
        [{"name": "a", "env": [{"name": "X", "$patch": "delete"}]}, {"name": "b", "$patch": "delete"}]
    )
    assert [each["name"] for each in found] == ["a"]
    assert [each["name"] for each in found[0]["env"]] == ["Y"]
    found = patched([{"name": "z", "image": "registry.example/z:1"}, {"$patch": "replace"}])
    assert [each["name"] for each in found] == ["z"]


def test_formats_that_are_not_taken(server: Server, core: str, name: str) -> None:
    """415 for what is no patch format."""
    server.make(f"{core}/configmaps", config_map(name))
    for media in ("application/json", "text/plain"):
        answer = server.patch(f"{core}/configmaps/{name}", {}, media)
        assert answer.code == 415


def test_patches_that_cannot_be_read(server: Server, core: str, name: str) -> None:
    """400 for a body that is no patch, 404 for an object that isn't there, 409 for an older version."""
    path = f"{core}/configmaps/{name}"
    server.make(f"{core}/configmaps", config_map(name))
    for media in (MERGE_PATCH, JSON_PATCH, STRATEGIC_PATCH):
        if media == MERGE_PATCH and server.minor < 25:
            continue  # an internal error then
        answer = server.ask("PATCH", path, b"{", media=media)
        assert (answer.code, answer.reason) == (400, "BadRequest"), media
    assert server.patch(f"{core}/configmaps/nope", {}).reason == "NotFound"
    old = server.patch(path, {"metadata": {"resourceVersion": "1"}, "data": {"a": "b"}})
    assert (old.code, old.reason) == (409, "Conflict")


def test_a_patch_to_a_wrong_type_is_invalid(server: Server, apps: str, name: str) -> None:
    """422, with the patch as the field at fault."""
    server.make(f"{apps}/deployments", deployment(name))
    answer = server.patch(f"{apps}/deployments/{name}", {"spec": {"replicas": "three"}})
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert answer.body["details"]["causes"][0]["field"] == "patch"
    negative = server.patch(f"{apps}/deployments/{name}", {"spec": {"replicas": -1}})
    assert negative.message == (
        f'Deployment.apps "{name}" is invalid: spec.replicas: Invalid value: -1: '
        "must be greater than or equal to 0"
    )


def test_applying_creates_and_then_owns(server: Server, core: str, name: str) -> None:
    """201 at first, 200 then; a field that is applied no more goes."""
    path = f"{core}/configmaps/{name}"
    made = server.apply(path, config_map(name, a="1", b="2"), "one")
    assert made.code == 201
    [entry] = made.body["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("one", "Apply")
    assert entry["fieldsV1"]["f:data"] == {"f:a": {}, "f:b": {}}
    again = server.apply(path, config_map(name, a="1", b="2"), "one")
    assert (again.code, again.body) == (200, made.body)
    fewer = server.apply(path, config_map(name, a="1"), "one")
    assert fewer.body["data"] == {"a": "1"}


def test_applying_over_others_conflicts(server: Server, core: str, name: str) -> None:
    """409 with each field and its manager; force takes them over."""
    path = f"{core}/configmaps/{name}"
    server.apply(path, config_map(name, a="1"), "one")
    answer = server.apply(path, config_map(name, a="2", b="3"), "two")
    assert (answer.code, answer.reason) == (409, "Conflict")
    assert answer.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert answer.body["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}
    ]
    forced = server.apply(path, config_map(name, a="2", b="3"), "two", force=True)
    assert forced.body["data"] == {"a": "2", "b": "3"}
    owners = {each["manager"]: each["fieldsV1"] for each in forced.body["metadata"]["managedFields"]}
    assert owners["two"]["f:data"] == {"f:a": {}, "f:b": {}}
    assert "f:data" not in owners.get("one", {})


def test_the_same_value_is_shared(server: Server, core: str, name: str) -> None:
    """Two may apply the same value; it goes when neither applies it any more."""
    path = f"{core}/configmaps/{name}"
    server.apply(path, config_map(name, a="1"), "one")
    assert server.apply(path, config_map(name, a="1"), "two").code == 200
    assert server.apply(path, config_map(name), "one").body["data"] == {"a": "1"}
    assert "data" not in server.apply(path, config_map(name), "two").body


def test_an_update_takes_fields_over(server: Server, apps: str, name: str) -> None:
    """What a PATCH changed belongs to its manager: applying the old value conflicts."""
    server.needs(22, "owners of what the scale subresource changes")
    path = f"{apps}/deployments/{name}"
    server.apply(path, deployment(name, replicas=1), "one")
    server.patch(f"{path}/scale", {"spec": {"replicas": 3}}, fieldManager="scaler")
    answer = server.apply(path, deployment(name, replicas=1), "one")
    assert (answer.code, answer.reason) == (409, "Conflict")
    assert ".spec.replicas" in answer.message
    assert '"scaler"' in answer.message
    body = deployment(name)
    del body["spec"]["replicas"]
    assert server.apply(path, body, "one").body["spec"]["replicas"] == 3


def test_applied_lists_are_merged_by_key(server: Server, apps: str, name: str) -> None:
    """Each manager has its own containers; the image of another's conflicts, and is left as it was."""
    path = f"{apps}/deployments/{name}"
    server.apply(path, deployment(name, [container("a")]), "one")
    two = server.apply(path, deployment(name, [container("b")]), "two")
    assert [each["name"] for each in _containers(two)] == ["a", "b"]
    one = server.apply(path, deployment(name, [container("a", image="registry.example/a:2")]), "one")
    assert {each["name"]: each["image"] for each in _containers(one)}["a"] == "registry.example/a:2"
    foreign = server.apply(path, deployment(name, [container("a", image="registry.example/a:3")]), "two")
    assert (foreign.code, foreign.reason) == (409, "Conflict")
    assert 'conflict with "one"' in foreign.message
    assert '.spec.template.spec.containers[name="a"].image' in foreign.message
    gone = server.ask("GET", path)
    assert {each["name"]: each["image"] for each in _containers(gone)}["a"] == "registry.example/a:2"
    assert [each["name"] for each in _containers(gone)] == ["a", "b"]


def test_applying_needs_a_manager_and_an_identity(server: Server, core: str, name: str) -> None:
    """422 without fieldManager; 400 for another kind, other names, or managedFields."""
    path = f"{core}/configmaps/{name}"
    nobody = server.ask("PATCH", path, config_map(name), media="application/apply-patch+yaml")
    assert (nobody.code, nobody.reason) == (422, "Invalid")
    assert nobody.message == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )
    assert server.apply(path, config_map("other"), "one").code == 400
    managed = config_map(name)
    managed["metadata"]["managedFields"] = [{"manager": "x"}]
    assert server.apply(path, managed, "one").message == "metadata.managedFields must be nil"
    assert server.patch(path, {}, force=True).code == 422
    assert server.ask("GET", path).code == 404


def test_applying_reads_yaml(server: Server, core: str, name: str) -> None:
    """YAML, as the media type says."""
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  a: 'yes'\n".encode()
    answer = server.ask(
        "PATCH", f"{core}/configmaps/{name}", text, media="application/apply-patch+yaml", fieldManager="y"
    )
    assert (answer.code, answer.body["data"]) == (201, {"a": "yes"})


def test_applying_the_status_leaves_the_rest(server: Server, apps: str, name: str) -> None:
    """The status subresource has owners of its own."""
    path = f"{apps}/deployments/{name}"
    server.needs(21, "an entry of managedFields per subresource")
    server.apply(path, deployment(name), "one")
    about = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}}
    answer = server.apply(f"{path}/status", {**about, "status": {"replicas": 4}}, "controller")
    assert answer.body["status"] == {"replicas": 4}
    assert answer.body["metadata"]["generation"] == 1
    entry = next(each for each in answer.body["metadata"]["managedFields"] if each["manager"] == "controller")
    assert entry["subresource"] == "status"


def test_a_dry_apply_tells_conflicts_and_changes_nothing(server: Server, core: str, name: str) -> None:
    """The answer is the real one."""
    path = f"{core}/configmaps/{name}"
    made = server.apply(path, config_map(name, a="1"), "one").body
    assert server.apply(path, config_map(name, a="2"), "one", dryRun="All").body["data"] == {"a": "2"}
    assert server.apply(path, config_map(name, a="2"), "two", dryRun="All").code == 409
    assert server.ask("GET", path).body == made


@pytest.mark.parametrize("validation", ["Strict", "Warn", "Ignore"])
def test_unknown_fields_are_refused_told_or_dropped(
    server: Server, core: str, name: str, validation: str
) -> None:
    """The option decides; the field is never kept."""
    server.needs(25, "fieldValidation")
    body = {**config_map(name), "dta": {}}
    answer = server.ask("POST", f"{core}/configmaps", body, fieldValidation=validation)
    if validation == "Strict":
        assert (answer.code, answer.reason) == (400, "BadRequest")
        assert answer.message.endswith('strict decoding error: unknown field "dta"')
        return
    assert answer.code == 201
    assert "dta" not in answer.body
    warned = answer.headers.get("warning", "")
    assert warned == ('299 - "unknown field \\"dta\\""' if validation == "Warn" else "")
