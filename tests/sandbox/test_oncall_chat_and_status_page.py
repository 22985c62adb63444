"""The stand-ins for Slack's incoming webhooks and for Statuspage."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bais_gates.sandbox.oncall import PAGE, chat
from bais_gates.sandbox.oncall.http import Request
from bais_gates.sandbox.oncall.statuspage import Statuspage

HOOKS = {"#bais-incidents": "T1/B1/secret"}
SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "x"}}


def post(
    message: Any, path: str = "T1/B1/secret", *, method: str = "POST", problem: str = ""
) -> tuple[int, str, str]:
    """Return status, text and channel of a message to a webhook."""
    webhooks = chat.webhooks_of(HOOKS)
    webhooks["T1/B1/secret"]["problem"] = problem
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    reply, channel = chat.respond(webhooks, Request.of(method, f"/slack/services/{path}", {}, body))
    assert reply.content_type == "text/plain"
    return reply.status, reply.body.decode(), channel


@pytest.mark.parametrize(
    ("message", "status", "text"),
    [
        ({"text": "hello"}, 200, "ok"),
        ({"text": "hello", "blocks": [SECTION, {"type": "divider"}]}, 200, "ok"),
        ({"attachments": [{"text": "x"}]}, 200, "ok"),
        (b"{", 400, "invalid_payload"),
        ([], 400, "invalid_payload"),
        ({"text": 5}, 400, "invalid_payload"),
        ({}, 400, "no_text"),
        ({"text": ""}, 400, "no_text"),
        ({"text": "x", "blocks": {}}, 400, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "poem"}]}, 400, "invalid_blocks"),
        ({"text": "x", "blocks": [SECTION] * 51}, 400, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "header", "text": {"text": "x" * 151}}]}, 400, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "section", "text": "x"}]}, 400, "invalid_blocks"),
        ({"text": "x", "attachments": "x"}, 400, "invalid_attachments"),
        ({"text": "x", "attachments": [{}] * 101}, 400, "too_many_attachments"),
    ],
)
def test_a_webhook_takes_what_is_documented(message: Any, status: int, text: str) -> None:
    """It answers ok in plain text, or one word that says what is wrong."""
    assert post(message) == (status, text, "#bais-incidents" if status == 200 else "")


def test_a_webhook_that_does_not_work() -> None:
    """An unknown one, a wrong token, another method, and what an administrator does to a channel."""
    good = {"text": "x"}
    assert post(good, "T9/B9/none") == (404, "no_service", "")
    assert post(good, "T1/B1/other") == (403, "invalid_token", "")
    assert post(b"", method="GET") == (400, "invalid_payload", "")
    assert post(good, problem="channel_is_archived") == (410, "channel_is_archived", "")
    assert post(good, problem="no_service") == (404, "no_service", "")


class Desk:
    """A client of the status page."""

    def __init__(self) -> None:
        self.page = Statuspage("token")

    def call(self, method: str, path: str, given: Any = None, status: int = 200, token: str = "token") -> Any:
        """Return the JSON of a reply that must have this status."""
        body = b"" if given is None else json.dumps(given).encode()
        reply = self.page.respond(Request.of(method, path, {"Authorization": f"OAuth {token}"}, body))
        assert reply.status == status, reply.body
        return json.loads(reply.body) if reply.body else None

    def component(self, name: str = "API") -> Any:
        """Add a component, and return it."""
        return self.call("POST", f"/pages/{PAGE}/components", {"component": {"name": name}}, 201)


def test_a_rehearsal_notifies_nobody() -> None:
    """An incident is published and resolved; each update says whether it was delivered."""
    desk = Desk()
    component = desk.component()
    path = f"/pages/{PAGE}/incidents"
    quiet = {"name": "Rehearsal", "status": "investigating", "body": "b", "deliver_notifications": False}
    changes = {component["id"]: "partial_outage"}
    made = desk.call("POST", path, {"incident": quiet | {"components": changes}}, 201)
    assert desk.call("GET", f"/pages/{PAGE}/components")[0]["status"] == "partial_outage"
    assert [one["id"] for one in desk.call("GET", f"{path}/unresolved")] == [made["id"]]
    over = {
        "status": "resolved",
        "deliver_notifications": False,
        "components": {component["id"]: "operational"},
    }
    done = desk.call("PATCH", f"{path}/{made['id']}", {"incident": over})
    assert (done["status"], len(done["incident_updates"])) == ("resolved", 2)
    assert done["resolved_at"]
    assert not any(one["deliver_notifications"] for one in done["incident_updates"])
    assert desk.call("GET", f"{path}/unresolved") == []
    assert desk.page.state["delivered"] == []

    desk.call("POST", path, {"incident": {"name": "Real"}}, 201)
    assert len(desk.page.state["delivered"]) == 1  # subscribers are notified by default
    desk.call("DELETE", f"{path}/{made['id']}")
    assert [one["name"] for one in desk.call("GET", path)] == ["Real"]


def test_components_can_be_changed_and_removed() -> None:
    """Lists come in pages; a component keeps its id."""
    desk = Desk()
    made = [desk.component(name) for name in ("API", "Payments", "Webhooks")]
    path = f"/pages/{PAGE}/components"
    assert [one["name"] for one in desk.call("GET", f"{path}?per_page=2&page=2")] == ["Webhooks"]
    changed = desk.call("PATCH", f"{path}/{made[0]['id']}", {"component": {"description": "d"}})
    assert (changed["id"], changed["name"], changed["description"]) == (made[0]["id"], "API", "d")
    desk.call("DELETE", f"{path}/{made[0]['id']}", status=204)
    desk.call("GET", f"{path}/{made[0]['id']}", status=404)
    assert desk.call("GET", f"/pages/{PAGE}")["id"] == desk.call("GET", "/pages")[0]["id"] == PAGE


@pytest.mark.parametrize(
    ("method", "path", "given", "status"),
    [
        ("GET", "/pages/other", None, 404),
        ("GET", "/elsewhere", None, 404),
        ("DELETE", f"/pages/{PAGE}", None, 404),
        ("GET", f"/pages/{PAGE}/incidents/none", None, 404),
        ("GET", f"/pages/{PAGE}/incidents?page=x", None, 400),
        ("GET", f"/pages/{PAGE}/incidents?page=0", None, 400),
        ("POST", f"/pages/{PAGE}/incidents", [], 400),
        ("POST", f"/pages/{PAGE}/incidents", {"incident": {}}, 422),
        ("POST", f"/pages/{PAGE}/incidents", {"incident": {"name": "x" * 256}}, 422),
        ("POST", f"/pages/{PAGE}/incidents", {"incident": {"name": "x", "status": "open"}}, 422),
        ("POST", f"/pages/{PAGE}/incidents", {"incident": {"name": "x", "body": "x" * 25_001}}, 422),
        ("POST", f"/pages/{PAGE}/incidents", {"incident": {"name": "x", "impact_override": "huge"}}, 422),
        ("POST", f"/pages/{PAGE}/incidents", {"incident": {"name": "x", "component_ids": ["none"]}}, 422),
        ("POST", f"/pages/{PAGE}/incidents", {"incident": {"name": "x", "components": ["x"]}}, 422),
        ("POST", f"/pages/{PAGE}/components", {"component": {"name": " "}}, 422),
        ("POST", f"/pages/{PAGE}/components", {"component": {"name": "x", "status": "up"}}, 422),
    ],
)
def test_a_bad_request_is_refused(method: str, path: str, given: Any, status: int) -> None:
    """The error is JSON, and nothing is kept."""
    desk = Desk()
    assert desk.call(method, path, given, status)["error"]
    assert desk.page.state["components"] == desk.page.state["status_incidents"] == []


def test_who_may_and_how_often() -> None:
    """A wrong key is 401, too many requests are 420."""
    desk = Desk()
    assert desk.call("GET", "/pages", status=401, token="wrong") == {"error": "Could not authenticate"}
    desk.page.state["status_settings"]["limited"] = 1
    desk.call("GET", "/pages", status=420)
    desk.call("GET", "/pages")
