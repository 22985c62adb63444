"""Faults of on-call: of schedules, escalation and people, of channels, status page and records."""

from __future__ import annotations

import copy
import http.client
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.platform_faults.changes import File
from bais_gates.sandbox.platform_faults.model import fault

if TYPE_CHECKING:
    from bais_gates.sandbox.platform_faults.changes import Platform

State = dict[str, Any]
"""What the stand-ins hold, by kind (``bais_gates.sandbox.oncall``)."""
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Edited:
    """An edit of one kind of the stand-ins' state."""

    kind: str
    edit: Callable[[State], None]
    """Changes the state in place; of it only the kind is put back."""

    def make(self, platform: Platform) -> Any:  # noqa: D102 - see Change
        state: State = _control(platform, "GET", "")
        former = copy.deepcopy(state[self.kind])
        try:
            self.edit(state)
        except (LookupError, StopIteration, TypeError) as error:
            raise SandboxError(
                "the stand-ins have no rotation applied: `bais-gates oncall apply` does it"
            ) from error
        _control(platform, "PUT", f"/{self.kind}", state[self.kind])
        return former

    def undo(self, platform: Platform, former: Any) -> None:  # noqa: D102 - see Change
        _control(platform, "PUT", f"/{self.kind}", former)


def _control(platform: Platform, method: str, path: str, content: Any = None) -> Any:
    url = urlsplit(str(platform.value("oncall", "api_url")))
    where = f"{method} {url.scheme}://{url.netloc}/oncall/state{path}"
    with closing(http.client.HTTPConnection(url.netloc, timeout=20)) as connection:
        try:
            body = None if content is None else json.dumps(content)
            connection.request(method, f"/oncall/state{path}", body)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise SandboxError(f"{where}: {error}: is the sandbox's monitoring up?") from error
    if answer.status != 200:
        raise SandboxError(f"{where} was refused: {text[:200]}")
    return json.loads(text)


def _one(objects: list[Any], end: str) -> Any:
    """Return the object whose name ends so."""
    return next(one for one in objects if one["name"].endswith(end))


def _layer(state: State, tier: str) -> Any:
    """Return the layer of a tier's schedule that goes on."""
    return next(one for one in _one(state["schedules"], f" {tier}")["layers"] if not one["end"])


def _later() -> datetime:
    """Return the beginning of an hour in two months: beyond the next hand-over and the file's absences."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=60)


def _override(state: State, tier: str, user: str, start: datetime) -> None:
    schedule = _one(state["schedules"], f" {tier}")
    one = {"id": "QFAULT" + tier[:1].upper(), "user": user}
    one |= {"start": start.isoformat(), "end": (start + _HOUR).isoformat()}
    schedule["overrides"].append(one)


def _leave_an_hour(state: State) -> None:
    begin = datetime.now(UTC) + 12 * _HOUR  # not now: who is on call now is asked by other gates, too
    restriction = {"type": "daily_restriction", "duration_seconds": 23 * 3600}
    _layer(state, "manager")["restrictions"] = [
        restriction | {"start_time_of_day": begin.strftime("%H:00:00")}
    ]


def _put_on_two_tiers(state: State) -> None:
    user = _layer(state, "manager")["users"][0]
    for tier in ("primary", "manager"):
        _override(state, tier, user, _later())


def _take_turns_daily(state: State) -> None:
    changed = {"id": "QFAULTL", "start": _later().isoformat(), "rotation_turn_length_seconds": 86_400}
    layers = _one(state["schedules"], " manager")["layers"]
    layers.append(_layer(state, "manager") | changed)  # the last is on top


def _take_another_hour(state: State) -> None:
    """Give an hour of each of the manager's people to the next: one of the three hours is somebody else's."""
    for number, user in enumerate(_layer(state, "manager")["users"]):
        _override(state, "manager", user, _later() + number * _HOUR)


def _drop_a_tier(state: State) -> None:
    state["escalation_policies"][0]["escalation_rules"].pop()


def _repeat_nothing(state: State) -> None:
    state["escalation_policies"][0]["num_loops"] = 0


def _maintain(state: State) -> None:
    start = datetime.now(UTC) + 2 * _HOUR
    state["maintenance_windows"].append(
        {
            "id": "QFAULTM",
            "start_time": start.isoformat(),
            "end_time": (start + _HOUR).isoformat(),
            "description": "Works on the database",
            "services": [one["id"] for one in state["services"]],
            "created_by": state["users"][0]["id"],
        }
    )


def _a_manager(state: State) -> Any:
    """Return the user who is manager in the first turn, and not the first to be paged."""
    identifier = _layer(state, "manager")["users"][0]
    return next(one for one in state["users"] if one["id"] == identifier)


def _lose_the_phone(state: State) -> None:
    user = _a_manager(state)
    gone = {one["id"] for one in user["contact_methods"] if one["type"].startswith("phone")}
    user["contact_methods"] = [one for one in user["contact_methods"] if one["id"] not in gone]
    rules = user["notification_rules"]
    user["notification_rules"] = [one for one in rules if one["contact_method"] not in gone]


def _disable_the_phone(state: State) -> None:
    for one in _a_manager(state)["contact_methods"]:
        if one["type"].startswith("phone"):
            one["enabled"] = False


def _sleep_on(state: State) -> None:
    for one in _a_manager(state)["notification_rules"]:
        one["start_delay_in_minutes"] = 10


def _acknowledge_nothing(state: State) -> None:
    state["settings"]["acknowledge_after_s"] = None


def _lose_the_channel(state: State) -> None:
    first = next(one for one in state["webhooks"].values() if one["channel"] == "#bais-incidents")
    first["problem"] = "channel_not_found"


def _revoke_a_webhook(state: State) -> None:
    path = next(path for path, one in state["webhooks"].items() if one["channel"] == "#bais-oncall")
    del state["webhooks"][path]


def _refuse_all(state: State) -> None:
    state["status_settings"]["limited"] = 10_000


def _lose_a_component(state: State) -> None:
    state["components"].pop()


def _lose_a_page(state: State) -> None:
    del state["pages"][next(page for page in state["pages"] if page.startswith("runbooks."))]


def _lose_a_contact(state: State) -> None:
    del state["pages"][next(page for page in state["pages"] if not page.startswith("runbooks."))]


FAULTS: Final = (
    fault(
        "oncall_hour_without_anybody",
        "Every day, for an hour, no manager is on call.",
        "oncall.coverage",
        Edited("schedules", _leave_an_hour),
    ),
    fault(
        "oncall_person_on_two_tiers",
        "For an hour in two months one person is primary and manager.",
        "oncall.coverage oncall.rotation_applied",
        Edited("schedules", _put_on_two_tiers),
    ),
    fault(
        "oncall_turns_of_a_day",
        "In two months the managers' turns last a day instead of a week.",
        "oncall.rotation_applied",
        Edited("schedules", _take_turns_daily),
    ),
    fault(
        "oncall_override_by_hand",
        "Somebody has given hours of a manager to others, past the rotation file.",
        "oncall.rotation_applied",
        Edited("schedules", _take_another_hour),
    ),
    fault(
        "oncall_policy_with_two_tiers",
        "The escalation policy ends with the secondary.",
        "oncall.escalation",
        Edited("escalation_policies", _drop_a_tier),
    ),
    fault(
        "oncall_policy_never_repeated",
        "A page that nobody acknowledges the first time pages nobody any more.",
        "oncall.escalation",
        Edited("escalation_policies", _repeat_nothing),
    ),
    fault(
        "oncall_maintenance_over_golive",
        "The service is in maintenance within the go-live window: no alert pages then.",
        "oncall.escalation",
        Edited("maintenance_windows", _maintain),
    ),
    fault(
        "oncall_person_without_phone",
        "Somebody on call has no phone.",
        "oncall.reachable",
        Edited("users", _lose_the_phone),
    ),
    fault(
        "oncall_phone_disabled",
        "Somebody's phone is disabled at the pager.",
        "oncall.reachable",
        Edited("users", _disable_the_phone),
    ),
    fault(
        "oncall_person_notified_late",
        "Somebody's phone rings ten minutes after the page.",
        "oncall.reachable",
        Edited("users", _sleep_on),
    ),
    fault(
        "oncall_page_not_acknowledged",
        "Nobody acknowledges a page. The gate waits for it five minutes.",
        "oncall.page_acknowledged",
        Edited("settings", _acknowledge_nothing),
    ),
    fault(
        "oncall_channel_gone",
        "The channel of incidents was deleted.",
        "oncall.chat_delivers",
        Edited("webhooks", _lose_the_channel),
    ),
    fault(
        "oncall_webhook_revoked",
        "The webhook of the channel of who is on call was revoked.",
        "oncall.chat_delivers",
        Edited("webhooks", _revoke_a_webhook),
    ),
    fault(
        "oncall_status_page_down",
        "The status page refuses every request.",
        "oncall.status_page",
        Edited("status_settings", _refuse_all),
    ),
    fault(
        "oncall_component_missing",
        "The status page lacks a component.",
        "oncall.status_page",
        Edited("components", _lose_a_component),
    ),
    fault(
        "oncall_runbook_link_dead",
        "The page of a runbook is gone.",
        "oncall.runbooks",
        Edited("pages", _lose_a_page),
    ),
    fault(
        "oncall_contact_gone",
        "The page of an emergency contact is gone.",
        "oncall.runbooks",
        Edited("pages", _lose_a_contact),
    ),
    fault(
        "oncall_record_expired",
        "The last drill of the incident procedure is years ago.",
        "oncall.records_fresh",
        File(
            name="oncall.records/incident_drill.json", merge={"date": "2020-01-02", "expires": "2020-03-31"}
        ),
    ),
    fault(
        "oncall_record_missing",
        "There is no record of a training.",
        "oncall.records_fresh",
        File(name="oncall.records/training.json"),
    ),
    fault(
        "oncall_record_malformed",
        "The record of the runbooks' review has no owner.",
        "oncall.records_fresh",
        File(name="oncall.records/runbook_review.json", merge={"owner": None}),
    ),
)
