"""Counts the requests that all replicas answer at once, for the faults that only show under concurrency."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bais_gates.sandbox.api.cache import Cache
    from bais_gates.sandbox.api.database_connection import Row
    from bais_gates.sandbox.faults import Switch

_FAULTS = ("concurrent_writes_lost", "business_data_crossed", "concurrent_requests_refused")
_FEW, _MANY = 5, 25
_WAITS, _WAIT_S = 12, 0.05
_ADD = """
local present = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], 5000)
return present
"""
_KEY = ("bais:concurrency",)


class ConcurrencyFaults:
    """While one of its faults is on, delays requests so that those sent together overlap."""

    def __init__(self, faults: Switch, cache: Cache) -> None:
        self._faults, self._cache = faults, cache
        self._last_read: tuple[str, Row] = ("", ())

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[str | None]:
        """Count the request while it is handled; yield the fault that takes effect, or None."""
        fault = next((name for name in _FAULTS if self._faults.active(name)), None)
        if fault is None:
            yield None
            return
        await self._add(1)
        try:
            await asyncio.sleep(0.025)
            yield fault if await self._are_many() else None
        finally:
            await self._add(-1)

    async def _are_many(self) -> bool:
        """Wait for the others if some are there: how long they take depends on the machine of the callers."""
        for _ in range(_WAITS):
            if not _FEW <= (present := await self._add(0)) < _MANY:
                return present >= _MANY
            await asyncio.sleep(_WAIT_S)
        return False

    async def _add(self, change: int) -> int:
        return await self._cache.run_script(_ADD, _KEY, (change,))

    def swap(self, business_id: str, row: Row) -> Row:
        """Return the row that another business read last, as state shared between requests would.

        Returns ``row`` itself if no other business has read one.
        """
        owner, last_row = self._last_read
        self._last_read = (business_id, row)
        return row if owner in {"", business_id} else last_row
