"""The stand-in for PagerDuty's REST API: whom it lets in, what it refuses and how, and lists in pages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bais_gates.sandbox.oncall.account import control
from bais_gates.sandbox.oncall.http import Request
from tests.sandbox.oncall import ACCEPT, Desk


@pytest.fixture
def desk() -> Desk:
    """Return a new account."""
    return Desk()


@pytest.mark.parametrize(
    ("method", "target", "headers", "expected"),
    [
        ("GET", "/users", {"Authorization": ""}, (401, 2006)),
        ("GET", "/users", {"Authorization": "Token token=wrong"}, (401, 2006)),
        ("GET", "/users", {"Authorization": "Bearer x"}, (401, 2006)),
        ("GET", "/users", {"Accept": "*/*"}, (400, 2001)),
        ("GET", "/users", {"Accept": ACCEPT.replace("2", "1")}, (400, 2001)),
        ("GET", "/users/PNOBODY", {}, (404, 2100)),
        ("GET", "/nothing", {}, (404, 2100)),
        ("DELETE", "/users", {}, (405, 2100)),
        ("GET", "/users?limit=0", {}, (400, 2001)),
        ("GET", "/users?limit=x", {}, (400, 2001)),
        ("GET", "/users?limit=100&offset=9950", {}, (400, 2001)),
        ("POST", "/incidents", {"From": ""}, (400, 1008)),
        ("POST", "/maintenance_windows", {"From": "stranger@bais.example"}, (400, 1008)),
        ("POST", "/incidents", {"Content-Type": "text/plain"}, (400, 2001)),
        ("POST", "/schedules", {}, (400, 2001)),
        ("PUT", "/incidents", {}, (400, 2001)),
        ("GET", "/log_entries?since=x", {}, (400, 2001)),
        ("GET", "/oncalls?until=2027-12-01T00:00:00Z", {}, (400, 2001)),
    ],
)
def test_a_refusal_has_the_shape_and_code_of_the_original(
    desk: Desk, method: str, target: str, headers: dict[str, str], expected: tuple[int, int]
) -> None:
    """Every refusal is JSON with a message and a code, never HTML."""
    reply = desk.ask(method, target, None if method == "GET" else b"[]", **headers)

    assert reply.content_type == "application/json"
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == expected
    assert error["message"]


def test_too_many_requests_say_when_to_try_again(desk: Desk) -> None:
    """A limited client gets 429 with the headers of its limit, or without where a fault says so."""
    put(desk, "settings", {**desk.account.state["settings"], "refuse_next": 1})
    reply = desk.ask("GET", "/users")
    assert reply.status == 429
    assert json.loads(reply.body) == {"error": {"message": "Rate Limit Exceeded", "code": 2020}}
    assert reply.headers["ratelimit-reset"] == "1"
    assert desk.ask("GET", "/users").status == 200
    put(desk, "settings", {**desk.account.state["settings"], "refuse_next": 1, "limit_headers": False})
    assert desk.ask("GET", "/users").headers == {}


def test_rights_are_those_of_the_token(desk: Desk) -> None:
    """A token for reading reads and previews, one without rights does nothing."""
    body = {
        "schedule": {
            "name": "s",
            "type": "schedule",
            "time_zone": "UTC",
            "schedule_layers": [desk.layer("Ada")],
        }
    }
    for rights, expected in (("read", [200, 403, 200]), ("none", [403, 403, 403])):
        put(desk, "settings", {**desk.account.state["settings"], "rights": rights})
        requests = (
            ("GET", "/users", None),
            ("POST", "/schedules", body),
            ("POST", "/schedules/preview", body),
        )
        assert [desk.ask(*one).status for one in requests] == expected


def test_lists_come_in_pages(desk: Desk) -> None:
    """A page says whether there are more; the total is there only if it is asked for."""
    first = desk.call("GET", "/users?limit=2")
    assert (len(first["users"]), first["more"], first["total"]) == (2, True, None)
    last = desk.call("GET", "/users?limit=2&offset=4&total=true")
    assert ([one["name"] for one in last["users"]], last["more"], last["total"]) == (
        ["On-call gates"],
        False,
        5,
    )
    assert desk.call("GET", "/users?limit=1000")["limit"] == 100
    assert [one["name"] for one in desk.call("GET", "/users?query=ben@")["users"]] == ["Ben Okafor"]


def test_people_can_be_reached(desk: Desk) -> None:
    """Everybody has a phone and a push contact, and rules without delay for what is urgent."""
    included = desk.call("GET", "/users?include[]=contact_methods&include[]=notification_rules")["users"]
    for user in included:
        methods = desk.call("GET", f"/users/{user['id']}/contact_methods")["contact_methods"]
        assert user["contact_methods"] == methods
        rules = desk.call("GET", f"/users/{user['id']}/notification_rules?urgency=all")["notification_rules"]
        assert user["notification_rules"] == rules
        urgent = desk.call("GET", f"/users/{user['id']}/notification_rules?include[]=contact_methods")
        kinds = {one["contact_method"]["type"] for one in urgent["notification_rules"]}
        assert kinds == {"push_notification_contact_method", "phone_contact_method"}
        assert {one["start_delay_in_minutes"] for one in urgent["notification_rules"]} == {0}
    plain = desk.call("GET", f"/users/{included[0]['id']}")["user"]
    assert {one["type"] for one in plain["contact_methods"]} >= {"phone_contact_method_reference"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": " "}, "Name can't be blank"),
        ({"name": "x" * 256}, "Name is too long (maximum is 255 characters)"),
        ({"name": "taken"}, "Name has already been taken"),
        ({"time_zone": "Mars/Phobos"}, "Time zone is not a valid time zone"),
        ({"time_zone": None}, "Time zone is not a valid time zone"),
        ({"schedule_layers": []}, "Schedule layers can't be empty"),
        ({"schedule_layers": "x"}, "Schedule layers must be a list of objects"),
        ({"start": "2026-11-02T08:00:00"}, "Start is not a valid date and time"),
        ({"rotation_virtual_start": 1}, "Rotation virtual start is not a valid date and time"),
        ({"rotation_turn_length_seconds": 0}, "Rotation turn length seconds must be greater than or equal"),
        ({"rotation_turn_length_seconds": "1"}, "Rotation turn length seconds is not a number"),
        ({"users": []}, "Users can't be empty"),
        ({"users": [{"id": "P1"}]}, "User must be a reference with id and type"),
        ({"users": [{"user": {"id": "P1", "type": "user_reference"}}]}, "User not found"),
        ({"users": [{"user": {"id": "P1", "type": "team_reference"}}]}, "User must have a type of"),
        ({"id": "PNONE"}, "Schedule layer not found"),
        (
            {"restrictions": [{"type": "hourly"}]},
            "Type must be one of: daily_restriction, weekly_restriction",
        ),
    ],
)
def test_a_bad_schedule_is_refused(desk: Desk, change: dict[str, Any], problem: str) -> None:
    """Each problem is named, and nothing is kept."""
    desk.schedule("taken", desk.layer("Ada"))
    outer = {key: value for key, value in change.items() if key in {"name", "time_zone", "schedule_layers"}}
    layer = desk.layer("Ada") | {key: value for key, value in change.items() if key not in outer}
    given = {"name": "new", "type": "schedule", "time_zone": "UTC", "schedule_layers": [layer]} | outer

    assert any(one.startswith(problem) for one in desk.errors("POST", "/schedules", {"schedule": given}))
    assert len(desk.call("GET", "/schedules")["schedules"]) == 1


def test_what_breaks_the_stand_in_is_json_too(desk: Desk) -> None:
    """A window before all time can't be computed, and the reply is an error as of a server, never HTML."""
    made = desk.schedule("s", desk.layer("Ada"))
    window = "since=0001-01-01T00:00:00Z&until=0001-01-02T00:00:00Z"
    error = desk.call("GET", f"/schedules/{made['id']}?{window}", status=500)["error"]
    assert (error["code"], error["message"]) == (2000, "Internal Server Error")


def test_an_update_starts_layers_anew_and_keeps_what_was(desk: Desk) -> None:
    """The start is rewritten, dropped layers stay until they are ended, and the past does not change."""
    made = desk.schedule("s", desk.layer("Ada", "Ben"), desk.layer("Cleo", end="2026-11-05T08:00:00Z"))
    top, bottom = made["schedule_layers"]
    assert [one["user"]["summary"] for one in bottom["users"]] == ["Ada Keller", "Ben Okafor"]
    assert bottom["start"] == "2026-11-30T13:00:00+01:00"  # now: a layer does not begin in the past

    desk.later(3 * 86_400)
    changed = desk.layer("Ben", "Ada") | {"id": bottom["id"]}
    given = {"name": "s", "type": "schedule", "time_zone": "Europe/Berlin", "schedule_layers": [changed]}
    desk.call("PUT", f"/schedules/{made['id']}", {"schedule": given})
    period = "since=2026-11-30T00:00:00Z&until=2026-12-14T00:00:00Z"
    found = desk.call("GET", f"/schedules/{made['id']}?{period}&time_zone=UTC")["schedule"]

    assert [one["id"] for one in found["schedule_layers"]] == [top["id"], bottom["id"]]
    assert found["schedule_layers"][1]["start"] == "2026-12-03T12:00:00+00:00"
    final = found["final_schedule"]
    assert [(one["start"], one["user"]["summary"]) for one in final["rendered_schedule_entries"]] == [
        ("2026-11-30T12:00:00+00:00", "Ada Keller"),
        ("2026-12-03T12:00:00+00:00", "Ben Okafor"),
        ("2026-12-07T08:00:00+00:00", "Ada Keller"),
    ]
    assert final["rendered_coverage_percentage"] == pytest.approx(100 * 13.5 / 14)


def test_a_preview_is_not_kept(desk: Desk) -> None:
    """It shows who would be on call, in the schedule's time zone, and changes nothing."""
    given = {
        "name": "s",
        "type": "schedule",
        "time_zone": "America/New_York",
        "schedule_layers": [desk.layer("Ada")],
    }
    shown = desk.call("POST", "/schedules/preview?since=2026-12-01T00:00:00Z", {"schedule": given})[
        "schedule"
    ]
    entries = shown["final_schedule"]["rendered_schedule_entries"]
    assert (entries[0]["start"], entries[-1]["end"]) == (
        "2026-11-30T19:00:00-05:00",
        "2026-12-14T19:00:00-05:00",
    )
    assert desk.call("GET", "/schedules")["schedules"] == []


def test_without_a_window_nothing_is_rendered(desk: Desk) -> None:
    """Entries are empty and coverage is null, as since or until must be given."""
    made = desk.schedule("s", desk.layer("Ada"))
    final = desk.call("GET", f"/schedules/{made['id']}")["schedule"]["final_schedule"]
    assert (final["rendered_schedule_entries"], final["rendered_coverage_percentage"]) == ([], None)
    desk.errors("GET", f"/schedules/{made['id']}?since=2026-12-02T00:00:00Z&until=2026-12-01T00:00:00Z")


def test_overrides_have_a_status_each(desk: Desk) -> None:
    """One of three is refused; the last wins; one that has begun is ended instead of removed."""
    made = desk.schedule("s", desk.layer("Ada"))
    path = f"/schedules/{made['id']}/overrides"

    def override(name: str, start: str, end: str) -> dict[str, Any]:
        return {"start": start, "end": end, "user": {"id": desk.users[name], "type": "user_reference"}}

    day, night = "2026-12-01T08:00:00Z", "2026-12-01T20:00:00Z"
    given = [
        override("Ben", day, night),
        override("Cleo", day, "2026-12-01T12:00:00Z"),
        override("Dan", day, day),
    ]
    results = desk.call("POST", path, {"overrides": given}, 201)
    assert [one["status"] for one in results] == [201, 201, 400]
    assert results[2]["errors"] == ["Override must end after its start"]
    period = "since=2026-12-01T00:00:00Z&until=2026-12-02T00:00:00Z"
    assert len(desk.call("GET", f"{path}?{period}")["overrides"]) == 2
    shown = desk.call("GET", f"/schedules/{made['id']}?{period}")["schedule"]
    names = [one["user"]["summary"] for one in shown["final_schedule"]["rendered_schedule_entries"]]
    assert names == ["Ada Keller", "Cleo Marsh", "Ben Okafor", "Ada Keller"]
    assert shown["overrides_subschedule"]["rendered_coverage_percentage"] == 50

    desk.later(86_400 - 3 * 3_600)  # 09:00: both have begun
    desk.call("DELETE", f"{path}/{results[1]['override']['id']}", status=204)
    shown = desk.call("GET", f"/schedules/{made['id']}?{period}&time_zone=UTC")["schedule"]
    entries = shown["final_schedule"]["rendered_schedule_entries"]
    assert (entries[1]["user"]["summary"], entries[1]["end"]) == ("Cleo Marsh", "2026-12-01T09:00:00+00:00")
    desk.call("DELETE", f"{path}/{results[1]['override']['id']}", status=404)
    desk.errors("GET", path)


def test_what_is_used_is_not_deleted(desk: Desk) -> None:
    """A schedule of a policy and a policy of a service stay; names are unique."""
    schedule = desk.schedule("s", desk.layer("Ada"))
    policy = desk.policy(("schedule", schedule["id"]))
    service = desk.service(policy["id"])
    desk.errors("DELETE", f"/schedules/{schedule['id']}")
    desk.errors("DELETE", f"/escalation_policies/{policy['id']}")
    given = {"type": "service", "name": "BAIS-API", "escalation_policy": service["escalation_policy"]}
    assert desk.errors("POST", "/services", {"service": given}) == ["Name has already been taken"]
    for kind, one in (("services", service), ("escalation_policies", policy), ("schedules", schedule)):
        desk.call("DELETE", f"/{kind}/{one['id']}", status=204)
        desk.call("GET", f"/{kind}/{one['id']}", status=404)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"escalation_rules": []}, "Escalation rules can't be empty"),
        ({"num_loops": 10}, "Num loops must be less than or equal to 9"),
        ({"num_loops": -1}, "Num loops must be greater than or equal to 0"),
        ({"name": ""}, "Name can't be blank"),
        ({"escalation_rules": [{"escalation_delay_in_minutes": 0, "targets": []}]}, "Targets can't be empty"),
        (
            {
                "escalation_rules": [
                    {"escalation_delay_in_minutes": 5, "targets": [{"id": "MANAGER", "type": "user"}]}
                ]
            },
            "Target not found",
        ),
    ],
)
def test_a_bad_policy_is_refused(desk: Desk, change: dict[str, Any], problem: str) -> None:
    """Each problem is named, that of a text where an id should be included."""
    target = {"id": desk.users["Ada"], "type": "user_reference"}
    rules = [{"escalation_delay_in_minutes": 5, "targets": [target]}]
    given = {"type": "escalation_policy", "name": "p", "escalation_rules": rules} | change
    assert problem in desk.errors("POST", "/escalation_policies", {"escalation_policy": given})


def test_who_is_on_call_at_every_level(desk: Desk) -> None:
    """A schedule's shift has its times, a person who is a direct target none."""
    schedule = desk.schedule("s", desk.layer("Ada", "Ben"))
    policy = desk.policy(("schedule", schedule["id"]), ("user", desk.users["Dan"]))
    found = desk.call("GET", f"/oncalls?escalation_policy_ids[]={policy['id']}")["oncalls"]
    assert [(one["escalation_level"], one["user"]["summary"], one["end"]) for one in found] == [
        (1, "Ada Keller", "2026-12-07T08:00:00+00:00"),
        (2, "Dan Ruiz", None),
    ]
    assert found[1]["schedule"] is None
    until = "until=2026-12-20T00:00:00Z"
    assert len(desk.call("GET", f"/oncalls?schedule_ids[]={schedule['id']}&{until}")["oncalls"]) == 3
    assert (
        len(desk.call("GET", f"/oncalls?schedule_ids[]={schedule['id']}&{until}&earliest=true")["oncalls"])
        == 2
    )


def test_maintenance_is_shown_at_the_service(desk: Desk) -> None:
    """A service is in maintenance while a window is open, and a window can be removed."""
    service = desk.service(desk.policy(("user", desk.users["Ada"]))["id"])
    reference = {"id": service["id"], "type": "service_reference"}
    times = {"start_time": "2026-11-30T11:00:00Z", "end_time": "2026-11-30T14:00:00Z"}
    given = {"type": "maintenance_window", **times, "services": [reference]}
    window = desk.call("POST", "/maintenance_windows", {"maintenance_window": given}, 201)[
        "maintenance_window"
    ]
    assert desk.call("GET", f"/services/{service['id']}")["service"]["status"] == "maintenance"
    for asked, count in (("ongoing", 1), ("open", 1), ("future", 0), ("past", 0)):
        target = f"/maintenance_windows?filter={asked}&service_ids[]={service['id']}"
        assert len(desk.call("GET", target)["maintenance_windows"]) == count
    backwards = given | {"end_time": "2026-11-30T10:00:00Z"}
    desk.errors("POST", "/maintenance_windows", {"maintenance_window": backwards})
    desk.call("DELETE", f"/maintenance_windows/{window['id']}", status=204)
    assert desk.call("GET", f"/services/{service['id']}")["service"]["status"] == "active"


def put(desk: Desk, kind: str, value: Any) -> Any:
    """Replace one kind of the state, as a fault does."""
    request = Request.of("PUT", f"/oncall/state/{kind}", {}, json.dumps(value).encode())
    reply = control(desk.account.state, request)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


def test_a_fault_replaces_state_and_puts_it_back(desk: Desk) -> None:
    """What was read can be put back; what is of another kind or type is refused."""
    schedule = desk.schedule("s", desk.layer("Ada"))
    whole = json.loads(control(desk.account.state, Request.of("GET", "/oncall/state", {})).body)
    former = whole["schedules"]
    put(desk, "schedules", [])
    desk.call("GET", f"/schedules/{schedule['id']}", status=404)
    put(desk, "schedules", former)
    assert desk.call("GET", f"/schedules/{schedule['id']}")["schedule"] == schedule
    for path, body, status in (
        ("nothing", b"[]", 404),
        ("users", b"{}", 400),
        ("users", b"<", 400),
        ("", b"[]", 400),
    ):
        request = Request.of("PUT", f"/oncall/state/{path}", {}, body)
        assert control(desk.account.state, request).status == status
