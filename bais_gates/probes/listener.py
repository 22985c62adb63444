"""Receive webhooks with an HTTP server that answers with given statuses, and verify their signatures.

A listener has any number of inboxes, each with its own URL, so that deliveries to different webhooks can be
distinguished. Source: the Standard Webhooks specification.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import socket
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from bais_gates.errors import GateInputError
from bais_gates.extras import deferred

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Self

    import httpx

    _Take = Callable[[str, str, httpx.Headers, bytes], int]
else:
    httpx = deferred("httpx")

BODY_CAP: Final = 1024 * 1024
"""Bytes of a delivery that are read."""
_SOCKET_TIMEOUT_S: Final = 10.0
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the public prefix of a secret, not one


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One request to an inbox, with its exact bytes."""

    method: str
    headers: httpx.Headers
    body: bytes
    at: float
    """Seconds since the epoch when the request had been read."""
    answered: int
    """The status of the response."""

    @property
    def id(self) -> str:
        """The ``webhook-id``; empty without one."""
        return str(self.headers.get("webhook-id", ""))

    @cached_property
    def json(self) -> Any:
        """The body as JSON; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def type(self) -> str:
        """The event's type; empty without one."""
        kind = self.json.get("type") if isinstance(self.json, dict) else None
        return kind if isinstance(kind, str) else ""

    def age_s(self) -> float | None:
        """Return the seconds from its ``webhook-timestamp`` to its arrival; None without a valid one."""
        stamp = self.headers.get("webhook-timestamp", "")
        return self.at - int(stamp) if stamp.isascii() and stamp.isdigit() and len(stamp) < 13 else None


@dataclass(kw_only=True)
class Inbox:
    """One URL of a listener, with its deliveries and the statuses of its next responses."""

    url: str
    _changed: threading.Condition = field(repr=False)
    _answers: list[int] = field(default_factory=list)
    _received: list[Delivery] = field(default_factory=list)

    @property
    def received(self) -> tuple[Delivery, ...]:
        """All deliveries so far, in order of arrival."""
        with self._changed:
            return tuple(self._received)

    def answer(self, *statuses: int) -> None:
        """Set the statuses of the next responses, one each; the last one applies to all later ones."""
        with self._changed:
            self._answers[:] = statuses

    def wait_for(self, condition: Callable[[Sequence[Delivery]], bool], timeout_s: float) -> bool:
        """Wait until ``condition`` holds for the deliveries; return whether it did within ``timeout_s``."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self._received), timeout_s)

    def _take(self, method: str, headers: httpx.Headers, body: bytes) -> int:
        with self._changed:
            status = self._answers.pop(0) if len(self._answers) > 1 else (self._answers or [200])[0]
            self._received.append(
                Delivery(method=method, headers=headers, body=body, at=time.time(), answered=status)
            )
            self._changed.notify_all()
            return status


class Listener:
    """An HTTP server on ``host:port`` (0: a free port), advertised as ``advertise_url``.

    It listens from its creation until :meth:`close`; paths of no inbox answer 404.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, advertise_url: str | None = None) -> None:
        self._changed = threading.Condition()
        self._inboxes: dict[str, Inbox] = {}
        try:
            self._server = _Server((host, port), self._take)
        except OSError as e:
            raise GateInputError(
                f"webhooks: cannot listen on {host} port {port} ({e.strerror or e}). Free the port, or "
                "change webhooks.listen_host or webhooks.listen_port in the environment file."
            ) from e
        shown = f"[{host}]" if ":" in host else host
        self.base_url = (advertise_url or f"http://{shown}:{self._server.server_address[1]}").rstrip("/")
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def inbox(self, *answers: int) -> Inbox:
        """Open an inbox at an unguessable URL; it answers as :meth:`Inbox.answer` sets, else 200."""
        path = f"/hooks/{secrets.token_urlsafe(16)}"
        box = Inbox(url=self.base_url + path, _changed=self._changed)
        box.answer(*answers)
        with self._changed:
            self._inboxes[path] = box
        return box

    def _take(self, path: str, method: str, headers: httpx.Headers, body: bytes) -> int:
        with self._changed:
            # The advertised URL may have a path prefix, which a tunnel may or may not strip.
            box = next((box for known, box in self._inboxes.items() if path.endswith(known)), None)
        return box._take(method, headers, body) if box is not None else 404  # noqa: SLF001 - its own part

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], take: _Take) -> None:
        self.take = take
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing when a peer closes the connection: only received deliveries count."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SOCKET_TIMEOUT_S
    server: _Server

    def _answer(self) -> None:
        length = self.headers.get("Content-Length", "0")
        size = int(length) if length.isascii() and length.isdigit() else BODY_CAP + 1
        if size > BODY_CAP or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            status = 413
        else:
            path, body = self.path.partition("?")[0], self.rfile.read(size)
            status = self.server.take(path, self.command, _headers(self.headers.items()), body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the names that http.server calls

    def log_message(self, *_args: object) -> None:
        """Log nothing: a delivery may contain secrets."""


def _headers(items: Iterable[tuple[str, str]]) -> httpx.Headers:
    """Return headers as their exact bytes, which http.server decodes as Latin-1."""
    return httpx.Headers([(name.encode("latin-1"), value.encode("latin-1")) for name, value in items])


def signature_problem(delivery: Delivery, secret: str) -> str | None:
    """Return why a delivery's Standard Webhooks signature is not valid; None if it is.

    ``secret`` is ``whsec_`` followed by the base64 of the key, or the key as text.
    """
    stamp = delivery.headers.get("webhook-timestamp", "")
    signatures = delivery.headers.get("webhook-signature", "")
    parts = {"webhook-id": delivery.id, "webhook-timestamp": stamp, "webhook-signature": signatures}
    missing = [name for name, value in parts.items() if not value]
    if missing:
        return f"missing: {', '.join(missing)}"
    key = _key(secret)
    if key is None:
        return "the signature secret is not base64 after whsec_"
    signed = b".".join((delivery.id.encode(), stamp.encode(), delivery.body))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    for one in signatures.split(" "):
        version, _, signature = one.partition(",")
        if version == "v1" and hmac.compare_digest(signature.encode(), expected.encode()):
            return None
    return "no v1 signature matches id.timestamp.body"


def _key(secret: str) -> bytes | None:
    if not secret.startswith(_SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
