"""What probes and operators ask.

Liveness, readiness, metrics, the state of the parts, and the cache's own test.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from typing import TYPE_CHECKING, Any

import msgspec

from bais_gates.sandbox.api.errors import ApiError, bad_request
from bais_gates.sandbox.api.messages import Answer, Call, answer, error_body

if TYPE_CHECKING:
    from collections.abc import Awaitable

_CACHE_TTL_S, _VALUE_AT_MOST = 300, 4096
_READY_WITHIN_S = 1.0
# Of other roles' sessions a plain role sees little, but it does see which database they are in.
_NUMBERS = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL),
       current_setting('max_connections')::int
"""
_QUEUE = "SELECT count(*) FROM webhook_deliveries WHERE state = 'pending'"


class CacheValue(msgspec.Struct, frozen=True):
    """The body of POST /api/v1/cache/test."""

    value: str


async def health(call: Call) -> Answer:
    """200 while the process can answer at all; asks nobody."""
    settings, faults = call.services.settings, call.services.faults
    content = {"status": "healthy", "version": settings.version, "environment": settings.environment}
    if faults.active("health_touches_database_slowly"):
        await call.services.database.row("SELECT pg_sleep(0.12)")
    if faults.active("health_version_missing"):
        del content["version"]
    if faults.active("health_names_other_environment"):
        content["environment"] = "production"
    if faults.active("health_status_unknown"):
        content["status"] = "unknown"
    return answer(200, content)


async def ready(call: Call) -> Answer:
    """200 while PostgreSQL and Redis both answer within a second; else 503 naming the one that does not."""
    services = call.services
    database, cache = await asyncio.gather(
        _is_up(services.database.row("SELECT 1")), _is_up(services.cache.ping())
    )
    up = {"database": database, "cache": cache}
    for part, is_up in up.items():
        services.metrics.up.labels(part).set(is_up)
    checks = {part: "ok" if is_up else "unavailable" for part, is_up in up.items()}
    if all(up.values()):
        return answer(200, {"status": "ready", "checks": checks})
    return answer(503, {"status": "not_ready", "checks": checks})


async def metrics(call: Call) -> Answer:
    """Give the exposition; in production for callers on the private network only."""
    services = call.services
    if services.settings.is_production and not _is_inside(call.address):
        return Answer(status=404, body=error_body("not_found", "There is no such path."))
    await _is_up(_measure(call))
    accept = call.headers.get(b"accept", b"").decode("latin-1")
    content_type, text = services.metrics.exposition(accept)
    return Answer(status=200, body=text, headers=((b"content-type", content_type),))


async def status(call: Call) -> Answer:
    """200 with what was measured for this answer; a part that does not answer is shown as disconnected."""
    database, cache = await asyncio.gather(_database_status(call), _cache_status(call))
    connected = database["status"] == cache["status"] == "connected"
    content = {"status": "operational" if connected else "degraded", "database": database, "cache": cache}
    return answer(200, content)


async def write_cache(call: Call) -> Answer:
    """200; ``value`` is kept for this caller for five minutes."""
    value, services = call.parse(CacheValue).value, call.services
    if len(value) > _VALUE_AT_MOST:
        raise bad_request(f"value may have {_VALUE_AT_MOST} characters at most.", field_name="value")
    key = _cache_key(call)
    if services.faults.active("cache_returns_stale"):
        previous = await services.cache.get(key)
        await services.cache.set(f"{key}:previous", previous or b"", ttl_s=_CACHE_TTL_S)
    await _slow_down(call)
    await services.cache.set(key, value.encode(), ttl_s=_CACHE_TTL_S)
    return answer(200, {"value": value})


async def read_cache(call: Call) -> Answer:
    """200 with the value that this caller wrote last, or null."""
    services, key = call.services, _cache_key(call)
    await _slow_down(call)
    value = await services.cache.get(key)
    if services.faults.active("cache_returns_stale"):
        value = await services.cache.get(f"{key}:previous")
    return answer(200, {"value": None if value is None else value.decode()})


def _cache_key(call: Call) -> str:
    shared = call.services.faults.active("cache_shared_by_all_callers")
    return "bais:test:anybody" if shared else f"bais:test:{call.principal.subject}"


async def _slow_down(call: Call) -> None:
    if call.services.faults.active("slow_cache"):
        await asyncio.sleep(0.03)


async def _database_status(call: Call) -> dict[str, Any]:
    faults, database = call.services.faults, call.services.database
    if not await _is_up(database.row("SELECT 1")):  # also: the first use of a connection is not measured
        return {"status": "disconnected", "latency_ms": None, "connections": None, "max_connections": None}
    began = time.perf_counter()
    try:
        found = await database.row("SELECT pg_sleep(0.13)" if faults.active("slow_database") else "SELECT 1")
        latency_ms = (time.perf_counter() - began) * 1000
        found = await database.row(_NUMBERS)
    except ApiError:
        found = None
    if found is None or faults.active("status_claims_database_disconnected"):
        return {"status": "disconnected", "latency_ms": None, "connections": None, "max_connections": None}
    connections, maximum = (0, 10_000) if faults.active("status_invents_connections") else found
    return {
        "status": "connected",
        "latency_ms": round(latency_ms, 3),
        "connections": connections,
        "max_connections": maximum,
    }


async def _cache_status(call: Call) -> dict[str, Any]:
    cache = call.services.cache
    try:
        await cache.ping()
        began = time.perf_counter()
        await _slow_down(call)
        await cache.ping()
        latency_ms = (time.perf_counter() - began) * 1000
        counted = await cache.statistics()
    except ApiError:
        return {"status": "disconnected", "latency_ms": None, "hit_rate": None}
    hits, misses = int(counted["keyspace_hits"]), int(counted["keyspace_misses"])
    rate = 100 * hits / (hits + misses) if hits + misses else 0.0
    if call.services.faults.active("status_invents_hit_rate"):
        rate = 99.9 if rate < 50 else 1.0
    return {"status": "connected", "latency_ms": round(latency_ms, 3), "hit_rate": round(rate, 2)}


async def _measure(call: Call) -> None:
    services = call.services
    depth = await services.database.row(_QUEUE)
    if depth is not None:
        services.metrics.webhook_queue.set(depth[0])
    services.metrics.log_lines_lost.labels("access").set(services.access_log.lost)
    services.metrics.log_lines_lost.labels("audit").set(services.audit.file.lost)


async def _is_up(work: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(_READY_WITHIN_S):
            await work
    except (ApiError, TimeoutError):
        return False
    return True


def _is_inside(address: str) -> bool:
    try:
        return not ipaddress.ip_network(address, strict=False).is_global
    except ValueError:
        return False
