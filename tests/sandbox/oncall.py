"""A client of the stand-in for PagerDuty whose clock is set by the test."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bais_gates.sandbox.oncall import SENDER, Access
from bais_gates.sandbox.oncall.account import Account
from bais_gates.sandbox.oncall.http import Reply, Request
from bais_gates.sandbox.oncall.pagerduty import respond
from bais_gates.sandbox.oncall.paging import receive

PEOPLE = ("Ada Keller", "Ben Okafor", "Cleo Marsh", "Dan Ruiz")
SERVICE = "bais-api"
ACCEPT = "application/vnd.pagerduty+json;version=2"
WEEK = 604_800


@dataclass(frozen=True)
class Exchange:
    """One request and its reply."""

    method: str
    path: str
    given: Any
    status: int
    answer: Any


@dataclass
class Desk:
    """An account with four people; every exchange is kept."""

    now: datetime = field(default_factory=lambda: datetime(2026, 11, 30, 12, tzinfo=UTC))
    exchanges: list[Exchange] = field(default_factory=list)

    def __post_init__(self) -> None:
        people = [(name, f"{name.partition(' ')[0].lower()}@bais.example") for name in PEOPLE]
        self.account = Account(Access(), people=people, service=SERVICE, now=lambda: self.now)
        users = self.account.state["users"]
        self.users: dict[str, str] = {one["name"].partition(" ")[0]: one["id"] for one in users}

    def ask(self, method: str, target: str, given: Any = None, **headers: str) -> Reply:
        """Return the reply to a request with the headers of the documentation, or others."""
        own = {"Accept": ACCEPT, "Authorization": f"Token token={self.account.access.token}", "From": SENDER}
        own |= {"Content-Type": "application/json"} if given is not None else {}
        own |= {name.replace("_", "-"): value for name, value in headers.items()}
        body = b"" if given is None else given if isinstance(given, bytes) else json.dumps(given).encode()
        reply = respond(self.account, Request.of(method, target, own, body))
        answer = json.loads(reply.body) if reply.body else None
        self.exchanges.append(Exchange(method, target.partition("?")[0], given, reply.status, answer))
        return reply

    def call(self, method: str, target: str, given: Any = None, status: int = 200, **headers: str) -> Any:
        """Return the JSON of a reply that must have this status."""
        reply = self.ask(method, target, given, **headers)
        assert reply.status == status, reply.body
        return json.loads(reply.body) if reply.body else None

    def errors(self, method: str, target: str, given: Any = None) -> list[str]:
        """Return the problems that a request is refused for."""
        error = self.call(method, target, given, 400)["error"]
        assert (error["code"], error["message"]) == (2001, "Invalid Input Provided")
        found: list[str] = error["errors"]
        return found

    def later(self, seconds: float) -> None:
        """Put the clock forward."""
        self.now += timedelta(seconds=seconds)

    def layer(self, *names: str, start: str = "2026-11-02T08:00:00Z", **more: Any) -> dict[str, Any]:
        """Return a layer of turns of a week as a client sends it."""
        users = [{"user": {"id": self.users[name], "type": "user_reference"}} for name in names]
        turns = {"rotation_virtual_start": start, "rotation_turn_length_seconds": WEEK}
        return {"start": start, **turns, "users": users} | more

    def schedule(self, name: str, *layers: dict[str, Any]) -> Any:
        """Create a schedule, and return it."""
        given = {"name": name, "type": "schedule", "time_zone": "Europe/Berlin", "schedule_layers": layers}
        return self.call("POST", "/schedules", {"schedule": given}, 201)["schedule"]

    def policy(self, *targets: tuple[str, str], loops: int = 0) -> Any:
        """Create an escalation policy with one rule for each target (type and id), and return it."""
        rules = [
            {"escalation_delay_in_minutes": 5, "targets": [{"type": f"{kind}_reference", "id": one}]}
            for kind, one in targets
        ]
        given = {"type": "escalation_policy", "name": "BAIS", "escalation_rules": rules, "num_loops": loops}
        return self.call("POST", "/escalation_policies", {"escalation_policy": given}, 201)[
            "escalation_policy"
        ]

    def service(self, policy: str, name: str = SERVICE) -> Any:
        """Create a service, and return it."""
        reference = {"id": policy, "type": "escalation_policy_reference"}
        given = {"type": "service", "name": name, "escalation_policy": reference}
        return self.call("POST", "/services", {"service": given}, 201)["service"]

    def page(self, service: str, **more: Any) -> Any:
        """Open an incident, and return it."""
        reference = {"id": service, "type": "service_reference"}
        given = {"type": "incident", "title": "Test page", "service": reference} | more
        return self.call("POST", "/incidents", {"incident": given}, 201)["incident"]

    def event(self, action: str, key: str = "k") -> bool:
        """Send an event as the Events API v2 passes it on; return whether its key is known."""
        payload = {"summary": "BAIS is down", "source": "alertmanager", "severity": "critical"}
        event = {"routing_key": self.account.access.routing_key, "event_action": action, "dedup_key": key}
        return receive(self.account, event | {"payload": payload})

    def log(self, incident: str) -> list[tuple[str, float, str]]:
        """Return the log of an incident, oldest first: type, seconds since its start, the person's name."""
        began = datetime.fromisoformat(self.call("GET", f"/incidents/{incident}")["incident"]["created_at"])
        found = []
        for one in reversed(self.call("GET", f"/incidents/{incident}/log_entries?limit=100")["log_entries"]):
            people = [
                one[key] for key in ("user", "agent") if one.get(key, {}).get("type") == "user_reference"
            ]
            people = [*one.get("assignees", ()), *people]
            after = (datetime.fromisoformat(one["created_at"]) - began).total_seconds()
            found.append(
                (one["type"].removesuffix("_log_entry"), after, people[0]["summary"] if people else "")
            )
        return found
