"""Users, escalation policies, services and maintenance windows of PagerDuty's REST API.

Shapes: developer.pagerduty.com/api-reference. A handler returns the object that the reply shows, a pair of
key and list where the reply is a page, or the reply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bais_gates.sandbox.oncall.account import API, Account, absent, invalid, refusal
from bais_gates.sandbox.oncall.http import Input, Object, Reply, reply_json
from bais_gates.sandbox.oncall.rendering import moment

if TYPE_CHECKING:
    from bais_gates.sandbox.oncall.http import Request

NO_CONTENT: Final = Reply(204, "application/json", b"")
_STATUSES: Final = ("active", "warning", "critical", "maintenance", "disabled")
_EVENTS_V2: Final = "events_api_v2_inbound_integration"


def body_of(request: Request, key: str) -> Input:
    """Return the object in the body under its key."""
    content = request.content()
    given = content.get(key) if isinstance(content, dict) else None
    if not isinstance(given, dict):
        raise invalid(f"{key.capitalize()} is missing: the body must be an object with it")
    return Input(given)


def sender(account: Account, request: Request) -> Object:
    """Return the user whom the header From names, or refuse the request."""
    email = request.headers.get("from", "").strip().lower()
    found = account.find("users", email=email)
    if found is None:
        raise refusal(400, 1008, "Requester User Not Found")
    return found


def named(found: list[Object], request: Request) -> list[Object]:
    """Return those whose name (or e-mail address) has the text of the parameter query, by name."""
    text = request.first("query").casefold()
    matching = [one for one in found if text in f"{one['name']} {one.get('email', '')}".casefold()]
    return sorted(matching, key=lambda one: one["name"].casefold())


# -- users --


def _shown_user(account: Account, request: Request, user: Object) -> Object:
    included = request.every("include")
    shown = account.heading("users", user["id"], user["name"]) | {
        "name": user["name"],
        "email": user["email"],
        "role": user["role"],
        "time_zone": "Etc/UTC",
        "color": "green",
        "description": None,
        "invitation_sent": False,
        "teams": [],
    }
    for key, show in (("contact_methods", _contact_method), ("notification_rules", _notification_rule)):
        entries = [show(user, one) for one in user[key]]
        shown[key] = entries if key in included else [_as_reference(one) for one in entries]
    return shown


def _contact_method(user: Object, method: Object) -> Object:
    return method | {
        "summary": method["label"],
        "self": f"{API}/users/{user['id']}/contact_methods/{method['id']}",
        "html_url": None,
    }


def _notification_rule(user: Object, rule: Object) -> Object:
    used = next((one for one in user["contact_methods"] if one["id"] == rule["contact_method"]), None)
    return rule | {
        "type": "assignment_notification_rule",
        "summary": f"{rule['start_delay_in_minutes']} minutes: {used['label'] if used else 'nothing'}",
        "self": f"{API}/users/{user['id']}/notification_rules/{rule['id']}",
        "html_url": None,
        "contact_method": _as_reference(_contact_method(user, used)) if used else None,
    }


def _as_reference(shown: Object) -> Object:
    kept = {key: shown[key] for key in ("id", "summary", "self", "html_url")}
    return kept | {"type": f"{shown['type']}_reference"}


def _list_users(account: Account, request: Request) -> Any:
    found = named(account.state["users"], request)
    return "users", [_shown_user(account, request, one) for one in found]


def _show_user(account: Account, request: Request, identifier: str) -> Object:
    return {"user": _shown_user(account, request, account.get("users", identifier))}


def _contact_methods(account: Account, _request: Request, identifier: str) -> Object:
    user = account.get("users", identifier)
    return {"contact_methods": [_contact_method(user, one) for one in user["contact_methods"]]}


def _notification_rules(account: Account, request: Request, identifier: str) -> Object:
    """Return the rules of one urgency; by default those of high urgency."""
    user, urgency = account.get("users", identifier), request.first("urgency", "high")
    if urgency not in {"high", "low", "all"}:
        raise invalid("Urgency must be one of: high, low, all")
    found = [one for one in user["notification_rules"] if urgency in {"all", one["urgency"]}]
    shown = [_notification_rule(user, one) for one in found]
    if "contact_methods" in request.every("include"):
        methods = {one["id"]: _contact_method(user, one) for one in user["contact_methods"]}
        shown = [
            one | {"contact_method": methods.get(own["contact_method"])}
            for one, own in zip(shown, found, strict=True)
        ]
    return {"notification_rules": shown}


# -- escalation policies --


def _shown_policy(account: Account, policy: Object) -> Object:
    users = [one for one in account.state["services"] if one["escalation_policy"] == policy["id"]]
    rules = [
        rule
        | {
            "targets": [
                account.reference(f"{one['type'].partition('_')[0]}s", one["id"]) for one in rule["targets"]
            ]
        }
        for rule in policy["escalation_rules"]
    ]
    return (
        account.heading("escalation_policies", policy["id"], policy["name"])
        | policy
        | {
            "escalation_rules": rules,
            "services": [account.reference("services", one["id"]) for one in users],
            "teams": [],
        }
    )


def _read_policy(account: Account, request: Request, former: Object | None) -> Object:
    given = body_of(request, "escalation_policy")
    identifier = former["id"] if former else account.new_id()
    name = given.text("name", default=former["name"] if former else None, most=100)
    given.problems += account.name_problems("escalation_policies", name, identifier)
    rules = []
    for entry in given.objects("escalation_rules", least=1):
        rule = Input(entry)
        delay = rule.integer("escalation_delay_in_minutes", least=1)
        targets = []
        for one in rule.objects("targets", least=1):
            target, problems = account.referred(one, "users", "schedules", what="Target")
            rule.problems += problems
            kind = str(one.get("type")).removesuffix("_reference")
            targets.append({"id": target, "type": f"{kind}_reference"})
        if len(targets) > 10:
            rule.problems.append("Targets can't be more than 10")
        rules.append(
            {
                "id": entry.get("id") or account.new_id(),
                "escalation_delay_in_minutes": delay,
                "targets": targets,
            }
        )
        given.problems += rule.problems
    loops = given.integer("num_loops", default=former["num_loops"] if former else 0)
    if loops > 9:
        given.problems.append("Num loops must be less than or equal to 9")
    handoff = given.choice(
        "on_call_handoff_notifications", "if_has_services", "always", default="if_has_services"
    )
    if given.problems:
        raise invalid(*given.problems)
    return {
        "id": identifier,
        "name": name,
        "description": given.given.get("description") or "",
        "num_loops": loops,
        "on_call_handoff_notifications": handoff,
        "escalation_rules": rules,
    }


def _list_policies(account: Account, request: Request) -> Any:
    found = named(account.state["escalation_policies"], request)
    return "escalation_policies", [_shown_policy(account, one) for one in found]


def _show_policy(account: Account, _request: Request, identifier: str) -> Object:
    return {"escalation_policy": _shown_policy(account, account.get("escalation_policies", identifier))}


def _create_policy(account: Account, request: Request) -> Reply:
    policy = _read_policy(account, request, None)
    account.state["escalation_policies"].append(policy)
    return reply_json(201, {"escalation_policy": _shown_policy(account, policy)})


def _update_policy(account: Account, request: Request, identifier: str) -> Object:
    policy = account.get("escalation_policies", identifier)
    policy.update(_read_policy(account, request, policy))
    return {"escalation_policy": _shown_policy(account, policy)}


def _delete_policy(account: Account, _request: Request, identifier: str) -> Reply:
    if account.find("services", escalation_policy=identifier):
        raise invalid("The escalation policy is used by a service")
    account.remove("escalation_policies", identifier)
    return NO_CONTENT


# -- services --


def _shown_service(account: Account, request: Request, service: Object) -> Object:
    integrations = [_integration(account, service, one) for one in service["integrations"]]
    shown = account.heading("services", service["id"], service["name"]) | service
    if shown["status"] == "active":
        open_here = [one for one in account.state["incidents"] if one["service"] == service["id"]]
        states = {one["status"] for one in open_here}
        shown["status"] = (
            "critical" if "triggered" in states else "warning" if "acknowledged" in states else "active"
        )
    if shown["status"] != "disabled" and account.in_maintenance(service, account.now()):
        shown["status"] = "maintenance"
    return shown | {
        "escalation_policy": account.reference("escalation_policies", service["escalation_policy"]),
        "integrations": integrations
        if "integrations" in request.every("include")
        else [_as_reference(one) for one in integrations],
        "teams": [],
    }


def _integration(account: Account, service: Object, one: Object) -> Object:
    return one | {
        "summary": one["name"],
        "self": f"{API}/services/{service['id']}/integrations/{one['id']}",
        "html_url": None,
        "service": account.reference("services", service["id"]),
    }


def _read_service(account: Account, request: Request, former: Object | None) -> Object:
    given = body_of(request, "service")
    before: Object = former or {
        "id": account.new_id(),
        "name": None,
        "description": "",
        "status": "active",
        "auto_resolve_timeout": 14_400,
        "acknowledgement_timeout": 1_800,
        "alert_creation": "create_alerts_and_incidents",
        "incident_urgency_rule": {"type": "constant", "urgency": "high"},
        "created_at": account.now().isoformat(),
        "integrations": [],
    }
    name = given.text("name", default=before["name"], most=255)
    given.problems += account.name_problems("services", name, before["id"])
    policy: str = before.get("escalation_policy", "")
    problems: list[str] = []
    if not policy or "escalation_policy" in given.given:
        reference = given.given.get("escalation_policy")
        policy, problems = account.referred(reference, "escalation_policies", what="Escalation policy")
    status = given.choice("status", *_STATUSES, default=before["status"])
    if given.problems or problems:
        raise invalid(*given.problems, *problems)
    kept = ("description", "auto_resolve_timeout", "acknowledgement_timeout", "incident_urgency_rule")
    changed = {key: given.given[key] for key in kept if key in given.given}
    return {**before, **changed, "name": name, "escalation_policy": policy, "status": status}


def _list_services(account: Account, request: Request) -> Any:
    found = named(account.state["services"], request)
    return "services", [_shown_service(account, request, one) for one in found]


def _show_service(account: Account, request: Request, identifier: str) -> Object:
    return {"service": _shown_service(account, request, account.get("services", identifier))}


def _create_service(account: Account, request: Request) -> Reply:
    service = _read_service(account, request, None)
    if service["name"] == account.event_service:
        own = {"name": "Alertmanager", "integration_key": account.access.routing_key}
        service["integrations"].append({"id": account.new_id(), "type": _EVENTS_V2, **own})
    account.state["services"].append(service)
    return reply_json(201, {"service": _shown_service(account, request, service)})


def _update_service(account: Account, request: Request, identifier: str) -> Object:
    service = account.get("services", identifier)
    service.update(_read_service(account, request, service))
    return {"service": _shown_service(account, request, service)}


def _delete_service(account: Account, _request: Request, identifier: str) -> Reply:
    account.remove("services", identifier)
    return NO_CONTENT


def _show_integration(account: Account, _request: Request, identifier: str, integration: str) -> Object:
    service = account.get("services", identifier)
    found = next((one for one in service["integrations"] if one["id"] == integration), None)
    if found is None:
        raise absent()
    return {"integration": _integration(account, service, found)}


# -- maintenance windows --


def _shown_window(account: Account, window: Object) -> Object:
    return (
        account.heading("maintenance_windows", window["id"], window["description"])
        | window
        | {
            "services": [account.reference("services", one) for one in window["services"]],
            "created_by": account.reference("users", window["created_by"]),
            "teams": [],
        }
    )


def _list_windows(account: Account, request: Request) -> Any:
    now, asked, services = account.now(), request.first("filter", "all"), set(request.every("service_ids"))
    found = []
    for one in account.state["maintenance_windows"]:
        start, end = moment(one["start_time"]), moment(one["end_time"])
        kinds = {"all", "past" if end <= now else "future" if start > now else "ongoing"}
        kinds |= {"open"} if end > now else set()
        if asked in kinds and (not services or services & set(one["services"])):
            found.append(_shown_window(account, one))
    return "maintenance_windows", found


def _show_window(account: Account, _request: Request, identifier: str) -> Object:
    return {"maintenance_window": _shown_window(account, account.get("maintenance_windows", identifier))}


def _create_window(account: Account, request: Request) -> Reply:
    by, given = sender(account, request), body_of(request, "maintenance_window")
    start, end = given.moment("start_time"), given.moment("end_time")
    if start is not None and end is not None and start >= end:
        given.problems.append("End time must be after start time")
    services = []
    for one in given.objects("services", least=1):
        identifier, problems = account.referred(one, "services", what="Service")
        services.append(identifier)
        given.problems += problems
    if given.problems or start is None or end is None:
        raise invalid(*given.problems)
    window = {
        "id": account.new_id(),
        "start_time": start.isoformat(),
        "end_time": end.isoformat(),
        "description": given.given.get("description") or "",
        "services": services,
        "created_by": by["id"],
    }
    account.state["maintenance_windows"].append(window)
    return reply_json(201, {"maintenance_window": _shown_window(account, window)})


def _delete_window(account: Account, _request: Request, identifier: str) -> Reply:
    account.remove("maintenance_windows", identifier)
    return NO_CONTENT


ROUTES: Final = (
    ("GET", "/users", _list_users),
    ("GET", "/users/{}", _show_user),
    ("GET", "/users/{}/contact_methods", _contact_methods),
    ("GET", "/users/{}/notification_rules", _notification_rules),
    ("GET", "/escalation_policies", _list_policies),
    ("POST", "/escalation_policies", _create_policy),
    ("GET", "/escalation_policies/{}", _show_policy),
    ("PUT", "/escalation_policies/{}", _update_policy),
    ("DELETE", "/escalation_policies/{}", _delete_policy),
    ("GET", "/services", _list_services),
    ("POST", "/services", _create_service),
    ("GET", "/services/{}", _show_service),
    ("PUT", "/services/{}", _update_service),
    ("DELETE", "/services/{}", _delete_service),
    ("GET", "/services/{}/integrations/{}", _show_integration),
    ("GET", "/maintenance_windows", _list_windows),
    ("POST", "/maintenance_windows", _create_window),
    ("GET", "/maintenance_windows/{}", _show_window),
    ("DELETE", "/maintenance_windows/{}", _delete_window),
)
"""Method, path and handler of each operation."""
