"""Test that each fault of the cache fails its gate."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from bais_gates.probes.cache_health import CacheHealth
from bais_gates.probes.redis import CacheError, CacheRefusedError, CacheStatistics
from bais_gates.rules.cache import Permission
from bais_gates.targets.parts import CachePart, CacheSettings
from bais_gates.verdict.model import Outcome
from tests.gates.platform_bench import CLUSTER, LIMITS, SILENT, FakeCluster, Result, environment, judge, load

WRITE = frozenset({"write"})
HEALTHY = CacheHealth(
    info={
        "used_memory": 10 * 2**20,
        "connected_clients": 4,
        "total_commands_processed": 5_000,
        "evicted_keys": 0,
        "rejected_connections": 0,
        "rdb_last_bgsave_status": "ok",
        "cmdstat_get": {"calls": 4_000, "usec_per_call": 3.0},
    },
    settings={
        "maxmemory": str(64 * 2**20),
        "maxmemory-policy": "allkeys-lru",
        "save": "",
        "appendonly": "no",
        "maxclients": "10000",
    },
    user="gates_ro",
    permissions={
        "bais_app": (Permission(command="set", categories=WRITE),),
        "gates_ro": (Permission(command="set", categories=WRITE, everywhere=False),),
    },
    open_users=(),
    accepts_unauthenticated=False,
    writable_keys={"gates_ro": (0, 10)},
    monitors=(),
)
CONFIGURED = CacheSettings(
    maxmemory_policy="allkeys-lru", persistence="none", maxmemory="64mb", application_users=("bais_app",)
)
DECLARED = {
    "config": {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "bais-redis", "namespace": "bais"},
        "data": {"redis.conf": 'port 6379\nmaxmemory 64mb\nsave ""\n'},
    },
    "set": {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "bais-redis", "namespace": "bais"},
        "spec": {"replicas": 1},
    },
}


class Cache:
    """A cache with given hits, misses and operation time."""

    def __init__(
        self, *, hits: int = 100, misses: int = 0, since: tuple[int, int] = (0, 0), ms: float = 0.2
    ) -> None:
        self.counted = [CacheStatistics(hits=since[0], misses=since[1], commands=1)]
        self.counted.append(CacheStatistics(hits=since[0] + hits, misses=since[1] + misses, commands=2))
        self.evicted = [0, 0]
        self.ms = ms
        self.running = {"maxmemory": str(64 * 2**20), "save": ""}

    def settings(self, *_names: str) -> dict[str, str]:
        """Return the settings in effect."""
        return self.running

    def statistics(self) -> CacheStatistics:
        """Return the first reading, then the second."""
        return self.counted.pop(0)

    def info(self) -> dict[str, Any]:
        """Return the evicted keys at the first reading, then at the second."""
        return {"evicted_keys": self.evicted.pop(0)}

    def scratch(self, _run: str) -> SimpleNamespace:
        """Return operations that take the given time."""
        return SimpleNamespace(round_trip_ms=lambda: self.ms, read_ms=lambda: self.ms)


def run_gate(
    monkeypatch: pytest.MonkeyPatch,
    state: CacheHealth | Exception = HEALTHY,
    *,
    cache: Cache | None = None,
    wanted: CacheSettings = CONFIGURED,
    rehearsal: bool = True,
    declared: dict[str, dict[str, Any]] | None = None,
) -> Result:
    """Run the gate on a cache with this state, or one that cannot be read."""

    def read(_cache: object) -> CacheHealth:
        if isinstance(state, Exception):
            raise state
        return state

    monkeypatch.setattr(load("cache_configured").health, "read", read)
    return judge(
        "cache_configured",
        api=SILENT,
        cache=cache or Cache(),
        cluster=FakeCluster(DECLARED if declared is None else declared),
        environment=environment(
            rehearsal=rehearsal,
            cache_settings=wanted,
            cache=CachePart(url="rediss://cache.example:6379/0"),
            kubernetes=CLUSTER,
        ),
        limits=LIMITS,
    )


def test_a_cache_as_configured_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check holds."""
    result = run_gate(monkeypatch)

    assert result.outcome is Outcome.PASS, str(result)
    assert len(result.checks) >= 15


def _info(**over: Any) -> CacheHealth:
    return replace(HEALTHY, info={**HEALTHY.info, **over})


def _set(**over: str) -> CacheHealth:
    return replace(
        HEALTHY,
        settings={**HEALTHY.settings, **{key.replace("_", "-"): value for key, value in over.items()}},
    )


def _may(*, admin: bool = False, **users: str) -> CacheHealth:
    """Let users run one more command each."""
    categories = frozenset({"dangerous"}) if admin else WRITE
    more = {user: (Permission(command=command, categories=categories),) for user, command in users.items()}
    return replace(HEALTHY, permissions={**HEALTHY.permissions, **more})


@pytest.mark.parametrize(
    ("state", "name"),
    [
        pytest.param(_set(maxmemory="0"), "memory limit (maxmemory)", id="no limit"),
        pytest.param(
            _set(maxmemory="1000000000"), "maxmemory as in the environment file", id="another limit"
        ),
        pytest.param(_set(maxmemory_policy="noeviction"), "eviction policy", id="policy"),
        pytest.param(_info(used_memory=60 * 2**20), "memory usage", id="full"),
        pytest.param(_info(evicted_keys=500), "evicted keys per 1000 commands", id="evictions"),
        pytest.param(
            _info(cmdstat_keys={"calls": 20, "usec_per_call": 25_000.0}), "slow commands", id="slow command"
        ),
        pytest.param(
            _info(cmdstat_eval={"calls": 4, "usec_per_call": 350_000.0}), "slow commands", id="slow scripts"
        ),
        pytest.param(_info(connected_clients=9_000), "connected clients / maxclients", id="clients"),
        pytest.param(_info(rejected_connections=3), "rejected connections (maxclients)", id="rejected"),
        pytest.param(_set(appendonly="yes"), "persistence (save, appendonly)", id="aof"),
        pytest.param(_set(save="3600 1"), "persistence (save, appendonly)", id="rdb"),
        pytest.param(_info(rdb_last_bgsave_status="err"), "failed writes to disk", id="failed save"),
        pytest.param(replace(HEALTHY, accepts_unauthenticated=True), "unauthenticated connection", id="open"),
        pytest.param(
            _may(bais_app="flushall", admin=True), "users allowed to run dangerous commands", id="dangerous"
        ),
        pytest.param(_may(gates_ro="set"), "readers allowed to write", id="own user"),
        pytest.param(_may(other="hset"), "readers allowed to write", id="another user"),
        pytest.param(
            replace(HEALTHY, open_users=("x: any password (nopass)",)),
            "users without a secret password",
            id="no password",
        ),
        pytest.param(
            replace(HEALTHY, writable_keys={"gates_ro": (1, 9)}),
            "keys that gates_ro may overwrite",
            id="keys",
        ),
        pytest.param(
            replace(HEALTHY, monitors=("a from b",)), "clients that read all commands", id="monitor"
        ),
        pytest.param(_set(protected_mode="no"), "unsafe settings", id="protected mode"),
        pytest.param(_set(port="6379"), "unsafe settings", id="port without TLS"),
        pytest.param(_info(role="slave", master_host="192.0.2.1"), "replication", id="replica"),
        pytest.param(_info(connected_slaves=1), "replication", id="unknown replica"),
    ],
)
def test_each_fault_fails_its_check(state: CacheHealth, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAIL, by the fault's own check."""
    result = run_gate(monkeypatch, state)

    assert result.outcome is Outcome.FAIL, str(result)
    assert name in result.false


@pytest.mark.parametrize(
    ("cache", "outcome", "name"),
    [
        pytest.param(Cache(hits=90, misses=20), Outcome.FAIL, "cache hit ratio", id="misses"),
        pytest.param(Cache(hits=50), Outcome.NO_DATA, "cache hit ratio", id="few"),
        pytest.param(Cache(hits=0), Outcome.NO_DATA, "cache hit ratio", id="another cache"),
        pytest.param(Cache(ms=12.0), Outcome.FAIL, "p95 latency (cache operation)", id="slow"),
    ],
)
def test_hit_ratio_and_latency_are_measured(
    cache: Cache, outcome: Outcome, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too few lookups, or none as the platform uses another cache, are NO_DATA."""
    result = run_gate(monkeypatch, cache=cache)

    assert (result.outcome, result.false) == (outcome, [name]), str(result)


def test_evictions_during_the_measurement_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are evicted now: the memory limit is too low."""
    cache = Cache()
    cache.evicted = [5, 9]

    assert run_gate(monkeypatch, cache=cache).false == ["evicted keys (during the measurement)"]


@pytest.mark.parametrize(
    ("since", "rehearsal", "outcome"),
    [
        ((5_000, 5_000), False, Outcome.FAIL),
        ((9_500, 500), False, Outcome.PASS),
        ((5_000, 5_000), True, Outcome.PASS),
        ((50, 50), False, Outcome.PASS),
    ],
    ids=["real misses", "real hits", "rehearsal", "idle"],
)
def test_real_traffic_is_judged_if_there_is_enough(
    since: tuple[int, int], rehearsal: bool, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate's own reads do not improve it, except in a rehearsal or on an idle target."""
    result = run_gate(monkeypatch, cache=Cache(since=since), rehearsal=rehearsal)

    assert result.outcome is outcome, str(result)


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("maxmemory_policy", replace(CONFIGURED, maxmemory_policy=None)),
        ("persistence", replace(CONFIGURED, persistence=None)),
    ],
    ids=["policy", "persistence"],
)
def test_a_missing_setting_is_an_error(
    key: str, wanted: CacheSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the missing key."""
    result = run_gate(monkeypatch, wanted=wanted)

    assert result.outcome is Outcome.ERROR
    assert key in str(result.error)


def test_a_setting_that_differs_from_redis_conf_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """CONFIG SET does not survive a restart; a namespace without that ConfigMap has nothing to compare."""
    cache = Cache()
    cache.running["save"] = "60 1"
    result = run_gate(monkeypatch, cache=cache)

    assert result.false == ["settings that differ from redis.conf"]
    assert "save: 60 1 in effect, empty declared" in str(result)
    assert run_gate(monkeypatch, declared={}).outcome is Outcome.PASS


def test_a_cache_that_refuses_everybody_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica, or one that waits for a replica, refuses writes: FAIL with its answer, not ERROR."""
    result = run_gate(monkeypatch, CacheRefusedError("max number of clients reached"))

    assert (result.outcome, result.false) == (Outcome.FAIL, ["commands that the cache refuses"])


def test_a_cache_that_cannot_be_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """ERROR, with the probe's message."""
    assert run_gate(monkeypatch, CacheError("forbids it: acl|dryrun")).outcome is Outcome.ERROR
