"""PostgreSQL: a pool of connections, with a time limit for every statement."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, LiteralString

import psycopg

from bais_gates.sandbox.api.database_connection import Connection, Row
from bais_gates.sandbox.api.errors import unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

_RETRY_S = 0.1


class Database:
    """Runs statements, each in its own transaction; what must be atomic is written as one statement.

    A server that does not respond within ``timeout_s`` raises the 503. ``replaced`` maps parts of statements
    to what this release has in their place.
    """

    def __init__(
        self, url: str, *, size: int, timeout_s: float, replaced: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._url, self._size, self._timeout_s = url, size, timeout_s
        self._replaced = dict(replaced)
        self._idle: list[Connection] = []
        """The last one used is used first: its server process has all it needs in the processor's cache."""
        self._waiting: deque[asyncio.Future[Connection]] = deque()
        self._open: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Start connecting, without waiting for the database."""
        for _ in range(self._size):  # each takes 10 ms, for which requests would wait
            self._start_opening()

    async def close(self) -> None:
        """Close the connections."""
        for task in self._opening:
            task.cancel()
        for connection in self._open:
            connection.close()

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
            connection = await self._take()
            began = time.perf_counter()
            try:
                # PostgreSQL itself ends a statement after half of that time.
                rows = await connection.run(text, parameters or {}, timeout_s=2 * self._timeout_s)
            finally:
                self._put(connection)
        except (psycopg.OperationalError, psycopg.InterfaceError, OSError):
            raise unavailable("database") from None
        return rows, time.perf_counter() - began

    async def _take(self) -> Connection:
        """Return a connection of which nobody else has use. Raises ``TimeoutError``."""
        while self._idle:
            if (connection := self._idle.pop()).usable:
                return connection
            self._open.discard(connection)
        waiting: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._start_opening()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await waiting
        except BaseException:
            if waiting.done() and not waiting.cancelled():  # too late
                self._put(waiting.result())
            raise

    def _put(self, connection: Connection) -> None:
        """Hand a connection to whoever waits longest, or keep it."""
        if not connection.usable:  # lost, or the caller no longer waits for its result
            connection.close()
            self._open.discard(connection)
            if self._waiting:
                self._start_opening()
            return
        while self._waiting:
            if not (waiting := self._waiting.popleft()).done():
                waiting.set_result(connection)
                return
        self._idle.append(connection)

    def _start_opening(self) -> None:
        if len(self._open) + len(self._opening) < self._size:
            task = asyncio.create_task(self._open_one())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open_one(self) -> None:
        """Connect; try again while somebody waits."""
        while True:
            with suppress(psycopg.Error, OSError):
                connection = await Connection.open(
                    self._url,
                    connect_timeout=max(2, round(self._timeout_s)),
                    application_name="bais-api",
                    # No statement has a better plan for certain values: each connection plans it once.
                    options=f"-c statement_timeout={round(self._timeout_s * 1000)} -c TimeZone=GMT"
                    " -c plan_cache_mode=force_generic_plan",
                )
                self._open.add(connection)
                self._put(connection)
                return
            if not any(not one.done() for one in self._waiting):
                return
            await asyncio.sleep(_RETRY_S)
