"""The stand-in for PagerDuty against PagerDuty's own OpenAPI description, with a validator that is not ours.

The description is no part of the project: set BAIS_GATES_PAGERDUTY_OPENAPI to the path of
reference/REST/openapiv3.json of github.com/PagerDuty/api-schema.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS30ReadValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.sandbox.oncall import Desk, Exchange

VARIABLE = "BAIS_GATES_PAGERDUTY_OPENAPI"
MISTAKES = {("GET", "/schedules/{id}/overrides", "200"): "201"}
"""Statuses that the description gives wrongly: nothing is created by GET."""
NULLS = {"rendered_coverage_percentage", "resolved_at", "schedule", "start", "end"}
ROOT = "https://api.pagerduty.com/openapi"

pytestmark = pytest.mark.skipif(
    not os.environ.get(VARIABLE), reason=f"{VARIABLE} does not name PagerDuty's OpenAPI description"
)


@cache
def description() -> Any:
    """Return the parsed description, without what no reply could satisfy.

    Alternatives under oneOf are not exclusive: several channels need only a type. A log entry of an
    acknowledgement has another type than the one in the list of types.
    """
    text = Path(os.environ[VARIABLE]).read_text(encoding="utf-8")
    return json.loads(
        text.replace('"oneOf"', '"anyOf"').replace('"acknowledgement_log_entry"', '"acknowledge_log_entry"')
    )


@cache
def registry() -> Any:
    """Return the registry in which the description's references resolve."""
    return Registry().with_resource(ROOT, DRAFT202012.create_resource(description()))


def pointer(*keys: str) -> dict[str, str]:
    """Return a reference into the description."""
    return {"$ref": ROOT + "#/" + "/".join(key.replace("~", "~0").replace("/", "~1") for key in keys)}


def operation(exchange: Exchange) -> tuple[str, Any]:
    """Return path and operation of a request."""
    for path, found in description()["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[A-Z0-9]+", path)
        if exchange.method.lower() in found and re.fullmatch(pattern, exchange.path):
            return path, found[exchange.method.lower()]
    raise AssertionError(f"{exchange.method} {exchange.path} is not described")


def problems(exchange: Exchange) -> list[str]:
    """Return what is wrong with the request and the reply of an exchange."""
    path, described = operation(exchange)
    at, status = ("paths", path, exchange.method.lower()), str(exchange.status)
    status = MISTAKES.get((exchange.method, path, status), status)
    checks: list[tuple[tuple[str, ...], Any]] = []
    if exchange.given is not None and exchange.status < 300:
        body = (*at, "requestBody", "content", "application/json", "schema")
        checks.append((body, json.loads(json.dumps(exchange.given))))
    assert status in described["responses"], f"{exchange.method} {path} has no reply {status}"
    if "content" in resolved(described["responses"][status]) and exchange.answer is not None:
        reply = (*at, "responses", status, "content", "application/json", "schema")
        checks.append((reply, without_nulls(exchange.answer)))
    found = []
    for keys, value in checks:  # as read, requests too: what it requires of them, id and type, is readOnly
        for error in OAS30ReadValidator(inner(keys), registry=registry()).iter_errors(value):
            where = "/".join(map(str, error.absolute_path))
            found.append(f"{exchange.method} {path} {status} {where}: {error.message[:300]}")
    return found


def without_nulls(answer: Any) -> Any:
    """Return a reply without the nulls that the description has in its texts and examples alone."""
    if isinstance(answer, dict):
        kept = {key: without_nulls(value) for key, value in answer.items()}
        return {key: value for key, value in kept.items() if value is not None or key not in NULLS}
    return [without_nulls(one) for one in answer] if isinstance(answer, list) else answer


def resolved(node: Any) -> Any:
    """Return what a node of the description refers to, or the node."""
    while "$ref" in node:
        node = registry().resolver(ROOT).lookup(ROOT + node["$ref"]).contents
    return node


def inner(keys: tuple[str, ...]) -> Any:
    """Return the schema at the keys, with references that resolve outside of the description."""
    node = description()
    for key in keys:
        node = resolved(node)[key]
    return absolute(node)


def absolute(node: Any) -> Any:
    """Return a schema with absolute references at its top; those below resolve in the description."""
    if isinstance(node, dict):
        return {
            key: ROOT + value if key == "$ref" and value.startswith("#") else absolute(value)
            for key, value in node.items()
        }
    return [absolute(one) for one in node] if isinstance(node, list) else node


def whole_course() -> Desk:
    """Return a desk that used every operation which the project's client has use for."""
    desk = Desk()
    layers = [
        desk.layer("Ada", "Ben", name="Turns", restrictions=[]),
        desk.layer("Cleo", end="2026-12-05T00:00:00Z"),
    ]
    schedule = desk.schedule("BAIS primary", *layers)
    period = "since=2026-11-30T00:00:00Z&until=2026-12-14T00:00:00Z"
    given = {"name": "s", "type": "schedule", "time_zone": "UTC", "schedule_layers": [desk.layer("Ada")]}
    desk.call("POST", f"/schedules/preview?{period}", {"schedule": given})
    layer = desk.layer("Ben") | {"id": schedule["schedule_layers"][1]["id"]}
    changed = given | {"schedule_layers": [layer]}
    desk.call("PUT", f"/schedules/{schedule['id']}", {"schedule": changed})
    user = {"id": desk.users["Dan"], "type": "user_reference"}
    override = {"start": "2026-12-01T08:00:00Z", "end": "2026-12-02T08:00:00Z", "user": user}
    path = f"/schedules/{schedule['id']}/overrides"
    made = desk.call("POST", path, {"overrides": [override]}, 201)[0]["override"]
    desk.call("GET", f"{path}?{period}")
    desk.call("GET", f"/schedules/{schedule['id']}?{period}")
    desk.call("GET", f"/schedules/{schedule['id']}")
    desk.call("DELETE", f"{path}/{made['id']}", status=204)
    desk.call("GET", "/schedules")
    policy = desk.policy(("schedule", schedule["id"]), ("user", desk.users["Dan"]), loops=1)
    rules = [{**one, "escalation_delay_in_minutes": 10} for one in policy["escalation_rules"]]
    update = {"type": "escalation_policy", "name": "BAIS", "escalation_rules": rules, "num_loops": 2}
    desk.call("PUT", f"/escalation_policies/{policy['id']}", {"escalation_policy": update})
    desk.call("GET", "/escalation_policies")
    service = desk.service(policy["id"])
    fields = {"type": "service", "description": "d", "escalation_policy": service["escalation_policy"]}
    desk.call("PUT", f"/services/{service['id']}", {"service": fields})
    desk.call("GET", "/services")
    desk.call("GET", f"/services/{service['id']}/integrations/{service['integrations'][0]['id']}")
    people(desk)
    pages(desk, service["id"])
    desk.call("GET", "/oncalls")
    return desk


def people(desk: Desk) -> None:
    """Ask for people and how they are reached."""
    desk.call("GET", "/users")
    for path in ("", "/contact_methods", "/notification_rules"):
        desk.call("GET", f"/users/{desk.users['Ada']}{path}")


def pages(desk: Desk, service: str) -> None:
    """Let a page go through all of its events, and open a maintenance window."""
    desk.account.state["settings"]["acknowledge_after_s"] = None
    incident = desk.page(service)
    desk.later(7_200)
    desk.call("GET", f"/incidents/{incident['id']}/log_entries?limit=100")
    for status in ("acknowledged", "resolved"):
        change = {"type": "incident", "status": status}
        desk.call("PUT", f"/incidents/{incident['id']}", {"incident": change})
    desk.call("GET", f"/incidents/{incident['id']}/log_entries")
    desk.call("GET", "/incidents")
    desk.call("GET", "/log_entries")
    times = {"start_time": "2026-12-03T11:00:00Z", "end_time": "2026-12-03T14:00:00Z"}
    given = {
        "type": "maintenance_window",
        **times,
        "services": [{"id": service, "type": "service_reference"}],
    }
    desk.call("POST", "/maintenance_windows", {"maintenance_window": given}, 201)
    desk.call("GET", "/maintenance_windows")
    for target, headers in (
        ("/users", {"Authorization": ""}),
        ("/schedules/PNONE", {}),
        ("/users?limit=x", {}),
    ):
        desk.ask("GET", target, **headers)


def test_every_exchange_is_as_described() -> None:
    """Requests, replies and errors have the described shape, and every status is one of the described."""
    desk = whole_course()
    assert len(desk.exchanges) > 30
    assert [one for exchange in desk.exchanges for one in problems(exchange)] == []


def test_the_check_can_fail() -> None:
    """A reply without what is required, and one with another type, are found."""
    desk = Desk()
    answer = desk.call("GET", "/oncalls")
    for broken in ({key: answer[key] for key in answer if key != "oncalls"}, answer | {"limit": "many"}):
        assert problems(Exchange("GET", "/oncalls", None, 200, broken))
