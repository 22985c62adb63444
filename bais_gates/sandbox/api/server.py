"""uvicorn, told to speak the error shape also about requests that are no HTTP at all."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import ssl
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bais_gates.sandbox.api.app import make_app
from bais_gates.sandbox.api.messages import error_body
from bais_gates.sandbox.api.redirect import Redirect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bais_gates.sandbox.api.config import Settings

_HEAD_AT_MOST = 65_536
"""Bytes of one request line and its headers; past it the connection is closed."""
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2 what has forward secrecy and is not deprecated; those of 1.3 all are so."""
_REQUEST_ID = re.compile(rb"(?i)\nx-request-id:[ \t]*([a-z0-9._-]{1,128})[ \t]*\r?\n")


class Protocol(HttpToolsProtocol):
    """httptools as uvicorn uses it, with a limit to headers, and an answer of ours to what it can't parse."""

    _in_head = False
    _head_length = 0
    _latest = b""

    def on_message_begin(self) -> None:
        """Note that a request's first bytes are there."""
        self._in_head, self._head_length = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that a request's headers are all there; its body is limited where it is read."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, and refuse headers that never come to an end."""
        self._latest = data
        super().data_received(data)
        if self._in_head:
            self._head_length += len(data)
            if self._head_length > _HEAD_AT_MOST:
                self.send_400_response("The request's headers are too long.")

    def send_400_response(self, msg: str) -> None:
        """Answer 400 in the error shape and close the connection."""
        if self.transport.is_closing():
            return
        body = error_body("invalid_http", msg)
        given = _REQUEST_ID.search(self._latest)
        request_id = given[1].decode("ascii") if given else secrets.token_hex(16)
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncache-control: no-store\r\n"
            f"x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn, which beside the API serves the redirect from plain http on the socket ``plain``."""

    def __init__(self, config: uvicorn.Config, *, plain: socket.socket | None, https_port: int) -> None:
        super().__init__(config)
        self._plain, self._https_port = plain, https_port
        self._redirecting: asyncio.Server | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if self._plain is not None and not self.should_exit:
            self._redirecting = await asyncio.get_running_loop().create_server(
                lambda: Redirect(self._https_port), sock=self._plain, backlog=128
            )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and let what is being answered end."""
        if self._redirecting is not None:
            self._redirecting.close()
        await super().shutdown(sockets)


def serve(
    settings: Settings, *, fds: Sequence[int] = (), redirect_fd: int | None = None, port: int | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, on the bound sockets ``fds``, or else on ``port``.

    ``redirect_fd`` is a bound socket on which plain http is sent on to https, at the port of the settings.
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
