"""Redis: commands with a short time limit; no response in time raises the 503."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

from bais_gates.sandbox.api.errors import unavailable
from bais_gates.sandbox.api.redis_connection import RedisConnection, ReplyError


class Cache:
    """The API's Redis client; every key starts with ``bais:``."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._connection = RedisConnection(url, timeout_s=timeout_s, name="bais-api")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    async def get(self, key: str) -> bytes | None:
        """Return the value of ``key``, or None."""
        value: bytes | None = await self._run("GET", key)
        return value

    async def set(self, key: str, value: bytes, *, ttl_s: int) -> None:
        """Store ``value`` for ``ttl_s`` seconds."""
        await self._run("SET", key, value, "EX", ttl_s)

    async def add(self, key: str, value: bytes, *, ttl_s: int) -> None:
        """Store ``value`` for ``ttl_s`` seconds unless there is one."""
        await self._run("SET", key, value, "EX", ttl_s, "NX")

    async def ping(self) -> None:
        """Raise the 503 unless Redis responds."""
        await self._run("PING")

    async def statistics(self) -> dict[str, str]:
        """Return the section ``stats`` of INFO."""
        lines = (await self._run("INFO", "stats")).decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)

    async def run_script(self, source: str, keys: tuple[str, ...], arguments: tuple[int | str, ...]) -> int:
        """Run a Lua script atomically, and return the integer that it returns."""
        try:
            return int(await self._run("EVALSHA", _digest(source), len(keys), *keys, *arguments))
        except _UnknownScriptError:
            return int(await self._run("EVAL", source, len(keys), *keys, *arguments))

    async def _run(self, *command: str | bytes | int) -> Any:
        try:
            return await self._connection.run(*command)
        except ReplyError as error:
            if str(error).startswith("NOSCRIPT"):
                raise _UnknownScriptError from None
            raise unavailable("cache") from None
        except OSError:
            raise unavailable("cache") from None


class _UnknownScriptError(Exception):
    """Redis does not have the script (any more)."""


@lru_cache
def _digest(source: str) -> str:
    """Return the name that Redis gives to a script."""
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
