"""Bodies are read as the API server reads them: types, unknown fields, what is written back."""

# ruff: noqa: E501  # the API server's messages are long, and each is kept in one piece
from __future__ import annotations

import time

import pytest

from bais_gates.sandbox.cluster.apiserver import kinds
from tests.cluster.kinds.objects import REGISTRY, SPECS, created, kind, make


@pytest.mark.parametrize("name", SPECS)
def test_a_stored_object_is_read_back_unchanged(name: str) -> None:
    """Defaults are filled in once: reading a stored object again adds and takes nothing."""
    stored = created(name)

    again = kinds.prepare_update(kind(name), stored, stored, strict=True)

    assert again.obj == stored


@pytest.mark.parametrize("name", SPECS)
def test_arguments_stay_as_they_were(name: str) -> None:
    """Nothing that is handed in is changed."""
    given = make(name)

    kinds.prepare_create(kind(name), given, strict=True)

    assert given == make(name)


def test_unknown_fields_are_dropped_and_told() -> None:
    """A field that the kind doesn't have is left out of the object, with a warning that says where it was."""
    body = make("Deployment", spec__foo=1, spec__template__spec__containers__0__bar={"a": 1})

    prepared = kinds.prepare_create(kind("Deployment"), body, strict=False)

    assert "foo" not in prepared.obj["spec"]
    assert set(prepared.warnings) == {
        'unknown field "spec.foo"',
        'unknown field "spec.template.spec.containers[0].bar"',
    }


def test_strict_reading_refuses_unknown_fields() -> None:
    """With fieldValidation=Strict an unknown field is an error in the decoder's words."""
    with pytest.raises(kinds.BadRequest, match=r'^strict decoding error: unknown field "spec.foo"$'):
        kinds.prepare_create(kind("Deployment"), make("Deployment", spec__foo=1), strict=True)


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        (
            "Deployment",
            "spec__replicas",
            "two",
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "Deployment",
            "metadata__labels",
            {"a": 1},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            "Pod",
            "spec__containers__0__env",
            [{"name": "A", "value": True}],
            "json: cannot unmarshal bool into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        (
            "Pod",
            "spec__containers",
            {},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            "Pod",
            "spec__containers__0__resources",
            {"limits": {"cpu": "lots"}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("Secret", "data", {"a": "not base64!"}, "illegal base64 data at input byte 3"),
    ],
)
def test_wrong_types_are_bad_requests(name: str, field: str, value: object, message: str) -> None:
    """A value of the wrong JSON type is refused in the words of the API server's decoder."""
    with pytest.raises(kinds.BadRequest) as refused:
        kinds.prepare_create(kind(name), make(name, **{field: value}), strict=False)

    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("said", "stored"),
    [("0.5", "500m"), ("1024Mi", "1Gi"), ("1000m", "1"), ("1500Mi", "1500Mi"), ("1e3", "1e3"), ("0", "0")],
)
def test_quantities_are_written_canonically(said: str, stored: str) -> None:
    """A quantity comes back without a fraction and with the largest suffix that allows it."""
    resources = {"limits": {"memory": said}}

    made = created("Deployment", spec__template__spec__containers__0__resources=resources)

    assert made["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == stored


def test_empty_values_are_left_out() -> None:
    """What the API server's types leave out when empty is left out; parts held by value are written."""
    pod = created(
        "Pod", spec__hostNetwork=False, spec__nodeSelector={}, spec__volumes=[], metadata__labels={}
    )

    assert not {"hostNetwork", "nodeSelector", "volumes"} & pod["spec"].keys()
    assert "labels" not in pod["metadata"]
    assert pod["spec"]["containers"][0]["resources"] == {}


def test_every_kind_has_a_schema_and_is_found() -> None:
    """Each kind that is served is found by its names and describes its metadata."""
    for each in REGISTRY.all():
        assert REGISTRY.find(each.group, each.version, each.plural) is each
        assert REGISTRY.find_kind(each.api_version, each.kind) is each
        assert "metadata" in each.node.fields


def test_a_create_is_fast() -> None:
    """A Deployment is read, filled in and validated in well under 2 ms."""
    body, deployment = make("Deployment"), kind("Deployment")
    kinds.prepare_create(deployment, body, strict=True)

    started = time.process_time()
    for _ in range(50):
        kinds.prepare_create(deployment, body, strict=True)

    assert (time.process_time() - started) / 50 < 0.002
