"""The HTTP probe with healthy and with hostile servers."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
import trustme

from bais_gates.probes.http import HttpClient, Response, Unreachable

Behaviour = Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(behaviour: Behaviour, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run ``behaviour`` with each connection to a free loopback port; yield the URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(peer,), daemon=True).start()

    def talk(peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer:
            if context is not None:
                with context.wrap_socket(peer, server_side=True) as secured:
                    behaviour(secured)
            else:
                behaviour(peer)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        over.set()
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def _ask(peer: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data and (more := peer.recv(65536)):
        data += more


def _well(peer: socket.socket) -> None:
    _ask(peer)
    peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"a":1.5}')


def _drip(text: bytes) -> Behaviour:
    def behave(peer: socket.socket) -> None:
        _ask(peer)
        peer.sendall(text)
        while True:
            peer.sendall(b"x")
            time.sleep(0.05)

    return behave


def _endless(peer: socket.socket) -> None:
    _ask(peer)
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n")
    while True:
        peer.sendall(b"0" * 65536)


def _answers_nothing(peer: socket.socket) -> None:
    _ask(peer)
    peer.recv(1)


def _garbage(peer: socket.socket) -> None:
    _ask(peer)
    peer.sendall(b"\x00\xff\x7fELF not http at all\r\n\r\n" * 10)


def _resets(peer: socket.socket) -> None:
    _ask(peer)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def _informs_for_ever(peer: socket.socket) -> None:
    _ask(peer)
    while True:
        peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.02)


def _cut_short(peer: socket.socket) -> None:
    _ask(peer)
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")


def _redirects(peer: socket.socket) -> None:
    _ask(peer)
    peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")


class TestHostileServers:
    """There is a response or an error within the deadline."""

    @pytest.mark.parametrize(
        ("behaviour", "cause"),
        [
            pytest.param(_answers_nothing, "no complete response within 0.4 s", id="hangs"),
            pytest.param(
                _drip(b"HTTP/1.1 200 OK\r\nX-Long: "), "no complete response within", id="drips-header"
            ),
            pytest.param(
                _drip(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
                "no complete response",
                id="drips-body",
            ),
            pytest.param(_informs_for_ever, "no complete response within", id="100-continue-for-ever"),
            pytest.param(_garbage, "incomplete or invalid HTTP response", id="garbage"),
            pytest.param(_resets, "reset|incomplete or invalid HTTP response", id="resets"),
            pytest.param(_cut_short, "incomplete or invalid HTTP response", id="cut-short"),
        ],
    )
    def test_an_incomplete_response_is_unreachable(self, behaviour: Behaviour, cause: str) -> None:
        """The message has the cause and the request."""
        began = time.monotonic()
        with (
            serving(behaviour) as url,
            HttpClient(url, deadline_s=0.4) as client,
            pytest.raises(Unreachable, match=cause) as error,
        ):
            client.request("GET", "/health")
        assert time.monotonic() - began < 3
        assert f"GET {url}/health" in str(error.value)

    def test_a_large_body_is_truncated(self) -> None:
        """An endless body is read up to the limit, marked as truncated, and not parsed as JSON."""
        with serving(_endless) as url, HttpClient(url, body_cap=100_000) as client:
            answer = client.request("GET", "/")
        assert (len(answer.body), answer.truncated, answer.json) == (100_000, True, None)

    def test_redirects_are_not_followed(self) -> None:
        """A redirect is a response."""
        with serving(_redirects) as url, HttpClient(url) as client:
            assert client.request("GET", "/").status == 302

    def test_a_refused_connection(self) -> None:
        """The message has the cause."""
        with serving(_well) as url:
            pass
        with HttpClient(url) as client, pytest.raises(Unreachable, match="connection refused"):
            client.request("GET", "/")

    def test_a_server_that_does_not_read_a_large_body(self) -> None:
        """The deadline applies to sending, too."""
        with (
            serving(lambda _peer: time.sleep(2)) as url,
            HttpClient(url, deadline_s=0.4) as client,
            pytest.raises(Unreachable),
        ):
            client.request("POST", "/", content=b"0" * 50_000_000)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a certificate authority."""
    return trustme.CA()


class TestTrust:
    """TLS is verified, with the CA of the environment file only."""

    def _serve(self, authority: trustme.CA, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return context

    def test_the_named_ca_is_trusted(self, authority: trustme.CA, tmp_path: Path) -> None:
        """A certificate of the named CA is accepted."""
        ca_file = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(ca_file)
        with (
            serving(_well, self._serve(authority, "127.0.0.1")) as url,
            HttpClient(url, ca_file=str(ca_file)) as client,
        ):
            assert client.request("GET", "/").json == {"a": 1.5}

    def test_another_ca_is_not(self, authority: trustme.CA, tmp_path: Path) -> None:
        """A certificate of another CA is not trusted."""
        ca_file = tmp_path / "ca.pem"
        trustme.CA().cert_pem.write_to_path(ca_file)
        with (
            serving(_well, self._serve(authority, "127.0.0.1")) as url,
            HttpClient(url, ca_file=str(ca_file)) as client,
            pytest.raises(Unreachable, match="certificate is not trusted"),
        ):
            client.request("GET", "/")

    def test_another_host_is_not(self, authority: trustme.CA, tmp_path: Path) -> None:
        """A certificate for another host is not trusted."""
        ca_file = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(ca_file)
        with (
            serving(_well, self._serve(authority, "elsewhere.example")) as url,
            HttpClient(url, ca_file=str(ca_file)) as client,
            pytest.raises(Unreachable, match="certificate is not trusted"),
        ):
            client.request("GET", "/")


def _response(body: bytes) -> Response:
    return Response(method="GET", url="u", status=200, headers=httpx.Headers(), body=body, elapsed_ms=1)


class TestResponse:
    """The body of a response."""

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"not json",
            b'{"a": NaN}',
            b'{"a": 1, "a": 2}',
            b"[" * 100_000,
            b'{"a": ' + b"9" * 10_000 + b"}",
            b"\xff",
        ],
    )
    def test_invalid_json_is_none(self, body: bytes) -> None:
        """NaN, duplicate keys, excessive depth and invalid UTF-8 are not JSON."""
        assert _response(body).json is None

    def test_money_is_exact(self) -> None:
        """Amounts are not rounded to binary floating point."""
        answer = _response(b'{"amount": 19.990000000000000001, "whole": 100, "small": 1E-2, "text": "5"}')
        assert answer.exact["amount"] == Decimal("19.990000000000000001")
        assert [answer.money(key) for key in ("whole", "small", "text", "none")] == [
            "100",
            "0.01",
            None,
            None,
        ]

    def test_missing_fields_are_none(self) -> None:
        """A missing field is not an error."""
        answer = _response(b'{"a": [{"b": 1}]}')
        assert answer.field("a", 0, "b") == 1
        assert answer.field("a", 5, "b") is None
        assert answer.field("a", "b") is None


def test_many_threads_share_a_client_each_with_its_own_deadline() -> None:
    """A slow exchange of one thread does not change another's deadline."""

    def behave(peer: socket.socket) -> None:
        data = peer.recv(65536)
        if b"/slow" in data:
            time.sleep(1)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    outcomes: dict[str, object] = {}
    with serving(behave) as url, HttpClient(url) as client:

        def ask(path: str, deadline_s: float) -> None:
            try:
                outcomes[path] = client.request("GET", path, deadline_s=deadline_s).status
            except Unreachable:
                outcomes[path] = "late"

        threads = [
            threading.Thread(target=ask, args=args)
            for args in (("/slow", 0.2), ("/quick", 5.0), ("/slow2", 5.0))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert outcomes == {"/slow": "late", "/quick": 200, "/slow2": 200}


def test_a_request_that_closes_its_connection_has_one_of_its_own() -> None:
    """Behind a load balancer an idle connection leads where it was opened to: a burst must not use those."""
    peers: list[socket.socket] = []

    def stays_open(peer: socket.socket) -> None:
        peers.append(peer)
        while peer.recv(4096):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with serving(stays_open) as url, HttpClient(url, deadline_s=5.0) as client:
        for headers, connections in (({}, 1), ({}, 1), ({"Connection": "close"}, 2), ({}, 2)):
            assert client.request("GET", "/", headers=headers).status == 200
            assert len(peers) == connections
