"""What PagerDuty says of a person's contacts, and of a page (an incident) that was sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from bais_gates.oncall.provider import Contact, NotificationRule, OncallError, Page, PageEvent, Person

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal

    from bais_gates.oncall.pagerduty_api import Api

    Kind = Literal["triggered", "notified", "acknowledged", "escalated", "resolved", "exhausted"]

_STAKEHOLDERS: Final = frozenset({"read_only_user", "read_only_limited_user"})
"""The roles that can't be on call (developer.pagerduty.com, users: role)."""
_KINDS: Final[Mapping[str, Literal["phone", "sms", "push", "email"]]] = {
    "phone": "phone",
    "sms": "sms",
    "push_notification": "push",
    "email": "email",
}
_EVENTS: Final[Mapping[str, Kind]] = {
    "trigger_log_entry": "triggered",
    "notify_log_entry": "notified",
    "acknowledge_log_entry": "acknowledged",
    "escalate_log_entry": "escalated",
    "resolve_log_entry": "resolved",
    "exhaust_escalation_path_log_entry": "exhausted",
}


def person_of(user: Mapping[str, Any]) -> Person:
    """Return a person from a user with contact methods and notification rules."""
    methods = {str(one["id"]): _contact(one) for one in user.get("contact_methods") or ()}
    rules = []
    for one in user.get("notification_rules") or ():
        contact = methods.get(str((one.get("contact_method") or {}).get("id")))
        if contact is not None and one.get("urgency") in {"high", "low"}:
            delay_s = one["start_delay_in_minutes"] * 60.0
            rules.append(NotificationRule(urgency=one["urgency"], delay_s=delay_s, contact=contact))
    role = user.get("role")
    return Person(
        email=str(user["email"]).lower(),
        name=str(user["name"]),
        active=role not in _STAKEHOLDERS if isinstance(role, str) else None,
        contacts=tuple(methods.values()),
        rules=tuple(rules),
    )


def _contact(method: Mapping[str, Any]) -> Contact:
    kind = str(method.get("type")).removesuffix("_reference").removesuffix("_contact_method")
    enabled = method.get("enabled")
    return Contact(kind=_KINDS.get(kind, "other"), enabled=enabled if isinstance(enabled, bool) else None)


def send_page(api: Api, identifier: str, service: str, title: str) -> Page:
    """Open an incident of high urgency at a service."""
    body = {
        "type": "incident",
        "title": title,
        "service": {"id": identifier, "type": "service_reference"},
        "urgency": "high",
        "incident_key": uuid4().hex,
    }
    content = api.write("POST", "/incidents", {"incident": body}, what=f"service {service}")
    incident = content.get("incident") if isinstance(content, dict) else None
    if not isinstance(incident, dict) or not isinstance(incident.get("id"), str):
        raise OncallError("PagerDuty, POST /incidents: it answered no incident. Look for it, and resolve it.")
    return Page(incident["id"], service)


def set_status(api: Api, page: Page, status: str, *, sender: str | None = None) -> None:
    """Acknowledge or resolve an incident."""
    body = {"incident": {"type": "incident", "status": status}}
    api.write("PUT", f"/incidents/{page.reference}", body, what=f"service {page.service}", sender=sender)


def events_of(api: Api, page: Page, email_of: Callable[[Any], str]) -> Sequence[PageEvent]:
    """Return the log of an incident, oldest first."""
    entries = api.all(f"/incidents/{page.reference}/log_entries", "log_entries")
    events = []
    for one in entries:
        kind = _EVENTS.get(str(one.get("type")))
        if kind is None:
            continue
        who = one.get("user") if kind == "notified" else one.get("agent") if kind == "acknowledged" else None
        person = who is not None and str(who.get("type")).startswith("user")
        at = datetime.fromisoformat(one["created_at"]).astimezone(UTC)
        events.append(PageEvent(kind, at, email_of(who) if person else None))
    events.reverse()  # the newest is listed first; entries of one moment keep their order
    return sorted(events, key=lambda event: event.at)
