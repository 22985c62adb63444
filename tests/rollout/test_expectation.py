"""What should run, since when and on which schema, by the record of a deploy in each of its phases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from bais_gates.rollout.record import Phase, Record
from tests.gates.deployed_platform import DEPLOYED_AT, NEW, OLD, Platform, record, stamp

if TYPE_CHECKING:
    from bais_gates.probes.kubernetes.cluster import Cluster

FORWARD = (Phase.RECORDED, Phase.MIGRATING, Phase.ROLLING_OUT, Phase.VERIFYING, Phase.WATCHING)
BACK = (*FORWARD, Phase.ROLLING_BACK)
NEVER = (Phase.RECORDED, Phase.MIGRATING, Phase.ROLLING_BACK, Phase.ROLLED_BACK)


def at_each(made: Record) -> Record:
    """Return the record with its steps an hour apart, the last one at 12:00."""
    last = len(made.steps) - 1
    steps = [replace(one, at=f"2026-03-02T{12 - last + n:02}:00:00Z") for n, one in enumerate(made.steps)]
    return replace(made, steps=tuple(steps))


@pytest.mark.parametrize(
    ("kind", "phases", "image", "since"),
    [
        ("deploy", FORWARD[:3], NEW, 12),
        ("deploy", FORWARD[:4], NEW, 11),
        ("deploy", FORWARD, NEW, 10),
        ("deploy", (*FORWARD, Phase.DEPLOYED), NEW, 9),
        ("deploy", BACK, OLD, 12),
        ("deploy", (*BACK, Phase.ROLLED_BACK), OLD, 11),
        ("deploy", (*BACK, Phase.ROLLBACK_FAILED), OLD, 11),
        ("rollback", (Phase.RECORDED, Phase.ROLLING_BACK), NEW, 12),
        ("rollback", (Phase.RECORDED, Phase.ROLLING_BACK, Phase.ROLLED_BACK), NEW, 11),
    ],
    ids=lambda value: str(value[-1]) if isinstance(value, tuple) else None,
)
def test_what_should_run(kind: str, phases: tuple[Phase, ...], image: str, since: int) -> None:
    """Forward it is the new image, back the one before, since it was applied last."""
    platform = Platform()
    platform.deployed_by(at_each(record(*phases, kind=kind)))
    deployed = platform.read()

    assert deployed.images == {"api": image}
    assert deployed.version == ("1.1.0" if image == NEW else "1.0.0")
    assert deployed.since == datetime(2026, 3, 2, since, tzinfo=UTC)
    assert deployed.source == f"{kind} 1, {phases[-1]}"


@pytest.mark.parametrize("phases", [FORWARD[:1], FORWARD[:2]])
def test_before_a_rollout_the_old_image_should_run(phases: tuple[Phase, ...]) -> None:
    """Nothing was applied: it runs since its pods were created."""
    platform = Platform()
    platform.deployed_by(record(*phases))
    deployed = platform.read()

    assert deployed.images == {"api": OLD}
    assert deployed.since == DEPLOYED_AT


@pytest.mark.parametrize(("reason", "minutes"), [("NewReplicaSetAvailable", 2), ("ReplicaSetUpdated", 0)])
def test_a_release_serves_alone_once_its_rollout_is_complete(reason: str, minutes: int) -> None:
    """Errors of the release before it, which a rollback replaces, are not its own."""
    platform = Platform()
    complete = stamp(DEPLOYED_AT + timedelta(minutes=2))
    progressing = {"type": "Progressing", "status": "True", "reason": reason, "lastUpdateTime": complete}
    platform.cluster.one("Deployment", "bais-api")["status"]["conditions"] = [progressing]

    assert platform.read().alone_since == DEPLOYED_AT + timedelta(minutes=minutes)


def schema(made: Record, *, log: str, pods: bool = True) -> str | None:
    """Return the revision that the last migration left."""
    platform = Platform()
    platform.deployed_by(made)
    platform.cluster.log = log
    if not pods:
        platform.cluster.objects.remove(platform.cluster.one("Pod", "migrate-1-x"))
    return platform.read().schema(cast("Cluster", platform.cluster))


def test_the_schema_is_that_of_the_migration_also_after_a_rollback() -> None:
    """It is the last revision of its log; that from before where it did nothing, failed, or was none."""
    upgrade = "Running upgrade 0002 -> 0003, x\nRunning upgrade 0003 -> 0004, y"
    deployed, back = record(*FORWARD, Phase.DEPLOYED), record(*BACK, Phase.ROLLED_BACK)

    assert schema(deployed, log=upgrade) == "0004"
    assert schema(back, log=upgrade) == "0004"
    assert schema(deployed, log="nothing to do") == "0002"
    assert schema(record(*NEVER), log=upgrade, pods=False) == "0002"
    assert schema(record(*FORWARD, Phase.DEPLOYED, job=""), log=upgrade) == "0002"
    assert schema(deployed, log=upgrade, pods=False) is None
