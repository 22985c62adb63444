"""Enforce one deadline for a whole HTTP exchange, below the HTTP client.

The timeouts of httpx apply to each network operation: a server that sends one byte per second never exceeds
them. Here, the timeout of each operation is the time left of the exchange.
"""

from __future__ import annotations

import contextvars
import math
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import httpcore
import httpx

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
    """The body of a response; when it is closed, its connection may serve another request."""

    def __init__(self, blocks: Iterable[bytes], release: Callable[[], None]) -> None:
        self._blocks, self._release = blocks, release

    def __iter__(self) -> Iterator[bytes]:
        yield from self._blocks

    def close(self) -> None:
        close = getattr(self._blocks, "close", None)
        if close is not None:
            close()
        release, self._release = self._release, _nothing
        release()


def _nothing() -> None:
    pass


class DeadlineTransport(httpx.BaseTransport):
    """httpx over connections of httpcore with the deadline backend: HTTP/1.1, no proxy, no retry.

    Idle connections are kept on a stack, and a request takes one off it: from then on that connection is its
    own. httpcore's own pool may close a connection, as too long idle, that it has just given to a thread.
    """

    def __init__(self, ca_file: Path | str | None) -> None:
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._backend = _DeadlineBackend()
        self._idle: list[httpcore.HTTPConnection] = []
        """Those used last at the end."""
        self._closed = False
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request`` on an idle or a new connection; the body is read when the response is iterated.

        One with ``Connection: close`` always has a new one: it asks for a connection of its own. An idle one
        leads to the replica that it was opened to, whatever a load balancer would choose now.
        """
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        own = request.headers.get("connection", "").lower() == "close"
        connection = self._new(url.origin) if own else self._take(url.origin)
        try:
            answer = connection.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        except BaseException:
            connection.close()
            raise
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(cast("Iterable[bytes]", answer.stream), lambda: self._put_back(connection)),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close the idle connections; the others are closed when their responses are."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for connection in idle:
            connection.close()

    def _take(self, origin: httpcore.Origin) -> httpcore.HTTPConnection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._new(origin)
            if connection.can_handle_request(origin) and not connection.has_expired():
                return connection
            connection.close()

    def _new(self, origin: httpcore.Origin) -> httpcore.HTTPConnection:
        return httpcore.HTTPConnection(
            origin, self._tls, keepalive_expiry=_KEEPALIVE_S, network_backend=self._backend
        )

    def _put_back(self, connection: httpcore.HTTPConnection) -> None:
        unused = []
        with self._lock:
            if self._closed or not connection.is_idle():
                unused.append(connection)
            else:
                self._idle.append(connection)
            while self._idle and self._idle[0].has_expired():
                unused.append(self._idle.pop(0))
        for one in unused:
            one.close()
