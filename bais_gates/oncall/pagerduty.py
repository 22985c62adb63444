"""PagerDuty as a provider: schedules of layers, escalation policies, services and incidents of REST API v2.

A layer can be ended, but not removed, and an update gives it a new start: fields are never compared, only who
is on call. Shift-based schedules (API v3) can't be seen by v2, so that one of a wanted name is refused.
"""

from __future__ import annotations

import functools
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from bais_gates import redaction
from bais_gates.oncall import pagerduty_layers as layers
from bais_gates.oncall import pagerduty_paging as paging
from bais_gates.oncall import shifts as rendered
from bais_gates.oncall.provider import CLOCK_SKEW, OncallError, Policy, Schedule, Service, Shift, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from bais_gates.oncall.pagerduty_api import Api
    from bais_gates.oncall.provider import Page, PageEvent, Person, Turns

MANAGED: Final = "Managed by bais-gates oncall apply: what is changed here is changed back."
"""The description of our schedules."""
_KINDS: Final = {"schedules": "schedule", "escalation_policies": "escalation policy", "services": "service"}

Object = dict[str, Any]
_P = ParamSpec("_P")
_T = TypeVar("_T")


def _reads(method: Callable[_P, _T]) -> Callable[_P, _T]:
    """Have a method raise OncallError for a response that is JSON, but not as PagerDuty documents it."""

    @functools.wraps(method)
    def reads(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return method(*args, **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise OncallError(
                f"PagerDuty answered without what its API documents ({type(error).__name__}: "
                f"{redaction.redact(str(error))}). Is oncall.api_url the address of its REST API?"
            ) from error

    return reads


class PagerDuty:
    """The provider of one account. Every method raises :class:`OncallError`."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lists: dict[str, list[Object]] = {}
        """What was listed, until the next write."""
        self._users: list[Object] = []

    def close(self) -> None:
        """Close all connections."""
        self._api.close()

    # -- schedules --

    @_reads
    def schedules(self, names: Collection[str], since: datetime, until: datetime) -> Sequence[Schedule]:
        """Return those schedules of these names that exist; refuse a v3 schedule of such a name."""
        for one in self._api.all("/v3/schedules", "schedules", absent={"schedules": []}):
            if (name := one.get("name") or one.get("summary")) in names:
                raise OncallError(
                    f"PagerDuty has a shift-based schedule (API v3) called {name}, which one of API v2 "
                    "would hide. Rename one: the key name of the rotation, or the schedule."
                )
        return [self._schedule(one, since, until) for one in self._named("schedules", names)]

    def _schedule(self, found: Object, since: datetime, until: datetime) -> Schedule:
        final: list[Shift] = []
        regular: list[Shift] = []
        overrides: list[Shift] = []
        turn_s: tuple[float, ...] = ()
        zone = ""
        for start, end in layers.chunks(since, until):
            shown = self._show_schedule(found["id"], start, end)
            zone = str(shown["time_zone"])
            final += self._shifts(shown.get("final_schedule"))
            overrides += self._shifts(shown.get("overrides_subschedule"))
            part: tuple[Shift, ...] = ()
            for layer in reversed(shown["schedule_layers"]):  # the first is on top
                part = rendered.overlay(part, self._shifts(layer))
            regular += part
            going_on = (
                one for one in shown["schedule_layers"] if not one["end"] or layers.moment(one["end"]) > since
            )
            turn_s = tuple(float(one["rotation_turn_length_seconds"]) for one in going_on)
        return Schedule(
            name=found["name"],
            time_zone=zone,
            turn_s=turn_s,
            shifts=rendered.merge(final),
            regular=rendered.merge(regular),
            overrides=rendered.merge(overrides),
        )

    def _show_schedule(self, identifier: str, since: datetime, until: datetime) -> Object:
        window = (("since", layers.text(since)), ("until", layers.text(until)), ("time_zone", "UTC"))
        content = self._api.get(f"/schedules/{identifier}", *window)
        shown = content.get("schedule")
        if not isinstance(shown, dict) or not isinstance(shown.get("schedule_layers"), list):
            raise OncallError("PagerDuty, GET /schedules/ID: it answered no schedule with layers.")
        return shown

    def _shifts(self, part: Any) -> tuple[Shift, ...]:
        entries = part.get("rendered_schedule_entries") or () if isinstance(part, dict) else ()
        return rendered.merge(
            Shift(layers.moment(one["start"]), layers.moment(one["end"]), self._email(one.get("user")))
            for one in entries
        )

    def managed_schedules(self) -> Sequence[str]:
        """Return the names of the schedules whose description is ours."""
        return [one["name"] for one in self._list("schedules") if one.get("description") == MANAGED]

    @_reads
    def overrides(self, schedule: str, since: datetime, until: datetime) -> Sequence[Shift]:
        """Return each override that touches a window."""
        return [shift for _, shift in self._overrides(schedule, since, until)]

    def _overrides(self, name: str, since: datetime, until: datetime) -> Iterator[tuple[str, Shift]]:
        path = f"/schedules/{self._id('schedules', name)}/overrides"
        seen: set[str] = set()
        for start, end in layers.chunks(since, until):
            window = (("since", layers.text(start)), ("until", layers.text(end)), ("overflow", "true"))
            for one in self._api.get(path, *window).get("overrides") or ():
                if one["id"] not in seen:
                    seen.add(one["id"])
                    yield (
                        one["id"],
                        Shift(
                            layers.moment(one["start"]),
                            layers.moment(one["end"]),
                            self._email(one.get("user")),
                        ),
                    )

    def take_turns(self, turns: Turns, shifts: Sequence[Shift]) -> None:
        """Create a schedule, or end its layers when these turns begin; first have PagerDuty preview it."""
        found = next(iter(self._named("schedules", [turns.name])), None)
        layer = layers.layer_of(turns, [self._user(email) for email in turns.people])
        body: Object = {
            "type": "schedule",
            "name": turns.name,
            "time_zone": turns.time_zone,
            "description": MANAGED,
        }
        what = f"schedule {turns.name}"
        self._check_preview({**body, "schedule_layers": [layer]}, shifts, what)
        if found is None:
            self._write(
                "POST", "/schedules", {"schedule": {**body, "schedule_layers": [layer]}}, what, "schedules"
            )
            return
        shown = self._show_schedule(found["id"], turns.since, turns.since + layers.CHUNK)
        changed = layers.replaced(shown["schedule_layers"], layer, turns.since)
        content = {"schedule": {**body, "schedule_layers": changed}}
        self._write("PUT", f"/schedules/{found['id']}", content, what, "schedules")

    def _check_preview(self, schedule: Object, wanted: Sequence[Shift], what: str) -> None:
        """Raise OncallError if PagerDuty would render other shifts than these."""
        start = wanted[0].start + CLOCK_SKEW  # what begins now begins at PagerDuty's now
        end = min(wanted[-1].end, start + layers.CHUNK)
        query = f"since={layers.text(start)}&until={layers.text(end)}".replace("+", "%2B")
        path = f"/schedules/preview?{query}"
        shown = self._api.write("POST", path, {"schedule": schedule}, what=what).get("schedule") or {}
        got = self._shifts(shown.get("final_schedule"))
        if other := rendered.differences(got, wanted, start, end):
            raise OncallError(
                f"PagerDuty would render {what} otherwise than the rotation says, from "
                f"{other[0].start:%Y-%m-%d %H:%M} UTC on. Nothing was written to it. Please report this."
            )

    def override(self, schedule: str, shifts: Sequence[Shift]) -> None:
        """Add overrides; the response has a status for each."""
        path = f"/schedules/{self._id('schedules', schedule)}/overrides"
        entries = [
            {"start": layers.text(one.start), "end": layers.text(one.end), "user": self._user(one.person)}
            for one in shifts
        ]
        what = f"schedule {schedule}"
        results = self._write("POST", path, {"overrides": entries}, what, "schedules")
        refused = [one for one in results if isinstance(one, dict) and one.get("status") not in {200, 201}]
        if not isinstance(results, list) or refused or len(results) != len(entries):
            raise OncallError(
                f"PagerDuty, POST /schedules/ID/overrides ({what}): it refused {len(refused) or 'some'} of "
                f"{len(entries)} overrides."
            )

    def remove_overrides(self, schedule: str, overrides: Collection[Shift]) -> None:
        """Remove overrides one by one."""
        identifier, every = self._id("schedules", schedule), [*overrides]
        since, until = min(one.start for one in every), max(one.end for one in every)
        for key, shift in list(self._overrides(schedule, since, until)):
            if shift in every:
                path = f"/schedules/{identifier}/overrides/{key}"
                self._write("DELETE", path, None, f"schedule {schedule}", "schedules")

    def remove_schedule(self, name: str) -> None:
        """Remove a schedule."""
        path = f"/schedules/{self._id('schedules', name)}"
        self._write("DELETE", path, None, f"schedule {name}", "schedules")

    # -- escalation policies and services --

    @_reads
    def policies(self, names: Collection[str]) -> Sequence[Policy]:
        """Return those escalation policies of these names that exist."""
        return [
            Policy(
                name=one["name"],
                steps=tuple(self._step(rule) for rule in one["escalation_rules"]),
                loops=int(one["num_loops"]),
            )
            for one in self._named("escalation_policies", names)
        ]

    def _step(self, rule: Object) -> Step:
        targets = rule["targets"]
        return Step(
            after_s=rule["escalation_delay_in_minutes"] * 60.0,
            schedules=tuple(one["summary"] or "" for one in targets if one["type"].startswith("schedule")),
            people=tuple(self._email(one) for one in targets if one["type"].startswith("user")),
        )

    def set_policy(self, policy: Policy) -> None:
        """Create an escalation policy, or change its steps and loops; whatever else it has stays."""
        rules = [
            {
                "escalation_delay_in_minutes": round(step.after_s / 60),
                "targets": [
                    *(self._reference("schedules", name, "schedule_reference") for name in step.schedules),
                    *(self._user(email) for email in step.people),
                ],
            }
            for step in policy.steps
        ]
        body = {
            "type": "escalation_policy",
            "name": policy.name,
            "num_loops": policy.loops,
            "escalation_rules": rules,
        }
        self._put("escalation_policies", "escalation_policy", policy.name, body)

    @_reads
    def services(self, names: Collection[str]) -> Sequence[Service]:
        """Return those services of these names that exist, with their maintenance now and to come."""
        found = self._named("services", names)
        ids = (("service_ids[]", one["id"]) for one in found)
        every = (
            self._api.all("/maintenance_windows", "maintenance_windows", ("filter", "open"), *ids)
            if found
            else []
        )
        return [
            Service(
                name=one["name"],
                policy=(one.get("escalation_policy") or {}).get("summary"),
                status=one["status"],
                description=one.get("description") or "",
                maintenance=tuple(
                    (layers.moment(window["start_time"]), layers.moment(window["end_time"]))
                    for window in every
                    if any(service["id"] == one["id"] for service in window["services"])
                ),
            )
            for one in found
        ]

    def set_service(self, name: str, *, policy: str, description: str) -> None:
        """Create a service, or change its policy and description; whatever else it has stays."""
        reference = self._reference("escalation_policies", policy, "escalation_policy_reference")
        body = {"type": "service", "name": name, "description": description, "escalation_policy": reference}
        self._put("services", "service", name, body)

    # -- people and pages --

    @_reads
    def people(self, emails: Collection[str]) -> Sequence[Person]:
        """Return those of these people who have an account, with contacts and notification rules."""
        include = (("include[]", "contact_methods"), ("include[]", "notification_rules"))
        users = self._api.all("/users", "users", *include)
        return [paging.person_of(one) for one in users if str(one.get("email")).lower() in emails]

    @_reads
    def accounts(self) -> Mapping[str, str]:
        """Return the name of every account by its e-mail address."""
        return {str(one["email"]).lower(): str(one["name"]) for one in self._every_user()}

    @_reads
    def on_call(self, policy: str, at: datetime | None = None) -> Mapping[int, Sequence[str]]:
        """Return who is on call at a moment (None: now), by the policy's level from 1."""
        identifier = self._id("escalation_policies", policy)
        window = (at, at + timedelta(seconds=1)) if at is not None else ()
        times = ((key, layers.text(moment)) for key, moment in zip(("since", "until"), window, strict=False))
        rows = self._api.all("/oncalls", "oncalls", ("escalation_policy_ids[]", identifier), *times)
        found: dict[int, list[str]] = {}
        for one in rows:
            found.setdefault(int(one["escalation_level"]), []).append(self._email(one.get("user")))
        return dict(sorted(found.items()))

    def page(self, service: str, title: str) -> Page:
        """Open an incident of high urgency at a service."""
        return paging.send_page(self._api, self._id("services", service), service, title)

    def acknowledge(self, page: Page, person: str) -> None:
        """Acknowledge an incident in the name of a person."""
        paging.set_status(self._api, page, "acknowledged", sender=person)

    def resolve(self, page: Page) -> None:
        """Resolve an incident."""
        paging.set_status(self._api, page, "resolved")

    @_reads
    def events(self, page: Page) -> Sequence[PageEvent]:
        """Return the log of an incident, oldest first."""
        return paging.events_of(self._api, page, self._email)

    # -- names, ids and lists --

    def _list(self, kind: str) -> list[Object]:
        if kind not in self._lists:
            self._lists[kind] = self._api.all(f"/{kind}", kind)
        return self._lists[kind]

    def _named(self, kind: str, names: Collection[str]) -> list[Object]:
        """Return the objects of these names, in their order; raise OncallError for two of one name."""
        found = []
        for name in names:
            same = [one for one in self._list(kind) if one.get("name") == name]
            if len(same) > 1:
                raise OncallError(
                    f"PagerDuty has {len(same)} objects of kind {_KINDS[kind]} called {name}, and which is "
                    "meant is not known. Rename or remove all but one."
                )
            found += same
        return found

    def _id(self, kind: str, name: str) -> str:
        found = self._named(kind, [name])
        if not found:
            raise OncallError(f"PagerDuty has no {_KINDS[kind]} called {name}. Run bais-gates oncall apply.")
        return str(found[0]["id"])

    def _reference(self, kind: str, name: str, type_: str) -> Object:
        return {"id": self._id(kind, name), "type": type_}

    def _write(self, method: str, path: str, body: Any, what: str, kind: str) -> Any:
        self._lists.pop(kind, None)
        return self._api.write(method, path, body, what=what)

    def _put(self, kind: str, key: str, name: str, body: Object) -> None:
        found = self._named(kind, [name])
        method, path = ("PUT", f"/{kind}/{found[0]['id']}") if found else ("POST", f"/{kind}")
        self._write(method, path, {key: body}, f"{_KINDS[kind]} {name}", kind)

    def _every_user(self) -> list[Object]:
        if not self._users:
            self._users = self._api.all("/users", "users")
        return self._users

    def _user(self, email: str) -> Object:
        for one in self._every_user():
            if str(one["email"]).lower() == email:
                return {"id": one["id"], "type": "user_reference"}
        raise OncallError("PagerDuty has no account of somebody in the rotation. Run bais-gates oncall plan.")

    def _email(self, reference: Any) -> str:
        """Return the address of a user who is referred to; of one who is gone, the name."""
        identifier = reference.get("id") if isinstance(reference, dict) else None
        for one in self._every_user():
            if one["id"] == identifier:
                redaction.register(str(one["email"]).lower())
                return str(one["email"]).lower()
        return str((reference or {}).get("summary") or "somebody without an account")
