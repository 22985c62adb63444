"""Check the cache: memory limit, hit ratio, latency, persistence and access as configured."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Final

import pytest

from bais_gates import CacheSettings, Environment, Evidence, Limits
from bais_gates.bais import Api
from bais_gates.probes import (
    Cache,
    CacheForbiddenError,
    CacheHealth,
    CacheRefusedError,
    CacheStatistics,
    Cluster,
    percentile,
)
from bais_gates.probes import cache_health as health
from bais_gates.rules import cache as rules
from bais_gates.staging import workload

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MEMORY_USAGE: Final = 0.85
MAX_CLIENT_USAGE: Final = 0.8
MIN_HIT_RATIO: Final = 0.9
MAX_EVICTED_PER_THOUSAND: Final = 1.0
REAL_TRAFFIC: Final = 10_000
"""Lookups since the server's start from which on its own counters are representative."""
TIMED: Final = 100
STATUS: Final = "/api/v1/system/status"


@pytest.mark.gate("checklist.cache_configured")
def test_cache_configured(
    *,
    api: Api,
    cache: Cache,
    cluster: Cluster,
    environment: Environment,
    limits: Limits,
    evidence: Evidence,
) -> None:
    """The cache has a memory limit, a high hit ratio and low latency, and gives each user only its rights."""
    settings = environment.cache_settings
    with refusals(evidence):
        check_hit_ratio(api, cache, environment, evidence)
        check_latency(cache, limits, evidence)
    with refusals(evidence):
        state = health.read(cache)
        check_memory(state, settings, environment, evidence)
        check_server(state, limits, evidence)
        check_persistence(state, settings, environment, evidence)
        check_settings(state, cache, cluster, environment, evidence)
        check_access(state, settings, evidence)


@contextlib.contextmanager
def refusals(evidence: Evidence) -> Iterator[None]:
    """Record it as a false check, and end these checks, if the cache refuses a command to everybody."""
    try:
        yield
    except CacheRefusedError as e:
        source = "redis.conf: replicaof, min-replicas-to-write, maxmemory, maxclients"
        evidence.check("commands that the cache refuses", str(e), "==", "none", source=source)


def check_hit_ratio(api: Api, cache: Cache, environment: Environment, evidence: Evidence) -> None:
    """Check the hit ratio, and that nothing is evicted meanwhile.

    The counters since the server's start are judged if they are of enough real traffic. Otherwise (in a
    rehearsal, or on an idle target) read-only requests are sent, and the lookups meanwhile are judged.
    """
    n_min = environment.cache_settings.hit_rate_samples
    since_start = cache.statistics()
    lookups = since_start.hits + since_start.misses
    before = cache.info()["evicted_keys"]
    own = read_through_platform(api, cache, since_start, n_min)
    if lookups >= REAL_TRAFFIC and not environment.rehearsal:
        ratio, n, source = since_start.hit_ratio, lookups, "INFO stats since the server's start"
    else:
        ratio, n = own
        source = f"INFO stats during {n_min} requests GET {STATUS}"
    evidence.check("cache hit ratio", ratio, ">", MIN_HIT_RATIO, n=n, n_min=n_min, source=source)
    evicted = int(cache.info()["evicted_keys"]) - int(before)
    evidence.check("evicted keys (during the measurement)", evicted, "==", 0, source="INFO stats")


def read_through_platform(api: Api, cache: Cache, before: CacheStatistics, count: int) -> tuple[float, int]:
    """Have the platform read its cache ``count`` times; return the hit ratio meanwhile and the lookups."""
    for _ in range(count):
        api.get(STATUS)
    return rules.hit_ratio_between(before, cache.statistics())


def check_latency(cache: Cache, limits: Limits, evidence: Evidence) -> None:
    """Check the latency of operations from here, network included."""
    scratch = cache.scratch(secrets.token_hex(4))
    operation, source = scratch.round_trip_ms, "the slowest of SET, GET and DEL"
    try:
        operation()
    except CacheForbiddenError:
        operation, source = scratch.read_ms, "GET, as the user may not write"
    taken = [operation() for _ in range(TIMED)]
    p95, limit = percentile(taken, 95), limits.cache_operation_ms
    name = "p95 latency (cache operation)"
    evidence.check(name, p95, "<=", limit, unit="ms", n=len(taken), n_min=TIMED, source=source)


def check_memory(
    state: CacheHealth, settings: CacheSettings, environment: Environment, evidence: Evidence
) -> None:
    """Check that memory has a limit, with the configured policy, and that it is not reached."""
    if settings.maxmemory_policy is None:
        raise environment.missing("cache_settings.maxmemory_policy")
    source = "CONFIG GET"
    evidence.check("memory limit (maxmemory)", state.maxmemory, ">", 0, unit="bytes", source=source)
    if settings.maxmemory is not None:
        configured = rules.parse_memory(settings.maxmemory)
        name = "maxmemory as in the environment file"
        evidence.check(name, state.maxmemory, "==", configured, unit="bytes", source=source)
    policy = state.settings["maxmemory-policy"]
    evidence.check("eviction policy", policy, "==", settings.maxmemory_policy, source=source)
    source = "INFO memory: used_memory / maxmemory"
    evidence.check("memory usage", state.memory_used, "<", MAX_MEMORY_USAGE, source=source)
    evidence.check(
        "evicted keys per 1000 commands",
        state.evicted_per_thousand,
        "<=",
        MAX_EVICTED_PER_THOUSAND,
        n=int(state.info["total_commands_processed"]),
        source="INFO stats since the server's start",
    )


def check_server(state: CacheHealth, limits: Limits, evidence: Evidence) -> None:
    """Check the server's own command times, and that it rejects no clients."""
    evidence.check(
        "slow commands",
        rules.slow_commands(state.info, max_ms=limits.cache_operation_ms),
        "==",
        [],
        n=rules.count_calls(state.info),
        n_min=TIMED,
        source=f"INFO commandstats: mean above {limits.cache_operation_ms:g} ms",
    )
    source = "INFO clients, maxclients"
    evidence.check(
        "connected clients / maxclients", state.clients_used, "<=", MAX_CLIENT_USAGE, source=source
    )
    rejected = int(state.info["rejected_connections"])
    evidence.check("rejected connections (maxclients)", rejected, "==", 0, source="INFO stats")


def check_persistence(
    state: CacheHealth, settings: CacheSettings, environment: Environment, evidence: Evidence
) -> None:
    """Check that persistence is as configured, and that writes to disk succeed."""
    if settings.persistence is None:
        raise environment.missing("cache_settings.persistence")
    source = "CONFIG GET save, appendonly"
    evidence.check(
        "persistence (save, appendonly)", state.persistence, "==", settings.persistence, source=source
    )
    failed = rules.failed_writes(state.info)
    evidence.check("failed writes to disk", failed, "==", [], source="INFO persistence")


def check_settings(
    state: CacheHealth, cache: Cache, cluster: Cluster, environment: Environment, evidence: Evidence
) -> None:
    """Check settings that protect the server, those of its ConfigMap, and that it is a primary."""
    tls = rules.is_encrypted(environment.cache.url) is True
    unsafe = rules.unsafe_settings(state.settings, tls=tls)
    source = "CONFIG GET; Redis documentation, Redis security and redis.conf"
    evidence.check("unsafe settings", unsafe, "==", [], n=len(state.settings), source=source)
    part = environment.kubernetes
    name = part.names.cache
    found = cluster.named("v1", "ConfigMap", name, part.namespace)
    text = ((found or {}).get("data") or {}).get("redis.conf")
    if text is None:
        evidence.attach(
            "redis.conf", f"The namespace {part.namespace} has no ConfigMap {name} with redis.conf."
        )
    else:
        declared = {
            key: value for key, value in workload.redis_settings(text).items() if key not in NOT_COMPARED
        }
        differing = rules.setting_differences(declared, cache.settings(*declared))
        source = f"CONFIG GET; ConfigMap {name}"
        evidence.check("settings that differ from redis.conf", differing, "==", [], source=source)
    stateful_set = cluster.named("apps/v1", "StatefulSet", name, part.namespace)
    replicas = None if stateful_set is None else int(stateful_set["spec"].get("replicas", 1)) - 1
    faults = rules.replication_faults(state.info, state.settings, replicas=replicas)
    source = f"INFO replication; StatefulSet {name}"
    evidence.check("replication", faults, "==", [], source=source)


def check_access(state: CacheHealth, settings: CacheSettings, evidence: Evidence) -> None:
    """Check that every connection needs a password, and what each user may do."""
    anonymous = "accepted" if state.accepts_unauthenticated else "refused"
    source = "HELLO on a new connection"
    evidence.check("unauthenticated connection", anonymous, "==", "refused", source=source)
    n, source = len(state.permissions), "AUTH with made-up and well-known passwords"
    evidence.check("users without a secret password", list(state.open_users), "==", [], n=n, source=source)
    admins = settings.admin_users
    evidence.check(
        "users allowed to run dangerous commands",
        rules.dangerous_users(state.permissions, admins),
        "==",
        [],
        n=n,
        source=f"ACL DRYRUN of every command; admin users: {', '.join(admins) or 'none'}",
    )
    application = settings.application_users
    writers = rules.writers(
        state.permissions,
        own=state.user,
        application=None if application is None else (*application, *admins),
        overwritable={user: keys for user, (keys, _) in state.writable_keys.items()},
    )
    named = "not described" if application is None else ", ".join(application) or "none"
    source = f"ACL DRYRUN of every command; application users: {named}"
    evidence.check("readers allowed to write", writers, "==", [], n=n, source=source)
    writable, looked_at = state.writable_keys.get(state.user, (0, 0))
    source = f"ACL DRYRUN on {looked_at} existing keys"
    evidence.check(f"keys that {state.user} may overwrite", writable, "==", 0, source=source)
    source = "CLIENT LIST, flag O"
    evidence.check("clients that read all commands", list(state.monitors), "==", [], source=source)


NOT_COMPARED: Final = frozenset(
    {"port", "bind", "dir", "aclfile", "include", "pidfile", "logfile", "unixsocket", "user", "loadmodule"}
    | {"requirepass", "masterauth", "masteruser", "tls-port", "tls-cert-file", "tls-key-file", "daemonize"}
    | {"tls-ca-cert-file", "tls-ca-cert-dir", "tls-key-file-pass", "client-output-buffer-limit"}
)
"""Directives that name secrets, or files and ports of the container; those that may have several lines."""
