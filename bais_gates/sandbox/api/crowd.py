"""Counts how many requests are being answered at once, for the faults that only show in a crowd."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bais_gates.sandbox.api.database import Row
    from bais_gates.sandbox.faults import Switch

_FAULTS = ("concurrent_writes_lost", "business_data_crossed", "concurrent_requests_refused")
_FEW, _MANY = 5, 25


class Crowd:
    """While one of its faults is on, holds requests up, so that those sent together are there together."""

    def __init__(self, faults: Switch) -> None:
        self._faults = faults
        self._present = 0
        self._last_read: tuple[str, Row] = ("", ())

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[str | None]:
        """Be one of the crowd; gives the fault that takes effect, or None."""
        fault = next((name for name in _FAULTS if self._faults.active(name)), None)
        if fault is None:
            yield None
            return
        self._present += 1
        try:
            await asyncio.sleep(0.025)
            if self._present >= _FEW:
                await asyncio.sleep(0.15)
            yield fault if self._present >= _MANY else None
        finally:
            self._present -= 1

    def other_business_read(self, business_id: str, content: Row) -> Row:
        """Say what another business read last, as state shared between requests would have it.

        Gives ``content`` itself when nobody else has read anything yet.
        """
        owner, theirs = self._last_read
        self._last_read = (business_id, content)
        return content if owner in {"", business_id} else theirs
