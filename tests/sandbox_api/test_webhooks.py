"""Webhooks: signatures, retries, recipients, and a queue that survives the process."""

from __future__ import annotations

import base64
import hmac
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox_api.conftest import AnotherApi, Business, Platform, Receiver

CONFIGURE = "/api/v1/webhooks/configure"


def configure(business: Business, url: str, **changes: object) -> dict[str, Any]:
    """Configure a webhook for both payment events."""
    body = {"url": url, "events": ["payment.completed", "payment.failed"]}
    answer = business.post(CONFIGURE, body | changes)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def signature(key: bytes, headers: dict[str, str], body: bytes) -> str:
    """Return the signature of a delivery according to the specification."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


@pytest.mark.parametrize(
    "secret", [None, "a text of my own", "whsec_" + base64.b64encode(b"k" * 32).decode()]
)
def test_deliveries_are_signed(business: Business, receiver: Receiver, secret: str | None) -> None:
    """Both events arrive with a current timestamp, signed with the returned, or the chosen, secret."""
    webhook = configure(business, receiver.url, **({} if secret is None else {"secret": secret}))
    key = base64.b64decode(webhook["signature_secret"].removeprefix("whsec_"))
    if secret is not None:
        assert key == (b"k" * 32 if secret.startswith("whsec_") else secret.encode())
    paid = business.pay(amount=12.34).json()
    failing = business.pay(business.FAILS_LATER).json()
    received = receiver.wait(2)
    assert [json.loads(body)["type"] for _, body, _ in received] == ["payment.completed", "payment.failed"]
    for (headers, body, at), payment_id in zip(
        received, (paid["payment_id"], failing["payment_id"]), strict=True
    ):
        assert headers["webhook-signature"] == signature(key, headers, body)
        assert abs(int(headers["webhook-timestamp"]) - at) < 5
        event = json.loads(body)
        assert set(event) == {"type", "timestamp", "data"}
        assert event["data"]["payment_id"] == payment_id
    assert json.loads(received[0][1])["data"]["amount"] == 12.34


def test_a_delivery_is_retried_with_its_id(business: Business, receiver: Receiver) -> None:
    """After a 500 and a redirect it is retried with growing delays, the same id and body, signed again."""
    receiver.answers = [500, 302, 200]
    webhook = configure(business, receiver.url)
    key = base64.b64decode(webhook["signature_secret"].removeprefix("whsec_"))
    business.pay()
    received = receiver.wait(3)
    assert len(received) == 3
    assert len({headers["webhook-id"] for headers, _, _ in received}) == 1
    assert len({body for _, body, _ in received}) == 1
    assert all(headers["webhook-signature"] == signature(key, headers, body) for headers, body, _ in received)
    first, second, third = (at for _, _, at in received)
    assert third - second > (second - first) > 0.25


def test_a_410_disables_the_webhook(platform: Platform, business: Business, receiver: Receiver) -> None:
    """After a 410 no more events are sent."""
    receiver.answers = [410]
    webhook_id = configure(business, receiver.url)["webhook_id"]
    business.pay()
    assert receiver.wait(1)
    active = "SELECT active FROM webhooks WHERE id = %s"
    assert platform.eventually(lambda: platform.rows(active, webhook_id) == [(False,)])
    business.pay()
    time.sleep(0.8)
    assert len(receiver.received) == 1


def test_who_did_not_ask_gets_nothing(platform: Platform, business: Business, receiver: Receiver) -> None:
    """Only an active webhook of the business, subscribed to the event, receives it, and once."""
    configure(business, receiver.url + "/inactive", active=False)
    configure(business, receiver.url + "/other-event", events=["workflow.updated", "payment.failed"])
    configure(platform.business(), receiver.url + "/other-business")
    configure(business, receiver.url, events=["payment.completed", "payment.completed"])
    business.pay(business.DECLINED)
    business.pay(key="k")
    business.pay(key="k")
    assert receiver.wait(1)
    time.sleep(0.6)
    assert len(receiver.received) == 1


def test_a_dead_receiver_does_not_hold_others_up(business: Business, receiver: Receiver) -> None:
    """While one address does not respond, deliveries to another arrive at once."""
    configure(business, "http://127.0.0.1:9/nobody")
    configure(business, receiver.url)
    began = time.time()
    business.pay()
    assert receiver.wait(1)[0][2] - began < 1


def test_the_queue_outlives_the_process(
    own_platform: Platform, receiver: Receiver, another_api: Callable[..., AnotherApi]
) -> None:
    """The next process makes the pending deliveries of a killed one, with the same ids."""
    business = own_platform.business()
    receiver.answers = [500]
    configure(business, receiver.url)
    business.pay()
    late = business.pay(business.FAILS_LATER).json()["payment_id"]
    assert receiver.wait(1)
    info = sandbox.status(own_platform.directory)
    assert info is not None
    os.kill(info.pids["api"], signal.SIGKILL)
    time.sleep(0.5)
    first_ids = {headers["webhook-id"] for headers, _, _ in receiver.received}
    seen, receiver.answers = len(receiver.received), [200]
    another_api(of=own_platform)
    state = "SELECT DISTINCT event, state FROM webhook_deliveries ORDER BY event"
    done = [("payment.completed", "delivered"), ("payment.failed", "delivered")]
    assert own_platform.eventually(lambda: own_platform.rows(state) == done, within=12)
    assert first_ids <= {headers["webhook-id"] for headers, _, _ in receiver.received[seen:]}
    assert own_platform.rows("SELECT status FROM payments WHERE id = %s", late) == [("failed",)]


@pytest.mark.parametrize(
    "changes",
    [
        {"events": []},
        {"events": ["payment.exploded"]},
        {"events": "payment.completed"},
        {"secret": ""},
        {"secret": "whsec_not base64"},
        {"active": "yes"},
        {"url": 7},
        {"url": "http://example.com/hook"},
        {"url": "https://192.168.1.1/hook"},
    ],
)
def test_unsound_webhooks_are_refused(alice: Business, changes: dict[str, Any]) -> None:
    """An unknown event, an invalid secret or a forbidden URL is a 400."""
    body = {"url": "https://example.com/hook", "events": ["payment.completed"]} | changes
    assert alice.post(CONFIGURE, body).status_code == 400
