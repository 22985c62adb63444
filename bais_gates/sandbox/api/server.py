"""Serving: uvicorn with error responses in the contract's shape, and a redirect from http to https."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import ssl
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bais_gates.sandbox.api.app import make_app
from bais_gates.sandbox.api.messages import error_body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bais_gates.sandbox.api.config import Settings

_MAX_HEAD, _MAX_REDIRECT_HEAD = 65_536, 16_384
"""Bytes of a request line and its headers; beyond that the connection is closed."""
_REDIRECT_WITHIN_S = 10.0
_DRAIN_S = 0.3
"""Seconds between the end of listening and of connections: accepted handshakes are completed and served."""
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Ciphers of TLS 1.2 with forward secrecy that are not deprecated; those of TLS 1.3 all are."""
_REQUEST_ID = re.compile(rb"(?i)\nx-request-id:[ \t]*([a-z0-9._-]{1,128})[ \t]*\r?\n")
_REQUEST_LINE = re.compile(rb"[A-Z]{1,16} (/[!-~]{0,8191}|\*) HTTP/1\.[01]\r?\n")
_HOST = re.compile(rb"(?i)\nhost:[ \t]*([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?[ \t]*\r?\n")


class Protocol(HttpToolsProtocol):
    """uvicorn's httptools protocol with a limit on headers, and a JSON response to what it can't parse."""

    _in_head = False
    _head_length = 0
    _latest = b""

    def on_message_begin(self) -> None:
        """Begin counting the bytes of the headers."""
        self._in_head, self._head_length = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop counting; the body is limited where it is read."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Parse the data, and refuse headers that are too long."""
        self._latest = data
        super().data_received(data)
        if self._in_head:
            self._head_length += len(data)
            if self._head_length > _MAX_HEAD:
                self.send_400_response("The request's headers are too long.")

    def send_400_response(self, msg: str) -> None:
        """Respond 400 in the contract's shape and close the connection."""
        if self.transport.is_closing():
            return
        body = error_body("invalid_http", msg)
        match = _REQUEST_ID.search(self._latest)
        request_id = match[1].decode("ascii") if match else secrets.token_hex(16)
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncache-control: no-store\r\n"
            f"x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()


class Redirect(asyncio.Protocol):
    """A connection over plain http: one request, one 308 (or 400), and the connection is closed."""

    def __init__(self, https_port: int) -> None:
        self._port, self._received = https_port, b""
        self._transport: asyncio.Transport | None = None
        self._expiry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request, for a limited time."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport only has its methods
        self._expiry = asyncio.get_running_loop().call_later(_REDIRECT_WITHIN_S, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the time limit."""
        del exc
        if self._expiry is not None:
            self._expiry.cancel()

    def data_received(self, data: bytes) -> None:
        """Respond as soon as the headers are complete."""
        self._received += data
        if b"\r\n\r\n" in self._received or len(self._received) > _MAX_REDIRECT_HEAD:
            self._respond()

    def _respond(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        request, host = _REQUEST_LINE.match(self._received), _HOST.search(self._received)
        head = b"HTTP/1.1 400 Bad Request\r\n"
        if request is not None and host is not None:
            target = b"/" if request[1] == b"*" else request[1]
            port = b"" if self._port == 443 else b":%d" % self._port
            location = b"https://" + host[1] + port + target
            head = b"HTTP/1.1 308 Permanent Redirect\r\nlocation: " + location + b"\r\n"
        self._transport.write(head + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self._transport.close()


class Server(uvicorn.Server):
    """uvicorn, which also serves the redirect on the socket ``plain``."""

    def __init__(self, config: uvicorn.Config, *, plain: socket.socket | None, https_port: int) -> None:
        super().__init__(config)
        self._plain, self._https_port = plain, https_port
        self._redirecting: asyncio.Server | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self._plain is not None and not self.should_exit:
            self._redirecting = await asyncio.get_running_loop().create_server(
                lambda: Redirect(self._https_port), sock=self._plain, backlog=128
            )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, serve what was accepted or waits to be, and wait for requests in progress.

        Each replica has a queue of its own behind the shared port, and closing it resets whoever waits in it.
        """
        accepted = []
        for server, queue in zip(self.servers, sockets or [], strict=False):
            with suppress(BlockingIOError):  # nobody waits any more
                while True:
                    accepted.append(queue.accept()[0])
            server.close()
        if self._redirecting is not None:
            self._redirecting.close()
        connect = partial(asyncio.get_running_loop().connect_accepted_socket, self._protocol)
        await asyncio.gather(*(connect(one, ssl=self.config.ssl) for one in accepted), return_exceptions=True)
        await asyncio.sleep(_DRAIN_S)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return Protocol(self.config, self.server_state, self.lifespan.state)


def serve(
    settings: Settings, *, fds: Sequence[int] = (), redirect_fd: int | None = None, port: int | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, on the bound sockets ``fds``, or else on ``port``.

    ``redirect_fd`` is a bound socket on which http is redirected to https, at the port of the settings.
    """
    config = uvicorn.Config(
        make_app(settings),
        host=settings.host,
        port=settings.port if port is None else port,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        ssl_ciphers=_CIPHERS,
        backlog=2048,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    plain = None if redirect_fd is None else socket.socket(fileno=redirect_fd)
    sockets = [socket.socket(fileno=fd) for fd in fds]
    Server(config, plain=plain, https_port=settings.port).run(sockets=sockets or None)
