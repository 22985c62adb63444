"""Redis: one client with short timeouts; no response in time raises the 503."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from bais_gates.sandbox.api.errors import unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable

_Result = TypeVar("_Result")


class Cache:
    """The API's Redis client; every key starts with ``bais:``."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        # One retry, only for a lost connection: after a restart all pooled connections are stale.
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=32,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s / 2,
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            client_name="bais-api",
        )
        self._client = redis.Redis.from_pool(pool)
        self._scripts: dict[str, Any] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(self, key: str) -> bytes | None:
        """Return the value of ``key``, or None."""
        value = await self._guarded(self._client.get(key))
        return value.encode() if isinstance(value, str) else value

    async def set(self, key: str, value: bytes, *, ttl_s: int) -> None:
        """Store ``value`` for ``ttl_s`` seconds."""
        await self._guarded(self._client.set(key, value, ex=ttl_s))

    async def ping(self) -> None:
        """Raise the 503 unless Redis responds."""
        await self._guarded(self._client.ping())

    async def statistics(self) -> dict[str, Any]:
        """Return the section ``stats`` of INFO."""
        return await self._guarded(self._client.info("stats"))

    async def run_script(self, source: str, keys: tuple[str, ...], arguments: tuple[int | str, ...]) -> int:
        """Run a Lua script atomically, and return the integer that it returns."""
        return int(await self._guarded(self._registered(source)(keys=keys, args=arguments)))

    def _registered(self, source: str) -> Any:
        script = self._scripts.get(source)
        if script is None:
            script = self._scripts[source] = self._client.register_script(source)
        return script

    async def _guarded(self, work: Awaitable[_Result]) -> _Result:
        try:
            return await work
        except (RedisError, OSError):
            raise unavailable("cache") from None
