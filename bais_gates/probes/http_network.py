"""Enforce one deadline for a whole HTTP exchange, below the HTTP client.

The timeouts of httpx apply to each network operation: a server that sends one byte per second never exceeds
them. Here, the timeout of each operation is the time left of the exchange.
"""

from __future__ import annotations

import contextvars
import math
import ssl
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import httpcore
import httpx

_MAX_CONNECTIONS: Final = 256
_KEEPALIVE_S: Final = 2.0
"""Below the five seconds after which common servers close an idle connection."""
_SEND_BLOCK: Final = 64 * 1024

ENDS_AT: contextvars.ContextVar[float] = contextvars.ContextVar("ends_at", default=math.inf)
"""The time (``time.monotonic``) at which the current exchange must end."""


def _left(timeout: float | None) -> float:
    left = ENDS_AT.get() - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline of the whole exchange has passed")
    return left if timeout is None else min(left, timeout)


class _DeadlineStream(httpcore.NetworkStream):
    """A connection whose operations all end with the exchange."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _SEND_BLOCK):
            self._inner.write(buffer[start : start + _SEND_BLOCK], _left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _DeadlineStream(self._inner.start_tls(ssl_context, server_hostname, _left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _DeadlineBackend(httpcore.NetworkBackend):
    """Opens connections that end with the exchange."""

    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        inner = self._inner.connect_tcp(host, port, _left(timeout), local_address, socket_options)
        return _DeadlineStream(inner)


class _Body(httpx.SyncByteStream):
    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._blocks

    def close(self) -> None:
        close = getattr(self._blocks, "close", None)
        if close is not None:
            close()


class DeadlineTransport(httpx.BaseTransport):
    """httpx over an httpcore pool with the deadline backend: HTTP/1.1, no proxy, no retry."""

    def __init__(self, ca_file: Path | str | None) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl.create_default_context(cafile=ca_file),
            max_connections=_MAX_CONNECTIONS,
            max_keepalive_connections=_MAX_CONNECTIONS,
            keepalive_expiry=_KEEPALIVE_S,
            network_backend=_DeadlineBackend(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request`` through the pool; the body is read when the response is iterated."""
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        blocks = answer.stream
        if not isinstance(blocks, Iterable):
            raise httpx.ReadError("the response has no readable body")
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(blocks),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close all connections of the pool."""
        self._pool.close()
