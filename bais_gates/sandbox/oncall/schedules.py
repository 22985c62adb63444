"""Schedules of PagerDuty's REST API: layers, overrides, previews, and who is on call.

As the original, an update gives every layer that has begun a new ``start``, layers can be ended but never
removed, and a reply has the layer on top first (github.com/PagerDuty/terraform-provider-pagerduty issues 200
and 343, and its resource pagerduty_schedule).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from bais_gates.sandbox.oncall.account import absent, invalid
from bais_gates.sandbox.oncall.http import Input, Object, Reply, is_zone, reply_json
from bais_gates.sandbox.oncall.rendering import (
    Entry,
    Window,
    final_entries,
    layer_entries,
    moment,
    override_entries,
)
from bais_gates.sandbox.oncall.resources import NO_CONTENT, body_of, named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bais_gates.sandbox.oncall.account import Account
    from bais_gates.sandbox.oncall.http import Request

_WINDOW: Final = timedelta(weeks=2)
_AHEAD: Final = timedelta(days=90)
_VERSIONED: Final = (
    "start",
    "end",
    "users",
    "restrictions",
    "rotation_virtual_start",
    "rotation_turn_length_seconds",
)
"""What makes a version of a layer: who was on call before a change does not change."""


# -- what is shown --


def _window(account: Account, request: Request) -> Window | None:
    """Return the window that is asked for; None if there is neither since nor until."""
    given = {key: request.first(key) for key in ("since", "until") if request.first(key)}
    if not given:
        return None
    times = Input(dict(given))
    since = times.moment("since", account.now()) if "since" in given else None
    until = times.moment("until", account.now()) if "until" in given else None
    if times.problems:
        raise invalid(*times.problems)
    since = since or (until or account.now()) - _WINDOW
    until = until or since + _WINDOW
    if since >= until:
        raise invalid("Until must be after since")
    return Window(since, until, request.flag("overflow"))


def _zone(request: Request, otherwise: ZoneInfo) -> ZoneInfo:
    name = request.first("time_zone")
    if name and not is_zone(name):
        raise invalid("Time zone is not a valid time zone")
    return ZoneInfo(name) if name else otherwise


def _local(when: datetime | str, zone: ZoneInfo) -> str:
    found = moment(when) if isinstance(when, str) else when
    return found.astimezone(zone).isoformat(timespec="seconds")


def _rendered(account: Account, entries: Sequence[Entry], window: Window | None, zone: ZoneInfo) -> Object:
    """Return entries and coverage; without a window no entries, and null."""
    shown = [
        {
            "start": _local(one.start, zone),
            "end": _local(one.end, zone),
            "user": account.reference("users", one.user),
        }
        for one in entries
    ]
    coverage = window.coverage(entries) if window else None
    return {"rendered_schedule_entries": shown, "rendered_coverage_percentage": coverage}


def _shown_layer(
    account: Account, layer: Object, window: Window | None, own: ZoneInfo, zone: ZoneInfo
) -> Object:
    entries = layer_entries(layer, own, window) if window else []
    kept = ("id", "name", "restrictions", "rotation_turn_length_seconds")
    return {
        **{key: layer[key] for key in kept},
        "start": _local(layer["start"], zone),
        "end": _local(layer["end"], zone) if layer["end"] else None,
        "rotation_virtual_start": _local(layer["rotation_virtual_start"], zone),
        "users": [{"user": account.reference("users", one)} for one in layer["users"]],
        **_rendered(account, entries, window, zone),
    }


def _outline(account: Account, schedule: Object) -> Object:
    """Return what a list shows of a schedule."""
    policies = [
        one["id"]
        for one in account.state["escalation_policies"]
        if any(
            target["id"] == schedule["id"] for rule in one["escalation_rules"] for target in rule["targets"]
        )
    ]
    users = dict.fromkeys(user for layer in schedule["layers"] for user in layer["users"])
    return account.heading("schedules", schedule["id"], schedule["name"]) | {
        "name": schedule["name"],
        "time_zone": schedule["time_zone"],
        "description": schedule["description"],
        "users": [account.reference("users", one) for one in users],
        "escalation_policies": [account.reference("escalation_policies", one) for one in policies],
        "teams": [],
    }


def _shown(account: Account, request: Request, schedule: Object) -> Object:
    window, own = _window(account, request), account.zone(schedule)
    zone = _zone(request, own)
    final = final_entries(schedule, own, window) if window else []
    overrides = override_entries(schedule["overrides"], window) if window else []
    layers = [_shown_layer(account, one, window, own, zone) for one in reversed(schedule["layers"])]
    return _outline(account, schedule) | {
        "schedule_layers": layers,
        "overrides_subschedule": {"name": "Overrides", **_rendered(account, overrides, window, zone)},
        "final_schedule": {"name": "Final Schedule", **_rendered(account, final, window, zone)},
    }


# -- what is read --


def _read(account: Account, request: Request, former: Object | None) -> Object:
    given = body_of(request, "schedule")
    identifier = former["id"] if former else account.new_id()
    name = given.text("name", default=former["name"] if former else None, most=255)
    if request.path != "/schedules/preview":
        given.problems += account.name_problems("schedules", name, identifier)
    zone = given.zone("time_zone")
    before = {one["id"]: one for one in (former["layers"] if former else ())}
    changed: dict[str, Object] = {}
    for entry in given.objects("schedule_layers", least=0 if former else 1):
        layer = _read_layer(account, entry, before, given)
        changed[layer["id"]] = layer
    if given.problems:
        raise invalid(*given.problems)
    return {
        "id": identifier,
        "name": name,
        "time_zone": zone,
        "description": given.given.get("description") or "",
        "layers": list((before | changed).values()),
        "overrides": former["overrides"] if former else [],
    }


def _read_layer(account: Account, entry: Object, before: dict[str, Object], given: Input) -> Object:
    """Return a layer; what it was before is kept as a version, and it starts anew."""
    layer, now = Input(entry), account.now()
    start, virtual = layer.moment("start"), layer.moment("rotation_virtual_start")
    end = layer.moment("end") if entry.get("end") is not None else None
    length = layer.integer("rotation_turn_length_seconds", least=3600)
    users = []
    for one in layer.objects("users", least=1):
        user, problems = account.referred(one.get("user"), "users", what="User")
        users.append(user)
        layer.problems += problems
    restrictions = [_read_restriction(layer, one) for one in layer.objects("restrictions")]
    former = before.get(str(entry.get("id", "")))
    if entry.get("id") and former is None:
        layer.problems.append("Schedule layer not found")
    given.problems += layer.problems
    if layer.problems or start is None or virtual is None:
        return {"id": ""}
    past = list(former["past"]) if former else []
    if former and moment(former["start"]) < now:
        ended = min(now, moment(former["end"])) if former["end"] else now
        past.append({key: former[key] for key in _VERSIONED} | {"end": ended.isoformat()})
    return {
        "id": former["id"] if former else account.new_id(),
        "name": str(entry.get("name") or f"Layer {len(before) + 1}"),
        "start": max(start, now).isoformat(),
        "end": end.isoformat() if end else None,
        "rotation_virtual_start": virtual.isoformat(),
        "rotation_turn_length_seconds": length,
        "users": users,
        "restrictions": restrictions,
        "past": past,
    }


def _read_restriction(layer: Input, entry: Object) -> Object:
    one = Input(entry)
    kind = one.choice("type", "daily_restriction", "weekly_restriction")
    duration = one.integer("duration_seconds", least=1)
    try:
        start = datetime.strptime(str(entry.get("start_time_of_day")), "%H:%M:%S").strftime("%H:%M:%S")  # noqa: DTZ007 - a time of day
    except ValueError:
        one.problems.append("Start time of day must be HH:MM:SS")
        start = ""
    found: Object = {"type": kind, "duration_seconds": duration, "start_time_of_day": start}
    if kind == "weekly_restriction":
        found["start_day_of_week"] = one.integer("start_day_of_week", least=1)
        if found["start_day_of_week"] > 7:
            one.problems.append("Start day of week must be less than or equal to 7")
    layer.problems += one.problems
    return found


# -- operations --


def _list(account: Account, request: Request) -> Any:
    return "schedules", [_outline(account, one) for one in named(account.state["schedules"], request)]


def _show(account: Account, request: Request, identifier: str) -> Object:
    return {"schedule": _shown(account, request, account.get("schedules", identifier))}


def _create(account: Account, request: Request) -> Reply:
    schedule = _read(account, request, None)
    account.state["schedules"].append(schedule)
    return reply_json(201, {"schedule": _shown(account, request, schedule)})


def _preview(account: Account, request: Request) -> Object:
    return {"schedule": _shown(account, request, _read(account, request, None))}


def _update(account: Account, request: Request, identifier: str) -> Object:
    schedule = account.get("schedules", identifier)
    schedule.update(_read(account, request, schedule))
    return {"schedule": _shown(account, request, schedule)}


def _delete(account: Account, _request: Request, identifier: str) -> Reply:
    if _outline(account, account.get("schedules", identifier))["escalation_policies"]:
        raise invalid("Schedule can't be deleted if it's being used by escalation policies")
    account.remove("schedules", identifier)
    return NO_CONTENT


def _list_overrides(account: Account, request: Request, identifier: str) -> Object:
    schedule = account.get("schedules", identifier)
    if not request.first("since") or not request.first("until"):
        raise invalid("Since and until are required")
    window, zone = _window(account, request), _zone(request, account.zone(schedule))
    if window is None:
        raise invalid("Since and until are required")
    found = [
        one
        for one in schedule["overrides"]
        if moment(one["end"]) > window.since and moment(one["start"]) < window.until
    ]
    return {"overrides": [_shown_override(account, one, zone) for one in found]}


def _shown_override(account: Account, one: Object, zone: ZoneInfo) -> Object:
    return {
        "id": one["id"],
        "start": _local(one["start"], zone),
        "end": _local(one["end"], zone),
        "user": account.reference("users", one["user"]),
    }


def _create_overrides(account: Account, request: Request, identifier: str) -> Reply:
    """Add overrides; the reply has a status for each of them, and is 201 even where one was refused."""
    schedule, content = account.get("schedules", identifier), request.content()
    given = Input(content if isinstance(content, dict) else {})
    entries = given.objects("overrides", least=1)
    if given.problems:
        raise invalid(*given.problems)
    results: list[Object] = []
    for entry in entries:
        one = Input(entry)
        start, end = one.moment("start"), one.moment("end")
        user, problems = account.referred(entry.get("user"), "users", what="User")
        if start is not None and end is not None and start >= end:
            problems.append("Override must end after its start")
        if one.problems or problems or start is None or end is None:
            results.append({"status": 400, "errors": [*one.problems, *problems], "override": entry})
            continue
        made = {"id": account.new_id(), "start": start.isoformat(), "end": end.isoformat(), "user": user}
        schedule["overrides"].append(made)
        results.append({"status": 201, "override": _shown_override(account, made, account.zone(schedule))})
    return reply_json(201, results)


def _delete_override(account: Account, _request: Request, identifier: str, override: str) -> Reply:
    """Remove an override; of one that has begun, what is past stays."""
    overrides, now = account.get("schedules", identifier)["overrides"], account.now()
    found = next((one for one in overrides if one["id"] == override), None)
    if found is None or moment(found["end"]) <= now:
        raise absent()
    if moment(found["start"]) < now:
        found["end"] = now.isoformat()
    else:
        overrides.remove(found)
    return NO_CONTENT


def _on_calls(account: Account, request: Request) -> Any:
    """Return who is on call in a period, by default now, for every level of every escalation policy."""
    times = Input({key: request.first(key) for key in ("since", "until") if request.first(key)})
    since = times.moment("since", account.now())
    until = times.moment("until", since)
    if since is not None and until is not None and (until < since or until > account.now() + _AHEAD):
        times.problems.append("Until must be after since, and at most 90 days in the future")
    if times.problems or since is None or until is None:
        raise invalid(*times.problems)
    window = Window(since, max(until, since + timedelta(seconds=1)), overflow=True)
    wanted = {key: set(request.every(f"{key}_ids")) for key in ("escalation_policy", "schedule", "user")}
    found, seen = [], set()
    for policy, level, schedule, entry in _levels(account, window):
        named_ids = {"escalation_policy": policy["id"], "schedule": schedule or "null", "user": entry.user}
        if any(ids and named_ids[key] not in ids for key, ids in wanted.items()):
            continue
        key = (policy["id"], level, entry.user)
        if request.flag("earliest") and key in seen:
            continue
        seen.add(key)
        always = schedule is None
        found.append(
            {
                "escalation_policy": account.reference("escalation_policies", policy["id"]),
                "escalation_level": level,
                "schedule": None if always else account.reference("schedules", str(schedule)),
                "user": account.reference("users", entry.user),
                "start": None if always else _local(entry.start, _zone(request, ZoneInfo("UTC"))),
                "end": None if always else _local(entry.end, _zone(request, ZoneInfo("UTC"))),
            }
        )
    return "oncalls", found


def _levels(account: Account, window: Window) -> Iterator[tuple[Object, int, str | None, Entry]]:
    """Yield policy, level, schedule (None: a direct target) and entry of everybody who is on call."""
    for policy in account.state["escalation_policies"]:
        for level, rule in enumerate(policy["escalation_rules"], 1):
            for target in rule["targets"]:
                schedule = account.find("schedules", id=target["id"])
                if target["type"] == "user_reference":
                    yield policy, level, None, Entry(window.since, window.until, target["id"])
                elif schedule is not None:
                    for entry in final_entries(schedule, account.zone(schedule), window):
                        yield policy, level, schedule["id"], entry


ROUTES: Final = (
    ("GET", "/schedules", _list),
    ("POST", "/schedules", _create),
    ("POST", "/schedules/preview", _preview),
    ("GET", "/schedules/{}", _show),
    ("PUT", "/schedules/{}", _update),
    ("DELETE", "/schedules/{}", _delete),
    ("GET", "/schedules/{}/overrides", _list_overrides),
    ("POST", "/schedules/{}/overrides", _create_overrides),
    ("DELETE", "/schedules/{}/overrides/{}", _delete_override),
    ("GET", "/oncalls", _on_calls),
)
"""Method, path and handler of each operation."""
