"""A rotation: who takes turns on which tier, who is absent, and what a page of which severity asks of them.

The values that :func:`bais_gates.oncall.reading.load_rotation` reads. Members are known by name; their e-mail
addresses are in no text of these values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bais_gates.errors import GateInputError
    from bais_gates.verdict.files import Document

Priority = Literal["P1", "P2", "P3", "P4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Somebody who may be on call."""

    name: str
    email: str = field(repr=False)
    """In small letters."""
    team: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Those who take turns at one step of the escalation."""

    name: str
    people: tuple[str, ...]
    """Names, in the order of their turns."""
    after_s: float
    """Seconds from the page to this tier's being paged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """When a member can't be on call: whole local days, ``until`` excluded."""

    person: str
    since: date
    until: date
    covered_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Severity:
    """What a page of a severity asks for, in seconds from the page."""

    acknowledge_within_s: float
    recover_within_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedService:
    """A service at the provider, and the team that owns it."""

    name: str
    team: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyContact:
    """Somebody outside who may have to be asked, and where."""

    name: str
    what: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PostIncident:
    """What is due after an incident, in seconds from its end."""

    review_within_s: float
    report_within_s: float


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """One rotation file, read and checked."""

    document: Document = field(repr=False, compare=False)
    name: str
    """The name of the escalation policy, and what the names of its schedules begin with."""
    time_zone: str
    handover_time: time
    turn_days: int
    first_turn: date
    members: tuple[Member, ...]
    teams: Mapping[str, str]
    """The chat channel of each team."""
    tiers: tuple[Tier, ...]
    """In the order of the escalation."""
    loops: int
    absences: tuple[Absence, ...]
    severities: Mapping[Priority, Severity]
    services: tuple[OwnedService, ...]
    incident_channel: str
    oncall_channel: str
    components: tuple[str, ...]
    """Of the status page."""
    emergency_contacts: tuple[EmergencyContact, ...]
    post_incident: Mapping[Priority, PostIncident]

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone of hand-overs and absences."""
        return ZoneInfo(self.time_zone)

    @cached_property
    def email_of(self) -> Mapping[str, str]:
        """The e-mail address of each member, by name."""
        return {member.name: member.email for member in self.members}

    @cached_property
    def name_of(self) -> Mapping[str, str]:
        """The name of each member, by e-mail address."""
        return {member.email: member.name for member in self.members}

    def emails(self, tier: Tier) -> tuple[str, ...]:
        """Return the e-mail addresses of those who take turns on a tier, in their order."""
        return tuple(self.email_of[name] for name in tier.people)

    def schedule_of(self, tier: Tier) -> str:
        """Return the name of a tier's schedule at the provider."""
        return f"{self.name} {tier.name}"

    def instant(self, day: date, at: time = time(0)) -> datetime:
        """Return a local time in UTC.

        One that the clock skips has the offset before the change; one that it shows twice is the first.
        """
        return datetime.combine(day, at, self.zone).astimezone(UTC)

    def start_of_turn(self, number: int) -> datetime:
        """Return when a turn begins, in UTC; turn 0 begins at ``first_turn``."""
        return self.instant(self.first_turn + timedelta(days=number * self.turn_days), self.handover_time)

    def turn_at(self, moment: datetime) -> int:
        """Return the number of the turn at a moment, which is negative before ``first_turn``."""
        day = moment.astimezone(self.zone).date()
        number = (day - self.first_turn).days // self.turn_days + 1
        while self.start_of_turn(number) > moment:
            number -= 1
        return number

    def next_handover(self, moment: datetime) -> datetime:
        """Return the first hand-over after a moment."""
        return self.start_of_turn(self.turn_at(moment) + 1)

    def error(self, at: Sequence[str | int], text: str) -> GateInputError:
        """Return the error about a place in the file; the caller raises it."""
        return self.document.error(at, text)
