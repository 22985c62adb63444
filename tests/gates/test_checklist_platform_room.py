"""Room: its gate seen green on a healthy platform, and red for each thing that is short."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.targets.parts import CapacityPart
from bais_gates.verdict.model import Outcome
from tests.gates.platform_bench import FakeCluster, Result, environment, judge, load, platform_parts
from tests.rules import platform_objects as objects

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Objects = dict[str, dict[str, Any]]


class Database:
    """A database that says of itself what a test wants."""

    def __init__(self, **over: int) -> None:
        self.told = {"most": 100, "open": 30, "size": 100 * 2**20, **over}

    def value(self, _sql: str) -> int:
        """Give the bytes of all databases."""
        return self.told["size"]

    def max_connections(self) -> int:
        """Give the most connections."""
        return self.told["most"]

    def all_connections(self) -> int:
        """Give those that are open."""
        return self.told["open"]


def roomy(
    monkeypatch: pytest.MonkeyPatch,
    tmp: Path,
    spoil: Callable[[Objects], Any] = lambda _all: None,
    *,
    maxmemory: int = 512 * 2**20,
    database: Database | None = None,
    **parts: Any,
) -> Result:
    """Judge the room of a platform, spoilt or not."""
    everything = objects.platform()
    spoil(everything)
    module = load("capacity_planning")
    monkeypatch.setattr(module.cache_health, "read", lambda _cache: SimpleNamespace(maxmemory=maxmemory))
    return judge(
        "capacity_planning",
        cluster=FakeCluster(everything),
        database=database or Database(),
        cache=None,
        environment=environment(**(platform_parts(tmp) | parts)),
    )


def test_a_healthy_platform_has_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every check holds."""
    result = roomy(monkeypatch, tmp_path)

    assert result.outcome is Outcome.PASS, str(result)
    assert len(result.checks) >= 15


def _requests(everything: Objects, cpu: str) -> None:
    for name in ("pod1", "pod2", "pod3"):
        everything[name]["spec"]["containers"][0]["resources"] = objects.resources(cpu, "1Gi")


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        pytest.param(
            lambda o: o.pop("autoscaler"), "Deployment bais-api and its autoscaler", id="no autoscaler"
        ),
        pytest.param(
            lambda o: o["pod1"]["spec"]["containers"][0].pop("resources"),
            "containers without requests and limits",
            id="no limits",
        ),
        pytest.param(
            lambda o: o["pod1"]["status"].update(conditions=[objects.condition("PodScheduled", "False")]),
            "pods that no node has room for",
            id="pending",
        ),
        pytest.param(
            lambda o: o["n2"]["status"]["conditions"][2].update(status="True"),
            "nodes that are not well",
            id="disk pressure",
        ),
        pytest.param(lambda o: _requests(o, "3500m"), "processors requested", id="processors full"),
        pytest.param(
            lambda o: _requests(o, "2500m"), "what runs, with any one node lost", id="no node to spare"
        ),
        pytest.param(
            lambda o: o["autoscaler"]["spec"].update(maxReplicas=2),
            "most replicas, for 1000 users and 500 requests/s",
            id="autoscaler too low",
        ),
        pytest.param(
            lambda o: o["autoscaler"]["status"].update(currentReplicas=5),
            "replicas now, below the most",
            id="at its most",
        ),
        pytest.param(
            lambda o: o["deployment"]["spec"]["template"]["spec"]["containers"][0].update(
                resources=objects.resources("3900m", "1Gi")
            ),
            "replicas that can still be placed",
            id="no place",
        ),
        pytest.param(
            lambda o: o["autoscaler"]["spec"].update(maxReplicas=9),
            "connections of all replicas",
            id="connections",
        ),
        pytest.param(
            lambda o: o["configuration"]["data"].update(DATABASE_POOL="20"),
            "connections a replica may open, as configured",
            id="pool",
        ),
        pytest.param(
            lambda o: o["data"]["status"]["capacity"].update(storage="110Mi"),
            "volume data-bais-postgres-0, used",
            id="disk full",
        ),
        pytest.param(
            lambda o: o["cache"]["spec"]["containers"][0].update(resources=objects.resources("1", "600Mi")),
            "cache's memory, of its container's",
            id="cache above its container",
        ),
        pytest.param(
            lambda o: o.update(
                quota=objects.named(
                    "ResourceQuota", "q", "v1", status={"hard": {"pods": "4"}, "used": {"pods": "4"}}
                )
            ),
            "quotas that are nearly used up",
            id="quota",
        ),
    ],
)
def test_room_fails_for_each_thing_that_is_short(
    spoil: Callable[[Objects], Any], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """FAIL, by the check that is about it."""
    result = roomy(monkeypatch, tmp_path, spoil)

    assert result.outcome is Outcome.FAIL, str(result)
    assert name in result.false


def test_connections_are_capped_however_large_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """800 at most, also where max_connections would allow more."""
    result = roomy(
        monkeypatch,
        tmp_path,
        lambda o: o["configuration"]["data"].update(DATABASE_POOL="160"),
        database=Database(most=5000),
        capacity=CapacityPart(requests_per_s_per_replica=250, connections_per_replica=160),
    )

    assert result.false == ["connections of all replicas, at all"]


def test_connections_of_somebody_else_are_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """More than all replicas could open."""
    assert roomy(monkeypatch, tmp_path, database=Database(open=95)).false == ["connections open now"]


def test_a_volume_that_is_not_bound_gives_no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What can not be seen is not taken for room."""
    result = roomy(monkeypatch, tmp_path, lambda o: o["backups"]["status"].update(phase="Pending"))

    assert result.outcome is Outcome.NO_DATA
    assert result.false == ["volume bais-backups, used"]


@pytest.mark.parametrize("key", ["requests_per_s_per_replica", "connections_per_replica"])
def test_a_figure_that_nobody_stated_is_an_error(
    key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The message names the missing key."""
    stated: dict[str, Any] = {"requests_per_s_per_replica": 250, "connections_per_replica": 12, key: None}
    result = roomy(monkeypatch, tmp_path, capacity=CapacityPart(**stated))

    assert result.outcome is Outcome.ERROR
    assert key in str(result.error)
