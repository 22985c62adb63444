"""Prometheus and Alertmanager are read as documented; anything else is an error that says what to check."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.probes.prometheus import Alertmanager, Line, Point, Prometheus, PrometheusError

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "token-canary-9f2c"


@contextmanager
def answering(body: bytes, *, status: int = 200, after_s: float = 0.0) -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a server that answers everything alike, and the requests that it received."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length).decode()
            received.append(f"{self.path} {self.headers.get('Authorization', '')} {sent}".strip())
            time.sleep(after_s)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ok(data: Any) -> bytes:
    """Return an answer of Prometheus with this data."""
    return json.dumps({"status": "success", "data": data}).encode()


def test_values_and_lines_are_read() -> None:
    """A vector, a scalar and a range are points and lines, with NaN and infinity as they are written."""
    vector = {"resultType": "vector", "result": [{"metric": {"job": "a"}, "value": [1, "NaN"]}]}
    matrix = {"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "2"], [3, "+Inf"]]}]}

    with answering(ok(vector)) as (url, received), Prometheus(url, token=CANARY) as prometheus:
        (point,) = prometheus.query("up")
        assert (point.labels, str(point.value)) == ({"job": "a"}, "nan")
        assert prometheus.labels_of("up") == {"job"}
    assert received[0] == f"/api/v1/query?query=up Bearer {CANARY}"
    with (
        answering(ok({"resultType": "scalar", "result": [1, "7"]})) as (url, _),
        Prometheus(url) as prometheus,
    ):
        assert prometheus.query("7") == (Point(labels={}, value=7.0),)
    with answering(ok(matrix)) as (url, received), Prometheus(url) as prometheus:
        lines = prometheus.query_range("up", start=1, end=3, step_s=2)
        assert lines == (Line(labels={}, points=((1.0, 2.0), (3.0, float("inf")))),)
    assert received[0] == "/api/v1/query_range?query=up&start=1.000&end=3.000&step=2"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>sign in</html>", 200),
        (b"", 200),
        (b"upstream failed", 500),
        (b'{"status":"success","data":{"resultType":"vector","result":[]},"data":1}', 200),
        (ok({"resultType": "vector", "result": {}}), 200),
        (ok({"resultType": "vector", "result": [{"metric": {}}]}), 200),
        (ok(None), 200),
        (ok({"groups": 3}), 200),
        (b'{"status":"error","error":"query timed out"}', 503),
        (b"[" * 100_000, 200),
        (b"\x00" * 1000, 200),
    ],
)
def test_another_answer_is_an_error(body: bytes, status: int) -> None:
    """HTML, nothing, duplicate keys, another shape, 500 and garbage end in one paragraph with the address."""
    with answering(body, status=status) as (url, _), Prometheus(url, token=CANARY) as prometheus:
        for ask in (lambda: prometheus.query("up"), prometheus.rule_groups, prometheus.targets):
            with pytest.raises(PrometheusError) as caught:
                ask()
            assert "monitoring.prometheus_url" in str(caught.value)
            assert CANARY not in str(caught.value)
            assert len(str(caught.value)) < 700


def test_a_refused_expression_and_a_wrong_token_say_so() -> None:
    """An expression that Prometheus refuses is named with its reason; a 401 names the token's key."""
    refusal = b'{"status":"error","errorType":"bad_data","error":"parse error: unclosed"}'
    with (
        answering(refusal, status=400) as (url, _),
        Prometheus(url) as prometheus,
        pytest.raises(PrometheusError, match=r"refuses.*sum\(.*parse error: unclosed"),
    ):
        prometheus.query("sum(")
    with (
        answering(b"no", status=401) as (url, _),
        Prometheus(url, token=CANARY) as prometheus,
        pytest.raises(PrometheusError, match=r"Check monitoring\.token"),
    ):
        prometheus.targets()


def test_a_server_that_hangs_or_is_absent_ends_in_time() -> None:
    """The deadline holds, and the message says which key to check."""
    with answering(b"", after_s=2) as (url, _), Prometheus(url, deadline_s=0.3) as prometheus:
        began = time.monotonic()
        with pytest.raises(PrometheusError, match=r"no complete response.*monitoring\.prometheus_url"):
            prometheus.query("up")
        assert time.monotonic() - began < 1.5
    with (
        Alertmanager("http://127.0.0.1:1") as alertmanager,
        pytest.raises(PrometheusError, match=r"refused.*monitoring\.alertmanager_url"),
    ):
        alertmanager.configuration()


def test_alertmanager_is_read_and_sent_to() -> None:
    """Its configuration is the text of its status; alerts are sent as a list; anything else is an error."""
    status = json.dumps({"config": {"original": "route: {}"}}).encode()
    with answering(status) as (url, received), Alertmanager(url) as alertmanager:
        assert alertmanager.configuration() == "route: {}"
        alertmanager.send([{"labels": {"alertname": "A"}}])
    assert received[1] == '/api/v2/alerts  [{"labels":{"alertname":"A"}}]'
    with (
        answering(b"{}") as (url, _),
        Alertmanager(url) as alertmanager,
        pytest.raises(PrometheusError, match="instead of Alertmanager's status"),
    ):
        alertmanager.configuration()
    with (
        answering(b'"no"', status=400) as (url, _),
        Alertmanager(url) as alertmanager,
        pytest.raises(PrometheusError, match="took no alert"),
    ):
        alertmanager.send([{}])
