"""What stands in for the receivers of alerts: PagerDuty's Events API v2, Slack's webhooks, a watchdog.

Each accepts and refuses as the documentation of the original says
(developer.pagerduty.com/docs/send-alert-event and send-change-event,
docs.slack.dev/messaging/sending-messages-using-incoming-webhooks), and keeps what it accepted, in order, for
``GET /inbox``. Nothing reaches a person.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from bais_gates.sandbox.oncall.chat import problem_of
from bais_gates.sandbox.oncall.http import Object, Reply, reply_json, reply_text

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST: Final = 10_000
_ACTIONS: Final = frozenset({"trigger", "acknowledge", "resolve"})
_SEVERITIES: Final = frozenset({"critical", "error", "warning", "info"})
_KEY_LENGTH: Final = 32
_SUMMARY_LENGTH: Final = 1024


class Inbox:
    """What the receivers accepted: the latest ten thousand.

    ``on_event`` acts on each event for the pager, and returns whether it knows its routing key; ``knows``
    only says so of a key.
    """

    def __init__(self) -> None:
        self.on_event: Callable[[Object], bool] = lambda _event: True
        self.knows: Callable[[str], bool] = lambda _key: True
        self._received: deque[dict[str, Any]] = deque(maxlen=_MOST)
        self._lock = threading.Lock()

    def reply(self, path: str, body: bytes) -> Reply:
        """Answer a POST as its receiver would, and keep what it accepts."""
        try:
            content = json.loads(body)
        except ValueError:
            content = None
        if path in {"/v2/enqueue", "/v2/change/enqueue"}:
            return self._enqueue(content) if path == "/v2/enqueue" else self._enqueue_change(content)
        if path.startswith("/slack/"):
            problem = problem_of(content)
            if problem:
                return reply_text(400, problem)
            self.keep(path.removeprefix("/"), content)
            return reply_text(200, "ok")
        if path == "/watchdog":
            if not isinstance(content, dict) or not isinstance(content.get("alerts"), list):
                return reply_text(400, "not a message of Alertmanager")
            self.keep("watchdog", content)
            return reply_text(200, "ok")
        return reply_text(404, "no such receiver")

    def listed(self) -> Reply:
        """Return everything that was accepted."""
        with self._lock:
            received = list(self._received)
        return reply_json(200, {"received": received})

    def _enqueue(self, event: Any) -> Reply:
        problems = _problems(event)
        key = "" if problems else event.get("dedup_key") or uuid.uuid4().hex
        if not problems and not self.on_event(event | {"dedup_key": key}):
            problems = ["Invalid routing key"]
        if problems:
            return _invalid(problems)
        kept = {name: value for name, value in event.items() if name != "routing_key"}
        self.keep("pagerduty", kept | {"dedup_key": key})
        return reply_json(202, {"status": "success", "message": "Event processed", "dedup_key": key})

    def _enqueue_change(self, event: Any) -> Reply:
        problems = _problems_of_change(event)
        if not problems and not self.knows(event["routing_key"]):
            problems = ["Invalid routing key"]
        if problems:
            return _invalid(problems)
        kept = {name: value for name, value in event.items() if name != "routing_key"}
        self.keep("pagerduty/change", kept)
        return reply_json(202, {"status": "success", "message": "Change event processed"})

    def keep(self, receiver: str, body: dict[str, Any]) -> None:
        """Keep what a receiver accepted."""
        with self._lock:
            self._received.append({"at": time.time(), "receiver": receiver, "body": body})


def _invalid(problems: list[str]) -> Reply:
    answer = {"status": "invalid event", "message": "Event object is invalid", "errors": problems}
    return reply_json(400, answer)


def _problems_of_change(event: Any) -> list[str]:
    """Return what is wrong with a change event; it has no action, severity or key of its own."""
    if not isinstance(event, dict):
        return ["the body is not an object"]
    found = []
    key, payload, links = (event.get(name) for name in ("routing_key", "payload", "links"))
    if not isinstance(key, str) or len(key) != _KEY_LENGTH:
        found.append("'routing_key' is missing or has not 32 characters")
    summary = payload.get("summary") if isinstance(payload, dict) else None
    if not isinstance(summary, str) or not 0 < len(summary) <= _SUMMARY_LENGTH:
        found.append("'payload.summary' is missing or has more than 1024 characters")
    if links is not None and not (
        isinstance(links, list) and all(isinstance(one, dict) and one.get("href") for one in links)
    ):
        found.append("'links' is not a list of objects with 'href'")
    return found


def _problems(event: Any) -> list[str]:
    """Return what is wrong with an event of PagerDuty's Events API v2."""
    if not isinstance(event, dict):
        return ["the body is not an object"]
    found = []
    key, payload = event.get("routing_key"), event.get("payload")
    if not isinstance(key, str) or len(key) != _KEY_LENGTH:
        found.append("'routing_key' is missing or has not 32 characters")
    if event.get("event_action") not in _ACTIONS:
        found.append("'event_action' is not trigger, acknowledge or resolve")
    elif event["event_action"] == "trigger":
        if not isinstance(payload, dict) or not payload.get("summary") or not payload.get("source"):
            found.append("'payload.summary' or 'payload.source' is missing")
        elif payload.get("severity") not in _SEVERITIES:
            found.append("'payload.severity' is not critical, error, warning or info")
    elif not event.get("dedup_key"):
        found.append("'dedup_key' is missing")
    return found
