"""PostgreSQL: a pool of autocommit connections, with a time limit for every statement."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool

from bais_gates.sandbox.api.errors import unavailable

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping


Row = tuple[Any, ...]
_Result = TypeVar("_Result")


class Database:
    """Runs statements, each in its own transaction; what must be atomic is written as one statement.

    A server that does not respond within ``timeout_s`` raises the 503.
    """

    def __init__(self, url: str, *, size: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._abandoned: set[asyncio.Task[Any]] = set()
        self.pool = AsyncConnectionPool(
            url,
            kwargs={
                "autocommit": True,
                "connect_timeout": max(2, round(timeout_s)),
                "application_name": "bais-api",
                "options": f"-c statement_timeout={round(timeout_s * 1000)} -c TimeZone=GMT",
            },
            min_size=min(4, size),
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
        return await self._bounded(self._row(statement, parameters))

    async def timed_row(self, statement: LiteralString) -> tuple[Row | None, float]:
        """Return the first row, and the milliseconds it took, without those for a connection."""
        return await self._bounded(self._timed_row(statement))

    async def rows(
        self, statement: LiteralString, parameters: Mapping[str, object] | None = None
    ) -> list[Row]:
        """Return all rows, none for a statement without a result. Raises the 503."""
        return await self._bounded(self._rows(statement, parameters))

    async def _bounded(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Return the result of ``work``; raise the 503 when PostgreSQL fails or takes too long.

        Overdue work is left to end by itself: to cancel a query takes a response of the server too.
        """
        task = asyncio.create_task(work)
        done, _ = await asyncio.wait({task}, timeout=2 * self._timeout_s)
        if not done:
            self._abandoned.add(task)
            task.add_done_callback(self._forget)
            task.cancel()
            raise unavailable("database")
        try:
            return task.result()
        except (psycopg.OperationalError, psycopg.InterfaceError, OSError):
            raise unavailable("database") from None

    async def _row(self, statement: LiteralString, parameters: Mapping[str, object] | None) -> Row | None:
        async with self.pool.connection() as connection:
            return await (await connection.execute(statement, parameters)).fetchone()

    async def _timed_row(self, statement: LiteralString) -> tuple[Row | None, float]:
        async with self.pool.connection() as connection:
            began = time.perf_counter()
            row = await (await connection.execute(statement)).fetchone()
            return row, (time.perf_counter() - began) * 1000

    async def _rows(self, statement: LiteralString, parameters: Mapping[str, object] | None) -> list[Row]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description is not None else []

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, as asyncio warns of exceptions that never are
