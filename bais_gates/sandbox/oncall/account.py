"""The state of the stand-in for PagerDuty: objects as JSON, how they refer to each other, and its errors.

Faults of the sandbox change it as a whole: ``GET /oncall/state/users`` responds with the list of users,
``PUT`` of a changed list replaces them, and ``PUT`` of the former list is the undo. Objects are stored as
:class:`Account` documents them, not as the API shows them.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from bais_gates.sandbox.oncall import SENDER
from bais_gates.sandbox.oncall.http import Object, Refused, Reply, Request, reply_json
from bais_gates.sandbox.oncall.rendering import Window, final_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bais_gates.sandbox.oncall import Access

API: Final = "https://api.pagerduty.com"
_WEB: Final = "https://bais.pagerduty.com"
TYPES: Final = {
    "users": "user",
    "schedules": "schedule",
    "escalation_policies": "escalation_policy",
    "services": "service",
    "maintenance_windows": "maintenance_window",
    "incidents": "incident",
}
"""The kinds of objects, and the type of each."""
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def refusal(status: int, code: int, message: str, *errors: str) -> Refused:
    """Return an error in PagerDuty's shape (developer.pagerduty.com/docs/errors)."""
    error: Object = {"message": message, "code": code} | ({"errors": list(errors)} if errors else {})
    return Refused(reply_json(status, {"error": error}))


def invalid(*problems: str) -> Refused:
    """Return the error for a body or parameter that breaks a rule."""
    return refusal(400, 2001, "Invalid Input Provided", *problems)


def absent() -> Refused:
    """Return the error for an object that is not there."""
    return refusal(404, 2100, "Not Found")


class Account:
    """One account; ``lock`` is held over a request.

    users: id, name, email, role, contact_methods, notification_rules (contact_method: an id). schedules: id,
    name, time_zone, description, layers (the first added first; users: ids; past: former versions),
    overrides (user: an id). escalation_policies: as the API's, targets with id and type. services: as the
    API's, escalation_policy: an id, integrations with integration_key. maintenance_windows: services: ids.
    incidents: see ``paging``. settings: ``acknowledge_after_s`` (null: nobody ever acknowledges),
    ``rights`` (write, read or none), ``refuse_next`` (so many requests get 429) and ``limit_headers``.
    """

    def __init__(
        self,
        access: Access,
        *,
        people: Iterable[tuple[str, str]] = (),
        service: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.access, self.now, self.lock = access, now, threading.RLock()
        self.event_service = service
        """The name of the service whose integration has the access's routing key."""
        self.state: dict[str, Any] = {kind: [] for kind in TYPES}
        self.state["settings"] = {
            "acknowledge_after_s": 0.5,
            "rights": "write",
            "refuse_next": 0,
            "limit_headers": True,
        }
        for name, email in (("On-call gates", SENDER), *people):
            self.state["users"].append(self._user(name, email))

    def settings(self, key: str) -> Any:
        """Return a setting."""
        return self.state["settings"][key]

    def new_id(self) -> str:
        """Return an id such as PagerDuty's."""
        return "P" + "".join(secrets.choice(_LETTERS) for _ in range(13))

    # -- objects --

    def get(self, kind: str, identifier: str) -> Object:
        """Return an object, or refuse the request with 404."""
        found = self.find(kind, id=identifier)
        if found is None:
            raise absent()
        return found

    def find(self, kind: str, **wanted: object) -> Object | None:
        """Return the first object with these values; None if there is none."""
        objects: list[Object] = self.state[kind]
        return next((one for one in objects if all(one.get(k) == v for k, v in wanted.items())), None)

    def remove(self, kind: str, identifier: str) -> None:
        """Remove an object, or refuse the request with 404."""
        self.state[kind].remove(self.get(kind, identifier))

    def reference(self, kind: str, identifier: str) -> Object:
        """Return a reference to an object; its summary is null if the object is gone."""
        found = self.find(kind, id=identifier)
        return self.heading(kind, identifier, summary(found)) | {"type": f"{TYPES[kind]}_reference"}

    def heading(self, kind: str, identifier: str, text: str | None) -> Object:
        """Return what every object of the API begins with."""
        page = {"services": "service-directory"}.get(kind, kind)
        return {
            "id": identifier,
            "type": TYPES[kind],
            "summary": text,
            "self": f"{API}/{kind}/{identifier}",
            "html_url": f"{_WEB}/{page}/{identifier}",
        }

    def referred(self, given: object, *kinds: str, what: str) -> tuple[str, list[str]]:
        """Return the id that a client's reference names, and what is wrong with the reference."""
        if not isinstance(given, dict) or not isinstance(given.get("id"), str):
            return "", [f"{what} must be a reference with id and type"]
        types = {f"{TYPES[kind]}{end}": kind for kind in kinds for end in ("", "_reference")}
        if given.get("type") not in types:
            return "", [f"{what} must have a type of: {', '.join(types)}"]
        if self.find(types[given["type"]], id=given["id"]) is None:
            return "", [f"{what} not found"]
        return given["id"], []

    def name_problems(self, kind: str, name: str, identifier: str | None) -> list[str]:
        """Return what is wrong with the name of a new or changed object: no two have one."""
        taken = [one for one in self.state[kind] if one["name"].casefold() == name.casefold()]
        return ["Name has already been taken"] if any(one["id"] != identifier for one in taken) else []

    def zone(self, schedule: Object) -> ZoneInfo:
        """Return the time zone of a schedule."""
        return ZoneInfo(schedule["time_zone"])

    def on_call(self, policy: Object, level: int, at: datetime) -> list[str]:
        """Return the ids of the users on call at a level (from 0) of an escalation policy."""
        found: list[str] = []
        for target in policy["escalation_rules"][level]["targets"]:
            if target["type"] == "user_reference":
                found.append(target["id"])
            elif schedule := self.find("schedules", id=target["id"]):
                entries = final_entries(schedule, self.zone(schedule), Window(at, at + timedelta(seconds=1)))
                found += [one.user for one in entries if one.start <= at < one.end]
        return list(dict.fromkeys(found))

    def in_maintenance(self, service: Object, at: datetime) -> bool:
        """Return whether a maintenance window of a service is open."""
        return any(
            service["id"] in one["services"]
            and datetime.fromisoformat(one["start_time"]) <= at < datetime.fromisoformat(one["end_time"])
            for one in self.state["maintenance_windows"]
        )

    def _user(self, name: str, email: str) -> Object:
        """Return a user who is woken at once: by push message and phone, by e-mail where it is not urgent."""
        number = f"20255501{len(self.state['users']) % 100:02d}"  # reserved for fiction
        push, phone, mail = (self.new_id() for _ in range(3))
        methods: list[Object] = [  # push methods have no field enabled
            {"id": push, "type": "push_notification_contact_method", "label": "App", "device_type": "ios"},
            {
                "id": phone,
                "type": "phone_contact_method",
                "label": "Mobile",
                "country_code": 1,
                "enabled": True,
            },
            {"id": mail, "type": "email_contact_method", "label": "Work", "enabled": True},
        ]
        for method, address in zip(methods, (secrets.token_hex(16), number, email), strict=True):
            method["address"] = address
        rules = [("high", push), ("high", phone), ("low", mail)]
        return {
            "id": self.new_id(),
            "name": name,
            "email": email.lower(),
            "role": "user",
            "contact_methods": methods,
            "notification_rules": [
                {"id": self.new_id(), "urgency": urgency, "start_delay_in_minutes": 0, "contact_method": one}
                for urgency, one in rules
            ],
        }


def summary(found: Mapping[str, Any] | None) -> str | None:
    """Return the text by which an object is named in a reference."""
    if found is None:
        return None
    text: str | None = found.get("name") or found.get("title") or found.get("description")
    return text


def control(states: Mapping[str, Any], request: Request) -> Reply:
    """Respond to ``GET`` and ``PUT`` of ``/oncall/state[/KIND]``; ``states`` is changed in place.

    What is put must have the JSON type of what it replaces: it is a fault's, and not a client's.
    """
    kind = request.path.removeprefix("/oncall/state").strip("/")
    if kind and kind not in states:
        return reply_json(404, {"error": f"no such kind: {', '.join(states)}"})
    if request.method == "PUT":
        content = request.content()
        given = {kind: content} if kind else content
        if not isinstance(given, dict) or any(type(states.get(k)) is not type(v) for k, v in given.items()):
            return reply_json(400, {"error": "not of the type of what it replaces"})
        for name, value in json.loads(json.dumps(given)).items():
            states[name].clear()
            getattr(states[name], "update" if isinstance(value, dict) else "extend")(value)
    return reply_json(200, states[kind] if kind else dict(states))
