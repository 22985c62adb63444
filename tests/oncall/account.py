"""The stand-in for PagerDuty behind a real server on loopback, with a clock and faults that tests set."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from bais_gates.oncall.pagerduty import PagerDuty
from bais_gates.oncall.pagerduty_api import Api
from bais_gates.oncall.plan import Plan, apply, make_plan, require_no_handover
from bais_gates.oncall.rotation import Rotation
from bais_gates.sandbox.oncall import SENDER, Access
from bais_gates.sandbox.oncall.http import Reply, Request
from bais_gates.sandbox.oncall.serving import StandIns
from tests.oncall.rotations import NAMES, rotation
from tests.sandbox.oncall import Exchange

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
"""On which Cleo is primary, Ada secondary and Finn manager, by the tests' rotation."""
READS = ("GET", "PREVIEW")


@dataclass
class Served:
    """An account of the people of the tests' rotation, and what was asked of it."""

    folder: Path
    now: datetime = MONDAY
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method (PREVIEW for a preview) and path of each request."""
    cut_from: int | None = None
    """The number of the request, from 0, at which the connection is cut, and at each after it."""
    cut_after: bool = False
    """Whether the request is carried out before the connection is cut."""
    exchanges: list[Exchange] = field(default_factory=list)
    """Each request and its reply, without the prefix of the path."""
    queries: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and name of each parameter of a query."""
    replies: list[Reply] = field(default_factory=list)
    """What is answered instead, to the next requests."""
    waited: list[float] = field(default_factory=list)
    posted: list[tuple[str, Any]] = field(default_factory=list)
    """Channel and message of each post."""
    url: str = ""

    def __post_init__(self) -> None:
        people = [(name, f"{name.lower()}@bais.example") for name in NAMES]
        self.access = Access()
        config = {"access": asdict(self.access), "people": people, "service": "bais-api"}
        self.stand_ins = StandIns(config, lambda channel, message: self.posted.append((channel, message)))
        self.account = self.stand_ins._account
        self.account.now = lambda: self.now
        self.state: dict[str, Any] = self.account.state

    @property
    def writes(self) -> list[tuple[str, str]]:
        """The requests that changed something."""
        return [one for one in self.requests if one[0] not in READS]

    def provider(self, token: str | None = None) -> PagerDuty:
        """Return a client of the account."""
        transport = httpx.HTTPTransport(verify=False)  # quick to make; nothing here is encrypted
        api = Api(
            f"{self.url}/pagerduty",
            token or self.account.access.token,
            SENDER,
            sleep=self.waited.append,
            transport=transport,
        )
        return PagerDuty(api)

    def rotation(self, **changes: object) -> Rotation:
        """Return the tests' rotation with changes."""
        return rotation(self.folder, **changes)

    def plan(self, it: Rotation, **options: Any) -> Plan:
        """Return the plan of now."""
        with contextlib.closing(self.provider()) as provider:
            return make_plan(it, provider, self.now, **options)

    def apply(self, it: Rotation, **options: Any) -> Plan:
        """Plan and apply as the command does, and forget the requests so far; return the plan."""
        self.requests.clear()
        with contextlib.closing(self.provider()) as provider:
            plan = make_plan(it, provider, self.now, **options)
            if not options.get("allow_handover"):
                require_no_handover(plan)
            apply(plan, provider, lambda: self.now, say=lambda _: None)
        return plan

    def on_call(self, tier: str, at: datetime) -> str | None:
        """Return the name of who is on call on a tier by the account itself."""
        with contextlib.closing(self.provider()) as provider:
            (schedule,) = provider.schedules([f"BAIS {tier}"], at, at + timedelta(minutes=5))
        return schedule.shifts[0].person.partition("@")[0].title() if schedule.shifts else None

    def user(self, name: str) -> Any:
        """Return a user of the account's state."""
        return self.account.find("users", name=name)

    def schedule(self, tier: str) -> Any:
        """Return a schedule of the account's state."""
        return self.account.find("schedules", name=f"BAIS {tier}")


@contextlib.contextmanager
def served(folder: Path, tls: ssl.SSLContext | None = None) -> Iterator[Served]:
    """Yield an account that is served until the end of the block."""
    it = Served(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(it))
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    it.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    try:
        yield it
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _exchange(request: Request, reply: Reply) -> Exchange:
    path = request.path.removeprefix("/pagerduty")
    answer = json.loads(reply.body) if "json" in reply.content_type and reply.body else None
    return Exchange(request.method, path, request.content(), reply.status, answer)


def _handler(it: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_request(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            preview = self.path.startswith("/pagerduty/schedules/preview")
            it.requests.append(("PREVIEW" if preview else self.command, self.path))
            cut = it.cut_from is not None and len(it.requests) > it.cut_from
            if cut and not it.cut_after:
                self.hang_up()
                return
            request = Request.of(self.command, self.path, dict(self.headers), body)
            reply = it.replies.pop(0) if it.replies else it.stand_ins.respond(request)
            if cut:
                self.hang_up()
                return
            it.exchanges.append(_exchange(request, reply))
            it.queries += [(self.command, it.exchanges[-1].path, name) for name in request.query]
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status != 204:
                self.send_header("Content-Type", reply.content_type)
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def hang_up(self) -> None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    answer: Callable[[Any], None] = Handler.handle_request
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", answer)
    return Handler
