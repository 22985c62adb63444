"""The shared sandbox, a client for its API, and registered businesses."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import psycopg
import pytest

from bais_gates import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PASSWORD = "Correct-Horse-9"
ACCEPTED, DECLINED, FAILS_LATER = "4242424242424242", "4000000000000002", "4000000000000341"
FAULTS_SEEN_S = 0.12
"""The API polls its faults file ten times a second."""


def eventually(condition: Callable[[], Any], within: float = 8.0) -> Any:
    """Return the value of the condition once it is true; None if it never was."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    return None


def error_of(response: httpx.Response) -> str:
    """Return the ``type`` of an error response, after checking its shape."""
    body = response.json()
    assert set(body) == {"error"}
    assert {"type", "message"} <= set(body["error"]) <= {"type", "message", "details"}
    assert response.headers["x-request-id"]
    return str(body["error"]["type"])


@dataclass
class Business:
    """A registered business, and a client with its tokens."""

    ACCEPTED: ClassVar[str] = ACCEPTED
    DECLINED: ClassVar[str] = DECLINED
    FAILS_LATER: ClassVar[str] = FAILS_LATER
    client: httpx.Client
    email: str
    tokens: dict[str, Any]
    workflow_id: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The bearer token, as headers."""
        return {"authorization": f"Bearer {self.tokens['access_token']}"}

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET as this business."""
        return self.client.get(path, headers=self.headers, **options)

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        """POST as this business."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, headers=self.headers | named, json=body)

    def workflow(self, **changes: object) -> httpx.Response:
        """Create a workflow, valid except for the ``changes``."""
        body = {"name": "Orders", "payment_provider": "stripe", "amount": 19.99, "currency": "USD"}
        return self.post(
            "/api/v1/workflows/payment", body | {"webhook_url": "https://example.com/hook"} | changes
        )

    def payment(self, card: str = ACCEPTED, **changes: object) -> dict[str, object]:
        """Return the body of a payment, valid except for the ``changes``."""
        if not self.workflow_id:
            self.workflow_id = self.workflow().json()["workflow_id"]
        method = {"type": "card", "card_number": card, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
        body = {"workflow_id": self.workflow_id, "amount": 19.99, "currency": "USD", "payment_method": method}
        return body | changes

    def pay(self, card: str = ACCEPTED, key: str | None = None, **changes: object) -> httpx.Response:
        """Take a payment."""
        headers = {} if key is None else {"idempotency_key": key}
        return self.post("/api/v1/payments/process", self.payment(card, **changes), **headers)


@dataclass
class Platform:
    """The running sandbox: its folder, a client for its API, and its database."""

    PASSWORD: ClassVar[str] = PASSWORD
    eventually: ClassVar = staticmethod(eventually)
    error_of: ClassVar = staticmethod(error_of)
    directory: Path
    client: httpx.Client
    config: dict[str, Any]

    def email(self) -> str:
        """Return an unused e-mail address."""
        return f"t-{secrets.token_hex(8)}@example.com"

    def register(self, **changes: object) -> httpx.Response:
        """Register a business, valid except for the ``changes``."""
        body = {"email": self.email(), "password": PASSWORD, "business_name": "B", "contact_name": "C"}
        return self.client.post("/api/v1/auth/register", json=body | changes)

    def sign_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        """Sign in."""
        return self.client.post("/api/v1/auth/login", json={"email": email, "password": password})

    def business(self) -> Business:
        """Return a new business that is signed in."""
        email = self.email()
        assert self.register(email=email).status_code == 201
        return Business(self.client, email, self.sign_in(email).json())

    def rows(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, which the API's role runs."""
        with psycopg.connect(self.config["database_url"], autocommit=True) as connection:
            return connection.execute(statement, parameters).fetchall()

    @contextmanager
    def faults(self, *names: str) -> Iterator[None]:
        """Activate the faults meanwhile."""
        self._switch(*names)
        try:
            yield
        finally:
            self._switch()

    def _switch(self, *names: str) -> None:
        sandbox.set_faults(self.directory, names)
        time.sleep(FAULTS_SEEN_S)


@pytest.fixture(scope="session")
def platform(shared_sandbox: Path) -> Iterator[Platform]:
    """Yield the sandbox that the tests of this process share."""
    with platform_in(shared_sandbox) as found:
        yield found


@pytest.fixture
def own_platform() -> Iterator[Platform]:
    """Yield a sandbox for a single test, which may break it."""
    directory = Path(tempfile.mkdtemp(prefix="bais-gates-api-"))
    try:
        sandbox.start(directory, owner_pid=os.getpid())
        with platform_in(directory) as found:
            yield found
    finally:
        sandbox.stop(directory)
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def platform_in(directory: Path) -> Iterator[Platform]:
    """Open a client of the sandbox in a folder, and close it afterwards."""
    info = sandbox.status(directory)
    assert info is not None
    trust = ssl.create_default_context(cafile=directory / "ca.pem")
    with httpx.Client(base_url=info.api_url, verify=trust, timeout=20, trust_env=False) as client:
        yield Platform(directory, client, json.loads((directory / "api.json").read_bytes()))


@pytest.fixture(scope="session")
def alice(platform: Platform) -> Business:
    """Return a business that tests share and do not change."""
    return platform.business()


@pytest.fixture
def business(platform: Platform) -> Business:
    """Return a business for a single test."""
    return platform.business()


@dataclass
class Receiver:
    """A receiver of webhooks: the deliveries, and its response statuses, of which the last one repeats."""

    url: str
    answers: list[int] = field(default_factory=lambda: [200])
    received: list[tuple[dict[str, str], bytes, float]] = field(default_factory=list)

    def wait(self, count: int, within: float = 8.0) -> list[tuple[dict[str, str], bytes, float]]:
        """Return the deliveries once ``count`` of them, or the timeout, is reached."""
        eventually(lambda: len(self.received) >= count, within)
        return list(self.received)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Yield a receiver on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.received.append(({k.lower(): v for k, v in self.headers.items()}, body, time.time()))
            self.send_response(found.answers.pop(0) if len(found.answers) > 1 else found.answers[0])
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def another_api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., AnotherApi]]:
    """Return a function that starts another API process without TLS, with changed settings."""
    started: list[AnotherApi] = []

    def start(of: Platform | None = None, **changes: object) -> AnotherApi:
        with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as probe:
            port = probe.server_port
        platform: Platform = of or request.getfixturevalue("platform")
        logs = tmp_path / f"logs-{port}"
        settings = platform.config | {"tls_cert": None, "tls_key": None, "logs": str(logs)} | changes
        config = tmp_path / f"api-{port}.json"
        config.write_text(json.dumps(settings))
        process = subprocess.Popen(
            [sys.executable, "-m", "bais_gates.sandbox.api", config, "--port", str(port)]
        )
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False)
        started.append(AnotherApi(client, process, logs))
        assert eventually(lambda: _is_up(client), within=20)
        return started[-1]

    try:
        yield start
    finally:
        for one in started:
            one.client.close()
            one.process.kill()
            one.process.wait()


@dataclass
class AnotherApi:
    """A second API process: a client for it, and its logs."""

    client: httpx.Client
    process: subprocess.Popen[bytes]
    logs: Path


def _is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False
