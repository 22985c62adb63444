"""Incidents of the stand-in for PagerDuty: who is notified when, who acknowledges, and the log of it.

Nothing waits: what is due by now is caught up at the next request (:func:`advance`), each step with the time
at which it was due. An incident is a dict: id, number, title, key, service, policy, urgency, status,
created_at, updated_at, resolved_at, level and loop (from 0), escalates_at, notifies ([at, user, kind,
address] that are still to come), woken ([at, user] of the first who was notified), assigned (users),
acknowledgements and log.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import uuid4

from bais_gates.sandbox.oncall.account import API, Account, invalid, refusal
from bais_gates.sandbox.oncall.http import Input, Object, Reply, reply_json
from bais_gates.sandbox.oncall.rendering import moment
from bais_gates.sandbox.oncall.resources import body_of, sender

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.sandbox.oncall.http import Request

_OPEN: Final = ("triggered", "acknowledged")
_LONGEST: Final = timedelta(days=30)


# -- the course of an incident --


def advance(account: Account) -> None:
    """Bring all incidents up to now."""
    now = account.now()
    for incident in account.state["incidents"]:
        while incident["status"] == "triggered" and incident["policy"]:
            at, step = min(_due(account, incident), key=lambda one: one[0], default=(now, ""))
            if not step or at > now:
                break
            if step == "notify":
                _notify(account, incident)
            elif step == "acknowledge":
                acknowledge(account, incident, at, ("users", incident["woken"][1]))
            else:
                _escalate(account, incident, at)


def open_incident(account: Account, service: Object, title: str, **given: Any) -> Object:
    """Open an incident at a service, and notify who is on call first."""
    now = account.now()
    incident: Object = {
        "id": account.new_id(),
        "number": len(account.state["incidents"]) + 1,
        "title": title,
        "key": uuid4().hex,
        "service": service["id"],
        "policy": service["escalation_policy"],
        "urgency": "high",
        "status": "triggered",
        "created_at": now.isoformat(),
        "updated_at": now.isoformat(),
        "resolved_at": None,
        "level": 0,
        "loop": 0,
        "escalates_at": None,
        "notifies": [],
        "woken": None,
        "assigned": [],
        "acknowledgements": [],
        "log": [],
    } | given
    account.state["incidents"].append(incident)
    _log(account, incident, "trigger", now, agent=("services", service["id"]))
    _page(account, incident, now, "assign")
    return incident


def acknowledge(account: Account, incident: Object, at: datetime, agent: tuple[str, str]) -> None:
    """Acknowledge an incident; nobody else is notified then."""
    incident["acknowledgements"].append({"at": at.isoformat(), "by": list(agent)})
    _change(account, incident, "acknowledged", at, agent)


def resolve(account: Account, incident: Object, at: datetime, agent: tuple[str, str]) -> None:
    """Resolve an incident."""
    incident["resolved_at"] = at.isoformat()
    _change(account, incident, "resolved", at, agent)


def _change(account: Account, incident: Object, status: str, at: datetime, agent: tuple[str, str]) -> None:
    incident.update(status=status, updated_at=at.isoformat(), escalates_at=None, notifies=[])
    _log(account, incident, {"acknowledged": "acknowledge", "resolved": "resolve"}[status], at, agent=agent)


def _due(account: Account, incident: Object) -> list[tuple[datetime, str]]:
    """Return what comes next, with the time: a notification, an acknowledgement, an escalation."""
    found = [(moment(one[0]), "notify") for one in incident["notifies"]]
    after = account.settings("acknowledge_after_s")
    if incident["woken"] and after is not None:
        found.append((moment(incident["woken"][0]) + timedelta(seconds=after), "acknowledge"))
    if incident["escalates_at"]:
        found.append((moment(incident["escalates_at"]), "escalate"))
    return found


def _page(account: Account, incident: Object, at: datetime, entry: str) -> None:
    """Assign the incident to who is on call at its level, or at the next level at which anybody is."""
    policy = account.find("escalation_policies", id=incident["policy"])
    rules = policy["escalation_rules"] if policy else []
    for level in range(incident["level"], len(rules)):
        users = account.on_call(policy or {}, level, at)
        if users:
            break
    else:
        _exhausted(account, incident, at)
        return
    delay = timedelta(minutes=rules[level]["escalation_delay_in_minutes"])
    incident.update(level=level, assigned=users, escalates_at=(at + delay).isoformat(), notifies=[])
    _log(account, incident, entry, at, assignees=users)
    for identifier in users:
        user = account.find("users", id=identifier) or {"notification_rules": [], "contact_methods": []}
        methods = {one["id"]: one for one in user["contact_methods"] if one.get("enabled", True)}
        for rule in user["notification_rules"]:
            method = methods.get(rule["contact_method"])
            if rule["urgency"] == incident["urgency"] and method is not None:
                when = at + timedelta(minutes=rule["start_delay_in_minutes"])
                kind = method["type"].removesuffix("_contact_method").removesuffix("_notification")
                incident["notifies"].append([when.isoformat(), identifier, kind, method["address"]])


def _notify(account: Account, incident: Object) -> None:
    first = min(incident["notifies"], key=lambda one: moment(one[0]))
    incident["notifies"].remove(first)
    at, user, kind, address = first
    incident["woken"] = incident["woken"] or [at, user]
    notification = {"type": f"{kind}_notification", "address": address, "status": "success"}
    channel = {"type": "auto", "notification": notification}
    _log(account, incident, "notify", moment(at), user=user, channel=channel)


def _escalate(account: Account, incident: Object, at: datetime) -> None:
    """Go on to the next level, again to the first as often as the policy says, or to nobody."""
    policy = account.find("escalation_policies", id=incident["policy"])
    if policy is None or incident["level"] + 1 < len(policy["escalation_rules"]):
        incident["level"] += 1
    elif incident["loop"] < policy["num_loops"]:
        incident.update(level=0, loop=incident["loop"] + 1)
        _log(account, incident, "repeat_escalation_path", at)
    else:
        _exhausted(account, incident, at)
        return
    _page(account, incident, at, "escalate")


def _exhausted(account: Account, incident: Object, at: datetime) -> None:
    incident.update(escalates_at=None, notifies=[])
    _log(account, incident, "exhaust_escalation_path", at)


def _log(account: Account, incident: Object, kind: str, at: datetime, **more: Any) -> None:
    entry = {"id": account.new_id(), "type": f"{kind}_log_entry", "at": at.isoformat(), **more}
    incident["log"].append(entry)


# -- events --


def receive(account: Account, event: Object) -> bool:
    """Act on an event of the Events API v2; return whether its routing key is known.

    A key whose service is not there (yet) is known, and its events go nowhere.
    """
    with account.lock:
        advance(account)
        key = event["routing_key"]
        service = service_of(account, key)
        if service is None:
            return bool(key == account.access.routing_key)
        agent, now = ("services", service["id"]), account.now()
        incident = _open_with(account, service["id"], event["dedup_key"])
        if event["event_action"] == "trigger":
            muted = service["status"] == "disabled" or account.in_maintenance(service, now)
            if incident is None and not muted:
                open_incident(account, service, event["payload"]["summary"], key=event["dedup_key"])
        elif incident is not None and event["event_action"] == "resolve":
            resolve(account, incident, now, agent)
        elif incident is not None and incident["status"] == "triggered":
            acknowledge(account, incident, now, agent)
    return True


def service_of(account: Account, key: str) -> Object | None:
    """Return the service that has an integration with this routing key."""
    for one in account.state["services"]:
        if any(integration.get("integration_key") == key for integration in one["integrations"]):
            return cast("Object", one)
    return None


def _open_with(account: Account, service: str, key: str) -> Object | None:
    found = (account.find("incidents", service=service, key=key, status=status) for status in _OPEN)
    return next((one for one in found if one is not None), None)


# -- what the API shows of it --


def _zulu(text: str | None) -> str | None:
    return moment(text).isoformat().replace("+00:00", "Z") if text else None


def _title(incident: Object) -> str:
    return f"[#{incident['number']}] {incident['title']}"


def _shown(account: Account, incident: Object) -> Object:
    resolved = incident["status"] == "resolved"
    acknowledged = incident["acknowledgements"] if incident["status"] == "acknowledged" else []
    return account.heading("incidents", incident["id"], _title(incident)) | {
        "incident_number": incident["number"],
        "title": incident["title"],
        "description": incident["title"],
        "created_at": _zulu(incident["created_at"]),
        "updated_at": _zulu(incident["updated_at"]),
        "last_status_change_at": _zulu(incident["updated_at"]),
        "resolved_at": _zulu(incident["resolved_at"]),
        "status": incident["status"],
        "urgency": incident["urgency"],
        "incident_key": incident["key"],
        "service": account.reference("services", incident["service"]),
        "escalation_policy": account.reference("escalation_policies", incident["policy"]),
        "assigned_via": "escalation_policy",
        "assignments": []
        if resolved
        else [
            {"at": _zulu(incident["updated_at"]), "assignee": account.reference("users", one)}
            for one in incident["assigned"]
        ],
        "acknowledgements": [
            {"at": _zulu(one["at"]), "acknowledger": account.reference(*one["by"])} for one in acknowledged
        ],
        "first_trigger_log_entry": _entry_heading(incident, incident["log"][0])
        | {"type": "trigger_log_entry_reference"},
        "teams": [],
        "pending_actions": [],
        "is_mergeable": True,
        "incident_type": {"name": "incident_default"},
    }


def _entry_heading(incident: Object, entry: Object) -> Object:
    return {
        "id": entry["id"],
        "type": entry["type"],
        "summary": entry["type"].removesuffix("_log_entry").replace("_", " ").capitalize(),
        "self": f"{API}/log_entries/{entry['id']}?incident_id={incident['id']}",
        "html_url": None,
    }


def _shown_entry(account: Account, incident: Object, entry: Object) -> Object:
    shown = _entry_heading(incident, entry) | {
        "created_at": _zulu(entry["at"]),
        "agent": account.reference(*entry.get("agent", ("services", incident["service"]))),
        "channel": entry.get("channel", {"type": "api"}),
        "incident": account.reference("incidents", incident["id"]) | {"summary": _title(incident)},
        "service": account.reference("services", incident["service"]),
        "teams": [],
        "contexts": [],
    }
    if "user" in entry:
        shown["user"] = account.reference("users", entry["user"])
    if "assignees" in entry:
        shown["assignees"] = [account.reference("users", one) for one in entry["assignees"]]
    if entry["type"] == "trigger_log_entry":
        shown["event_details"] = {"description": incident["title"]}
    return shown


def _list(account: Account, request: Request) -> Any:
    wanted = {"status": set(request.every("statuses")), "service": set(request.every("service_ids"))}
    wanted["key"] = {request.first("incident_key")} - {""}
    wanted["urgency"] = set(request.every("urgencies"))
    since = account.now() - _LONGEST
    found = [
        one
        for one in reversed(account.state["incidents"])
        if all(not values or one[key] in values for key, values in wanted.items())
        and moment(one["created_at"]) >= since
    ]
    return "incidents", [_shown(account, one) for one in found]


def _show(account: Account, _request: Request, identifier: str) -> Object:
    return {"incident": _shown(account, account.get("incidents", identifier))}


def _create(account: Account, request: Request) -> Reply:
    by, given = sender(account, request), body_of(request, "incident")
    given.choice("type", "incident")
    title = given.text("title")
    urgency = given.choice("urgency", "high", "low", default="high")
    identifier, problems = account.referred(given.given.get("service"), "services", what="Service")
    if given.problems or problems:
        raise invalid(*given.problems, *problems)
    service, now = account.get("services", identifier), account.now()
    if service["status"] == "disabled" or account.in_maintenance(service, now):
        raise invalid("Service is disabled or in maintenance")
    policy = account.find("escalation_policies", id=service["escalation_policy"])
    levels = range(len(policy["escalation_rules"])) if policy else ()
    if policy is None or not any(account.on_call(policy, level, now) for level in levels):
        raise refusal(400, 1015, "Escalation Policy Has No User On Call")
    key = given.given.get("incident_key")
    if key and _open_with(account, identifier, key):
        problem = "Open incident with matching dedup key already exists on this service"
        raise refusal(400, 2002, "Arguments Caused Error", problem)
    more = {"urgency": urgency} | ({"key": str(key)} if key else {})
    incident = open_incident(account, service, title, **more)
    incident["log"][0]["agent"] = ("users", by["id"])
    return reply_json(201, {"incident": _shown(account, incident)})


def _update(account: Account, request: Request, identifier: str) -> Object:
    by, given = sender(account, request), body_of(request, "incident")
    _set_status(account, account.get("incidents", identifier), given.given, by)
    return {"incident": _shown(account, account.get("incidents", identifier))}


def _update_several(account: Account, request: Request) -> Any:
    by, content = sender(account, request), request.content()
    given = content.get("incidents") if isinstance(content, dict) else None
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise invalid("Incidents is missing: the body must be an object with it")
    found = [account.get("incidents", str(one.get("id"))) for one in given]
    for incident, one in zip(found, given, strict=True):
        _set_status(account, incident, one, by)
    return "incidents", [_shown(account, one) for one in found]


def _set_status(account: Account, incident: Object, given: Object, by: Object) -> None:
    status, agent = given.get("status"), ("users", by["id"])
    if given.get("type") not in {"incident", "incident_reference"}:
        raise invalid("Type must be one of: incident, incident_reference")
    if status not in {"acknowledged", "resolved"}:
        raise invalid("Status must be one of: acknowledged, resolved")
    if incident["status"] == "resolved":
        raise invalid("Incident Already Resolved")
    (resolve if status == "resolved" else acknowledge)(account, incident, account.now(), agent)


def _log_of_incident(account: Account, _request: Request, identifier: str) -> Any:
    """Return the log, the latest entry first."""
    incident = account.get("incidents", identifier)
    return "log_entries", [_shown_entry(account, incident, one) for one in reversed(incident["log"])]


def _log_of_all(account: Account, request: Request) -> Any:
    given = Input({"since": request.first("since")} if request.first("since") else {})
    since = given.moment("since", account.now() - _LONGEST)
    if since is None:
        raise invalid(*given.problems)
    found = [
        (moment(entry["at"]), number, incident, entry)
        for incident in account.state["incidents"]
        for number, entry in enumerate(incident["log"])
        if moment(entry["at"]) >= since
    ]
    found.sort(key=lambda one: one[:2], reverse=True)
    return "log_entries", [_shown_entry(account, incident, entry) for _, _, incident, entry in found]


ROUTES: Final = (
    ("GET", "/incidents", _list),
    ("POST", "/incidents", _create),
    ("PUT", "/incidents", _update_several),
    ("GET", "/incidents/{}", _show),
    ("PUT", "/incidents/{}", _update),
    ("GET", "/incidents/{}/log_entries", _log_of_incident),
    ("GET", "/log_entries", _log_of_all),
)
"""Method, path and handler of each operation."""
