"""The connection to Redis: one for all requests of a replica, whose commands do not wait for each other.

redis-py takes several times the CPU time for each command, and a pool of connections besides. Its own parser,
hiredis, reads the replies here too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, TypeAlias, cast
from urllib.parse import unquote, urlsplit

import hiredis

Command: TypeAlias = tuple[str | bytes | int, ...]


class ReplyError(Exception):
    """Redis refused a command; the text begins with a code, such as NOSCRIPT."""


class RedisConnection:
    """Runs commands; connects when the first one is run, and again after the connection was lost."""

    def __init__(self, url: str, *, timeout_s: float, name: str) -> None:
        """``url`` is ``redis://user:password@host:port/database``."""
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._greeting: tuple[Command, ...] = (
            ("AUTH", unquote(parts.username or "default"), unquote(parts.password or "")),
            ("SELECT", parts.path.strip("/") or "0"),
            ("CLIENT", "SETNAME", name),
        )
        self._timeout_s = timeout_s
        self._connecting = asyncio.Lock()
        self._replies: _Replies | None = None

    async def run(self, *command: str | bytes | int) -> Any:
        """Return the reply to the command. Raises ``ReplyError``, or ``OSError`` without a reply in time."""
        async with asyncio.timeout(self._timeout_s):
            try:
                return await self._run(command)
            except ConnectionError:  # Redis was restarted: there may be a new one
                return await self._run(command)

    def close(self) -> None:
        """Close the connection."""
        if self._replies is not None:
            self._replies.abort()

    async def _run(self, command: Command) -> Any:
        replies = self._replies
        if replies is None or replies.ended:
            replies = await self._connect()
        return await replies.to(command)

    async def _connect(self) -> _Replies:
        async with self._connecting:
            replies = self._replies
            if replies is None or replies.ended:
                loop = asyncio.get_running_loop()
                _, replies = await loop.create_connection(_Replies, *self._address)
                try:
                    await asyncio.gather(*map(replies.to, self._greeting))
                except BaseException:
                    replies.abort()
                    raise
                self._replies = replies
            return replies


class _Replies(asyncio.Protocol):
    """One connection: Redis replies to its commands in their order."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(replyError=ReplyError)
        self._awaited: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None

    @property
    def ended(self) -> bool:
        """Whether the connection was closed by either side."""
        return self._transport is None or self._transport.is_closing()

    def to(self, command: Command) -> asyncio.Future[Any]:
        """Send a command, and return the future of its reply."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            reply.set_exception(ConnectionResetError())
            return reply
        self._awaited.append(reply)
        self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub lacks "..."
        return reply

    def abort(self) -> None:
        """Close the connection at once; commands without a reply raise ``ConnectionError``."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport only has its methods

    def data_received(self, data: bytes) -> None:
        """Hand each reply to the command that has waited longest."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:  # what hiredis returns for an incomplete reply
            awaited = self._awaited.popleft()
            if awaited.done():  # cancelled
                continue
            if isinstance(reply, ReplyError):
                awaited.set_exception(reply)
            else:
                awaited.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the commands that wait."""
        del exc
        for awaited in self._awaited:
            if not awaited.done():
                awaited.set_exception(ConnectionResetError())
        self._awaited.clear()
