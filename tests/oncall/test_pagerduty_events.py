"""Change events and pages: the shape that PagerDuty documents, bounded, and the key is in no error."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING

import httpx
import pytest

from bais_gates.oncall.pagerduty_events import Events
from bais_gates.oncall.provider import OncallError
from bais_gates.sandbox.monitoring.receivers import Inbox
from tests.oncall.web import Answer, serving

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "canary0key0of0pagerduty000000000"
URL = "https://events.pagerduty.com"
DETAILS = {"before": "1.0.0"}


def change(events: Events, summary: str = "deployed") -> None:
    """Send a change event."""
    events.send_change(summary, source="bais-gates test", at="2026-03-02T12:00:00Z", details=DETAILS)


def page(events: Events) -> None:
    """Send a page."""
    events.page("failed", source="bais-gates test", at="2026-03-02T12:00:00Z", details=DETAILS, key="k" * 300)


def test_what_is_sent_is_what_the_stand_in_takes() -> None:
    """A change event has no severity and no key of its own; a long summary is cut."""
    inbox = Inbox()

    def respond(request: httpx.Request) -> httpx.Response:
        reply = inbox.reply(request.url.path, request.content)
        return httpx.Response(reply.status, content=reply.body)

    events = Events(URL, KEY, deadline_s=5, transport=httpx.MockTransport(respond))
    change(events, "x" * 5000)
    page(events)

    changed, paged = json.loads(inbox.listed().body)["received"]
    assert changed["receiver"] == "pagerduty/change"
    assert changed["body"]["payload"] == {
        "summary": "x" * 1024,
        "source": "bais-gates test",
        "timestamp": "2026-03-02T12:00:00Z",
        "custom_details": DETAILS,
    }
    assert paged["receiver"] == "pagerduty"
    assert (paged["body"]["event_action"], paged["body"]["dedup_key"]) == ("trigger", "k" * 255)
    assert paged["body"]["payload"]["severity"] == "critical"
    assert KEY not in str((changed, paged))


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        {},
        {"routing_key": "short", "payload": {"summary": "s"}},
        {"routing_key": KEY, "payload": {}},
        {"routing_key": KEY, "payload": {"summary": ""}},
        {"routing_key": KEY, "payload": {"summary": "s" * 1025}},
        {"routing_key": KEY, "payload": {"summary": "s"}, "links": [{"text": "no address"}]},
        {"routing_key": KEY[::-1], "payload": {"summary": "s"}},
    ],
)
def test_the_stand_in_refuses_what_is_no_change_event(event: object) -> None:
    """Also one by a key that it does not know; it keeps nothing of it."""
    inbox = Inbox()
    inbox.knows = KEY.__eq__

    assert inbox.reply("/v2/change/enqueue", json.dumps(event).encode()).status == 400
    assert json.loads(inbox.listed().body) == {"received": []}


@pytest.mark.parametrize("send", [change, page])
@pytest.mark.parametrize(
    ("status", "words"),
    [(400, "it refuses the event"), (429, "its rate limit is exceeded"), (500, "status 500"), (200, "200")],
)
def test_a_refusal_is_told_without_the_key(send: Callable[[Events], None], status: int, words: str) -> None:
    """Nothing is sent again, and no body is repeated."""
    with serving(lambda asked: Answer(status, asked.raw.decode())) as server:
        with pytest.raises(OncallError, match=words) as caught:
            send(Events(server.url, KEY, deadline_s=5))
        assert len(server.asked) == 1
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_an_address_that_can_t_be_reached_or_is_not_encrypted_is_told() -> None:
    """The key would go over the network as text."""
    with serving(lambda _: Answer()) as server:
        gone = server.url
    with pytest.raises(OncallError, match=r"POST /v2/change/enqueue: .*refused") as caught:
        change(Events(gone, KEY, deadline_s=5))
    assert KEY not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(OncallError, match="is not encrypted"):
        Events("http://events.pagerduty.com", KEY, deadline_s=5)
