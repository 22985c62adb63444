"""Statuspage's API v1: one page, its components and incidents, and whom an update was delivered to.

developer.statuspage.io. An incident's updates say whether subscribers were notified; ``delivered`` in the
state lists the notifications, which nobody gets.
"""

from __future__ import annotations

import re
import secrets
import threading
from datetime import UTC, datetime
from typing import Any, Final

from bais_gates.sandbox.oncall import PAGE
from bais_gates.sandbox.oncall.http import Object, Refused, Reply, Request, reply_json

COMPONENT_STATUSES: Final = (
    "operational",
    "under_maintenance",
    "degraded_performance",
    "partial_outage",
    "major_outage",
)
_REALTIME: Final = ("investigating", "identified", "monitoring", "resolved")
_SCHEDULED: Final = ("scheduled", "in_progress", "verifying", "completed")
_IMPACTS: Final = ("none", "maintenance", "minor", "major", "critical")
_LONGEST_NAME, _LONGEST_BODY, _PAGE_SIZE = 255, 25_000, 100
_PATH: Final = re.compile(r"/pages(?:/(\w+)(?:/(components|incidents)(?:/(\w+))?)?)?")


def _refused(status: int, error: Any) -> Refused:
    return Refused(reply_json(status, {"error": error}))


class Statuspage:
    """The page; ``state`` has settings (``limited``: so many requests get 420), components and incidents."""

    def __init__(self, token: str) -> None:
        self._token, self._lock = token, threading.RLock()
        self.state: dict[str, Any] = {
            "status_settings": {"limited": 0},
            "components": [],
            "status_incidents": [],
            "delivered": [],
        }

    def respond(self, request: Request) -> Reply:
        """Respond to a request whose path is that of the API, without ``/v1``."""
        with self._lock:
            try:
                return self._respond(request)
            except Refused as refused:
                return refused.reply

    def _respond(self, request: Request) -> Reply:
        settings = self.state["status_settings"]
        if request.headers.get("authorization") != f"OAuth {self._token}":
            raise _refused(401, "Could not authenticate")
        if settings["limited"] > 0:
            settings["limited"] -= 1
            raise _refused(420, "Enhance Your Calm: the rate limit of 60 requests a minute has been exceeded")
        found = _PATH.fullmatch(request.path)
        if found is None or found[1] not in {None, PAGE}:
            raise _refused(404, "Not found")
        kind, identifier = found[2], found[3]
        if kind is None:
            if request.method != "GET":
                raise _refused(404, "Not found")
            page = {"id": PAGE, "name": "BAIS", "subdomain": "bais", "time_zone": "UTC"}
            return reply_json(200, page if found[1] else [page])
        return (
            self._components(request, identifier)
            if kind == "components"
            else self._incidents(request, identifier)
        )

    # -- components --

    def _components(self, request: Request, identifier: str | None) -> Reply:
        components: list[Object] = self.state["components"]
        if identifier is None and request.method == "GET":
            return reply_json(200, _page(request, components))
        if identifier is None and request.method == "POST":
            given = self._given(request, "component", new=True)
            made = self._new() | {"name": "", "description": None, "status": "operational"}
            made |= {"position": len(components) + 1, "group_id": None, "only_show_if_degraded": False}
            components.append(made | self._component_fields(given))
            return reply_json(201, components[-1])
        component = _one(components, identifier)
        if request.method in {"PATCH", "PUT"}:
            fields = self._component_fields(self._given(request, "component"))
            component.update(fields, updated_at=datetime.now(UTC).isoformat())
        elif request.method == "DELETE":
            components.remove(component)
            return Reply(204, "application/json", b"")
        return reply_json(200, component)

    def _component_fields(self, given: Object) -> Object:
        if given.get("status", "operational") not in COMPONENT_STATUSES:
            raise _refused(422, ["Status is not included in the list"])
        kept = ("name", "description", "status", "group_id", "only_show_if_degraded", "showcase")
        return {key: given[key] for key in kept if key in given}

    # -- incidents --

    def _incidents(self, request: Request, identifier: str | None) -> Reply:
        incidents: list[Object] = self.state["status_incidents"]
        if identifier in {None, "unresolved"} and request.method == "GET":
            over = {"resolved", "completed"} if identifier else set()
            return reply_json(
                200, _page(request, [one for one in incidents[::-1] if one["status"] not in over])
            )
        if identifier is None and request.method == "POST":
            given = self._given(request, "incident", new=True)
            made = self._new() | {"name": "", "status": "investigating", "impact": "none"}
            made |= {"resolved_at": None, "incident_updates": [], "components": [], "metadata": {}}
            self._change(made, given)
            incidents.append(made)
            return reply_json(201, made)
        incident = _one(incidents, identifier)
        if request.method in {"PATCH", "PUT"}:
            self._change(incident, self._given(request, "incident"))
        elif request.method == "DELETE":
            incidents.remove(incident)
        return reply_json(200, incident)

    def _change(self, incident: Object, given: Object) -> None:
        """Apply an update: status, text and components; subscribers are notified unless it says otherwise."""
        status, text = given.get("status", incident["status"]), given.get("body") or ""
        impact, changes = given.get("impact_override"), given.get("components") or {}
        named = given.get("component_ids") or []
        problems = []
        if status not in (*_REALTIME, *_SCHEDULED):
            problems.append("Status is not included in the list")
        if not isinstance(text, str) or len(text) > _LONGEST_BODY:
            problems.append(f"Body is too long (maximum is {_LONGEST_BODY} characters)")
        if impact is not None and impact not in _IMPACTS:
            problems.append("Impact override is not included in the list")
        known = {one["id"]: one for one in self.state["components"]}
        if not isinstance(changes, dict) or not isinstance(named, list):
            raise _refused(422, ["Components are invalid"])
        concerned = [*map(str, named), *changes]
        if not set(concerned) <= known.keys():
            problems.append("Components are invalid")
        if any(state not in COMPONENT_STATUSES for state in changes.values()):
            problems.append("Component status is not included in the list")
        if problems:
            raise _refused(422, problems)
        for one, state in changes.items():
            known[one].update(status=state, updated_at=datetime.now(UTC).isoformat())
        deliver, now = given.get("deliver_notifications", True), datetime.now(UTC).isoformat()
        over = status in {"resolved", "completed"}
        incident.update(
            name=given.get("name", incident["name"]),
            status=status,
            impact=impact or incident["impact"],
            updated_at=now,
            resolved_at=(incident["resolved_at"] or now) if over else None,
            components=[dict(known[one]) for one in dict.fromkeys(concerned)] or incident["components"],
        )
        update = self._new() | {"status": status, "body": text, "deliver_notifications": deliver}
        incident["incident_updates"].insert(0, update | {"incident_id": incident["id"]})
        if deliver:
            self.state["delivered"].append({"incident": incident["id"], "status": status, "at": now})

    # -- requests --

    def _given(self, request: Request, key: str, *, new: bool = False) -> Object:
        content = request.content()
        given = content.get(key) if isinstance(content, dict) else None
        if not isinstance(given, dict):
            raise _refused(400, f"{key} is missing")
        name = given.get("name", None if new else "unchanged")
        if not isinstance(name, str) or not name.strip():
            raise _refused(422, ["Name can't be blank"])
        if len(name) > _LONGEST_NAME:
            raise _refused(422, [f"Name is too long (maximum is {_LONGEST_NAME} characters)"])
        return given

    def _new(self) -> Object:
        now = datetime.now(UTC).isoformat()
        return {"id": secrets.token_hex(6), "page_id": PAGE, "created_at": now, "updated_at": now}


def _one(objects: list[Object], identifier: str | None) -> Object:
    found = next((one for one in objects if one["id"] == identifier), None)
    if found is None:
        raise _refused(404, "Not found")
    return found


def _page(request: Request, objects: list[Object]) -> list[Object]:
    """Return one page of a list, counted from 1."""
    try:
        size, page = int(request.first("per_page", str(_PAGE_SIZE))), int(request.first("page", "1"))
    except ValueError:
        raise _refused(400, "page and per_page must be numbers") from None
    if size < 1 or page < 1:
        raise _refused(400, "page and per_page must be positive")
    size = min(size, _PAGE_SIZE)
    return objects[(page - 1) * size : page * size]
