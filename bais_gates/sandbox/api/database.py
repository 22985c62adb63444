"""PostgreSQL: a pool of autocommit connections, with a time limit for every statement."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import time
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg_pool import AsyncConnectionPool

from bais_gates.sandbox.api.errors import unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping


Row = tuple[Any, ...]


class Database:
    """Runs statements, each in its own transaction; what must be atomic is written as one statement.

    A server that does not respond within ``timeout_s`` raises the 503. ``replaced`` maps parts of statements
    to what this release has in their place.
    """

    def __init__(
        self, url: str, *, size: int, timeout_s: float, replaced: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._timeout_s, self._replaced = timeout_s, dict(replaced)
        self.pool = AsyncConnectionPool(
            url,
            kwargs={
                "autocommit": True,
                "connect_timeout": max(2, round(timeout_s)),
                "application_name": "bais-api",
                # No statement has a better plan for certain values: each connection plans it once.
                "prepare_threshold": 0,
                "options": f"-c statement_timeout={round(timeout_s * 1000)} -c TimeZone=GMT"
                " -c plan_cache_mode=force_generic_plan",
            },
            min_size=size,  # opened at the start: each takes 10 ms, for which requests would wait
            max_size=size,
            timeout=timeout_s,
            reconnect_timeout=5,  # after that the next request reconnects at once
            open=False,
        )

    async def open(self) -> None:
        """Start connecting, without waiting for the database."""
        await self.pool.open(wait=False)

    async def close(self) -> None:
        """Close the connections."""
        await self.pool.close(timeout=2)

    async def row(
        self, statement: LiteralString, parameters: Mapping[str, object] | None = None
    ) -> Row | None:
        """Return the first row, or None. Raises the 503."""
        rows, _ = await self._execute(statement, parameters)
        return rows[0] if rows else None

    async def timed_row(self, statement: LiteralString) -> tuple[Row | None, float]:
        """Return the first row, and the seconds it took on a connection. Raises the 503."""
        rows, seconds = await self._execute(statement, None)
        return rows[0] if rows else None, seconds

    async def rows(
        self, statement: LiteralString, parameters: Mapping[str, object] | None = None
    ) -> list[Row]:
        """Return all rows, none for a statement without a result. Raises the 503."""
        return (await self._execute(statement, parameters))[0]

    async def _execute(
        self, statement: LiteralString, parameters: Mapping[str, object] | None
    ) -> tuple[list[Row], float]:
        text: str = statement
        for part, other in self._replaced.items():
            text = text.replace(part, other)
        try:
            connection = await self.pool.getconn()
            # PostgreSQL itself ends a statement after half of that time.
            overdue = asyncio.get_running_loop().call_later(2 * self._timeout_s, _disconnect, connection)
            began = time.perf_counter()
            try:
                cursor = await connection.execute(text.encode(), parameters)
                rows = await cursor.fetchall() if cursor.description is not None else []
            finally:
                overdue.cancel()
                await self.pool.putconn(connection)
        except (psycopg.OperationalError, psycopg.InterfaceError, OSError):
            raise unavailable("database") from None
        return rows, time.perf_counter() - began


def _disconnect(connection: psycopg.AsyncConnection[Any]) -> None:
    """Fail the statement of a server that does not respond: to cancel it takes a response as well."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as own:
        received = select.poll()
        received.register(own, select.POLLIN)
        if not received.poll(0):  # else this process is late, not the server
            own.shutdown(socket.SHUT_RDWR)
