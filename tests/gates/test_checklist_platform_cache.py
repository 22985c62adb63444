"""The cache: its gate seen green, and red for each figure that is wrong."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from bais_gates.probes.cache_health import CacheHealth
from bais_gates.probes.redis import CacheError, CacheStatistics
from bais_gates.targets.parts import CacheSettings
from bais_gates.verdict.model import Outcome
from tests.gates.platform_bench import LIMITS, SILENT, Result, environment, judge, load

QUIET = CacheHealth(
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
    may={"bais_app": (), "gates_ro": ()},
    open_to_anybody=False,
)
INTENDED = CacheSettings(maxmemory_policy="allkeys-lru", persistence="none", maxmemory="64mb")


class Cache:
    """A cache that counts so many hits and misses, and takes so long for an operation."""

    def __init__(
        self, *, hits: int = 100, misses: int = 0, since: tuple[int, int] = (0, 0), ms: float = 0.2
    ) -> None:
        self.counted = [CacheStatistics(hits=since[0], misses=since[1], commands=1)]
        self.counted.append(CacheStatistics(hits=since[0] + hits, misses=since[1] + misses, commands=2))
        self.evicted = [0, 0]
        self.ms = ms

    def statistics(self) -> CacheStatistics:
        """Give the first reading, then the second."""
        return self.counted.pop(0)

    def info(self) -> dict[str, Any]:
        """Give the keys evicted at the first reading, then at the second."""
        return {"evicted_keys": self.evicted.pop(0)}

    def scratch(self, _run: str) -> SimpleNamespace:
        """Give operations that take as long as they were told to."""
        return SimpleNamespace(round_trip_ms=lambda: self.ms, read_ms=lambda: self.ms)


def cached(
    monkeypatch: pytest.MonkeyPatch,
    seen: CacheHealth | Exception = QUIET,
    *,
    cache: Cache | None = None,
    wanted: CacheSettings = INTENDED,
    rehearsal: bool = True,
) -> Result:
    """Judge a cache that is as ``seen``, or that can not be looked at."""

    def read(_cache: object) -> CacheHealth:
        if isinstance(seen, Exception):
            raise seen
        return seen

    monkeypatch.setattr(load("cache_configured").health, "read", read)
    return judge(
        "cache_configured",
        api=SILENT,
        cache=cache or Cache(),
        environment=environment(rehearsal=rehearsal, cache_settings=wanted),
        limits=LIMITS,
    )


def test_a_cache_as_intended_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check holds."""
    result = cached(monkeypatch)

    assert result.outcome is Outcome.PASS, str(result)
    assert len(result.checks) >= 15


def _info(**over: Any) -> CacheHealth:
    return replace(QUIET, info={**QUIET.info, **over})


def _set(**over: str) -> CacheHealth:
    return replace(
        QUIET, settings={**QUIET.settings, **{key.replace("_", "-"): value for key, value in over.items()}}
    )


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        pytest.param(_set(maxmemory="0"), "maxmemory", id="no bound"),
        pytest.param(_set(maxmemory="1000000000"), "maxmemory as intended", id="another bound"),
        pytest.param(_set(maxmemory_policy="noeviction"), "what happens at maxmemory", id="policy"),
        pytest.param(_info(used_memory=60 * 2**20), "memory used", id="full"),
        pytest.param(_info(evicted_keys=500), "keys evicted for a thousand commands", id="evictions"),
        pytest.param(
            _info(cmdstat_keys={"calls": 20, "usec_per_call": 25_000.0}), "slow commands", id="slow command"
        ),
        pytest.param(_info(connected_clients=9_000), "clients, of those it takes", id="clients"),
        pytest.param(_info(rejected_connections=3), "clients turned away", id="turned away"),
        pytest.param(_set(appendonly="yes"), "persistence", id="aof"),
        pytest.param(_set(save="3600 1"), "persistence", id="rdb"),
        pytest.param(_info(rdb_last_bgsave_status="err"), "writes to disk that failed", id="failed save"),
        pytest.param(replace(QUIET, open_to_anybody=True), "one without a password", id="open"),
        pytest.param(
            replace(QUIET, may={"bais_app": ("FLUSHALL",)}),
            "users who may run dangerous commands",
            id="dangerous",
        ),
    ],
)
def test_a_cache_fails_for_each_thing_that_is_wrong(
    seen: CacheHealth, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAIL, by the check that is about it."""
    result = cached(monkeypatch, seen)

    assert result.outcome is Outcome.FAIL, str(result)
    assert name in result.false


@pytest.mark.parametrize(
    ("cache", "outcome", "name"),
    [
        pytest.param(Cache(hits=90, misses=20), Outcome.FAIL, "look-ups that hit", id="misses"),
        pytest.param(Cache(hits=50), Outcome.NO_DATA, "look-ups that hit", id="few"),
        pytest.param(Cache(hits=0), Outcome.NO_DATA, "look-ups that hit", id="another cache"),
        pytest.param(Cache(ms=12.0), Outcome.FAIL, "operations, p95", id="slow"),
    ],
)
def test_look_ups_and_time_are_measured(
    cache: Cache, outcome: Outcome, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too few look-ups - or none, as the platform reads from another cache - are no data."""
    result = cached(monkeypatch, cache=cache)

    assert (result.outcome, result.false) == (outcome, [name]), str(result)


def test_evictions_while_it_is_looked_at_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys go now: the bound is too tight for what is there."""
    cache = Cache()
    cache.evicted = [5, 9]

    assert cached(monkeypatch, cache=cache).false == ["keys evicted meanwhile"]


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
def test_real_traffic_speaks_for_itself(
    since: tuple[int, int], rehearsal: bool, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is enough of it, and it is no rehearsal, the gate's own reads do not make it better."""
    result = cached(monkeypatch, cache=Cache(since=since), rehearsal=rehearsal)

    assert result.outcome is outcome, str(result)


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("maxmemory_policy", replace(INTENDED, maxmemory_policy=None)),
        ("persistence", replace(INTENDED, persistence=None)),
    ],
    ids=["policy", "persistence"],
)
def test_an_intention_that_nobody_stated_is_an_error(
    key: str, wanted: CacheSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the missing key."""
    result = cached(monkeypatch, wanted=wanted)

    assert result.outcome is Outcome.ERROR
    assert key in str(result.error)


def test_a_cache_that_can_not_be_looked_at_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """ERROR, with the probe's own words."""
    assert cached(monkeypatch, CacheError("forbids it: acl|dryrun")).outcome is Outcome.ERROR
