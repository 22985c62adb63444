"""A connection to PostgreSQL: psycopg's libpq and conversions, without its cursors.

A cursor takes three times the CPU time for each statement: it is made anew, and subscribes to its socket for
every wait. Here a connection is subscribed as long as it is open, so that it also learns at once that it was
lost.
"""

from __future__ import annotations

import asyncio
import re
import select
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg.pq.abc import PGresult

Row: TypeAlias = tuple[Any, ...]
_PARAMETER = re.compile(r"%\((\w+)\)s")


class Connection:
    """Runs one statement at a time, each prepared when it is first run, and committed by itself."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._owner, self._libpq = connection, connection.pgconn  # without its owner it would be closed
        self._libpq.nonblocking = 1
        self._socket = connection.fileno()
        self._closed = False
        self._transformer = Transformer(connection)
        self._prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self._reply: asyncio.Future[PGresult] | None = None
        self._result: PGresult | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._readable)

    @classmethod
    async def open(cls, url: str, **options: Any) -> Connection:
        """Connect, with the options of libpq. Raises ``psycopg.Error``."""
        return cls(await psycopg.AsyncConnection.connect(url, autocommit=True, **options))

    @property
    def usable(self) -> bool:
        """Whether it is open, and runs nothing."""
        return self._reply is None and not self._closed

    async def run(self, statement: str, parameters: Mapping[str, object], *, timeout_s: float) -> list[Row]:
        """Return the rows of a statement with parameters as ``%(name)s``. Raises ``psycopg.Error``.

        A server that does not respond in time loses the connection.
        """
        text, names = _with_numbers(statement)
        values = [parameters[name] for name in names]
        transformer = self._transformer
        buffers = transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
        overdue = self._loop.call_later(timeout_s, self._end_unless_late)
        try:
            key = (statement, transformer.types or ())
            if (name := self._prepared.get(key)) is None:
                name = b"s%d" % len(self._prepared)
                self._libpq.send_prepare(name, text, transformer.types)
                await self._replied()
                self._prepared[key] = name
            self._libpq.send_query_prepared(name, buffers, transformer.formats)
            result = await self._replied()
        finally:
            overdue.cancel()
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)

    def close(self) -> None:
        """Close it; a statement that runs fails."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._libpq.finish()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(psycopg.OperationalError("the connection was closed"))

    async def _replied(self) -> PGresult:
        """Send what is waiting to be sent, and return the server's result."""
        self._reply = self._loop.create_future()
        self._flush()
        result = await self._reply
        self._reply = None
        if result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result)
        return result

    def _flush(self) -> None:
        if self._libpq.flush():
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket)
        self._readable()  # a server that waits for its reader to read does not read either
        if not self._closed:
            self._flush()

    def _readable(self) -> None:
        try:
            self._libpq.consume_input()
            while not self._libpq.is_busy():
                result = self._libpq.get_result()
                if result is None:
                    break
                self._result = result
            else:
                return
        except psycopg.Error:
            self.close()
            return
        if self._reply is not None and not self._reply.done() and self._result is not None:
            self._reply.set_result(self._result)
        self._result = None

    def _end_unless_late(self) -> None:
        received = select.poll()
        received.register(self._socket, select.POLLIN)
        if not received.poll(0):  # else this process is late, not the server
            self.close()


@cache
def _with_numbers(statement: str) -> tuple[bytes, tuple[str, ...]]:
    """Return the statement with parameters as ``$1``, and their names in that order."""
    names = tuple(dict.fromkeys(_PARAMETER.findall(statement)))
    return _PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", statement).encode(), names
