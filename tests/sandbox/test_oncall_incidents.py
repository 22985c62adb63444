"""Incidents of the stand-in for PagerDuty: who is notified when, and who acknowledges."""

from __future__ import annotations

import pytest

from bais_gates.sandbox.oncall.paging import receive
from tests.sandbox.oncall import Desk


@pytest.fixture
def desk() -> Desk:
    """Return an account with a service whose first level is a schedule, and the second a person."""
    made = Desk()
    schedule = made.schedule("primary", made.layer("Ada", "Ben"))
    made.service(made.policy(("schedule", schedule["id"]), ("user", made.users["Dan"]), loops=1)["id"])
    return made


def service_of(desk: Desk) -> str:
    """Return the id of the service."""
    found: str = desk.account.state["services"][0]["id"]
    return found


def never(desk: Desk) -> None:
    """Let nobody acknowledge."""
    desk.account.state["settings"]["acknowledge_after_s"] = None


def test_who_is_on_call_is_notified_and_acknowledges(desk: Desk) -> None:
    """Half a second after the push message the page is acknowledged by the person on call."""
    incident = desk.page(service_of(desk))
    assert (incident["status"], incident["assignments"][0]["assignee"]["summary"]) == (
        "triggered",
        "Ada Keller",
    )
    desk.later(1)
    found = desk.call("GET", f"/incidents/{incident['id']}")["incident"]
    assert found["status"] == "acknowledged"
    assert found["acknowledgements"][0]["acknowledger"]["summary"] == "Ada Keller"
    assert desk.log(incident["id"]) == [
        ("trigger", 0, "On-call gates"),
        ("assign", 0, "Ada Keller"),
        ("notify", 0, "Ada Keller"),
        ("notify", 0, "Ada Keller"),
        ("acknowledge", 0.5, "Ada Keller"),
    ]
    assert desk.call("GET", f"/services/{service_of(desk)}")["service"]["status"] == "warning"
    desk.call("PUT", f"/incidents/{incident['id']}", {"incident": {"type": "incident", "status": "resolved"}})
    assert desk.log(incident["id"])[-1] == ("resolve", 1, "On-call gates")
    again = {"incidents": [{"id": incident["id"], "type": "incident_reference", "status": "resolved"}]}
    assert desk.errors("PUT", "/incidents", again) == ["Incident Already Resolved"]


def test_a_page_that_nobody_acknowledges_is_escalated_and_repeated(desk: Desk) -> None:
    """Each level has its delay, the levels are repeated as often as the policy says, then it ends."""
    never(desk)
    incident = desk.page(service_of(desk))
    desk.later(3_600)
    found = [one for one in desk.log(incident["id"]) if one[0] != "notify"]
    assert found == [
        ("trigger", 0, "On-call gates"),
        ("assign", 0, "Ada Keller"),
        ("escalate", 300, "Dan Ruiz"),
        ("repeat_escalation_path", 600, ""),
        ("escalate", 600, "Ada Keller"),
        ("escalate", 900, "Dan Ruiz"),
        ("exhaust_escalation_path", 1_200, ""),
    ]
    notified = [one for one in desk.log(incident["id"]) if one[0] == "notify"]
    assert [one[1:] for one in notified[::2]] == [
        (0, "Ada Keller"),
        (300, "Dan Ruiz"),
        (600, "Ada Keller"),
        (900, "Dan Ruiz"),
    ]


def test_rules_and_contacts_decide_who_is_woken(desk: Desk) -> None:
    """A delayed rule notifies later; a person without a contact that is enabled is never notified."""
    ada = desk.account.state["users"][1]
    del ada["contact_methods"][0]
    ada["notification_rules"][1]["start_delay_in_minutes"] = 2
    incident = desk.page(service_of(desk))
    desk.later(121)
    assert desk.log(incident["id"])[2:] == [
        ("notify", 120, "Ada Keller"),
        ("acknowledge", 120.5, "Ada Keller"),
    ]
    ada["contact_methods"][0]["enabled"] = False
    second = desk.page(service_of(desk))
    desk.later(301)
    notified = [one[1:] for one in desk.log(second["id"]) if one[0] in {"notify", "acknowledge"}]
    assert notified == [(300, "Dan Ruiz"), (300, "Dan Ruiz"), (300.5, "Dan Ruiz")]


def test_a_level_without_anybody_is_skipped(desk: Desk) -> None:
    """Where nobody is on call first, the next is notified at once; where nobody is at all, it is refused."""
    desk.account.state["schedules"][0]["layers"].clear()
    incident = desk.page(service_of(desk))
    assert incident["assignments"][0]["assignee"]["summary"] == "Dan Ruiz"
    desk.account.state["escalation_policies"][0]["escalation_rules"].pop()
    given = {
        "type": "incident",
        "title": "t",
        "service": {"id": service_of(desk), "type": "service_reference"},
    }
    error = desk.call("POST", "/incidents", {"incident": given}, 400)["error"]
    assert error == {"code": 1015, "message": "Escalation Policy Has No User On Call"}


def test_low_urgency_wakes_nobody(desk: Desk) -> None:
    """An e-mail is sent where it is not urgent."""
    incident = desk.page(service_of(desk), urgency="low")
    entries = desk.call("GET", f"/incidents/{incident['id']}/log_entries")["log_entries"]
    channels = [one["channel"]["notification"]["type"] for one in entries if "user" in one]
    assert channels == ["email_notification"]


def test_events_open_acknowledge_and_resolve(desk: Desk) -> None:
    """Events of one key are one incident; after it is resolved, the next opens another."""
    never(desk)
    assert desk.event("trigger")
    assert desk.event("trigger")
    listed = desk.call("GET", f"/incidents?statuses[]=triggered&service_ids[]={service_of(desk)}")[
        "incidents"
    ]
    assert [(one["title"], one["incident_key"]) for one in listed] == [("BAIS is down", "k")]
    for action, status in (("acknowledge", "acknowledged"), ("resolve", "resolved")):
        desk.event(action)
        assert desk.call("GET", f"/incidents/{listed[0]['id']}")["incident"]["status"] == status
    desk.event("resolve")
    desk.event("trigger")
    assert len(desk.call("GET", "/incidents?incident_key=k")["incidents"]) == 2
    every = desk.call("GET", "/log_entries")["log_entries"]
    assert len({one["incident"]["id"] for one in every}) == 2


def test_events_that_go_nowhere(desk: Desk) -> None:
    """A service that is disabled or in maintenance opens nothing; an unknown key is not taken."""
    service = desk.account.state["services"][0]
    for change in ({"status": "disabled"}, {"status": "active"}):
        service.update(change)
        if service["status"] == "active":
            times = {"start_time": "2026-11-30T00:00:00+00:00", "end_time": "2026-12-01T00:00:00+00:00"}
            window = {"id": "P1", "description": "", "services": [service["id"]], "created_by": "P2"}
            desk.account.state["maintenance_windows"].append(window | times)
        desk.event("trigger")
        given = {
            "type": "incident",
            "title": "t",
            "service": {"id": service["id"], "type": "service_reference"},
        }
        assert desk.errors("POST", "/incidents", {"incident": given}) == [
            "Service is disabled or in maintenance"
        ]
    assert desk.call("GET", "/incidents")["incidents"] == []
    desk.account.state["services"].clear()
    assert desk.event("trigger") is True
    assert receive(desk.account, {"routing_key": "0" * 32, "event_action": "trigger"}) is False


def test_one_key_is_one_open_incident(desk: Desk) -> None:
    """A second incident with the key of an open one is refused."""
    desk.page(service_of(desk), incident_key="same")
    reference = {"id": service_of(desk), "type": "service_reference"}
    given = {"type": "incident", "title": "t", "service": reference, "incident_key": "same"}
    assert desk.call("POST", "/incidents", {"incident": given}, 400)["error"]["code"] == 2002
