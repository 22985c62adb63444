"""The webhook listener and the verification of signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import threading
import time

import httpx
import pytest

from bais_gates.errors import GateInputError
from bais_gates.probes.listener import Delivery, Listener, signature_problem

KEY = b"0123456789abcdefghijklmn"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def _signed(
    body: bytes = b'{"type": "x"}', *, stamp: str = "1700000000", key: bytes = KEY, **over: str
) -> Delivery:
    digest = hmac.new(key, b"msg_1." + stamp.encode() + b"." + body, hashlib.sha256).digest()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        **{name.replace("_", "-"): value for name, value in over.items()},
    }
    return Delivery(
        method="POST",
        headers=httpx.Headers(headers, encoding="latin-1"),
        body=body,
        at=1700000001.5,
        answered=200,
    )


class TestSignature:
    """The Standard Webhooks signature over the exact bytes."""

    def test_a_valid_signature(self) -> None:
        """Also among others, and with a plain text secret."""
        assert signature_problem(_signed(), SECRET) is None
        several = "v1,AAAA v1a,zzz " + _signed().headers["webhook-signature"]
        assert signature_problem(_signed(webhook_signature=several), SECRET) is None
        assert signature_problem(_signed(key=b"plain text"), "plain text") is None

    def test_the_example_of_the_specification(self) -> None:
        """Its signature is valid."""
        headers = {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }
        delivery = Delivery(
            method="POST", headers=httpx.Headers(headers), body=b'{"test": 2432232314}', at=0, answered=200
        )
        assert signature_problem(delivery, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") is None

    @pytest.mark.parametrize(
        ("delivery", "secret", "problem"),
        [
            (_signed(webhook_signature=""), SECRET, "missing: webhook-signature"),
            (_signed(webhook_id=""), SECRET, "missing: webhook-id"),
            (_signed(key=b"another"), SECRET, "no v1 signature"),
            (_signed(webhook_timestamp="1700000009"), SECRET, "no v1 signature"),
            (_signed(webhook_signature="v2,AAAA"), SECRET, "no v1 signature"),
            (_signed(webhook_signature="v1,\xe9"), SECRET, "no v1 signature"),
            (_signed(), "whsec_not base64!", "not base64"),
        ],
    )
    def test_an_invalid_signature(self, delivery: Delivery, secret: str, problem: str) -> None:
        """The problem is one line."""
        assert problem in (signature_problem(delivery, secret) or "")

    def test_another_body(self) -> None:
        """One more byte invalidates the signature."""
        delivery = _signed()
        other = Delivery(
            method="POST", headers=delivery.headers, body=delivery.body + b" ", at=delivery.at, answered=200
        )
        assert signature_problem(other, SECRET) is not None

    def test_the_age_needs_a_valid_timestamp(self) -> None:
        """A timestamp that is not a number of seconds has no age."""
        assert _signed().age_s() == 1.5
        assert [_signed(webhook_timestamp=bad).age_s() for bad in ("", "soon", "-5", "9" * 20)] == [None] * 4


class TestListener:
    """Inboxes and their responses."""

    def test_each_inbox_has_its_own_statuses_and_deliveries(self) -> None:
        """Statuses are used in order, the last one for all later responses."""
        with Listener() as listener, httpx.Client(trust_env=False) as client:
            first, second = listener.inbox(500, 410), listener.inbox()
            statuses = [client.post(first.url, content=b'{"type": "a"}').status_code for _ in range(3)]
            assert statuses == [500, 410, 410]
            assert client.post(second.url).status_code == 200
            assert client.post(listener.base_url + "/elsewhere").status_code == 404
            assert [one.answered for one in first.received] == [500, 410, 410]
            assert [one.type for one in first.received] == ["a"] * 3
            assert len(second.received) == 1

    def test_waiting_ends_with_the_delivery_or_the_timeout(self) -> None:
        """It returns whether the condition holds."""
        with Listener() as listener:
            inbox = listener.inbox()
            assert inbox.wait_for(bool, 0.05) is False
            threading.Timer(0.1, lambda: httpx.post(inbox.url, trust_env=False)).start()
            began = time.monotonic()
            assert inbox.wait_for(bool, 5) is True
            assert time.monotonic() - began < 3

    def test_hostile_deliveries_are_refused(self) -> None:
        """Too long, of unknown length or not HTTP; the next one is received."""
        with Listener() as listener:
            inbox = listener.inbox()
            host, port = listener.base_url.removeprefix("http://").split(":")
            for raw in (b"\x00garbage\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"):
                with socket.create_connection((host, int(port)), timeout=5) as peer:
                    peer.sendall(raw)
                    peer.recv(1000)
            assert httpx.post(inbox.url, content=iter([b"a"]), trust_env=False).status_code == 413
            odd = [(b"webhook-id", b"\xff\xfe"), (b"webhook-signature", b"v1,\xe9")]
            assert httpx.post(inbox.url, content=b"b", headers=odd, trust_env=False).status_code == 200
            assert signature_problem(inbox.received[0], SECRET) == "missing: webhook-timestamp"

    def test_a_port_in_use_is_an_error(self) -> None:
        """The message names the key of the environment file."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(GateInputError, match=r"webhooks\.listen_port"):
                Listener("127.0.0.1", port)

    def test_the_advertised_url(self) -> None:
        """Behind a tunnel, an inbox has the tunnel's URL."""
        with Listener(advertise_url="https://tunnel.example.com/in/") as listener:
            assert listener.inbox().url.startswith("https://tunnel.example.com/in/hooks/")
