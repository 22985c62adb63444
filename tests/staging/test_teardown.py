"""Tearing down a staged namespace, complete or partial, until nothing is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.namespace import OWNER, staged_namespaces
from bais_gates.staging.teardown import tear_down
from tests.staging.fake_server import refused

if TYPE_CHECKING:
    from tests.staging.conftest import Stage

NAMESPACE = "bais-staging"


def _down(stage: Stage, seconds: float = 30.0, **more: Any) -> bool:
    return tear_down(
        stage.server,
        NAMESPACE,
        "sandbox",
        clock=stage.time.clock(seconds),
        progress=stage.progress.append,
        **more,
    )


def _volume(policy: str, namespace: str = NAMESPACE) -> dict[str, Any]:
    spec = {"persistentVolumeReclaimPolicy": policy, "claimRef": {"namespace": namespace, "name": "data"}}
    return {"kind": "PersistentVolume", "metadata": {"name": f"pv-{policy}-{namespace}"}, "spec": spec}


def test_nothing_is_left(stage: Stage) -> None:
    """The namespace, its content, objects outside namespaces and retained volumes are deleted."""
    stage.provision()
    stage.server.add(_volume("Retain"))
    stage.server.reads_until_gone = 5

    assert _down(stage) is True
    assert stage.server.objects == {}


@pytest.mark.parametrize("kind", ["NetworkPolicy", "Secret", "StatefulSet", "Job", "Ingress"])
def test_a_partial_namespace_is_deleted(stage: Stage, kind: str) -> None:
    """Wherever provisioning stopped, all that it created is deleted."""
    stage.server.refusals["patch", kind] = refused(500, "InternalError", "no")
    with pytest.raises(StageError):
        stage.provision()

    assert _down(stage) is True
    assert stage.server.objects == {}


def test_an_interrupted_provisioning_can_be_torn_down(stage: Stage) -> None:
    """After Ctrl-C at any write the namespace has its owner's label, so that it can be deleted."""
    stage.provision()
    count = len(stage.server.written)
    for stop in range(1, count, 5):
        fresh = type(stage)()
        put = fresh.server._put

        def interrupted(*what: Any, fresh: Any = fresh, put: Any = put, stop: int = stop) -> Any:
            made = put(*what)
            if len(fresh.server.written) == stop:
                raise KeyboardInterrupt
            return made

        setattr(fresh.server, "_put", interrupted)  # noqa: B010 - replaces the method
        with pytest.raises(KeyboardInterrupt):
            fresh.provision()
        _down(fresh)
        assert fresh.server.objects == {}


def test_shared_objects_of_other_owners_stay(stage: Stage) -> None:
    """Production's volumes and a storage class that existed before are not deleted."""
    stage.server.add({"kind": "StorageClass", "metadata": {"name": "bais-encrypted"}})
    stage.server.add(_volume("Retain", "bais"))
    stage.provision()

    _down(stage)

    assert sorted(key[0] for key in stage.server.objects) == ["PersistentVolume", "StorageClass"]
    assert (
        stage.server.one("PersistentVolume", "pv-Retain-bais")["spec"]["persistentVolumeReclaimPolicy"]
        == "Retain"
    )


@pytest.mark.parametrize("labels", [{}, {OWNER: "production"}], ids=["no owner", "another owner"])
def test_a_foreign_namespace_is_never_deleted(stage: Stage, labels: dict[str, str]) -> None:
    """The namespace of another owner is refused, and nothing is written."""
    stage.server.add({"kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})

    with pytest.raises(StageError) as caught:
        _down(stage)

    assert caught.value.code is StageCode.NAMESPACE_FOREIGN
    assert stage.server.written == []


def test_another_runs_namespace_stays_at_the_end_of_a_run(stage: Stage) -> None:
    """A run deletes the namespace only if no other run has provisioned it since."""
    stage.provision(run="run-2")

    assert _down(stage, only_run="run-1") is False
    assert _down(stage, only_run="run-2") is True


def test_a_second_tear_down_has_nothing_to_delete(stage: Stage) -> None:
    """Tearing down twice is no failure."""
    stage.provision()

    assert [_down(stage), _down(stage)] == [True, False]


def test_a_terminating_namespace_is_awaited(stage: Stage) -> None:
    """An interrupted deletion is awaited, not requested again."""
    stage.provision()
    stage.server.reads_until_gone = 6
    stage.server.delete("v1", "Namespace", NAMESPACE)

    assert _down(stage) is True
    assert stage.server.written.count(f"delete Namespace {NAMESPACE}") == 1


def test_a_stuck_deletion_is_reported_with_its_cause(stage: Stage) -> None:
    """At the deadline the error names what is left, and progress was reported before."""
    stage.provision()
    stage.server.reads_until_gone = 10_000
    stage.time.on_sleep.append(
        lambda: stage.server.one("Namespace", NAMESPACE)["status"].update(
            conditions=[{"type": "NamespaceFinalizersRemaining", "status": "True", "message": "finalizer x"}]
        )
    )

    with pytest.raises(StageError, match="finalizer x") as caught:
        _down(stage, seconds=12)

    assert caught.value.code is StageCode.NOT_TORN_DOWN
    assert any("waiting until the namespace" in one for one in stage.progress)


def test_a_forbidden_deletion_is_reported(stage: Stage) -> None:
    """The error names the verb that is forbidden."""
    stage.provision()
    stage.server.refusals["delete", "Namespace"] = refused(
        403, "Forbidden", "no", verb="delete", resource="Namespace"
    )

    with pytest.raises(StageError, match="verb delete on Namespace") as caught:
        _down(stage)

    assert caught.value.code is StageCode.FORBIDDEN


def test_staged_namespaces_are_listed_by_label(stage: Stage) -> None:
    """Every namespace with an owner's label is listed, no other."""
    stage.provision()
    stage.server.add({"kind": "Namespace", "metadata": {"name": "bais"}})

    assert [one["metadata"]["name"] for one in staged_namespaces(stage.server)] == [NAMESPACE]
