"""Bad requests, headers, probes, logs and metrics: the properties of every response."""

from __future__ import annotations

import json
import socket
import ssl
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox_api.conftest import AnotherApi, Business, Platform

LOGIN = "/api/v1/auth/login"


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"null", "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b'{"email":' * 6_000, "application/json", 400),
        (b'{"email": "\xff\xfe"}', "application/json", 400),
        (b'{"email": "\\ud800", "password": "x"}', "application/json", 400),
        (b'{"email": "a@example.com\\u0000", "password": "x"}', "application/json", 400),
        (b'{"email": NaN, "password": 1}', "application/json", 400),
        (b'{"email": 1e999, "password": []}', "application/json", 400),
        (b'{"email": "x"}', "text/plain", 415),
        (b"email=x", "application/x-www-form-urlencoded", 415),
        (b"x" * 70_000, "application/json", 413),
        (b"x" * 5_000_000, "application/json", 413),
    ],
)
def test_bad_bodies_are_refused(platform: Platform, content: bytes, kind: str, status: int) -> None:
    """An invalid request receives a 4xx in the error shape, without internals."""
    answer = platform.client.post(LOGIN, content=content, headers={"content-type": kind})
    assert answer.status_code == status
    platform.error_of(answer)
    assert not any(word in answer.text for word in ("Traceback", "File ", "psycopg", "127.0.0.1", "SELECT"))


def test_a_body_in_chunks_is_limited_as_well(platform: Platform) -> None:
    """Without a Content-Length the limit is the same."""
    chunks = (b"x" * 1000 for _ in range(200))
    answer = platform.client.post(LOGIN, content=chunks, headers={"content-type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/health", "GET, HEAD"),
        ("DELETE", LOGIN, "POST"),
        ("GET", LOGIN, "POST"),
        ("PUT", "/api/v1/cache/test", "GET, HEAD, POST"),
        ("OPTIONS", "/api/v1/payments/process", "POST"),
    ],
)
def test_wrong_methods_receive_the_allowed_ones(
    platform: Platform, method: str, path: str, allow: str
) -> None:
    """405 with Allow."""
    answer = platform.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert platform.error_of(answer) == "method_not_allowed"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nope",
        "/health/",
        "/api/v1/payments",
        "/api/v1/../../etc/passwd",
        "/api/v2/auth/login",
        "//health",
        "/%00",
    ],
)
def test_unknown_paths_are_404(platform: Platform, path: str) -> None:
    """In the error shape, without redirect."""
    answer = platform.client.get(path)
    assert answer.status_code == 404
    platform.error_of(answer)


@pytest.mark.parametrize(
    "identifier", ["'; DROP TABLE payments--", "%00", "%ff", "a" * 300, "..", "%2e%2e", "\u20ac", "{}"]
)
def test_odd_ids_are_404(alice: Business, platform: Platform, identifier: str) -> None:
    """An invalid id is not looked up, and does not appear in a log."""
    for prefix in ("/api/v1/payments/", "/api/v1/workflows/payment/"):
        answer = alice.get(prefix + identifier)
        assert answer.status_code == 404
        platform.error_of(answer)


@pytest.mark.parametrize(
    "raw",
    [
        b"NONSENSE\r\n\r\n",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"BREW /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000,
        b"\x00\x01\x02\x03\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_an_answer_in_the_error_shape(platform: Platform, raw: bytes) -> None:
    """400, and the connection is closed."""
    url, trust = platform.client.base_url, ssl.create_default_context(cafile=platform.directory / "ca.pem")
    with (
        socket.create_connection((url.host, url.port or 443), timeout=5) as plain,
        trust.wrap_socket(plain, server_hostname=url.host) as connection,
    ):
        connection.sendall(raw)
        received = b""
        while part := connection.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["error"]["type"] == "invalid_http"


def test_every_answer_has_its_headers(platform: Platform) -> None:
    """Request id, security headers, HSTS over TLS - and no name of the server's software."""
    for path in ("/health", "/nope", LOGIN):
        headers = platform.client.get(path).headers
        assert len(headers["x-request-id"]) == 32
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "max-age" in headers["strict-transport-security"]
        assert "server" not in headers


def test_request_ids_are_echoed_if_they_can_be(platform: Platform) -> None:
    """A usable id comes back; one that could break a log line is replaced."""
    get = platform.client.get
    assert get("/health", headers={"x-request-id": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
    for bad in ("a b", "x" * 129, 'a"b', "\u00e4"):
        answer = get("/health", headers={b"x-request-id": bad.encode("latin-1")})
        assert answer.headers["x-request-id"] not in {bad, ""}


def test_status_shows_the_measured_values(platform: Platform) -> None:
    """Connections and their maximum are PostgreSQL's numbers; the probes name both dependencies."""
    status = platform.client.get("/api/v1/system/status").json()
    (maximum,) = platform.rows("SELECT current_setting('max_connections')::int")[0]
    assert status["status"] == "operational"
    assert status["database"]["max_connections"] == maximum
    assert 0 < status["database"]["connections"] < maximum
    assert 0 < status["database"]["latency_ms"] < 1000
    assert 0 <= status["cache"]["hit_rate"] <= 100
    ready = platform.client.get("/ready")
    assert (ready.status_code, ready.json()["checks"]) == (200, {"database": "ok", "cache": "ok"})


def test_metrics_count_by_route(platform: Platform, alice: Business) -> None:
    """Requests are counted by route template and status, in the requested format."""
    alice.get("/api/v1/payments/pay_unknown")
    text = platform.client.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    wanted = (
        'http_request_duration_seconds_count{method="GET",route="/api/v1/payments/{payment_id}",status="404"}'
    )
    assert wanted in text.text
    assert "pay_unknown" not in text.text
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    assert platform.client.get("/metrics", headers=accept).text.endswith("# EOF\n")


def test_the_cache_belongs_to_its_caller(platform: Platform, business: Business) -> None:
    """The value written last is returned to its writer, and to no other caller."""
    path = "/api/v1/cache/test"
    assert business.get(path).json() == {"value": None}
    for value in ("one", "two \u20ac \u0000", ""):
        assert business.post(path, {"value": value}).status_code == 200
        assert business.get(path).json() == {"value": value}
    assert platform.business().get(path).json() == {"value": None}
    assert business.post(path, {"value": "x" * 4097}).status_code == 400
    assert business.post(path, {"value": 5}).status_code == 400


def test_logs_hold_what_they_must_and_nothing_else(platform: Platform, business: Business) -> None:
    """Each request has an access line, each action an audit line, without secrets or personal data."""
    marks = {"x-request-id": "log-test-1"}
    business.client.get("/api/v1/analytics/dashboard?period=30d", headers=business.headers | marks)
    payment_id = business.pay().json()["payment_id"]
    logs = platform.directory / "logs"
    lines = [json.loads(line) for line in (logs / "access.jsonl").read_text().splitlines()]
    (line,) = [one for one in lines if one["request_id"] == "log-test-1"]
    assert (line["route"], line["status"], line["method"]) == ("/api/v1/analytics/dashboard", 200, "GET")
    assert line["business_id"].startswith("biz_")
    audited = [json.loads(line) for line in (logs / "audit.jsonl").read_text().splitlines()]
    (entry,) = [one for one in audited if one["object"] == payment_id]
    assert (entry["action"], entry["allowed"], entry["address"]) == ("payment.create", True, "127.0.0.1")
    everything = "".join(path.read_text() for path in logs.glob("*.jsonl"))
    for secret in (*business.tokens.values(), business.email, platform.PASSWORD, "period=30d"):
        if isinstance(secret, str) and secret != "bearer":
            assert secret not in everything
    table = "SELECT action, allowed FROM audit_log WHERE object = %s"
    assert platform.eventually(lambda: platform.rows(table, payment_id)) == [("payment.create", True)]


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET allowed = true", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
def test_the_audit_log_can_only_be_appended_to(platform: Platform, statement: str) -> None:
    """Not even the API's role can change or remove a line."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        platform.rows(statement + ("" if statement.startswith("TRUNCATE") else " RETURNING 1"))


def test_production_is_stricter(
    another_api: Callable[..., AnotherApi], platform: Platform, tmp_path: Any
) -> None:
    """Production has no /cache/test, no webhook to loopback, and no faults, despite a faults file."""
    faults = tmp_path / "faults.json"
    faults.write_text('["health_version_missing"]')
    api = another_api(environment="production", faults_file=str(faults)).client
    email = platform.email()
    body = {"email": email, "password": platform.PASSWORD, "business_name": "B", "contact_name": "C"}
    assert api.post("/api/v1/auth/register", json=body).status_code == 201
    tokens = api.post(LOGIN, json={"email": email, "password": platform.PASSWORD}).json()
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    assert api.get("/health").json() == {"status": "healthy", "version": "1.0.0", "environment": "production"}
    for method in ("GET", "POST", "PUT"):
        answer = api.request(method, "/api/v1/cache/test", headers=headers)
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")
    hook = {"url": "http://127.0.0.1:1/", "events": ["payment.completed"]}
    assert api.post("/api/v1/webhooks/configure", json=hook, headers=headers).status_code == 400
