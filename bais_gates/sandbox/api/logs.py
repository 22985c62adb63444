"""Two logs of JSON lines that are only ever appended to.

Access.jsonl and audit.jsonl; the audit log also as a table.

Neither holds a body, a token, a query value or an e-mail address. A full disk never fails a request: lines
that could not be written are counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import psycopg

from bais_gates.sandbox.api.errors import ApiError
from bais_gates.sandbox.api.values import is_id

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.sandbox.api.database import Database
    from bais_gates.sandbox.api.messages import Call

_log = logging.getLogger("bais.audit")
_FLUSH_EVERY_S = 0.2
_QUEUED_AT_MOST = 20_000
_INSERT = """
INSERT INTO audit_log (at, request_id, business_id, actor, action, object, address, allowed)
SELECT * FROM unnest(%(at)s::timestamptz[], %(request_id)s::text[], %(business_id)s::text[],
                     %(actor)s::text[],
                     %(action)s::text[], %(object)s::text[], %(address)s::text[], %(allowed)s::boolean[])
"""
_COLUMNS = ("at", "request_id", "business_id", "actor", "action", "object", "address", "allowed")


def now() -> datetime:
    """Give this moment, aware, in UTC."""
    return datetime.now(UTC)


class LineFile:
    """A file that JSON lines are appended to, each by one write, so that lines of two processes never mix."""

    def __init__(self, path: Path, *, also: Path | None = None) -> None:
        """``also`` is a second file for the same lines."""
        self._fds = [_opened(one) for one in (path, also) if one is not None]
        self._encode = msgspec.json.Encoder().encode
        self.lost = 0

    def write(self, line: dict[str, object]) -> None:
        """Append ``line``; after ``close``, count it as lost."""
        if not self._fds:
            self.lost += 1
            return
        text = self._encode(line) + b"\n"
        try:
            for fd in self._fds:
                os.write(fd, text)
        except OSError:
            self.lost += 1

    def close(self) -> None:
        """Close the file."""
        fds, self._fds = self._fds, []  # a number may be another file's by then
        for fd in fds:
            os.close(fd)


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


class AuditLog:
    """Who did what to which object, from where, allowed or not.

    A line stands in the file before its request is answered; the table follows within a fifth of a second, in
    batches. The database itself forbids that a row of it is changed or removed.
    """

    def __init__(self, path: Path, database: Database, *, also: Path | None = None) -> None:
        self.file = LineFile(path, also=also)
        self._database = database
        self._queue: list[tuple[object, ...]] = []

    def record(
        self, call: Call, action: str, target: str, *, allowed: bool = True, actor: str | None = None
    ) -> None:
        """Note that ``call``'s caller did (or was refused) ``action`` on the object with the id ``target``.

        ``actor`` is who that was, where the call itself does not know.
        """
        who = call.principal
        row = (
            now(),
            call.request_id,
            who.business_id,
            actor or who.subject,
            action,
            target if is_id(target) else "",  # what can't be an id is not copied into a log
            call.address,
            allowed,
        )
        self.file.write(dict(zip(_COLUMNS, row, strict=True)))
        if len(self._queue) < _QUEUED_AT_MOST:
            self._queue.append(row)

    async def run(self) -> None:
        """Carry the lines into the table, for ever."""
        while True:
            await asyncio.sleep(_FLUSH_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Carry what is queued into the table; while the database is away it stays queued."""
        rows, self._queue = self._queue, []
        if not rows:
            return
        columns = dict(zip(_COLUMNS, (list(column) for column in zip(*rows, strict=True)), strict=True))
        try:
            await self._database.rows(_INSERT, columns)
        except ApiError:
            self._queue = (rows + self._queue)[:_QUEUED_AT_MOST]
        except psycopg.Error as error:
            self.file.lost += len(rows)
            _log.error("%d lines of the audit log were refused: %s", len(rows), type(error).__name__)
