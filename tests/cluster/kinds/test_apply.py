"""Server-side apply and managedFields: who owns what, conflicts, force, fields that are given up."""

# ruff: noqa: E501, ISC004  # the API server's messages are long, and each is kept in one piece
from __future__ import annotations

from typing import Any

import pytest

from bais_gates.sandbox.cluster.apiserver import kinds
from tests.cluster.kinds.objects import LATER, NOW, Obj, changed, created, kind, make

DEPLOYMENT = kind("Deployment")


def written(name: str = "Deployment", manager: str = "creator", **changes: Any) -> Obj:
    """Return an object as an ordinary POST by a manager leaves it."""
    body = make(name, **changes)
    prepared = kinds.prepare_create(kind(name), body, strict=True)
    return kinds.track_update(kind(name), None, prepared.obj, decoded=prepared.read, manager=manager, now=NOW)


def applied(
    live: Obj | None, config: Obj, manager: str, *, force: bool = False, name: str = "Deployment"
) -> Obj:
    """Return what is stored after an apply."""
    made = kinds.apply(kind(name), live, config, manager=manager, force=force, now=LATER)
    if live is None:
        return kinds.prepare_create(kind(name), changed(made, metadata__uid="u"), strict=True).obj
    return kinds.prepare_update(kind(name), live, made, strict=True).obj


def config(name: str = "Deployment", **rest: Any) -> Obj:
    """Return a small configuration with only what it says."""
    version = make(name)["apiVersion"]
    return {"apiVersion": version, "kind": name, "metadata": {"name": "web", "namespace": "shop"}, **rest}


def fields_of(obj: Obj, manager: str) -> Obj:
    """Return what a manager owns, as FieldsV1."""
    entries = obj["metadata"].get("managedFields", [])
    return next((entry["fieldsV1"] for entry in entries if entry["manager"] == manager), {})


def test_a_create_owns_what_it_set_and_its_defaults() -> None:
    """The entry of a POST has the form that the API server writes: dots where a container is new."""
    stored = written()
    entry = stored["metadata"]["managedFields"][0]
    spec = entry["fieldsV1"]["f:spec"]

    assert {key: entry[key] for key in ("manager", "operation", "apiVersion", "time", "fieldsType")} == {
        "manager": "creator",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "time": NOW,
        "fieldsType": "FieldsV1",
    }
    assert spec["f:strategy"] == {
        "f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}},
        "f:type": {},
    }
    assert spec["f:selector"] == {}
    assert spec["f:template"]["f:metadata"] == {"f:labels": {".": {}, "f:app": {}}}
    ports = spec["f:template"]["f:spec"]["f:containers"]['k:{"name":"web"}']["f:ports"]
    assert ports == {
        ".": {},
        'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}, "f:protocol": {}},
    }
    assert "f:status" not in entry["fieldsV1"]


def test_what_the_server_adds_belongs_to_nobody() -> None:
    """The address of a Service and the selector of a Job are in no manager's fields."""
    assert "f:clusterIP" not in fields_of(written("Service"), "creator")["f:spec"]
    assert "f:selector" not in fields_of(written("Job"), "creator")["f:spec"]


def test_an_apply_owns_only_what_it_says() -> None:
    """Defaults belong to nobody, and a map has no dot of its own in an applier's fields."""
    stored = applied(None, config(**{k: v for k, v in make("Deployment").items() if k == "spec"}), "me")

    owned = fields_of(stored, "me")
    assert stored["spec"]["replicas"] == 1
    assert "f:replicas" not in owned["f:spec"]
    assert owned["f:spec"]["f:template"]["f:metadata"] == {"f:labels": {"f:app": {}}}


def test_a_changed_field_of_another_is_a_conflict() -> None:
    """The message and the causes name the manager, its version and the field."""
    with pytest.raises(kinds.ApplyConflict) as refused:
        applied(written(manager="kubectl-client-side-apply"), config(spec={"replicas": 3}), "me")

    assert refused.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas'
    )
    assert refused.value.causes == (
        kinds.Cause(
            reason="FieldManagerConflict",
            message='conflict with "kubectl-client-side-apply" using apps/v1',
            field=".spec.replicas",
        ),
    )


def test_several_conflicts_are_listed_by_manager() -> None:
    """Two fields of one manager make one list; items are named by their keys."""
    both = {"replicas": 3, "template": {"spec": {"containers": [{"name": "web", "image": "new"}]}}}

    with pytest.raises(kinds.ApplyConflict) as refused:
        applied(written(), config(spec=both), "me")

    assert refused.value.message == (
        'Apply failed with 2 conflicts: conflicts with "creator" using apps/v1:\n'
        '- .spec.replicas\n- .spec.template.spec.containers[name="web"].image'
    )


def test_force_takes_the_field_over() -> None:
    """With force the field changes and its owner loses it."""
    stored = applied(written(), config(spec={"replicas": 3}), "me", force=True)

    assert stored["spec"]["replicas"] == 3
    assert fields_of(stored, "me") == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in fields_of(stored, "creator")["f:spec"]


def test_the_same_value_is_owned_together() -> None:
    """Applying what is there already is no conflict; both own it."""
    stored = applied(written(spec__replicas=3), config(spec={"replicas": 3}), "me")

    assert fields_of(stored, "me") == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" in fields_of(stored, "creator")["f:spec"]


def test_a_field_that_is_no_longer_applied_goes() -> None:
    """What only this applier owned is removed, or falls back to its default."""
    full = config("ConfigMap", data={"a": "1", "b": "2"})
    live = applied(None, full, "me", name="ConfigMap")

    stored = applied(live, config("ConfigMap", data={"a": "1"}), "me", name="ConfigMap")

    assert stored["data"] == {"a": "1"}
    assert fields_of(stored, "me") == {"f:data": {"f:a": {}}}


def test_a_given_up_field_that_another_owns_stays() -> None:
    """A field with another owner outlives the applier that gives it up."""
    live = applied(written(spec__replicas=3), config(spec={"replicas": 3}), "me")

    stored = applied(live, config(spec={"minReadySeconds": 1}), "me")

    assert stored["spec"]["replicas"] == 3


def test_items_of_lists_come_and_go_by_key() -> None:
    """An applier's environment variable goes when it is no longer applied; others of the list stay."""

    def env(*names: str) -> Obj:
        entries = [{"name": name, "value": "x"} for name in names]
        return config(spec={"template": {"spec": {"containers": [{"name": "web", "env": entries}]}}})

    live = applied(written(), env("A", "B"), "me")

    stored = applied(live, env("B"), "me")

    assert [entry["name"] for entry in stored["spec"]["template"]["spec"]["containers"][0]["env"]] == ["B"]
    assert stored["spec"]["template"]["spec"]["containers"][0]["image"] == "example/web:1"


def test_atomic_parts_are_owned_as_a_whole() -> None:
    """A selector and a list of arguments are one field each."""
    args = config(spec={"template": {"spec": {"containers": [{"name": "web", "args": ["a", "b"]}]}}})

    owned = fields_of(applied(written(), args, "me"), "me")

    container = owned["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"web"}']
    assert container == {".": {}, "f:args": {}, "f:name": {}}


def test_applying_the_same_again_changes_nothing() -> None:
    """A repeated apply gives the live object itself, and so no write."""
    live = applied(written(), config(spec={"minReadySeconds": 2}), "me")

    assert (
        kinds.apply(DEPLOYMENT, live, config(spec={"minReadySeconds": 2}), manager="me", force=False, now="x")
        is live
    )


def test_defaults_inside_an_atomic_list_make_no_write() -> None:
    """Applying a StatefulSet with claims again differs in a time at most."""
    body = {key: value for key, value in make("StatefulSet").items() if key == "spec"}
    live = applied(None, config("StatefulSet", **body), "me", name="StatefulSet")

    again = applied(live, config("StatefulSet", **body), "me", name="StatefulSet")

    assert kinds.same_but_times(live, again)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"foo": 1}, ".spec.foo: field not declared in schema"),
        ({"replicas": "x"}, '.spec.replicas: expected numeric (int or float), got "x"'),
        (
            {"template": {"spec": {"containers": [{"name": "web", "bar": 1}]}}},
            '.spec.template.spec.containers[name="web"].bar: field not declared in schema',
        ),
        (
            {"template": {"spec": {"containers": [{"image": "x"}]}}},
            ".spec.template.spec.containers: element 0: associative list with keys has an element that omits key "
            'field "name" (and doesn\'t have default value)',
        ),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(spec: Obj, message: str) -> None:
    """A field or type that the schema doesn't have fails the apply, with its path."""
    with pytest.raises(kinds.Failed) as refused:
        applied(written(), config(spec=spec), "me")

    assert str(refused.value) == (
        f"failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): {message}"
    )


def test_updates_move_ownership_and_keep_subresources_apart() -> None:
    """A PUT takes over what it changes; a write of the status has an entry of its own."""
    live = written()
    scaled = changed(live, spec__replicas=4)
    status = changed(live, status={"replicas": 4})

    other = kinds.track_update(DEPLOYMENT, live, scaled, manager="scaler", now=LATER)
    third = kinds.track_update(DEPLOYMENT, live, status, manager="creator", subresource="status", now=LATER)

    assert fields_of(other, "scaler") == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in fields_of(other, "creator")["f:spec"]
    entries = third["metadata"]["managedFields"]
    assert [entry.get("subresource") for entry in entries] == [None, "status"]
    assert entries[1]["fieldsV1"] == {"f:status": {"f:replicas": {}}}


def test_an_object_without_owners_gets_a_first_one() -> None:
    """What was there before the first apply belongs to before-first-apply."""
    live = created("ConfigMap")

    stored = applied(live, config("ConfigMap", data={"other": "1"}), "me", name="ConfigMap")

    assert fields_of(stored, "before-first-apply")["f:data"] == {".": {}, "f:key": {}}
    assert stored["data"] == {"key": "value", "other": "1"}


def test_giving_labels_up_leaves_the_rest_of_the_metadata() -> None:
    """The name stays though nobody owns it, and so does what stands beside it."""
    bare = config("ConfigMap", data={})
    labelled = {**bare, "metadata": {**bare["metadata"], "labels": {"l": "1"}, "annotations": {"x": "y"}}}
    live = applied(
        applied(written("ConfigMap"), labelled, "m", name="ConfigMap"), bare, "m", name="ConfigMap"
    )
    meta = live["metadata"]

    assert (meta["name"], meta["namespace"], "labels" in meta, "annotations" in meta) == (
        "web",
        "shop",
        False,
        False,
    )


@pytest.mark.parametrize("name", ["Pod", "StatefulSet", "Namespace", "PersistentVolumeClaim"])
def test_a_fresh_status_belongs_to_nobody(name: str) -> None:
    """An ordinary write doesn't own the status, as it can't set it."""
    assert "f:status" not in fields_of(written(name), "creator")
