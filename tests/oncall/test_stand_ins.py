"""The channel and the status page against the sandbox's stand-ins, over the wire."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.oncall.chat import ChatError, post_message
from bais_gates.oncall.status_page import StatusPage
from bais_gates.sandbox.oncall import PAGE, chat
from bais_gates.sandbox.oncall.http import Request
from bais_gates.sandbox.oncall.statuspage import Statuspage
from tests.oncall.web import Answer, Asked, serving


def _request(asked: Asked, prefix: str) -> Request:
    headers = {"Authorization": asked.token or ""}
    return Request.of(asked.method, asked.path.removeprefix(prefix), headers, asked.raw)


def test_the_chat_takes_our_message_and_refuses_another_webhook() -> None:
    """A message reaches its channel; a wrong token and an archived channel are told as Slack tells them."""
    webhooks = chat.webhooks_of({"#incidents": "T0/B0/secret-of-incidents"})
    got: list[str] = []

    def answer(asked: Asked) -> Answer:
        reply, channel = chat.respond(webhooks, _request(asked, ""))
        got.append(channel)
        return Answer(reply.status, reply.body.decode())

    with serving(answer) as slack:
        base = f"{slack.url}/slack/services/T0/B0/"
        post_message(f"{base}secret-of-incidents", "Rehearsal", channel="#incidents")
        with pytest.raises(ChatError, match="invalid_token: the webhook is revoked"):
            post_message(f"{base}another-secret", "Rehearsal", channel="#incidents")
        webhooks["T0/B0/secret-of-incidents"]["problem"] = "channel_is_archived"
        with pytest.raises(ChatError, match="channel_is_archived"):
            post_message(f"{base}secret-of-incidents", "Rehearsal", channel="#incidents")

    assert got == ["#incidents", "", ""]


def test_the_status_page_is_set_up_and_rehearsed() -> None:
    """Components appear once; the rehearsal ends resolved, nobody is notified, and a bad status stays."""
    page = Statuspage("token-of-the-page")
    state: dict[str, Any] = page.state

    def answer(asked: Asked) -> Answer:
        reply = page.respond(_request(asked, "/v1"))
        return Answer(reply.status, reply.body.decode())

    with serving(answer) as server:
        url = f"{server.url}/v1"
        with StatusPage(PAGE, "token-of-the-page", api_url=url, pace_s=0.0, sleep=lambda _: None) as client:
            assert client.create_missing(["API", "Payments"]) == ["API", "Payments"]
            assert client.create_missing(["API", "Payments"]) == []
            state["components"][0]["status"] = "major_outage"
            state["status_settings"]["limited"] = 2
            with client.rehearsal("go-live", "Nothing is wrong.", ["API"]):
                assert len(client.open_rehearsals()) == 1
            assert client.open_rehearsals() == []

    assert [one["status"] for one in state["status_incidents"]] == ["resolved"]
    assert (state["delivered"], state["components"][0]["status"]) == ([], "major_outage")
