"""PagerDuty's own client library reads what apply wrote to the stand-in, as an independent reader."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pagerduty
import trustme

from bais_gates.oncall import shifts
from bais_gates.oncall.provider import Shift
from tests.oncall.account import served


def named(reader: pagerduty.RestApiV2Client, kind: str, name: str) -> Any:
    """Return the object that the library finds by name."""
    found = reader.find(kind, name, attribute="name")
    assert found is not None, name
    return found


def test_pagerdutys_own_client_reads_the_same_shifts(tmp_path: Path) -> None:
    """It finds schedules, policy and service by name, and the schedules are rendered as the file says."""
    authority, server, client = (
        trustme.CA(),
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        ssl.create_default_context(),
    )
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    with served(tmp_path) as account:
        it = account.rotation(absences=[{"person": "Ada", "from": "2026-03-10", "until": "2026-03-12"}])
        account.apply(it)
        state = account.state
    with served(tmp_path, server) as account:
        account.state.update(state)
        options: Any = {"base_url": f"{account.url}/pagerduty", "verify": client, "trust_env": False}
        with pagerduty.RestApiV2Client(account.access.token, **options) as reader:
            until = account.now + timedelta(days=60)
            window = {"since": account.now.isoformat(), "until": until.isoformat()}
            emails = {user["id"]: user["email"] for user in reader.iter_all("users")}
            for tier, wanted in shifts.expected(it, account.now, until).items():
                found = named(reader, "schedules", f"BAIS {tier}")
                shown = reader.rget(f"/schedules/{found['id']}", params=window)["final_schedule"]
                got = shifts.merge(
                    Shift(
                        datetime.fromisoformat(one["start"]).astimezone(UTC),
                        datetime.fromisoformat(one["end"]).astimezone(UTC),
                        emails[one["user"]["id"]],
                    )
                    for one in shown["rendered_schedule_entries"]
                )
                assert got == wanted
            policy = named(reader, "escalation_policies", "BAIS")
            service = named(reader, "services", "bais-api")
    assert [rule["escalation_delay_in_minutes"] for rule in policy["escalation_rules"]] == [5, 5, 5]
    assert policy["num_loops"] == 2
    assert service["escalation_policy"]["id"] == policy["id"]
