"""The staged Redis: up, reachable, its own, with the settings it was given, closed to strangers."""

from __future__ import annotations

import pytest

from bais_gates import Evidence
from bais_gates.probes import Cache, cache_health
from bais_gates.rules import cache as rules
from bais_gates.staging import StagedPlatform, Step, is_ready, judge, workload

NAME = "bais-redis"
ANSWERS_WITHIN_MS = 1000.0
"""A sign of life, no measurement."""


@pytest.mark.gate("staging.cache")
def test_cache(staging: StagedPlatform, evidence: Evidence) -> None:
    """The staged cache is up, answers those it knows alone, and runs with the limits it was given."""
    staging.require(Step.CACHE, evidence)
    stateful_set = staging.named("apps/v1", "StatefulSet", NAME)
    evidence.require("StatefulSet", judge(stateful_set).state if stateful_set else "absent", "==", "ready")
    pods = staging.list("v1", "Pod", "cache")
    evidence.check("pods that are ready", sum(map(is_ready, pods)), "==", len(pods), n=len(pods))
    evidence.check("restarts", workload.restarts(pods), "==", 0, n=len(pods))
    if stateful_set:
        running = workload.digests_running(pods)
        evidence.check("image running", running, "==", workload.digests_meant(stateful_set))
    with staging.cache() as cache:
        evidence.check("PING", cache.ping_ms(), "<=", ANSWERS_WITHIN_MS, unit="ms")
        _is_as_configured(staging, cache, evidence)


def _is_as_configured(staging: StagedPlatform, cache: Cache, evidence: Evidence) -> None:
    health = cache_health.read(cache)
    declared = workload.cache_settings(staging.reach.configuration(NAME).get("redis.conf", ""))
    source = "ConfigMap bais-redis against CONFIG GET"
    wanted = rules.parse_memory(declared.get("maxmemory", "0"))
    evidence.check("maxmemory", health.maxmemory, "==", wanted, unit="bytes", source=source)
    evidence.check("maxmemory is a limit", health.maxmemory, ">", 0, unit="bytes")
    policy = declared.get("maxmemory-policy", "noeviction")
    evidence.check("maxmemory-policy", health.settings["maxmemory-policy"], "==", policy, source=source)
    strangers = "answered" if health.accepts_unauthenticated else "refused"
    evidence.check("one without a password", strangers, "==", "refused")
    dangerous = rules.dangerous_users(health.allowed_commands, ())
    evidence.check(
        "users who may run dangerous commands", dangerous, "==", [], n=len(health.allowed_commands)
    )
    known = staging.environment
    if not known.describes("cache") or known.kubernetes.namespace == staging.namespace:
        evidence.attach("the target's cache", "The environment file describes no other cache.")
        return
    with Cache(known.cache.url) as other:
        evidence.check("server", str(health.info.get("run_id")), "!=", str(other.info().get("run_id")))
