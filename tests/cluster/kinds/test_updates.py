"""What an update may not change, and which part of an object each way of writing changes."""

# ruff: noqa: E501, ISC004  # the API server's messages are long, and each is kept in one piece
from __future__ import annotations

from typing import Any

import pytest

from bais_gates.sandbox.cluster.apiserver import kinds
from tests.cluster.kinds.objects import Obj, changed, created, kind

INVALID, FORBIDDEN = "FieldValueInvalid", "FieldValueForbidden"
UPDATES: list[tuple[str, Obj, str, str, str]] = [
    (
        "Deployment",
        {
            "spec__selector": {"matchLabels": {"app": "new"}},
            "spec__template__metadata__labels": {"app": "new"},
        },
        INVALID,
        "spec.selector",
        'Invalid value: {"matchLabels":{"app":"new"}}: field is immutable',
    ),
    (
        "StatefulSet",
        {"spec__serviceName": "other"},
        FORBIDDEN,
        "spec",
        "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
        "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
        "forbidden",
    ),
    ("Job", {"spec__completions": 4}, INVALID, "spec.completions", "Invalid value: 4: field is immutable"),
    (
        "RoleBinding",
        {"roleRef__name": "writer"},
        INVALID,
        "roleRef",
        'Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"writer"}: cannot change roleRef',
    ),
    (
        "Secret",
        {"type": "example.com/other"},
        INVALID,
        "type",
        'Invalid value: "example.com/other": field is immutable',
    ),
    (
        "StorageClass",
        {"provisioner": "example.com/tape"},
        FORBIDDEN,
        "provisioner",
        "Forbidden: updates to provisioner are forbidden.",
    ),
]


@pytest.mark.parametrize(("name", "changes", "reason", "field", "message"), UPDATES)
def test_what_never_changes_is_refused(
    name: str, changes: dict[str, Any], reason: str, field: str, message: str
) -> None:
    """An update of an immutable field is refused with the cause that the API server gives."""
    stored = created(name)

    with pytest.raises(kinds.Invalid) as refused:
        kinds.prepare_update(kind(name), stored, changed(stored, **changes), strict=True)

    causes = [(cause.reason, cause.field, cause.message) for cause in refused.value.causes]
    assert causes == [(reason, field, message)]


def test_the_address_of_a_service_never_changes() -> None:
    """Another clusterIP than the one that it was given is refused."""
    stored = changed(created("Service"), spec__clusterIP="10.0.0.9", spec__clusterIPs=["10.0.0.9"])
    other = changed(stored, spec__clusterIP="10.0.9.9", spec__clusterIPs=["10.0.9.9"])

    with pytest.raises(kinds.Invalid, match=r"spec\.clusterIPs\[0\]: .*: may not change once set"):
        kinds.prepare_update(kind("Service"), stored, other, strict=True)


def test_the_template_of_a_job_never_changes() -> None:
    """A Job's template is immutable; whether it is suspended is not."""
    stored = created("Job")
    other = changed(stored, spec__template__spec__containers__0__image="other")

    with pytest.raises(kinds.Invalid, match=r"spec\.template: Invalid value: .*: field is immutable"):
        kinds.prepare_update(kind("Job"), stored, other, strict=True)
    kinds.prepare_update(kind("Job"), stored, changed(stored, spec__suspend=True), strict=True)


def test_of_a_pod_only_images_and_tolerations_change() -> None:
    """A pod's image may change, nearly nothing else of its specification may."""
    stored = created("Pod")
    image = changed(stored, spec__containers__0__image="other")

    assert kinds.prepare_update(kind("Pod"), stored, image, strict=True).obj == image
    with pytest.raises(kinds.Invalid, match="pod updates may not change fields other than"):
        kinds.prepare_update(kind("Pod"), stored, changed(stored, spec__restartPolicy="Never"), strict=True)


def test_the_data_of_an_immutable_config_map_stays() -> None:
    """Once immutable is set, data can't change nor immutable be taken back."""
    stored = created("ConfigMap", immutable=True)
    other = changed(stored, data={"key": "other"}, immutable=...)

    with pytest.raises(kinds.Invalid) as refused:
        kinds.prepare_update(kind("ConfigMap"), stored, other, strict=True)

    assert [cause.field for cause in refused.value.causes] == ["immutable", "data"]


def test_an_update_keeps_the_status_and_a_status_update_keeps_the_rest() -> None:
    """Either way of writing changes only its own part."""
    stored = created("Deployment")
    other = changed(stored, spec__replicas=5, status={"replicas": 5})

    main = kinds.prepare_update(kind("Deployment"), stored, other, strict=True).obj
    status = kinds.prepare_update(kind("Deployment"), stored, other, strict=True, subresource="status").obj

    assert (main["spec"]["replicas"], main["status"]) == (5, {})
    assert (status["spec"]["replicas"], status["status"]) == (1, {"replicas": 5})


def test_a_pod_is_put_onto_a_node_by_its_binding_alone() -> None:
    """An update can't set the node's name."""
    pod = created("Pod")

    with pytest.raises(kinds.Invalid) as refused:
        kinds.prepare_update(kind("Pod"), pod, changed(pod, spec__nodeName="n1"), strict=True)

    assert [(cause.reason, cause.field) for cause in refused.value.causes] == [(FORBIDDEN, "spec")]


def test_an_update_of_a_pod_keeps_the_tolerations_that_every_pod_has() -> None:
    """Taking all tolerations away, or giving others, leaves those of admission."""
    pod = created("Pod")
    new = {"key": "a", "operator": "Exists", "effect": "NoExecute"}

    emptied = kinds.prepare_update(kind("Pod"), pod, changed(pod, spec__tolerations=[]), strict=True).obj
    added = kinds.prepare_update(kind("Pod"), pod, changed(pod, spec__tolerations=[new]), strict=True).obj

    assert emptied["spec"]["tolerations"] == pod["spec"]["tolerations"]
    assert added["spec"]["tolerations"] == [new, *pod["spec"]["tolerations"]]


@pytest.mark.parametrize(("name", "kept"), [("Pod", True), ("StatefulSet", True), ("Deployment", False)])
def test_labels_written_with_the_status(name: str, *, kept: bool) -> None:
    """A status update takes labels along, but for a Deployment; never the specification."""
    old = created(name)
    new = changed(old, metadata__labels={"l": "1"}, status={"observedGeneration": 1})
    made = kinds.prepare_update(kind(name), old, new, strict=True, subresource="status").obj

    assert made["metadata"].get("labels") == ({"l": "1"} if kept else None)
    assert made["spec"] == old["spec"]


def test_times_of_conditions_that_nobody_gave() -> None:
    """They are written as null."""
    pod = created("Pod")
    new = changed(pod, status__conditions=[{"type": "Ready", "status": "True"}])
    made = kinds.prepare_update(kind("Pod"), pod, new, strict=True, subresource="status").obj

    assert made["status"]["conditions"] == [
        {"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": None}
    ]
