"""Whether somebody will wake up: what the provider says, held to the rotation.

The gates of phase oncall and ``bais-gates oncall metrics`` have their figures from here. People are named as
in the rotation, never by address.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from bais_gates.oncall import shifts
from bais_gates.oncall.plan import policy_of
from bais_gates.oncall.provider import CLOCK_SKEW, Contact, Person, Policy, Provider, Schedule, Service

if TYPE_CHECKING:
    from bais_gates.oncall.provider import Shift
    from bais_gates.oncall.rotation import Rotation, Tier

WINDOW: Final = timedelta(days=90)
"""How far ahead coverage is judged: beyond every absence that is planned by the quarter."""
_WAKES: Final = frozenset({"phone", "push"})
"""The contacts that ring through the night; an e-mail or a text message does not."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Who is on call by the provider in a window, beside the rotation that says who shall be."""

    rotation: Rotation
    since: datetime
    until: datetime
    schedules: Mapping[str, Schedule] = field(repr=False)
    """By tier; a tier without a schedule is absent."""

    def on_call(self, tier: Tier) -> tuple[Shift, ...]:
        """Return who is on call on a tier as the provider renders it; nobody without a schedule."""
        schedule = self.schedules.get(tier.name)
        return shifts.clip(schedule.shifts, self.since, self.until) if schedule else ()

    @property
    def missing(self) -> list[str]:
        """The names of the schedules that the provider does not have."""
        tiers = self.rotation.tiers
        return [self.rotation.schedule_of(tier) for tier in tiers if tier.name not in self.schedules]

    def gaps(self, tier: Tier) -> tuple[tuple[datetime, datetime], ...]:
        """Return when nobody is on call on a tier: without a schedule, the whole window."""
        return shifts.gaps(self.on_call(tier), self.since, self.until)

    def gap_s(self, tier: Tier) -> float:
        """Return the seconds in which nobody is on call on a tier."""
        return sum((end - start).total_seconds() for start, end in self.gaps(tier))

    @cached_property
    def overlaps(self) -> tuple[shifts.Overlap, ...]:
        """The times at which one person is on call on two tiers: whoever sleeps then sleeps twice."""
        return shifts.overlaps({tier.name: self.on_call(tier) for tier in self.rotation.tiers})

    def absent(self, tier: Tier) -> tuple[Shift, ...]:
        """Return when somebody is on call on a tier who is absent by the rotation."""
        return shifts.while_absent(self.rotation, self.on_call(tier))

    def differences(self, tier: Tier) -> tuple[shifts.Difference, ...]:
        """Return when another person is on call than shall be, from the next hand-over on.

        Until then whoever began the turn ends it, unless the rotation gives the turn to another for an
        absence. Times at which nobody is on call are gaps, and no difference.
        """
        found = shifts.differences(self.on_call(tier), self._due[tier.name], self.since, self.until)
        return tuple(one for one in found if one.now is not None)

    @cached_property
    def _due(self) -> dict[str, tuple[Shift, ...]]:
        rendered = {tier.name: self.on_call(tier) for tier in self.rotation.tiers}
        return shifts.due(self.rotation, rendered, self.since, self.until)

    def strangers(self, tier: Tier) -> list[str]:
        """Return who is on call until the next hand-over and neither of the tier nor a cover."""
        handover = self.rotation.next_handover(self.since)
        known = {*self.rotation.emails(tier), *self._covers}
        current = shifts.clip(self.on_call(tier), self.since, handover)
        return sorted({self.say(one.person) for one in current if one.person not in known})

    @property
    def _covers(self) -> set[str]:
        """Who may be on any tier, as somebody is absent."""
        due = shifts.expected(self.rotation, self.since, self.rotation.next_handover(self.since))
        return {one.person for part in due.values() for one in part}

    def turns(self, tier: Tier) -> dict[str, float]:
        """Return the turns of each person of a tier, absences left aside; none without a schedule."""
        schedule = self.schedules.get(tier.name)
        if schedule is None:
            return {}
        regular = shifts.clip(schedule.regular, self.since, self.until)
        turn_s = self.rotation.turn_days * 86_400.0
        seconds = dict.fromkeys(self.rotation.emails(tier), 0.0) | shifts.seconds_on_call(regular)
        # A change of the clock makes a turn an hour longer or shorter.
        return {self.say(person): round(time_s / turn_s, 1) for person, time_s in seconds.items()}

    def say(self, person: str) -> str:
        """Return the name of a person."""
        known = self.rotation.name_of.get(person)
        return known or ("somebody who is not in the rotation" if "@" in person else person)

    def span(self, start: datetime, end: datetime) -> str:
        """Return a time in words, in the rotation's time zone."""
        zone = self.rotation.zone
        first, last = start.astimezone(zone), end.astimezone(zone)
        form = "%H:%M" if first.date() == last.date() else "%a %Y-%m-%d %H:%M"
        return f"{first:%a %Y-%m-%d %H:%M} to {last.strftime(form)}"


def read_coverage(rotation: Rotation, provider: Provider, now: datetime) -> Coverage:
    """Return who is on call in the next 90 days; raise OncallError.

    The first minute is left out: our clock and the provider's may differ.
    """
    since = now.replace(microsecond=0) + CLOCK_SKEW
    until = since + WINDOW
    names = {rotation.schedule_of(tier): tier.name for tier in rotation.tiers}
    found = provider.schedules(list(names), since, until)
    schedules = {names[one.name]: one for one in found}
    return Coverage(rotation=rotation, since=since, until=until, schedules=schedules)


# -- people --


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Who can't be woken, and why; one line a person."""

    without_account: tuple[str, ...]
    not_on_call: tuple[str, ...]
    """Whose role can't be on call, or it is unknown whether."""
    without_contact: tuple[str, ...]
    without_rule: tuple[str, ...]
    unreachable: frozenset[str]
    """The names of all of them."""


def judge_people(rotation: Rotation, people: Collection[Person]) -> Reach:
    """Judge everybody who takes turns or covers. What the provider does not say is unknown, and no yes.

    Source: PagerDuty's documentation (contact methods have ``enabled`` since 2026-08; an account without a
    rule for high urgency is notified of nothing), Google's SRE book, chapter 11.
    """
    accounts = {person.email: person for person in people}
    found: dict[str, list[str]] = {"account": [], "role": [], "contact": [], "rule": []}
    unreachable = set()
    for name in names_of(rotation):
        person = accounts.get(rotation.email_of[name])
        faults = {"account": "no account"} if person is None else _faults(person)
        unreachable |= {name} if any(faults.values()) else set()
        for kind, fault in faults.items():
            found[kind] += [f"{name}: {fault}"] if fault else []
    return Reach(
        without_account=tuple(found["account"]),
        not_on_call=tuple(found["role"]),
        without_contact=tuple(found["contact"]),
        without_rule=tuple(found["rule"]),
        unreachable=frozenset(unreachable),
    )


def names_of(rotation: Rotation) -> list[str]:
    """Return the names of everybody who takes turns or covers, in the order of the file."""
    used = {name for tier in rotation.tiers for name in tier.people}
    used |= {one.covered_by for one in rotation.absences if one.covered_by is not None}
    return [member.name for member in rotation.members if member.name in used]


def _faults(person: Person) -> dict[str, str]:
    role = {True: "", False: "a role that can't be on call", None: "unknown whether the role may be on call"}
    at_once = [one for one in person.rules if one.urgency == "high" and one.delay_s == 0]
    return {
        "role": role[person.active],
        "contact": _contact_fault(person.contacts, "no phone or push contact"),
        "rule": _contact_fault(
            [one.contact for one in at_once], "no immediate rule for high urgency by phone or push"
        ),
    }


def _contact_fault(contacts: Sequence[Contact], otherwise: str) -> str:
    """Return why none of these contacts wakes somebody; "" if one does."""
    waking = [one for one in contacts if one.kind in _WAKES]
    if any(one.enabled for one in waking):
        return ""
    if any(one.enabled is None for one in waking):
        return f"{otherwise} that is known to be enabled"
    return f"{otherwise} that is enabled" if waking else otherwise


# -- escalation --


def judge_steps(rotation: Rotation, policy: Policy) -> list[str]:
    """Return how the steps of the escalation policy differ from the tiers, by whom they page."""
    found = []
    wanted = policy_of(rotation).steps
    for number in range(max(len(wanted), len(policy.steps))):
        shall = wanted[number].schedules if number < len(wanted) else ()
        step = policy.steps[number] if number < len(policy.steps) else None
        pages = (
            [*step.schedules, *(rotation.name_of.get(one, "a person") for one in step.people)] if step else []
        )
        if tuple(pages) != shall:
            paged = ", ".join(pages) or "nobody"
            found.append(f"step {number + 1} pages {paged}, not {', '.join(shall) or 'anybody'}")
    return found


def judge_services(
    rotation: Rotation, services: Collection[Service], now: datetime, window: timedelta
) -> list[str]:
    """Return the services that page nobody, or by another policy, from now until a window's end."""
    there = {one.name: one for one in services}
    found = []
    for name in (one.name for one in rotation.services):
        service = there.get(name)
        if service is None:
            found.append(f"{name}: absent")
            continue
        if service.policy != rotation.name:
            found.append(f"{name}: escalation policy {service.policy or 'none'}, not {rotation.name}")
        if service.status not in {"active", "warning", "critical", "maintenance"}:
            found.append(f"{name}: {service.status or 'of an unknown status'}")
        for start, end in service.maintenance:
            if start < now + window and end > now:
                local = [moment.astimezone(rotation.zone) for moment in (start, end)]
                found.append(f"{name}: in maintenance {local[0]:%Y-%m-%d %H:%M} to {local[1]:%Y-%m-%d %H:%M}")
        if service.status == "maintenance" and not service.maintenance:
            found.append(f"{name}: in maintenance")
    return found
