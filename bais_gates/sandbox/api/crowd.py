"""Counts how many requests all replicas answer at once, for the faults that only show in a crowd."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bais_gates.sandbox.api.cache import Cache
    from bais_gates.sandbox.api.database import Row
    from bais_gates.sandbox.faults import Switch

_FAULTS = ("concurrent_writes_lost", "business_data_crossed", "concurrent_requests_refused")
_FEW, _MANY = 5, 25
_COUNT = """
local present = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], 5000)
return present
"""
_KEY = ("bais:crowd",)


class Crowd:
    """While one of its faults is on, holds requests up, so that those sent together are there together."""

    def __init__(self, faults: Switch, cache: Cache) -> None:
        self._faults, self._cache = faults, cache
        self._last_read: tuple[str, Row] = ("", ())

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[str | None]:
        """Be one of the crowd; gives the fault that takes effect, or None."""
        fault = next((name for name in _FAULTS if self._faults.active(name)), None)
        if fault is None:
            yield None
            return
        await self._counted(1)
        try:
            await asyncio.sleep(0.025)
            if await self._counted(0) >= _FEW:
                await asyncio.sleep(0.15)
            yield fault if await self._counted(0) >= _MANY else None
        finally:
            await self._counted(-1)

    async def _counted(self, more: int) -> int:
        return await self._cache.number(_COUNT, _KEY, (more,))

    def other_business_read(self, business_id: str, content: Row) -> Row:
        """Say what another business read last, as state shared between requests would have it.

        Gives ``content`` itself when nobody else has read anything yet.
        """
        owner, theirs = self._last_read
        self._last_read = (business_id, content)
        return content if owner in {"", business_id} else theirs
