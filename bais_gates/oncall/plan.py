"""What to change at the provider so that it is as the rotation says, and the changing of it.

Compared is who is on call when, as the provider renders it: never a field, which a provider may rewrite. The
turn that is running stays as it is, unless its person is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from bais_gates.errors import GateInputError
from bais_gates.oncall import shifts
from bais_gates.oncall.provider import CLOCK_SKEW, OncallError, Policy, Shift, Step, Turns

if TYPE_CHECKING:
    from bais_gates.oncall.provider import Provider, Schedule
    from bais_gates.oncall.rotation import Rotation, Tier
    from bais_gates.oncall.shifts import Difference
    from bais_gates.oncall.status_page import StatusPage

HORIZON: Final = timedelta(days=90)
"""How far ahead schedules are compared at least; further for absences and long lists."""
_FURTHEST: Final = timedelta(days=365)
SHOWN: Final = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Change:
    """One write, in words for people."""

    text: str
    make: Callable[[], object] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What apply would do."""

    rotation: Rotation
    changes: tuple[Change, ...]
    """In the order in which they are made; none: everything is as the file says."""
    handovers: tuple[str, ...]
    """Who would be replaced at this moment, in words."""
    differences: tuple[str, ...]
    """Who would be on call differently in the next 14 days, in words."""
    notes: tuple[str, ...]
    shifts: dict[str, tuple[Shift, ...]] = field(repr=False)
    """Who shall be on call, by the name of the schedule."""
    until: datetime


def make_plan(
    rotation: Rotation,
    provider: Provider,
    now: datetime,
    *,
    allow_handover: bool = False,
    prune: bool = False,
    page: StatusPage | None = None,
) -> Plan:
    """Compare the provider with the rotation; write nothing.

    ``allow_handover``: the file counts at once, not from the next hand-over on. ``prune``: remove overrides
    and schedules of ours that the file does not ask for, too. Raises GateInputError for a member without
    an account, OncallError for what the provider refuses.
    """
    now = now.replace(microsecond=0)
    planner = _Planner(rotation, provider, now, at_once=allow_handover, prune=prune)
    return planner.plan(page)


class _Planner:
    def __init__(
        self, rotation: Rotation, provider: Provider, now: datetime, *, at_once: bool, prune: bool
    ) -> None:
        self._rotation, self._provider, self._now = rotation, provider, now
        self._at_once, self._prune = at_once, prune
        self._until = _end(rotation, now)
        self._change = now if at_once else rotation.next_handover(now)
        self._changes: list[Change] = []
        self._notes: list[str] = []

    def plan(self, page: StatusPage | None) -> Plan:
        rotation, provider = self._rotation, self._provider
        self._names = {**self._accounts(), **rotation.name_of}
        tiers = {rotation.schedule_of(tier): tier for tier in rotation.tiers}
        found = {one.name: one for one in provider.schedules(list(tiers), self._now, self._until)}
        rendered = {tiers[name].name: one.shifts for name, one in found.items()}
        due = shifts.due(rotation, rendered, self._now, self._until, at_once=self._at_once)
        handovers: list[str] = []
        different: list[str] = []
        for name, tier in tiers.items():
            schedule, wanted = found.get(name), due[tier.name]
            self._compare_schedule(name, tier, schedule, wanted)
            is_, end = (schedule.shifts if schedule else ()), self._now + SHOWN
            for one in shifts.differences(is_, wanted, self._now, end):
                different.append(self._say(tier, one))
                if one.start == self._now and one.now is not None:
                    handovers.append(different[-1])
        self._compare_policy()
        self._compare_services()
        self._compare_leftovers(set(tiers))
        self._compare_components(page)
        return Plan(
            rotation=rotation,
            changes=tuple(self._changes),
            handovers=tuple(handovers),
            differences=tuple(different),
            notes=tuple(self._notes),
            shifts={name: due[tier.name] for name, tier in tiers.items()},
            until=self._until,
        )

    def _accounts(self) -> dict[str, str]:
        """Return the names of all accounts by address; raise GateInputError for a member without one."""
        accounts = dict(self._provider.accounts())
        for index, member in enumerate(self._rotation.members):
            if member.email not in accounts:
                text = (
                    f"{member.name} has no account of this address at the provider. Make one, or correct it."
                )
                raise self._rotation.error(("people", index, "email"), text)
        return accounts

    def _compare_schedule(
        self, name: str, tier: Tier, schedule: Schedule | None, wanted: Sequence[Shift]
    ) -> None:
        """Plan turns if the regular shifts differ, then overrides where the final ones still would."""
        rotation, now, until, provider = self._rotation, self._now, self._until, self._provider
        since = self._change if schedule else now
        by_file = shifts.turns(rotation, tier, since, until)
        regular: tuple[Shift, ...] = schedule.regular if schedule else ()
        if schedule is None or self._turns_differ(schedule, by_file, since):
            turns = Turns(
                name=name,
                time_zone=rotation.time_zone,
                people=rotation.emails(tier),
                turn_days=rotation.turn_days,
                first=rotation.start_of_turn(0),
                since=since,
            )
            what = (
                f"change schedule {name} from {self._local(since)} on"
                if schedule
                else f"create schedule {name}"
            )
            self._add(
                f"{what}: {', '.join(tier.people)} in turn", lambda: provider.take_turns(turns, by_file)
            )
            regular = (*shifts.clip(regular, now, since), *by_file)
        actual = shifts.overlay(regular, schedule.overrides) if schedule else regular
        if self._prune and schedule:
            actual = shifts.overlay(regular, self._remove_stale(name, regular, wanted))
        missing = shifts.merge(
            Shift(one.start, one.end, one.then)
            for one in shifts.differences(actual, wanted, now, until)
            if one.then is not None
        )
        if missing:
            for one in missing:
                self._notes.append(
                    f"{tier.name}: {self._span(one.start, one.end)} {self._name(one.person)}, as an override"
                )
            count = f"{len(missing)} override{'s' * (len(missing) > 1)}"
            self._add(f"add {count} to schedule {name}", lambda: provider.override(name, missing))

    def _turns_differ(self, schedule: Schedule, by_file: Sequence[Shift], since: datetime) -> bool:
        """Return whether a schedule's regular shifts, or its clock in the next year, differ."""
        days = [self._now + timedelta(days=n) for n in range(366)]
        try:
            own, wanted = ZoneInfo(schedule.time_zone), self._rotation.zone
        except (KeyError, ValueError, OSError):  # a name that this machine does not know
            return True
        if any(day.astimezone(own).utcoffset() != day.astimezone(wanted).utcoffset() for day in days):
            return True
        return bool(shifts.differences(schedule.regular, by_file, since, self._until))

    def _remove_stale(self, name: str, regular: Sequence[Shift], wanted: Sequence[Shift]) -> Sequence[Shift]:
        """Plan to remove overrides that are not needed, and return the others."""
        every = self._provider.overrides(name, self._now, self._until)
        stale = []
        kept: tuple[Shift, ...] = ()
        for one in every:
            start, end = max(one.start, self._now), min(one.end, self._until)
            right = not shifts.differences([one], wanted, start, end)
            needed = bool(shifts.differences(regular, wanted, start, end))
            if (right and needed) or (one.start <= self._now and not self._at_once):
                kept = shifts.overlay(kept, [one])
            else:
                stale.append(one)
        if stale:
            count = f"{len(stale)} override{'s' * (len(stale) > 1)}"
            self._add(
                f"remove {count} from schedule {name}", lambda: self._provider.remove_overrides(name, stale)
            )
        return kept

    def _compare_policy(self) -> None:
        wanted = policy_of(self._rotation)
        found = {one.name: one for one in self._provider.policies([wanted.name])}
        if found.get(wanted.name) != wanted:
            verb = "change" if found else "create"
            steps = ", ".join(f"{tier.name} after {tier.after_s / 60:g} min" for tier in self._rotation.tiers)
            text = f"{verb} escalation policy {wanted.name}: {steps}; {wanted.loops} repetitions"
            self._add(text, lambda: self._provider.set_policy(wanted))

    def _compare_services(self) -> None:
        policy = self._rotation.name
        found = {
            one.name: one for one in self._provider.services([one.name for one in self._rotation.services])
        }
        for wanted in self._rotation.services:
            one = found.get(wanted.name)
            if one is not None and (one.policy, one.description) == (policy, wanted.description):
                continue
            make = partial(
                self._provider.set_service, wanted.name, policy=policy, description=wanted.description
            )
            self._add(
                f"{'change' if one else 'create'} service {wanted.name}: escalation policy {policy}", make
            )

    def _compare_leftovers(self, wanted: set[str]) -> None:
        """Plan to remove our schedules of tiers that the file does not have, or say that they are there."""
        for name in self._provider.managed_schedules():
            if not name.startswith(f"{self._rotation.name} ") or name in wanted:
                continue
            if self._prune:
                self._add(f"remove schedule {name}", partial(self._provider.remove_schedule, name))
            else:
                self._notes.append(f"schedule {name} is no tier of the file; --prune removes it")

    def _compare_components(self, page: StatusPage | None) -> None:
        if page is None:
            self._notes.append(
                "the environment file has no oncall.status_page: its components are not looked at"
            )
            return
        there = {one.name for one in page.components()}
        if missing := [name for name in self._rotation.components if name not in there]:
            text = f"add to the status page: {', '.join(missing)}"
            self._add(text, partial(page.create_missing, missing))

    def _add(self, text: str, make: Callable[[], object]) -> None:
        self._changes.append(Change(text, make))

    def _say(self, tier: Tier, one: Difference) -> str:
        instead = f" instead of {self._name(one.now)}" if one.now is not None else ""
        return f"{tier.name}: {self._span(one.start, one.end)} {self._name(one.then)}{instead}"

    def _span(self, start: datetime, end: datetime) -> str:
        return f"{self._local(start)} to {self._local(end)}"

    def _local(self, moment: datetime) -> str:
        return moment.astimezone(self._rotation.zone).strftime("%a %Y-%m-%d %H:%M")

    def _name(self, person: str | None) -> str:
        """Return the name of a person; never an address."""
        if person is None:
            return "nobody"
        return self._names.get(person) or ("somebody without an account" if "@" in person else person)


def policy_of(rotation: Rotation) -> Policy:
    """Return the escalation policy of a rotation; the last tier has as long as the one before it."""
    after = [tier.after_s for tier in rotation.tiers]
    delays = [later - earlier for earlier, later in pairwise(after)] or [300.0]
    steps = tuple(
        Step(delay, (rotation.schedule_of(tier),))
        for delay, tier in zip([*delays, delays[-1]], rotation.tiers, strict=False)
    )
    return Policy(name=rotation.name, steps=steps, loops=rotation.loops)


def _end(rotation: Rotation, now: datetime) -> datetime:
    """Return until when schedules are compared: the last absence's end, once round the longest list."""
    ends = [rotation.instant(one.until) + timedelta(days=1) for one in rotation.absences]
    longest = max(len(tier.people) for tier in rotation.tiers)
    ends.append(now + timedelta(days=rotation.turn_days * (longest + 1)))
    return min(max(now + HORIZON, *ends), now + _FURTHEST)


def apply(
    plan: Plan, provider: Provider, clock: Callable[[], datetime], *, say: Callable[[str], None]
) -> None:
    """Make the changes of a plan one by one, and look whether the provider then renders what was wanted.

    Raises OncallError: before the first write if who is on call now would be replaced without being allowed,
    and after a failure with what was done before it.
    """
    for number, change in enumerate(plan.changes):
        try:
            change.make()
        except GateInputError as error:
            done = f"{number} of {len(plan.changes)} changes were made before it"
            raise OncallError(
                f"{error} That was to {change.text}; {done}. Run it again: nothing is done twice."
            ) from None
        say(f"done: {change.text}")
    if plan.changes:
        _check(plan, provider, clock().replace(microsecond=0))


def require_no_handover(plan: Plan) -> None:
    """Raise OncallError if a plan replaces somebody who is on call now."""
    if plan.handovers:
        raise OncallError(
            "Somebody who is on call now would be replaced at once, and may be at work on a page: "
            f"{'; '.join(plan.handovers)}. Nothing was written. Tell both, then add --allow-handover."
        )


def _check(plan: Plan, provider: Provider, now: datetime) -> None:
    now += CLOCK_SKEW
    found = {one.name: one.shifts for one in provider.schedules(list(plan.shifts), now, plan.until)}
    for name, wanted in plan.shifts.items():
        if other := shifts.differences(found.get(name, ()), wanted, now, plan.until):
            raise OncallError(
                f"All changes were made, but schedule {name} is not rendered as the rotation says, from "
                f"{other[0].start:%Y-%m-%d %H:%M} UTC on. Look at it, then run bais-gates oncall plan."
            )
