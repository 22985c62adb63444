"""Taking a staged namespace away, whole or half-made, until nothing is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.ownership import OWNER
from bais_gates.staging.teardown import staged, tear_down
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
        progress=stage.said.append,
        **more,
    )


def _volume(policy: str, namespace: str = NAMESPACE) -> dict[str, Any]:
    spec = {"persistentVolumeReclaimPolicy": policy, "claimRef": {"namespace": namespace, "name": "data"}}
    return {"kind": "PersistentVolume", "metadata": {"name": f"pv-{policy}-{namespace}"}, "spec": spec}


def test_nothing_is_left(stage: Stage) -> None:
    """Namespace, its content, what was made outside namespaces and kept volumes are all gone."""
    stage.provision()
    stage.server.add(_volume("Retain"))
    stage.server.reads_until_gone = 5

    assert _down(stage) is True
    assert stage.server.objects == {}


@pytest.mark.parametrize("kind", ["NetworkPolicy", "Secret", "StatefulSet", "Job", "Ingress"])
def test_a_half_made_namespace_goes_as_well(stage: Stage, kind: str) -> None:
    """Wherever provisioning stopped, what was made until then is taken away."""
    stage.server.refusals["patch", kind] = refused(500, "InternalError", "no")
    with pytest.raises(StageError):
        stage.provision()

    assert _down(stage) is True
    assert stage.server.objects == {}


def test_an_interrupt_anywhere_leaves_something_that_can_be_taken_away(stage: Stage) -> None:
    """Ctrl-C at any write: the namespace has its label from its first moment, so that it can go."""
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

        setattr(fresh.server, "_put", interrupted)  # noqa: B010 - stands in for the method
        with pytest.raises(KeyboardInterrupt):
            fresh.provision()
        _down(fresh)
        assert fresh.server.objects == {}


def test_what_is_shared_or_of_others_stays(stage: Stage) -> None:
    """Production's volumes and a storage class that was there before are not taken away."""
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
def test_a_foreign_namespace_is_never_taken_away(stage: Stage, labels: dict[str, str]) -> None:
    """One that is not ours is refused, and nothing at all is written."""
    stage.server.add({"kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})

    with pytest.raises(StageError) as caught:
        _down(stage)

    assert caught.value.code is StageCode.NAMESPACE_FOREIGN
    assert stage.server.written == []


def test_another_runs_namespace_stays_at_the_end_of_a_run(stage: Stage) -> None:
    """A run takes away what it provisioned last, and not what another run has taken over since."""
    stage.provision(run="run-2")

    assert _down(stage, only_run="run-1") is False
    assert _down(stage, only_run="run-2") is True


def test_a_second_time_there_is_nothing(stage: Stage) -> None:
    """Taking away what is gone is no failure."""
    stage.provision()

    assert [_down(stage), _down(stage)] == [True, False]


def test_a_namespace_that_is_going_already_is_waited_for(stage: Stage) -> None:
    """A deletion that was interrupted is carried on with, not begun anew."""
    stage.provision()
    stage.server.reads_until_gone = 6
    stage.server.delete("v1", "Namespace", NAMESPACE)

    assert _down(stage) is True
    assert stage.server.written.count(f"delete Namespace {NAMESPACE}") == 1


def test_one_that_does_not_go_is_told_with_what_holds_it(stage: Stage) -> None:
    """When the time is over the conditions say what is left, and progress was said meanwhile."""
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
    assert any("waiting until the namespace" in one for one in stage.said)


def test_a_forbidden_deletion_is_told(stage: Stage) -> None:
    """Who may not delete is told so, with the verb."""
    stage.provision()
    stage.server.refusals["delete", "Namespace"] = refused(
        403, "Forbidden", "no", verb="delete", resource="Namespace"
    )

    with pytest.raises(StageError, match="verb delete on Namespace") as caught:
        _down(stage)

    assert caught.value.code is StageCode.FORBIDDEN


def test_staged_namespaces_are_listed_by_label(stage: Stage) -> None:
    """Whoever's they are: a label makes them staged ones."""
    stage.provision()
    stage.server.add({"kind": "Namespace", "metadata": {"name": "bais"}})

    assert [one["metadata"]["name"] for one in staged(stage.server)] == [NAMESPACE]
