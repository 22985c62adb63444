"""Check that alerts reach people: by the routes that are loaded, and by alerts sent to see them arrive."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from bais_gates import Environment, Evidence, Unique
from bais_gates.monitoring import Delivery, LoadedRoutes
from bais_gates.probes import Alertmanager, HttpClient, Prometheus

if TYPE_CHECKING:
    from collections.abc import Sequence

SEVERITIES: Final = {"P1": "critical", "P2": "warning", "P3": "warning", "P4": "info"}
TEAMS: Final = ("platform", "security")
RUNBOOK: Final = "https://runbooks.bais.example/SyntheticAlert"
UNEXPANDED: Final = ("{{", "<no value>")
LASTS: Final = timedelta(minutes=5)
POLL_S: Final = 0.2


@pytest.mark.gate("monitoring.routes_deliver")
def test_routes_deliver(
    prometheus: Prometheus,
    alertmanager: Alertmanager,
    environment: Environment,
    unique: Unique,
    evidence: Evidence,
) -> None:
    """Every alert has a route to its severity's receivers; one of each severity arrives, and resolves."""
    part = environment.monitoring
    if part.inbox_url is None:
        raise environment.missing("monitoring.inbox_url")
    routes, groups = LoadedRoutes(alertmanager.configuration()), prometheus.rule_groups()
    alerts = sum(rule["type"] == "alerting" for group in groups for rule in group["rules"])
    evidence.check("faults of the loaded routes", routes.faults(groups), "==", [], n=alerts, n_min=1)

    sent = [synthetic(priority, team, unique.word(), routes) for priority in SEVERITIES for team in TEAMS]
    with HttpClient(part.inbox_url) as http:
        inbox = Inbox(http, part.deliver_within_s)
        began = time.time()
        alertmanager.send([one.firing() for one in sent])
        check_arrival("firing", sent, inbox, began, evidence)
        began = time.time()
        alertmanager.send([one.resolved() for one in sent])
        check_arrival("resolved", sent, inbox, began, evidence)
        texts = [json.dumps(message["body"]) for message in inbox.about([one.mark for one in sent])]
        check_texts(texts, sent, evidence)
        check_watchdog(inbox, evidence)


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """An alert that is sent to see it arrive; ``mark`` is in its annotations and nowhere else."""

    priority: str
    team: str
    mark: str
    labels: dict[str, str]
    deliveries: tuple[Delivery, ...]

    @property
    def name(self) -> str:
        """How checks name it."""
        return f"{self.priority}, team {self.team}"

    def firing(self, *, lasts: timedelta = LASTS) -> dict[str, object]:
        """Return the alert as Prometheus sends it."""
        now = datetime.now(UTC)
        annotations = {
            "summary": f"A gate sees this alert arrive ({self.mark}).",
            "description": f"No action: {self.priority} of {self.team} is delivered, mark {self.mark}.",
            "runbook_url": RUNBOOK,
        }
        return {
            "labels": self.labels,
            "annotations": annotations,
            "startsAt": (now - timedelta(seconds=1)).isoformat(),
            "endsAt": (now + lasts).isoformat(),
        }

    def resolved(self) -> dict[str, object]:
        """Return the alert as Prometheus sends it once it no longer fires."""
        return self.firing(lasts=timedelta())


def synthetic(priority: str, team: str, mark: str, routes: LoadedRoutes) -> Synthetic:
    """Return a synthetic alert and where the loaded routes must deliver it."""
    labels = {
        "alertname": "SyntheticAlert",
        "synthetic": "true",
        "priority": priority,
        "severity": SEVERITIES[priority],
        "team": team,
        "component": mark,  # in the group's key: each run has groups of its own
    }
    found = tuple(routes.deliveries(labels))
    return Synthetic(priority=priority, team=team, mark=mark, labels=labels, deliveries=found)


class Inbox:
    """What the receivers accepted, read again until what is waited for is there."""

    def __init__(self, http: HttpClient, within_s: float) -> None:
        self._http, self.within_s = http, within_s

    def received(self) -> list[dict[str, Any]]:
        """Return every message, in the order of arrival."""
        answer = self._http.request("GET", "")
        found = answer.field("received")
        if answer.status != 200 or not isinstance(found, list):
            raise ValueError(f"{answer.describe()}: not an inbox. Check monitoring.inbox_url.")
        return found

    def about(self, marks: Sequence[str]) -> list[dict[str, Any]]:
        """Return the messages with one of the marks."""
        return [one for one in self.received() if any(mark in json.dumps(one["body"]) for mark in marks)]


def check_arrival(
    state: str,
    sent: list[Synthetic],
    inbox: Inbox,
    began: float,
    evidence: Evidence,
) -> None:
    """Check that each alert arrives in this state wherever the routes lead it, and how long that took."""
    expected = [(one, delivery) for one in sent for delivery in one.deliveries]
    arrived: dict[tuple[str, Delivery], float] = {}
    ends_at = time.monotonic() + inbox.within_s
    while time.monotonic() < ends_at and len(arrived) < len(expected):
        messages = inbox.received()
        for one, delivery in expected:
            for message in messages:
                if message["at"] >= began and is_for(message, one, delivery, state):
                    arrived.setdefault((one.mark, delivery), message["at"] - began)
        time.sleep(POLL_S)
    lost = [
        f"{one.name}: {delivery.kind} ({delivery.channel or delivery.receiver})"
        for one, delivery in expected
        if (one.mark, delivery) not in arrived
    ]
    nowhere = [one.name for one in sent if not one.deliveries]
    evidence.check(
        f"{state} alerts that did not arrive", lost + nowhere, "==", [], n=len(expected), n_min=len(sent)
    )
    slowest = max(arrived.values(), default=float("nan"))
    evidence.check(f"slowest arrival ({state})", slowest, "<=", inbox.within_s, unit="s", n=len(arrived))


def is_for(message: dict[str, Any], one: Synthetic, delivery: Delivery, state: str) -> bool:
    """Return whether a message tells this receiver that the alert is in this state."""
    body, receiver = message["body"], message["receiver"]
    if one.mark not in json.dumps(body):
        return False
    if delivery.kind == "pagerduty":
        action = {"firing": "trigger", "resolved": "resolve"}[state]
        return bool(receiver == "pagerduty" and body["event_action"] == action)
    if delivery.kind == "slack":
        texts = json.dumps(body).lower()
        right = delivery.channel is None or body.get("channel") == delivery.channel
        return bool(
            right and receiver.startswith("slack/") and (("resolved" in texts) == (state == "resolved"))
        )
    return bool(receiver == "watchdog" and any(alert["status"] == state for alert in body["alerts"]))


def check_texts(texts: list[str], sent: list[Synthetic], evidence: Evidence) -> None:
    """Check that what people read holds the alert's annotations, and no template that was not expanded."""
    raw = [text[:300] for text in texts if any(one in text for one in UNEXPANDED)]
    evidence.check(
        "messages with a template that is not expanded", raw, "==", [], n=len(texts), n_min=len(sent)
    )
    without = [
        one.name
        for one in sent
        if not any(one.mark in text and "No action" in text and RUNBOOK in text for text in texts)
    ]
    evidence.check("alerts without description or runbook in a message", without, "==", [], n=len(sent))


def check_watchdog(inbox: Inbox, evidence: Evidence) -> None:
    """Check that the alert that always fires arrives, from Prometheus, with its annotations expanded."""
    ends_at = time.monotonic() + inbox.within_s
    while not (found := watchdogs(inbox.received())) and time.monotonic() < ends_at:
        time.sleep(POLL_S)
    evidence.check("messages of the Watchdog", len(found), ">=", 1, n=len(found), n_min=0)
    raw = [text for text in found if any(one in text for one in UNEXPANDED)]
    evidence.check("Watchdogs with a template that is not expanded", raw, "==", [], n=len(found))


def watchdogs(messages: list[dict[str, Any]]) -> list[str]:
    """Return the annotations of every firing Watchdog that arrived."""
    return [
        json.dumps(alert["annotations"])
        for one in messages
        for alert in one["body"].get("alerts", ())
        if alert["labels"].get("alertname") == "Watchdog" and alert["status"] == "firing"
    ]
