"""Check that the staged Redis is ready, a server of its own, configured as declared, and authenticates."""

from __future__ import annotations

import pytest

from bais_gates import Evidence
from bais_gates.probes import Cache, cache_health
from bais_gates.rules import cache as rules
from bais_gates.staging import StagedPlatform, Step, judge, workload

NAME = "bais-redis"
PING_MS = 1000.0
"""Shows only that it responds; the acceptance gates measure its latency."""


@pytest.mark.gate("staging.cache")
def test_cache(staging: StagedPlatform, evidence: Evidence) -> None:
    """The staged cache is ready, requires authentication, and runs with the limits in its ConfigMap."""
    staging.require(Step.CACHE, evidence)
    stateful_set = staging.named("apps/v1", "StatefulSet", NAME)
    state = judge(stateful_set).state if stateful_set else "absent"
    evidence.require(f"state (StatefulSet {NAME})", state, "==", "ready")
    pods = staging.list("v1", "Pod", "cache")
    evidence.check("ready pods", sum(map(workload.is_ready, pods)), "==", len(pods), n=len(pods))
    evidence.check("container restarts", workload.restarts(pods), "==", 0, n=len(pods))
    if stateful_set:
        running, declared = workload.running_digests(pods), workload.declared_digests(stateful_set)
        evidence.check("running image digests", running, "==", declared)
    with staging.cache() as cache:
        evidence.check("PING latency", cache.ping_ms(), "<=", PING_MS, unit="ms")
        check_configuration(staging, cache, evidence)


def check_configuration(staging: StagedPlatform, cache: Cache, evidence: Evidence) -> None:
    """Check limits, authentication and rights, and that it is another server than the target's."""
    health = cache_health.read(cache)
    declared = workload.redis_settings(staging.reach.configuration(NAME).get("redis.conf", ""))
    source = f"CONFIG GET; ConfigMap {NAME}"
    maxmemory = rules.parse_memory(declared.get("maxmemory", "0"))
    evidence.check(
        "maxmemory (as in the ConfigMap)", health.maxmemory, "==", maxmemory, unit="bytes", source=source
    )
    evidence.check("maxmemory (0 is unlimited)", health.maxmemory, ">", 0, unit="bytes")
    policy = declared.get("maxmemory-policy", "noeviction")
    evidence.check("maxmemory-policy", health.settings["maxmemory-policy"], "==", policy, source=source)
    anonymous = "accepted" if health.accepts_unauthenticated else "refused"
    evidence.check("unauthenticated connection", anonymous, "==", "refused")
    n = len(health.permissions)
    evidence.check("users without a secret password", list(health.open_users), "==", [], n=n)
    dangerous = rules.dangerous_users(health.permissions, ())
    evidence.check("users with dangerous commands", dangerous, "==", [], n=n)
    writers = rules.writers(health.permissions, own=health.user, application=None)
    evidence.check("readers allowed to write", writers, "==", [], n=n)
    tls = workload.has_tls(staging.reach.configuration(NAME).get("redis.conf", ""))
    unsafe = rules.unsafe_settings(health.settings, tls=tls)
    evidence.check("unsafe settings", unsafe, "==", [], source="CONFIG GET")
    target = staging.environment
    if not target.describes("cache") or target.kubernetes.namespace == staging.namespace:
        evidence.attach("the target's cache", "The environment file describes no other cache.")
        return
    with Cache(target.cache.url) as other:
        run_id, other_id = (str(one.get("run_id")) for one in (health.info, other.info()))
        evidence.check(
            "run_id (differs from the target's cache)", run_id, "!=", other_id, source="INFO server"
        )
