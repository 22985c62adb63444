"""Append-only JSON logs: access.jsonl, and audit.jsonl with a table of the same rows.

Neither contains a body, a token, a query value or an e-mail address. A full disk never fails a request: lines
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
    from bais_gates.sandbox.api.messages import Request
    from bais_gates.sandbox.api.metrics import Metrics

_log = logging.getLogger("bais.audit")
_FLUSH_EVERY_S = 0.2
_MAX_QUEUED = 20_000
_INSERT = """
INSERT INTO audit_log (at, request_id, business_id, actor, action, object, address, allowed)
SELECT * FROM unnest(%(at)s::timestamptz[], %(request_id)s::text[], %(business_id)s::text[],
                     %(actor)s::text[],
                     %(action)s::text[], %(object)s::text[], %(address)s::text[], %(allowed)s::boolean[])
"""
_COLUMNS = ("at", "request_id", "business_id", "actor", "action", "object", "address", "allowed")


class LineFile:
    """Appends JSON lines to a file, each in one write, so that lines of several processes never mix."""

    def __init__(self, path: Path, *, copy: Path | None = None) -> None:
        """``copy`` is a second file for the same lines."""
        self._fds = [_open(one) for one in (path, copy) if one is not None]
        self._encode = msgspec.json.Encoder().encode
        self.lost = 0

    def write(self, line: dict[str, object]) -> bool:
        """Append ``line`` and return True, or count it as lost if it can't be written."""
        if not self._fds:
            self.lost += 1
            return False
        text = self._encode(line) + b"\n"
        try:
            for fd in self._fds:
                os.write(fd, text)
        except OSError:
            self.lost += 1
            return False
        return True

    def close(self) -> None:
        """Close the file."""
        fds, self._fds = self._fds, []  # a closed descriptor may soon be another file
        for fd in fds:
            os.close(fd)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


class AuditLog:
    """Records who did what to which object, from where, and whether it was allowed.

    A line is in the file before its request is answered; the table follows in batches within a fifth of a
    second. The database refuses to change or remove its rows.
    """

    def __init__(self, path: Path, database: Database, metrics: Metrics, *, copy: Path | None = None) -> None:
        self.file = LineFile(path, copy=copy)
        self._database, self._metrics = database, metrics
        self._queue: list[tuple[object, ...]] = []

    def record(
        self, request: Request, action: str, target: str, *, allowed: bool = True, actor: str | None = None
    ) -> None:
        """Record that the caller of ``request`` did, or was refused, ``action`` on the object ``target``.

        ``actor`` is the id of the caller where the request has no principal.
        """
        caller = request.principal
        row = (
            datetime.now(UTC),
            request.request_id,
            caller.business_id,
            actor or caller.subject,
            action,
            target if is_id(target) else "",  # text that is not an id is not copied into a log
            request.address,
            allowed,
        )
        if self.file.write(dict(zip(_COLUMNS, row, strict=True))):
            self._metrics.audit_entries.inc()
        if len(self._queue) < _MAX_QUEUED:
            self._queue.append(row)

    async def run(self) -> None:
        """Write the lines to the table until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write the queued rows to the table; they stay queued while the database is unavailable."""
        rows, self._queue = self._queue, []
        if not rows:
            return
        columns = dict(zip(_COLUMNS, (list(column) for column in zip(*rows, strict=True)), strict=True))
        try:
            await self._database.rows(_INSERT, columns)
        except ApiError:
            self._queue = (rows + self._queue)[:_MAX_QUEUED]
        except psycopg.Error as error:
            self.file.lost += len(rows)
            _log.error("%d lines of the audit log were refused: %s", len(rows), type(error).__name__)
