"""An API server with given answers, which records its requests."""

from __future__ import annotations

import json
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "token-of-the-gates-0123456789"


class ApiServer(ThreadingHTTPServer):
    """An API server with given answers by path; ``asked`` has its requests."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext, answers: dict[str, tuple[int, object]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.answers = answers
        self.asked: list[tuple[str, str, object]] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing when a client closes the connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = -1, True  # what follows must not wait for an acknowledgement
    server: ApiServer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, json.loads(body) if body else None))
        status, answer = self.server.answers.get(
            self.path, self.server.answers.get("*", (404, status_of(404)))
        )
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status, answer = 401, status_of(401, "Unauthorized")
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815 - the names that the server calls

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


def status_of(code: int, reason: str = "NotFound", message: str = "", **details: object) -> dict[str, object]:
    """Return a Status object of an API server."""
    return {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}
