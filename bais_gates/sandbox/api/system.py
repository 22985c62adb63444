"""Operational endpoints: liveness, readiness, metrics, status, and the cache test."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from typing import TYPE_CHECKING, Any

import msgspec

from bais_gates.sandbox.api.errors import ApiError, bad_request
from bais_gates.sandbox.api.messages import Request, Response, error_body, json_response

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from bais_gates.sandbox.api.services import Services

_CACHE_TTL_S, _MAX_VALUE = 300, 4096
_READY_WITHIN_S = 2.0
_CONNECTIONS = """
SELECT sum(numbackends)::int, current_setting('max_connections')::int FROM pg_stat_database
"""
_SLOW_CONNECTIONS = f"{_CONNECTIONS}, pg_sleep(0.13)"
_QUEUE = "SELECT count(*) FROM webhook_deliveries WHERE state = 'pending'"


class CacheValue(msgspec.Struct, frozen=True):
    """The body of POST /api/v1/cache/test."""

    value: str


async def health(request: Request, services: Services) -> Response:
    """Respond 200 while the process runs; uses neither PostgreSQL nor Redis."""
    settings, faults = services.settings, request.faults
    content = {"status": "healthy", "version": settings.version, "environment": settings.environment}
    if faults.active("health_touches_database_slowly"):
        await services.database.row("SELECT pg_sleep(0.12)")
    if faults.active("health_version_missing"):
        del content["version"]
    if faults.active("health_names_other_environment"):
        content["environment"] = "production"
    if faults.active("health_status_unknown"):
        content["status"] = "unknown"
    return json_response(200, content)


async def ready(request: Request, services: Services) -> Response:
    """Respond 200 while PostgreSQL and Redis respond within two seconds, else 503 with the state of each."""
    del request
    missing = {"ledger": False} if "never_ready" in services.settings.defects else {}
    database, cache = await asyncio.gather(
        _is_up(services.database.row("SELECT 1")), _is_up(services.cache.ping())
    )
    up = {"database": database, "cache": cache} | missing
    for part, is_up in up.items():
        services.metrics.up.labels(part).set(is_up)
    checks = {part: "ok" if is_up else "unavailable" for part, is_up in up.items()}
    if all(up.values()):
        return json_response(200, {"status": "ready", "checks": checks})
    return json_response(503, {"status": "not_ready", "checks": checks})


async def metrics(request: Request, services: Services) -> Response:
    """Respond with the Prometheus exposition; in production only to callers on a private network."""
    if services.settings.is_production and not _is_private(request.address):
        return Response(status=404, body=error_body("not_found", "There is no such path."))
    await _is_up(_update_gauges(services))
    accept = request.headers.get(b"accept", b"").decode("latin-1")
    content_type, text = services.metrics.exposition(accept)
    return Response(status=200, body=text, headers=((b"content-type", content_type),))


async def status(request: Request, services: Services) -> Response:
    """Respond 200 with measurements made for this request; an unavailable part is ``disconnected``."""
    database, cache = await asyncio.gather(
        _database_status(request, services), _cache_status(request, services)
    )
    connected = database["status"] == cache["status"] == "connected"
    content = {"status": "operational" if connected else "degraded", "database": database, "cache": cache}
    return json_response(200, content)


async def write_cache(request: Request, services: Services) -> Response:
    """Respond 200; ``value`` is stored for this caller for five minutes."""
    value = request.parse(CacheValue).value
    if len(value) > _MAX_VALUE:
        raise bad_request(f"value may have {_MAX_VALUE} characters at most.", field_name="value")
    key = _cache_key(request)
    if request.faults.active("cache_returns_stale"):
        previous = await services.cache.get(key)
        await services.cache.set(f"{key}:previous", previous or b"", ttl_s=_CACHE_TTL_S)
    await _slow_down(request)
    await services.cache.set(key, value.encode(), ttl_s=_CACHE_TTL_S)
    return json_response(200, {"value": value})


async def read_cache(request: Request, services: Services) -> Response:
    """Respond 200 with the value that this caller wrote last, or null."""
    key = _cache_key(request)
    await _slow_down(request)
    value = await services.cache.get(key)
    if request.faults.active("cache_returns_stale"):
        value = await services.cache.get(f"{key}:previous")
    return json_response(200, {"value": None if value is None else value.decode()})


def _cache_key(request: Request) -> str:
    shared = request.faults.active("cache_shared_by_all_callers")
    return "bais:test:anybody" if shared else f"bais:test:{request.principal.subject}"


async def _slow_down(request: Request) -> None:
    if request.faults.active("slow_cache"):
        await asyncio.sleep(0.03)


async def _database_status(request: Request, services: Services) -> dict[str, Any]:
    faults = request.faults
    statement = _SLOW_CONNECTIONS if faults.active("slow_database") else _CONNECTIONS
    try:
        row, seconds = await services.database.timed_row(statement)
    except ApiError:
        row = None
    if row is None or faults.active("status_claims_database_disconnected"):
        return {"status": "disconnected", "latency_ms": None, "connections": None, "max_connections": None}
    connections, maximum = (0, 10_000) if faults.active("status_invents_connections") else row
    return {
        "status": "connected",
        "latency_ms": round(1000 * seconds, 3),
        "connections": connections,
        "max_connections": maximum,
    }


async def _cache_status(request: Request, services: Services) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        await _slow_down(request)
        statistics = await services.cache.statistics()
        latency_ms = (time.perf_counter() - began) * 1000
    except ApiError:
        return {"status": "disconnected", "latency_ms": None, "hit_rate": None}
    hits, misses = int(statistics["keyspace_hits"]), int(statistics["keyspace_misses"])
    rate = 100 * hits / (hits + misses) if hits + misses else 0.0
    if request.faults.active("status_invents_hit_rate"):
        rate = 99.9 if rate < 50 else 1.0
    return {"status": "connected", "latency_ms": round(latency_ms, 3), "hit_rate": round(rate, 2)}


async def _update_gauges(services: Services) -> None:
    depth = await services.database.row(_QUEUE)
    if depth is not None:
        services.metrics.webhook_queue.set(depth[0])
    services.metrics.log_lines_lost.labels("access").set(services.access_log.lost)
    services.metrics.log_lines_lost.labels("audit").set(services.audit.file.lost)


async def _is_up(work: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(_READY_WITHIN_S):
            await asyncio.shield(work)  # to cancel a statement takes a response of the server
    except (ApiError, TimeoutError):
        return False
    return True


def _is_private(address: str) -> bool:
    try:
        return not ipaddress.ip_network(address, strict=False).is_global
    except ValueError:
        return False
