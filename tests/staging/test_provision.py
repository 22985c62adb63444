"""Provisioning the real manifests, step by step, against a cluster in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.namespace import KEPT, OWNER
from bais_gates.staging.plan import Step
from tests.staging.objects import condition

if TYPE_CHECKING:
    from tests.staging.conftest import Stage

NAMESPACE = "bais-staging"


def test_steps_complete_in_order(stage: Stage) -> None:
    """All steps complete in their order, and every object has the owner's label."""
    assert stage.provision() == list(Step)
    written = stage.server.written
    order = [
        "create Namespace bais-staging",
        "apply NetworkPolicy default-deny",
        "apply Secret bais-api",
        "apply StatefulSet bais-postgres",
        "apply StatefulSet bais-redis",
        "apply Job bais-migrate",
        "apply Deployment bais-api",
    ]
    assert [one for one in written if one in order] == order
    unlabelled = [
        key
        for key, one in stage.server.objects.items()
        if one["metadata"].get("labels", {}).get(OWNER) != "sandbox"
    ]
    assert unlabelled == []


def test_a_second_time_changes_nothing(stage: Stage) -> None:
    """Secrets and the finished Job stay, and no pod is replaced."""
    stage.provision()
    before = {
        key: (one["metadata"]["resourceVersion"], one.get("data"))
        for key, one in stage.server.objects.items()
    }
    stage.provision()

    after = {
        key: (one["metadata"]["resourceVersion"], one.get("data"))
        for key, one in stage.server.objects.items()
    }
    assert after == before
    assert not [one for one in stage.server.written if one.startswith("delete")]


def test_changed_configuration_replaces_the_pods_that_use_it(stage: Stage) -> None:
    """A changed ConfigMap changes the template of the workload that uses it, and of no other."""
    stage.provision()
    generation = {
        name: stage.server.one(kind, name)["metadata"]["generation"]
        for kind, name in (("Deployment", "bais-api"), ("StatefulSet", "bais-redis"))
    }
    stage.manifest("ConfigMap", "bais-api")["data"]["VERSION"] = "2.0.0"
    stage.provision()

    assert stage.server.one("Deployment", "bais-api")["metadata"]["generation"] > generation["bais-api"]
    assert stage.server.one("StatefulSet", "bais-redis")["metadata"]["generation"] == generation["bais-redis"]


@pytest.mark.parametrize("why", ["failed", "changed"])
def test_a_job_that_failed_or_changed_is_replaced(stage: Stage, why: str) -> None:
    """A Job that failed or whose manifest changed is deleted and created again."""
    stage.provision()
    if why == "failed":
        failed = condition("Failed", reason="BackoffLimitExceeded")
        stage.server.one("Job", "bais-migrate")["status"] = {"conditions": [failed]}
    else:
        stage.manifest("Job", "bais-migrate")["spec"]["backoffLimit"] = 5
    uid = stage.server.one("Job", "bais-migrate")["metadata"]["uid"]

    stage.provision()

    assert "delete Job bais-migrate" in stage.server.written
    assert stage.server.one("Job", "bais-migrate")["metadata"]["uid"] != uid


@pytest.mark.parametrize("labels", [{}, {OWNER: "somebody-else"}], ids=["no owner", "another owner"])
def test_a_foreign_namespace_is_never_changed(stage: Stage, labels: dict[str, str]) -> None:
    """A namespace without this owner's label is refused, and nothing is written."""
    stage.server.add({"kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})

    with pytest.raises(StageError) as caught:
        stage.provision()

    assert caught.value.code is StageCode.NAMESPACE_FOREIGN
    assert stage.server.written == []


def test_a_namespace_created_concurrently_by_another_owner_is_not_changed(stage: Stage) -> None:
    """A namespace that another owner creates after it was looked up is foreign, too."""
    create = stage.server.create

    def beaten(obj: dict[str, Any]) -> dict[str, Any]:
        stage.server.add({"kind": "Namespace", "metadata": {"name": NAMESPACE}})
        return create(obj)

    stage.server.create = beaten  # type: ignore[method-assign]  # the race

    with pytest.raises(StageError) as caught:
        stage.provision()

    assert caught.value.code is StageCode.NAMESPACE_FOREIGN
    assert stage.server.written == []


def test_a_terminating_namespace_is_waited_for(stage: Stage) -> None:
    """An own namespace that is being deleted is awaited, and then created again."""
    stage.provision()
    uid = stage.server.one("Namespace", NAMESPACE)["metadata"]["uid"]
    stage.server.reads_until_gone = 4
    stage.server.delete("v1", "Namespace", NAMESPACE)

    assert stage.provision() == list(Step)
    assert stage.server.one("Namespace", NAMESPACE)["metadata"]["uid"] != uid


def test_a_stuck_terminating_namespace_is_reported(stage: Stage) -> None:
    """A namespace that stays Terminating has a code of its own, and the error names what blocks it."""
    stage.provision()
    stage.server.reads_until_gone = 10_000
    stage.server.delete("v1", "Namespace", NAMESPACE)
    blocked = condition(
        "NamespaceContentRemaining", message="challenges.acme.cert-manager.io has 1 resource instances"
    )
    stage.server.one("Namespace", NAMESPACE)["status"]["conditions"] = [blocked]

    with pytest.raises(StageError, match="1 resource instances") as caught:
        stage.provision()

    assert caught.value.code is StageCode.NAMESPACE_TERMINATING


def test_a_kept_namespace_stays_kept(stage: Stage) -> None:
    """A later provisioning without --keep does not remove the annotation."""
    stage.provision(keep=True)
    stage.provision()

    assert stage.server.one("Namespace", NAMESPACE)["metadata"]["annotations"][KEPT] == "true"


def test_a_shared_object_of_another_owner_is_used_unchanged(stage: Stage) -> None:
    """A storage class of production is neither changed nor labelled."""
    theirs = {"kind": "StorageClass", "metadata": {"name": "bais-encrypted"}, "provisioner": "theirs"}
    stage.server.add(theirs)

    stage.provision()

    assert "apply StorageClass bais-encrypted" not in stage.server.written
    assert OWNER not in stage.server.one("StorageClass", "bais-encrypted")["metadata"].get("labels", {})
    assert any("used unchanged" in one for one in stage.progress)
