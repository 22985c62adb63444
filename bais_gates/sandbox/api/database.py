"""PostgreSQL: a pool of connections that commit each statement, and a limit to the time anything may take."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool

from bais_gates.sandbox.api.errors import unavailable

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping


Row = tuple[Any, ...]
_Result = TypeVar("_Result")


class Database:
    """Statements, each its own transaction. A part that must happen whole is written as one statement.

    Anything that takes longer than ``timeout_s`` - a server that is gone, stopped or busy - raises the 503.
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
            reconnect_timeout=5,  # then a request tries again, so a database that is back is used at once
            open=False,
        )

    async def open(self) -> None:
        """Start connecting; a database that is not there yet is no reason not to start."""
        await self.pool.open(wait=False)

    async def close(self) -> None:
        """Give the connections back."""
        await self.pool.close(timeout=2)

    async def row(
        self, statement: LiteralString, parameters: Mapping[str, object] | None = None
    ) -> Row | None:
        """Give the first row, or None."""
        return await self.bounded(self._row(statement, parameters))

    async def rows(
        self, statement: LiteralString, parameters: Mapping[str, object] | None = None
    ) -> list[Row]:
        """All rows; none for a statement that returns nothing."""
        return await self.bounded(self._rows(statement, parameters))

    async def bounded(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """``work``'s result, or the 503 when PostgreSQL fails or takes too long.

        The work is left to end by itself: cancelling a query asks the server, and a server that is stopped
        does not answer that either.
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

    async def _rows(self, statement: LiteralString, parameters: Mapping[str, object] | None) -> list[Row]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall() if cursor.description is not None else []

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # seen, so that asyncio does not complain about it
