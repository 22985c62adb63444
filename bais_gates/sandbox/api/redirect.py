"""The port that speaks plain http: whatever is asked there is sent on to https, and nothing is answered."""

from __future__ import annotations

import asyncio
import re
from typing import cast

_HEAD_AT_MOST = 16_384
_REQUEST = re.compile(rb"[A-Z]{1,16} (/[!-~]{0,8191}|\*) HTTP/1\.[01]\r?\n")
_HOST = re.compile(rb"(?i)\nhost:[ \t]*([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?[ \t]*\r?\n")
_WITHIN_S = 10.0


class Redirect(asyncio.Protocol):
    """One connection: one request, one 308 (or 400), and the end."""

    def __init__(self, https_port: int) -> None:
        self._port, self._received = https_port, b""
        self._transport: asyncio.Transport | None = None
        self._expiry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request, but not for long."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods only
        self._expiry = asyncio.get_running_loop().call_later(_WITHIN_S, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        del exc
        if self._expiry is not None:
            self._expiry.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer as soon as the head of the request is there."""
        self._received += data
        if b"\r\n\r\n" in self._received or len(self._received) > _HEAD_AT_MOST:
            self._answer()

    def _answer(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        request, host = _REQUEST.match(self._received), _HOST.search(self._received)
        head = b"HTTP/1.1 400 Bad Request\r\n"
        if request is not None and host is not None:
            target = b"/" if request[1] == b"*" else request[1]
            port = b"" if self._port == 443 else b":%d" % self._port
            head = (
                b"HTTP/1.1 308 Permanent Redirect\r\nlocation: https://" + host[1] + port + target + b"\r\n"
            )
        self._transport.write(head + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self._transport.close()
