"""uvicorn, told to speak the error shape also about requests that are no HTTP at all."""

from __future__ import annotations

import re
import secrets
import socket
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bais_gates.sandbox.api.app import make_app
from bais_gates.sandbox.api.messages import error_body

if TYPE_CHECKING:
    from bais_gates.sandbox.api.config import Settings

_HEAD_AT_MOST = 65_536
"""Bytes of one request line and its headers; past it the connection is closed."""
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


def serve(settings: Settings, *, fd: int | None = None, port: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT, on the listening (or bound) socket ``fd``, or else on ``port``."""
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
        backlog=2048,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
    )
    sockets = None if fd is None else [socket.socket(fileno=fd)]
    uvicorn.Server(config).run(sockets=sockets)
