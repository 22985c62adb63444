"""Provisioning the real manifests, step by step, against a cluster in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.ownership import KEPT, OWNER
from bais_gates.staging.plan import Step
from tests.staging.objects import said

if TYPE_CHECKING:
    from tests.staging.conftest import Stage

NAMESPACE = "bais-staging"


def test_all_steps_come_true_in_their_order(stage: Stage) -> None:
    """Namespace, configuration, database, cache, migrations, application; all carries the owner's label."""
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
    """Secrets are kept, the finished Job stays, no pod is replaced."""
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
    """A ConfigMap that changed changes the template of its own workload, and of no other."""
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
    """What a Job runs can't be changed, and a failed one never completes: it is deleted and made anew."""
    stage.provision()
    if why == "failed":
        failed = said("Failed", reason="BackoffLimitExceeded")
        stage.server.one("Job", "bais-migrate")["status"] = {"conditions": [failed]}
    else:
        stage.manifest("Job", "bais-migrate")["spec"]["backoffLimit"] = 5
    uid = stage.server.one("Job", "bais-migrate")["metadata"]["uid"]

    stage.provision()

    assert "delete Job bais-migrate" in stage.server.written
    assert stage.server.one("Job", "bais-migrate")["metadata"]["uid"] != uid


@pytest.mark.parametrize("labels", [{}, {OWNER: "somebody-else"}], ids=["no owner", "another owner"])
def test_a_foreign_namespace_is_never_touched(stage: Stage, labels: dict[str, str]) -> None:
    """A namespace without this owner's label is refused, and nothing at all is written."""
    stage.server.add({"kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})

    with pytest.raises(StageError) as caught:
        stage.provision()

    assert caught.value.code is StageCode.NAMESPACE_FOREIGN
    assert stage.server.written == []


def test_a_namespace_made_by_somebody_else_meanwhile_is_not_touched(stage: Stage) -> None:
    """Between looking and creating another one may have made it: that one is foreign, too."""
    create = stage.server.create

    def beaten(obj: dict[str, Any]) -> dict[str, Any]:
        stage.server.add({"kind": "Namespace", "metadata": {"name": NAMESPACE}})
        return create(obj)

    stage.server.create = beaten  # type: ignore[method-assign]  # the race

    with pytest.raises(StageError) as caught:
        stage.provision()

    assert caught.value.code is StageCode.NAMESPACE_FOREIGN
    assert stage.server.written == []


def test_the_last_namespace_is_waited_for(stage: Stage) -> None:
    """Our own namespace that is on its way out is gone first, and then made anew."""
    stage.provision()
    uid = stage.server.one("Namespace", NAMESPACE)["metadata"]["uid"]
    stage.server.reads_until_gone = 4
    stage.server.delete("v1", "Namespace", NAMESPACE)

    assert stage.provision() == list(Step)
    assert stage.server.one("Namespace", NAMESPACE)["metadata"]["uid"] != uid


def test_a_namespace_that_does_not_go_is_told(stage: Stage) -> None:
    """One that stays Terminating ends in its own code, with what holds it."""
    stage.provision()
    stage.server.reads_until_gone = 10_000
    stage.server.delete("v1", "Namespace", NAMESPACE)
    held = said(
        "NamespaceContentRemaining", message="challenges.acme.cert-manager.io has 1 resource instances"
    )
    stage.server.one("Namespace", NAMESPACE)["status"]["conditions"] = [held]

    with pytest.raises(StageError, match="1 resource instances") as caught:
        stage.provision()

    assert caught.value.code is StageCode.NAMESPACE_TERMINATING


def test_what_a_person_keeps_stays_kept(stage: Stage) -> None:
    """A later provisioning without --keep does not take the wish back."""
    stage.provision(keep=True)
    stage.provision()

    assert stage.server.one("Namespace", NAMESPACE)["metadata"]["annotations"][KEPT] == "true"


def test_what_is_shared_and_somebody_elses_is_used_as_it_is(stage: Stage) -> None:
    """A storage class that production made is neither changed nor taken over."""
    theirs = {"kind": "StorageClass", "metadata": {"name": "bais-encrypted"}, "provisioner": "theirs"}
    stage.server.add(theirs)

    stage.provision()

    assert "apply StorageClass bais-encrypted" not in stage.server.written
    assert OWNER not in stage.server.one("StorageClass", "bais-encrypted")["metadata"].get("labels", {})
    assert any("used as it is" in one for one in stage.said)
