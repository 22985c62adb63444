"""Every request and reply of plan, apply and the gates' reading, against PagerDuty's OpenAPI description."""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta
from typing import Any

import pytest

from tests.oncall.account import Served
from tests.sandbox.oncall import Exchange
from tests.sandbox.test_oncall_openapi import VARIABLE, description, operation, problems, resolved

pytestmark = pytest.mark.skipif(
    not os.environ.get(VARIABLE), reason=f"{VARIABLE} does not name PagerDuty's OpenAPI description"
)


def undescribed(method: str, path: str, name: str) -> bool:
    """Return whether the description has no such parameter of the query."""
    template, described = operation(Exchange(method, path, None, 200, None))
    shared: list[Any] = description()["paths"][template].get("parameters", [])
    known = [resolved(one) for one in [*shared, *described.get("parameters", [])]]
    return not any(one["in"] == "query" and one["name"] == name for one in known)


def test_what_we_send_and_are_answered_is_as_pagerduty_describes_it(account: Served) -> None:
    """Apply, a change of turns, an absence, a prune, and all that gates read: no difference."""
    away = [{"person": "Ada", "from": "2026-03-10", "until": "2026-03-12"}]
    account.apply(account.rotation())
    account.apply(account.rotation(absences=away))
    account.apply(account.rotation(turn_days=14))
    account.apply(account.rotation(), prune=True)
    with contextlib.closing(account.provider()) as provider:
        provider.people(["ada@bais.example"])
        provider.on_call("BAIS")
        provider.services(["bais-api"])
        provider.schedules(["BAIS primary"], account.now, account.now + timedelta(days=90))
        page = provider.page("bais-api", "Test page")
        provider.acknowledge(page, "ada@bais.example")
        provider.events(page)
        provider.resolve(page)

    for one in account.exchanges:
        for user in one.answer.get("users", ()) if one.path == "/users" else ():
            del user["contact_methods"], user["notification_rules"]  # described as references alone
    described = [one for one in account.exchanges if not one.path.startswith("/v3/")]
    asked = {(one.method, one.path.split("/")[1]) for one in described}
    assert {
        ("POST", "schedules"),
        ("PUT", "schedules"),
        ("PUT", "incidents"),
        ("DELETE", "schedules"),
    } <= asked
    assert [text for one in described for text in problems(one)] == []
    assert [one for one in account.queries if undescribed(*one)] == []
