"""The order of the manifests, and the manifests that are refused."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.staging import plan
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.plan import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.staging.conftest import Stage

NAMESPACE = "bais-staging"


def test_each_object_is_in_one_step(stage: Stage) -> None:
    """Every manifest is applied once, in the step of its kind or component."""
    steps = plan.in_order(stage.objects)
    kinds = {step: {one["kind"] for one in objects} for step, objects in steps.items()}

    assert sum(len(objects) for objects in steps.values()) == len(stage.objects)
    assert {"Namespace", "NetworkPolicy", "ResourceQuota"} <= kinds[Step.NAMESPACE]
    assert {"ConfigMap", "Certificate", "ServiceAccount"} <= kinds[Step.CONFIGURATION]
    assert kinds[Step.DATABASE] == kinds[Step.CACHE] == {"Service", "StatefulSet"}
    assert kinds[Step.MIGRATIONS] == {"Job"}
    assert {"Deployment", "Ingress", "CronJob"} <= kinds[Step.APPLICATION]


def test_referenced_objects_come_first_in_a_step(stage: Stage) -> None:
    """The Namespace comes first, Services before workloads, and a list is unpacked."""
    listed = [{"kind": "List", "items": list(reversed(stage.objects))}]
    steps = plan.in_order(listed)

    assert [one["kind"] for one in steps[Step.DATABASE]] == ["Service", "StatefulSet"]
    assert steps[Step.NAMESPACE][0]["kind"] == "Namespace"


def _in_default(objects: list[dict[str, Any]]) -> None:
    del next(one for one in objects if one["kind"] == "Deployment")["metadata"]["namespace"]


def _in_production(objects: list[dict[str, Any]]) -> None:
    next(one for one in objects if one["kind"] == "Deployment")["metadata"]["namespace"] = "bais"


def _with_a_secret(objects: list[dict[str, Any]]) -> None:
    metadata = {"name": "written-out", "namespace": NAMESPACE}
    objects.append({"kind": "Secret", "metadata": metadata, "data": {"key": "aHVudGVyMg=="}})


def _with_image(image: str) -> Callable[[list[dict[str, Any]]], None]:
    def change(objects: list[dict[str, Any]]) -> None:
        job = next(one for one in objects if one["kind"] == "Job")
        job["spec"]["template"]["spec"]["containers"][0]["image"] = image

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_in_default, "in the namespace default"),
        (_in_production, "in the namespace bais"),
        (_with_a_secret, "Secret written-out is written out in the manifests"),
        (_with_image("registry.bais.example/bais-api:latest"), "is not pinned by digest"),
        (_with_image(f"registry.bais.example/bais-api@sha256:{'0' * 64}"), "placeholder digest of zeros"),
    ],
)
def test_unsafe_manifests_are_refused(
    stage: Stage, change: Callable[[list[dict[str, Any]]], None], words: str
) -> None:
    """Another namespace, a Secret among the manifests and an image without a real digest are refused."""
    objects = copy.deepcopy(stage.objects)
    change(objects)

    with pytest.raises(StageError) as caught:
        plan.check(objects, NAMESPACE)

    assert caught.value.code is StageCode.MANIFESTS
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "aHVudGVyMg" not in str(caught.value)


def test_secrets_needed(stage: Stage) -> None:
    """Secrets in environment and volumes are needed; those of Certificates and optional ones are not."""
    needed = plan.secrets_needed(stage.objects)

    assert set(needed) == {"bais-api", "bais-postgres", "bais-redis", "bais-backup"}
    optional = {"name": "x", "valueFrom": {"secretKeyRef": {"name": "maybe", "key": "k", "optional": True}}}
    stage.manifest("Deployment", "bais-api")["spec"]["template"]["spec"]["containers"][0]["env"].append(
        optional
    )
    assert "maybe" not in plan.secrets_needed(stage.objects)


def test_min_replicas(stage: Stage) -> None:
    """The number of replicas is the autoscaler's minimum, as the Deployment has none."""
    assert plan.min_replicas(stage.objects) == {"bais-api": 3}
