"""An HTTP proxy between gate and API that lies in ways which the sandbox's own faults do not know.

A lie is a function from an :class:`Exchange` to an :class:`Answer`; it may ask the API once, twice or never,
change what is asked, and change what is answered.
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
_NOT_PASSED_ON = {
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
    """What the proxy answers."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def told(self, code: int | None = None, /, **fields: Any) -> Answer:
        """Make the same answer with another status code and other members in its JSON body."""
        body = json.dumps({**(self.json or {}), **fields}).encode() if fields else self.body
        return replace(self, status=code or self.status, body=body)

    def without(self, header: str) -> Answer:
        """Make the same answer without one header."""
        kept = {name: value for name, value in self.headers.items() if name.lower() != header}
        return replace(self, headers=kept)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request, and the way to the API."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    upstream: HttpClient
    through: tuple[Lie, ...] = ()
    """Other lies between this one and the API."""

    @property
    def json(self) -> Any:
        """The request's body as JSON, None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def token(self) -> str:
        """The Authorization header, empty without one."""
        return self.headers.get("authorization", "")

    def forward(self, *, without: str = "", **changes: Any) -> Answer:
        """Ask the API, with members of the JSON body changed or a header left out."""
        headers = {name: value for name, value in self.headers.items() if name != without}
        body = json.dumps({**self.json, **changes}).encode() if changes else self.body
        if self.through:
            return self.through[0](replace(self, headers=headers, body=body, through=self.through[1:]))
        answer = self.upstream.request(self.method, self.path, headers=headers, content=body or None)
        passed = {name: value for name, value in answer.headers.items() if name not in _NOT_PASSED_ON}
        return Answer(status=answer.status, headers=passed, body=answer.body)


def one_behind_the_other(lies: Sequence[Lie]) -> Lie:
    """Tell several lies at once, the first one nearest to the gate."""
    return lambda exchange: lies[0](replace(exchange, through=tuple(lies[1:])))


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """Gates call by the hundred at once; a short queue would reset their connections."""


class LyingProxy:
    """A proxy on a free loopback port, as long as the ``with`` block."""

    def __init__(self, upstream: HttpClient, lie: Lie) -> None:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def _handle(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                exchange = Exchange(
                    method=self.command,
                    path=self.path,
                    headers={name: value for name, value in headers.items() if name not in _NOT_PASSED_ON},
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
                """Say nothing."""

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
"""Each lie by its name: the gate that must find it out, the check that must be false, and its maker."""


def lie(gate: str, check: str) -> Callable[[Callable[[], Lie]], Callable[[], Lie]]:
    """Note a lie (made anew for each test), the gate that must find it out and a check that must be false.

    Where it is a matter of chance which of two checks finds it first, both are named, with a | between.
    """

    def note(make: Callable[[], Lie]) -> Callable[[], Lie]:
        LIES[make.__name__] = (gate, check, make)
        return make

    return note


def on(method: str, start: str, answer: Callable[[Exchange], Answer]) -> Lie:
    """Lie about one method and beginning of a path, pass everything else on."""
    return lambda e: answer(e) if e.method == method and e.path.startswith(start) else e.forward()


def cached(method: str, start: str, key: Callable[[Exchange], str]) -> Lie:
    """Give the first answer with status 200 again to every request with the same key."""
    known: dict[str, Answer] = {}

    def answer(e: Exchange) -> Answer:
        found = known.get(key(e)) or e.forward()
        if found.status == 200:
            known[key(e)] = found
        return found

    return on(method, start, answer)
