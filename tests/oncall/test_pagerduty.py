"""The client of PagerDuty: limits, pages, people, test pages, and what it says of everything that fails."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from bais_gates.oncall.pagerduty import PagerDuty
from bais_gates.oncall.pagerduty_api import Api
from bais_gates.oncall.provider import Contact, OncallError
from bais_gates.sandbox.oncall.http import Reply, reply_json
from tests.oncall.account import MONDAY, Served

CANARIES = ("token-canary", "canary@bais.example", "+49 30 1234567")
LIMITED = {"error": {"message": "Rate Limit Exceeded", "code": 2020}}


@pytest.fixture
def provider(account: Served) -> Iterator[PagerDuty]:
    """Yield a client of the account."""
    with contextlib.closing(account.provider()) as it:
        yield it


def answering(status: int, body: str, **headers: str) -> PagerDuty:
    """Return a client to which everything is answered so."""
    transport = httpx.MockTransport(lambda _: httpx.Response(status, text=body, headers=headers))
    return PagerDuty(
        Api(
            "http://pagerduty.example",
            "token-canary",
            "canary@bais.example",
            sleep=lambda _: None,
            transport=transport,
        )
    )


def message_of(provider: PagerDuty) -> str:
    """Return why a schedule can't be read; it has none of the canaries."""
    with pytest.raises(OncallError) as caught, contextlib.closing(provider):
        provider.schedules(["BAIS primary"], MONDAY, MONDAY + timedelta(days=1))
    message = str(caught.value)
    assert not any(canary in message for canary in CANARIES)
    return message


def test_a_limited_request_waits_as_long_as_the_header_says(account: Served, provider: PagerDuty) -> None:
    """429 with ratelimit-reset waits that long; without it 1, 2, 4 s; then the request is done."""
    account.replies = [reply_json(429, LIMITED, {"ratelimit-reset": "17"}), reply_json(429, LIMITED)]

    assert len(provider.accounts()) == 9
    assert account.waited == [17, 2]


@pytest.mark.parametrize(("headers", "waits"), [({}, [1, 2, 4]), ({"ratelimit-reset": "3600"}, [])])
def test_waiting_is_bounded(
    account: Served, provider: PagerDuty, headers: dict[str, str], waits: list[float]
) -> None:
    """A limit that does not end, or asks for more than a minute, is reported with the request."""
    account.replies = [reply_json(429, LIMITED, headers)] * 4

    with pytest.raises(
        OncallError, match=r"GET /users: its rate limit is exceeded\. Run it again in a minute"
    ):
        provider.accounts()

    assert account.waited == waits


def test_a_write_is_repeated_after_a_limit_and_never_after_a_lost_connection(account: Served) -> None:
    """A limited write was not done, a lost one may have been."""
    account.apply(account.rotation())
    with contextlib.closing(account.provider()) as provider:
        provider.services(["bais-api"])
        provider.policies(["BAIS"])
        account.requests.clear()
        account.replies = [reply_json(429, LIMITED)]
        provider.set_service("bais-api", policy="BAIS", description="x")
        assert [method for method, _ in account.requests if method == "PUT"] == ["PUT", "PUT"]

        provider.services(["bais-api"])
        account.requests.clear()
        account.cut_from = 0
        with pytest.raises(OncallError, match="Whether it was done is unknown"):
            provider.set_service("bais-api", policy="BAIS", description="y")
        assert len(account.requests) == 1


def test_a_read_is_repeated_after_an_error_of_the_server(account: Served, provider: PagerDuty) -> None:
    """Twice; the third error is reported."""
    account.replies = [Reply(502, "text/html", b"<html>")] * 2
    assert len(provider.accounts()) == 9
    account.replies = [Reply(502, "text/html", b"<html>")] * 3
    with pytest.raises(OncallError, match="status 502"):
        provider.people(["ada@bais.example"])


def test_lists_are_read_to_their_end(account: Served, provider: PagerDuty) -> None:
    """250 more people come in three pages; whoever is last is found."""
    template = account.user("Ada")
    for number in range(250):
        account.state["users"].append(
            {
                **copy.deepcopy(template),
                "id": f"PU{number:04}",
                "name": f"U{number:04}",
                "email": f"u{number:04}@x.example",
            }
        )

    assert provider.people(["u0249@x.example"])[0].name == "U0249"
    assert [path.partition("offset=")[2].partition("&")[0] for _, path in account.requests] == [
        "0",
        "100",
        "200",
    ]


def test_what_fails_is_said_with_the_request_and_the_remedy(account: Served) -> None:
    """No rights, a wrong token, nobody there, HTML, JSON of another API: one paragraph each, no secret."""
    html = "<html>canary@bais.example</html>"
    private = '{"error": {"message": "No", "code": 2010, "errors": ["canary@bais.example, +49 30 1234567"]}}'

    assert message_of(answering(403, private)) == (
        "PagerDuty, GET /v3/schedules: the token has no right to this. Use a REST API key with full access "
        "(PagerDuty: No; ... ...)."
    )
    assert "the token is not accepted. Make a REST API key" in message_of(account.provider("token-canary"))
    assert "it answered no JSON. Is oncall.api_url" in message_of(answering(200, html))
    assert "it answered no list of schedules" in message_of(answering(200, '{"canary@bais.example": 1}'))
    closed = PagerDuty(Api("http://127.0.0.1:9", "token-canary", "canary@bais.example", sleep=lambda _: None))
    assert message_of(closed) == "PagerDuty, GET /v3/schedules: connection refused: nothing is listening."


def test_a_token_that_may_only_read_is_refused_at_the_first_write(account: Served) -> None:
    """The message says what was tried, and that nothing was made before it."""
    account.state["settings"]["rights"] = "read"

    with pytest.raises(
        OncallError, match=r"\(schedule BAIS primary\): the token has no right to this"
    ) as caught:
        account.apply(account.rotation())

    assert "0 of 5 changes were made before it" in str(caught.value)


def test_two_schedules_of_one_name_are_refused(account: Served) -> None:
    """As are those of API v3, which v2 can't see; nothing is written."""
    account.apply(account.rotation())
    account.state["schedules"].append({**account.schedule("primary"), "id": "PTWICE"})

    with pytest.raises(OncallError, match="has 2 objects of kind schedule called BAIS primary"):
        account.apply(account.rotation())

    assert account.writes == []
    account.replies = [
        reply_json(200, {"schedules": [{"id": "P3", "summary": "BAIS manager"}], "more": False})
    ]
    with (
        contextlib.closing(account.provider()) as provider,
        pytest.raises(OncallError, match=r"shift-based schedule \(API v3\) called BAIS manager"),
    ):
        provider.schedules(["BAIS manager"], MONDAY, MONDAY + timedelta(days=1))


def test_people_have_contacts_and_rules_and_what_is_missing_is_unknown(
    account: Served, provider: PagerDuty
) -> None:
    """A contact without `enabled` is unknown, and a stakeholder may not be on call."""
    ada, ben = account.user("Ada"), account.user("Ben")
    del ada["contact_methods"][1]["enabled"]
    ada["contact_methods"][0]["enabled"] = False
    ben["role"] = "read_only_user"

    people = {one.name: one for one in provider.people(["ada@bais.example", "ben@bais.example"])}

    assert people["Ada"].contacts == (Contact("push", False), Contact("phone", None), Contact("email", True))
    assert [(rule.urgency, rule.delay_s, rule.contact.kind) for rule in people["Ada"].rules] == [
        ("high", 0, "push"), ("high", 0, "phone"), ("low", 0, "email")
    ]  # fmt: skip
    assert (people["Ada"].active, people["Ben"].active) == (True, False)
    assert "bais.example" not in repr(people)


def test_a_page_is_sent_acknowledged_and_resolved(account: Served, provider: PagerDuty) -> None:
    """Its log has who was notified and who acknowledged, in order."""
    account.apply(account.rotation())
    account.state["settings"]["acknowledge_after_s"] = None

    page = provider.page("bais-api", "Test page")
    provider.acknowledge(page, "cleo@bais.example")
    provider.resolve(page)

    events = provider.events(page)
    assert (events[0].kind, events[-1].kind) == ("triggered", "resolved")
    assert ("acknowledged", "cleo@bais.example") in [(one.kind, one.person) for one in events]
    assert all(one.at == account.now for one in events)


def test_maintenance_now_and_to_come_is_part_of_a_service(account: Served, provider: PagerDuty) -> None:
    """With its times in UTC."""
    account.apply(account.rotation())
    (service,) = account.state["services"]
    times = ("2026-03-02T14:00:00+01:00", "2026-03-02T16:00:00+01:00")
    window: dict[str, Any] = {"id": "PWINDOW", "description": "x", "services": [service["id"]]}
    sender = account.state["users"][0]["id"]
    account.state["maintenance_windows"].append(
        window
        | {"start_time": times[0], "end_time": times[1], "created_by": sender, "type": "maintenance_window"}
    )

    (found,) = provider.services(["bais-api", "absent"])

    assert found.policy == "BAIS"
    assert found.maintenance == (
        (datetime(2026, 3, 2, 13, tzinfo=UTC), datetime(2026, 3, 2, 15, tzinfo=UTC)),
    )
