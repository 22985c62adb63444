"""An HTTP proxy between gate and API that falsifies traffic in ways that the sandbox's faults do not cover.

A lie is a function from an :class:`Exchange` to an :class:`Answer`: it may forward the request once, twice or
never, and change the request and the response.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from bais_gates.probes.http import HttpClient, Unreachable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

Lie = Callable[["Exchange"], "Answer"]
_HOP_HEADERS = {
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "accept-encoding",
    "date",
    "server",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The proxy's response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def changed(self, code: int | None = None, /, **fields: Any) -> Answer:
        """Return the same response with another status code and changed fields in its JSON body."""
        body = json.dumps({**(self.json or {}), **fields}).encode() if fields else self.body
        return replace(self, status=code or self.status, body=body)

    def without(self, header: str) -> Answer:
        """Return the same response without one header."""
        kept = {name: value for name, value in self.headers.items() if name.lower() != header}
        return replace(self, headers=kept)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request, and the client that forwards it to the API."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    upstream: HttpClient
    others: tuple[Lie, ...] = ()
    """Other lies between this one and the API."""

    @property
    def json(self) -> Any:
        """The request's body as JSON, None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def token(self) -> str:
        """The Authorization header, empty if there is none."""
        return self.headers.get("authorization", "")

    def forward(self, *, without: str = "", **changes: Any) -> Answer:
        """Forward the request, with fields of its JSON body changed or a header removed."""
        headers = {name: value for name, value in self.headers.items() if name != without}
        body = json.dumps({**self.json, **changes}).encode() if changes else self.body
        if self.others:
            return self.others[0](replace(self, headers=headers, body=body, others=self.others[1:]))
        answer = self.upstream.request(self.method, self.path, headers=headers, content=body or None)
        forwarded = {name: value for name, value in answer.headers.items() if name not in _HOP_HEADERS}
        return Answer(status=answer.status, headers=forwarded, body=answer.body)


def chain(lies: Sequence[Lie]) -> Lie:
    """Return one lie made of several, the first one nearest to the gate."""
    return lambda exchange: lies[0](replace(exchange, others=tuple(lies[1:])))


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """Gates send a hundred requests at once; a short queue would reset their connections."""


class LyingProxy:
    """A proxy on a free loopback port for the length of a ``with`` block."""

    def __init__(self, upstream: HttpClient, lie: Lie) -> None:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize, disable_nagle_algorithm = -1, True  # what follows must not wait for an acknowledgement
            timeout = 30

            def _handle(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                exchange = Exchange(
                    method=self.command,
                    path=self.path,
                    headers={name: value for name, value in headers.items() if name not in _HOP_HEADERS},
                    body=self.rfile.read(length),
                    upstream=proxy.upstream,
                )
                try:
                    answer = lie(exchange)
                except Unreachable:
                    answer = Answer(status=502, headers={}, body=b"")
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.status != 204:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - names that http.server looks for

            def log_message(self, *_args: object) -> None:
                """Log nothing."""

        self.upstream = upstream
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


LIES: dict[str, tuple[str, str, Callable[[], Lie]]] = {}
"""Each lie by its name: the gate and the check that it must fail, and the function that creates it."""


def lie(gate: str, check: str) -> Callable[[Callable[[], Lie]], Callable[[], Lie]]:
    """Register a lie (created anew for each test) with the gate and the check that it must fail.

    Where chance decides which of two checks fails first, both are named, separated by a |.
    """

    def register(make: Callable[[], Lie]) -> Callable[[], Lie]:
        LIES[make.__name__] = (gate, check, make)
        return make

    return register


def on(method: str, start: str, answer: Callable[[Exchange], Answer]) -> Lie:
    """Return a lie about one method and path prefix that forwards everything else."""
    return lambda e: answer(e) if e.method == method and e.path.startswith(start) else e.forward()


def cached(method: str, start: str, key: Callable[[Exchange], str]) -> Lie:
    """Return a lie that repeats the first response with status 200 for every request with the same key."""
    stored: dict[str, Answer] = {}

    def answer(e: Exchange) -> Answer:
        response = stored.get(key(e)) or e.forward()
        if response.status == 200:
            stored[key(e)] = response
        return response

    return on(method, start, answer)
