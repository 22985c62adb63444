"""Whether the cache is set up as intended: bounded, hit, quick, and closed to whoever may not be there."""

from __future__ import annotations

import secrets
from typing import Final

import pytest

from bais_gates import CacheSettings, Environment, Evidence, Limits
from bais_gates.bais import Api
from bais_gates.probes import Cache, CacheForbiddenError, CacheHealth, CacheStatistics, percentile
from bais_gates.probes import cache_health as health
from bais_gates.rules import cache as cache_rules

MEMORY_USED: Final = 0.85
CLIENTS_USED: Final = 0.8
HIT_RATE: Final = 0.9
EVICTED_PER_THOUSAND: Final = 1.0
REAL_TRAFFIC: Final = 10_000
"""Look-ups since the server's start from which on they speak for the platform's own traffic."""
TIMED: Final = 100
STATUS: Final = "/api/v1/system/status"


@pytest.mark.gate("checklist.cache_configured")
def test_cache_configured(
    api: Api, cache: Cache, environment: Environment, limits: Limits, evidence: Evidence
) -> None:
    """The cache keeps below its bound, answers most look-ups, at once, and lets in only those who may."""
    wanted = environment.cache_settings
    hits(api, cache, environment, evidence)
    speed(cache, limits, evidence)
    seen = health.read(cache)
    memory(seen, wanted, environment, evidence)
    server_side(seen, limits, evidence)
    persistence(seen, wanted, environment, evidence)
    closed(seen, wanted, evidence)


def hits(api: Api, cache: Cache, environment: Environment, evidence: Evidence) -> None:
    """Check that look-ups hit, and that nothing was evicted meanwhile.

    Real traffic, where there is enough of it, speaks for itself. Where there is not (a rehearsal, an idle
    target), requests that only read are sent through the platform, and what its cache counts meanwhile is
    judged.
    """
    n_min = environment.cache_settings.hit_rate_samples
    since_start = cache.statistics()
    looked_up = since_start.hits + since_start.misses
    before = cache.info()["evicted_keys"]
    own = own_reads(api, cache, since_start, n_min)
    if looked_up >= REAL_TRAFFIC and not environment.rehearsal:
        rate, n, source = since_start.hit_ratio, looked_up, "INFO stats, since the server's start"
    else:
        rate, n = own
        source = f"INFO stats, while {STATUS} was asked for {n_min} times"
    evidence.check("look-ups that hit", rate, ">", HIT_RATE, n=n, n_min=n_min, source=source)
    evidence.check(
        "keys evicted meanwhile",
        int(cache.info()["evicted_keys"]) - int(before),
        "==",
        0,
        source="INFO stats",
    )


def own_reads(api: Api, cache: Cache, before: CacheStatistics, count: int) -> tuple[float, int]:
    """Have the platform read from its cache ``count`` times; give the share that hit, and the look-ups."""
    for _ in range(count):
        api.get(STATUS)
    return cache_rules.hit_ratio_between(before, cache.statistics())


def speed(cache: Cache, limits: Limits, evidence: Evidence) -> None:
    """Time operations from here, the way there and back included."""
    scratch = cache.scratch(secrets.token_hex(4))
    operation, words = scratch.round_trip_ms, "the slowest of set, get and delete"
    try:
        operation()
    except CacheForbiddenError:
        operation, words = scratch.read_ms, "get; the access allows no writing"
    taken = [operation() for _ in range(TIMED)]
    evidence.check(
        "operations, p95",
        percentile(taken, 95),
        "<=",
        limits.cache_operation_ms,
        unit="ms",
        n=len(taken),
        n_min=TIMED,
        source=words,
    )


def memory(seen: CacheHealth, wanted: CacheSettings, environment: Environment, evidence: Evidence) -> None:
    """Check that memory has a bound, what happens at it, and that it is not reached."""
    if wanted.maxmemory_policy is None:
        raise environment.missing("cache_settings.maxmemory_policy")
    source = "CONFIG GET"
    evidence.check("maxmemory", seen.maxmemory, ">", 0, unit="bytes", source=source)
    if wanted.maxmemory is not None:
        evidence.check(
            "maxmemory as intended",
            seen.maxmemory,
            "==",
            cache_rules.parse_memory(wanted.maxmemory),
            unit="bytes",
            source=source,
        )
    evidence.check(
        "what happens at maxmemory",
        seen.settings["maxmemory-policy"],
        "==",
        wanted.maxmemory_policy,
        source=source,
    )
    evidence.check(
        "memory used", seen.memory_used, "<", MEMORY_USED, source="INFO memory, used_memory of maxmemory"
    )
    evidence.check(
        "keys evicted for a thousand commands",
        seen.evicted_per_thousand,
        "<=",
        EVICTED_PER_THOUSAND,
        n=int(seen.info["total_commands_processed"]),
        source="INFO stats, since the server's start",
    )


def server_side(seen: CacheHealth, limits: Limits, evidence: Evidence) -> None:
    """Check how long the server itself takes, and that it takes in everybody."""
    evidence.check(
        "slow commands",
        cache_rules.slow_commands(seen.info, max_ms=limits.cache_operation_ms),
        "==",
        [],
        n=cache_rules.count_calls(seen.info),
        n_min=TIMED,
        source=f"INFO commandstats, mean above {limits.cache_operation_ms:g} ms",
    )
    evidence.check(
        "clients, of those it takes", seen.clients_used, "<=", CLIENTS_USED, source="INFO clients, maxclients"
    )
    evidence.check(
        "clients turned away", int(seen.info["rejected_connections"]), "==", 0, source="INFO stats"
    )


def persistence(
    seen: CacheHealth, wanted: CacheSettings, environment: Environment, evidence: Evidence
) -> None:
    """Check that what is written to disk is what was meant to be, and that writing works."""
    if wanted.persistence is None:
        raise environment.missing("cache_settings.persistence")
    evidence.check(
        "persistence", seen.persistence, "==", wanted.persistence, source="CONFIG GET save, appendonly"
    )
    evidence.check(
        "writes to disk that failed",
        cache_rules.failed_writes(seen.info),
        "==",
        [],
        source="INFO persistence",
    )


def closed(seen: CacheHealth, wanted: CacheSettings, evidence: Evidence) -> None:
    """Check that nobody gets in without a password, and that only those who administer may do harm."""
    stranger = "is let in" if seen.accepts_unauthenticated else "is refused"
    evidence.check(
        "one without a password", stranger, "==", "is refused", source="PING on a connection of its own"
    )
    evidence.check(
        "users who may run dangerous commands",
        cache_rules.dangerous_users(seen.allowed_commands, wanted.admin_users),
        "==",
        [],
        n=len(seen.allowed_commands),
        source=f"ACL DRYRUN; who administers: {list(wanted.admin_users)}",
    )
