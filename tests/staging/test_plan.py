"""The order of the manifests, and what must not be applied."""

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
    """Every manifest is applied once, in the step that its kind or component says."""
    steps = plan.in_order(stage.objects)
    kinds = {step: {one["kind"] for one in objects} for step, objects in steps.items()}

    assert sum(len(objects) for objects in steps.values()) == len(stage.objects)
    assert {"Namespace", "NetworkPolicy", "ResourceQuota"} <= kinds[Step.NAMESPACE]
    assert {"ConfigMap", "Certificate", "ServiceAccount"} <= kinds[Step.CONFIGURATION]
    assert kinds[Step.DATABASE] == kinds[Step.CACHE] == {"Service", "StatefulSet"}
    assert kinds[Step.MIGRATIONS] == {"Job"}
    assert {"Deployment", "Ingress", "CronJob"} <= kinds[Step.APPLICATION]


def test_within_a_step_what_is_named_comes_first(stage: Stage) -> None:
    """Policies stand before any pod, Services before workloads, a list is unpacked."""
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
        (_with_a_secret, "holds its values in the manifest"),
        (_with_image("registry.bais.example/bais-api:latest"), "is not pinned by digest"),
        (_with_image(f"registry.bais.example/bais-api@sha256:{'0' * 64}"), "placeholder digest of zeros"),
    ],
)
def test_what_must_not_be_applied(
    stage: Stage, change: Callable[[list[dict[str, Any]]], None], words: str
) -> None:
    """Another namespace, a Secret written out, an image without a real digest: refused before any write."""
    objects = copy.deepcopy(stage.objects)
    change(objects)

    with pytest.raises(StageError) as caught:
        plan.check(objects, NAMESPACE)

    assert caught.value.code is StageCode.MANIFESTS
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "aHVudGVyMg" not in str(caught.value)


def test_the_secrets_that_must_be_there(stage: Stage) -> None:
    """Environment and volumes name Secrets; those of Certificates and optional ones do not count."""
    needed = plan.secrets_needed(stage.objects)

    assert set(needed) == {"bais-api", "bais-postgres", "bais-redis", "bais-backup"}
    optional = {"name": "x", "valueFrom": {"secretKeyRef": {"name": "maybe", "key": "k", "optional": True}}}
    stage.manifest("Deployment", "bais-api")["spec"]["template"]["spec"]["containers"][0]["env"].append(
        optional
    )
    assert "maybe" not in plan.secrets_needed(stage.objects)


def test_the_least_replicas_are_the_autoscalers(stage: Stage) -> None:
    """The Deployment says no number: the autoscaler's least is what is waited for."""
    assert plan.least_replicas(stage.objects) == {"bais-api": 3}
