"""Custom kinds: what a CustomResourceDefinition serves, prunes, fills in, refuses and lets apply."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.sandbox.cluster.apiserver import kinds
from tests.cluster.kinds.objects import LATER, NOW, Obj, changed, kind

SCHEMA: Obj = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1},
                "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
                "port": {"x-kubernetes-int-or-string": True},
                "plain": {"type": "array", "items": {"type": "string"}},
                "keyed": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
                    },
                },
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        },
        "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
    },
}
CRD: Obj = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": SCHEMA},
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
            }
        ],
    },
}


def widget_kind() -> kinds.Kind:
    """Return the custom kind as a registry serves it."""
    registry = kinds.KindRegistry()
    definition = kinds.prepare_create(kind("CustomResourceDefinition"), CRD, strict=True).obj
    registry.register_crd(definition)
    found = registry.find("example.com", "v1", "widgets")
    assert found is not None
    return found


WIDGET = widget_kind()


def widget(**spec: Any) -> Obj:
    """Return a custom object with this specification."""
    meta = {"name": "one", "namespace": "shop"}
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta, "spec": spec}


def test_a_definition_is_completed_and_established() -> None:
    """Names are filled in; its conditions say that the kind is served."""
    stored = kinds.prepare_create(kind("CustomResourceDefinition"), CRD, strict=True).obj
    status = kinds.established(stored, NOW)

    assert stored["spec"]["names"]["singular"] == "widget"
    assert stored["spec"]["names"]["listKind"] == "WidgetList"
    assert stored["spec"]["conversion"] == {"strategy": "None"}
    assert [(each["type"], each["status"]) for each in status["conditions"]] == [
        ("NamesAccepted", "True"),
        ("Established", "True"),
    ]
    assert status["storedVersions"] == ["v1"]
    assert (WIDGET.short_names, WIDGET.namespaced, WIDGET.subresources) == (
        ("wd",),
        True,
        frozenset({"status"}),
    )


def test_a_definition_that_is_taken_back_serves_nothing() -> None:
    """After unregistering, the kind can't be found."""
    registry = kinds.KindRegistry()
    registry.register_crd(CRD)

    registry.unregister_crd("widgets.example.com")

    assert registry.find("example.com", "v1", "widgets") is None


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        (
            {"metadata__name": "other.example.com"},
            "metadata.name",
            'Invalid value: "other.example.com": must be spec.names.plural+"."+spec.group',
        ),
        (
            {"spec__versions__0__schema": ...},
            "spec.versions[0].schema.openAPIV3Schema",
            "Required value: schemas are required",
        ),
        (
            {"spec__scope": "Galaxy"},
            "spec.scope",
            'Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"',
        ),
    ],
)
def test_a_bad_definition_is_refused(changes: Obj, field: str, message: str) -> None:
    """A definition with a wrong name, scope or without schema gets its cause."""
    with pytest.raises(kinds.Invalid) as refused:
        kinds.prepare_create(kind("CustomResourceDefinition"), changed(CRD, **changes), strict=True)

    assert (field, message) in [(cause.field, cause.message) for cause in refused.value.causes]


def test_unknown_fields_are_pruned_and_defaults_filled_in() -> None:
    """What the schema doesn't know goes with a warning, unless the schema keeps it."""
    body = widget(size=1, extra=1, free={"any": {"thing": 1}})

    prepared = kinds.prepare_create(WIDGET, body, strict=False)

    assert prepared.obj["spec"] == {"size": 1, "free": {"any": {"thing": 1}}, "mode": "a"}
    assert prepared.warnings == ('unknown field "spec.extra"',)
    with pytest.raises(kinds.BadRequest, match=r'strict decoding error: unknown field "spec\.extra"'):
        kinds.prepare_create(WIDGET, body, strict=True)


@pytest.mark.parametrize(
    ("spec", "reason", "field", "message"),
    [
        ({}, "FieldValueRequired", "spec.size", "Required value"),
        (
            {"size": "big"},
            "FieldValueTypeInvalid",
            "spec.size",
            'Invalid value: "string": spec.size in body must be of type integer: "string"',
        ),
        (
            {"size": 0},
            "FieldValueInvalid",
            "spec.size",
            "Invalid value: 0: spec.size in body should be greater than or equal to 1",
        ),
        (
            {"size": 1, "mode": "c"},
            "FieldValueNotSupported",
            "spec.mode",
            'Unsupported value: "c": supported values: "a", "b"',
        ),
        (
            {"size": 1, "keyed": [{"name": "x"}, {"name": "x"}]},
            "FieldValueDuplicate",
            "spec.keyed[1]",
            'Duplicate value: {"name":"x"}',
        ),
    ],
)
def test_custom_objects_are_held_to_their_schema(spec: Obj, reason: str, field: str, message: str) -> None:
    """A value that the schema refuses gets the cause that the API server gives."""
    with pytest.raises(kinds.Invalid) as refused:
        kinds.prepare_create(WIDGET, widget(**spec), strict=True)

    causes = [(cause.reason, cause.field, cause.message) for cause in refused.value.causes]
    assert causes == [(reason, field, message)]


def test_the_status_is_a_subresource_of_its_own() -> None:
    """A POST drops the status; a write of the status keeps the rest."""
    stored = kinds.prepare_create(WIDGET, {**widget(size=1), "status": {"ready": True}}, strict=True).obj
    other = {**stored, "spec": {"size": 9}, "status": {"ready": True}}

    written = kinds.prepare_update(WIDGET, stored, other, strict=True, subresource="status").obj

    assert "status" not in stored
    assert (written["spec"]["size"], written["status"]) == (1, {"ready": True})


def test_lists_without_a_type_are_atomic_and_keyed_lists_merge() -> None:
    """Two appliers own items of a keyed list apart; a plain list is one field."""
    first = kinds.apply(
        WIDGET,
        None,
        widget(size=1, plain=["a"], keyed=[{"name": "x", "value": "1"}]),
        manager="a",
        force=False,
        now=NOW,
    )
    second = kinds.apply(
        WIDGET, first, widget(size=1, keyed=[{"name": "y"}]), manager="b", force=False, now=LATER
    )

    assert second["spec"]["keyed"] == [{"name": "x", "value": "1"}, {"name": "y"}]
    with pytest.raises(kinds.ApplyConflict, match=r'conflict with "a": \.spec\.plain$'):
        kinds.apply(WIDGET, second, widget(size=1, plain=["b"]), manager="b", force=False, now=LATER)
    third = kinds.apply(WIDGET, second, widget(size=1, plain=["a"]), manager="a", force=False, now=LATER)
    assert third["spec"]["keyed"] == [{"name": "y"}]


def test_free_parts_merge_by_key() -> None:
    """Of a part that the schema keeps as it is, maps merge field by field."""
    first = kinds.apply(WIDGET, None, widget(size=1, free={"a": {"b": 1}}), manager="a", force=False, now=NOW)

    second = kinds.apply(
        WIDGET, first, widget(size=1, free={"a": {"c": 2}}), manager="b", force=False, now=LATER
    )

    assert second["spec"]["free"] == {"a": {"b": 1, "c": 2}}


def test_an_unknown_field_can_not_be_applied() -> None:
    """A field that the schema doesn't have fails the apply."""
    with pytest.raises(kinds.Failed, match=r"\.spec\.extra: field not declared in schema"):
        kinds.apply(WIDGET, None, widget(size=1, extra=1), manager="a", force=False, now=NOW)


def test_printer_columns_come_from_the_definition() -> None:
    """A table shows what the definition names, between the name and the age."""
    columns, [row] = kinds.table(WIDGET, [widget(size=3)])

    assert [column["name"] for column in columns] == ["Name", "Size", "Age"]
    assert row[:2] == ["one", 3]
