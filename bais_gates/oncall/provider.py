"""What a paging provider must be able to do, and the values that it is asked for and answers.

PagerDuty is the first provider. Nothing of its layers, ids or references is in these values: schedules,
policies and services are known by name, people by e-mail address in small letters. Moments are aware, in UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

from bais_gates.errors import GateInputError

CLOCK_SKEW: Final = timedelta(minutes=1)
"""How far our clock and the provider's may differ: shorter differences of shifts are none."""


class OncallError(GateInputError):
    """A provider can't be reached, refuses, or answers what can't be used.

    The message names the request and the remedy, never a token, an e-mail address or a phone number.
    """


@dataclass(frozen=True, slots=True, order=True)
class Shift:
    """One person on call without a break, from ``start`` until before ``end``."""

    start: datetime
    end: datetime
    person: str
    """E-mail address in small letters; of somebody without an account any more, the name."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A way to reach a person; what is dialled or written to is not read."""

    kind: Literal["phone", "sms", "push", "email", "other"]
    enabled: bool | None
    """None: the provider does not say."""


@dataclass(frozen=True, slots=True)
class NotificationRule:
    """How a person is notified of pages of an urgency, how long after being assigned."""

    urgency: Literal["high", "low"]
    delay_s: float
    contact: Contact


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An account at the provider."""

    email: str = field(repr=False)
    name: str
    active: bool | None
    """Whether the account's role may be on call; None: the provider does not say."""
    contacts: tuple[Contact, ...] = ()
    rules: tuple[NotificationRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an escalation: who is paged, by schedule or directly, before the next step."""

    after_s: float
    """Seconds from this step to the next, or to the repetition."""
    schedules: tuple[str, ...] = ()
    people: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """An escalation policy."""

    name: str
    steps: tuple[Step, ...]
    loops: int
    """How often the steps are repeated after the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What alerts are sent to."""

    name: str
    policy: str | None
    """The name of its escalation policy."""
    status: str
    """``active``, ``warning``, ``critical``, ``maintenance`` or ``disabled``."""
    maintenance: tuple[tuple[datetime, datetime], ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule as the provider renders it in a window: who is on call, when."""

    name: str
    time_zone: str
    turn_s: tuple[float, ...]
    """The turn lengths of the rotations that are in force or to come."""
    shifts: tuple[Shift, ...]
    """In order, merged; a time that none covers is a gap."""
    regular: tuple[Shift, ...]
    """As ``shifts``, but without overrides."""
    overrides: tuple[Shift, ...] = ()
    """Who takes over from the regular person, when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """What a schedule shall be: people who take turns from a moment on, and overrides of that.

    Person k mod n has turn k, counted in local time from ``first``: a change to or from daylight-saving
    time moves no hand-over.
    """

    name: str
    time_zone: str
    people: tuple[str, ...]
    turn_days: int
    first: datetime
    since: datetime
    """When these turns begin; what is before stays as it is."""


@dataclass(frozen=True, slots=True)
class PageEvent:
    """Something that happened to a page."""

    kind: Literal["triggered", "notified", "acknowledged", "escalated", "resolved", "exhausted"]
    at: datetime
    person: str | None = None
    """Who was notified, or acknowledged."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was sent; ``reference`` is the provider's own name of it."""

    reference: str
    service: str


class Provider(Protocol):
    """A paging provider. Every method raises :class:`OncallError`."""

    def schedules(self, names: Collection[str], since: datetime, until: datetime) -> Sequence[Schedule]:
        """Return those schedules of these names that exist, rendered in a window."""

    def managed_schedules(self) -> Sequence[str]:
        """Return the names of all schedules that :meth:`take_turns` has made or changed."""

    def overrides(self, schedule: str, since: datetime, until: datetime) -> Sequence[Shift]:
        """Return each override of a schedule that touches a window, whole; a later one is over an earlier."""

    def policies(self, names: Collection[str]) -> Sequence[Policy]:
        """Return those escalation policies of these names that exist."""

    def services(self, names: Collection[str]) -> Sequence[Service]:
        """Return those services of these names that exist, with their maintenance now and to come."""

    def people(self, emails: Collection[str]) -> Sequence[Person]:
        """Return those of these people who have an account, with contacts and notification rules."""

    def accounts(self) -> Mapping[str, str]:
        """Return the name of every account by its e-mail address."""

    def on_call(self, policy: str, at: datetime | None = None) -> Mapping[int, Sequence[str]]:
        """Return who is on call at a moment (None: now), by the policy's level from 1."""

    def page(self, service: str, title: str) -> Page:
        """Send a test page to a service."""

    def acknowledge(self, page: Page, person: str) -> None:
        """Acknowledge a page in the name of a person."""

    def resolve(self, page: Page) -> None:
        """Resolve a page."""

    def events(self, page: Page) -> Sequence[PageEvent]:
        """Return what happened to a page, in order."""

    # What follows writes, and is called by apply alone.

    def take_turns(self, turns: Turns, shifts: Sequence[Shift]) -> None:
        """Create a schedule of these turns, or change the one of that name from ``turns.since`` on.

        ``shifts`` are what comes of it from then on. Nothing is written if the provider would render others.
        """

    def override(self, schedule: str, shifts: Sequence[Shift]) -> None:
        """Have these people take these times of a schedule, over whoever else would."""

    def remove_overrides(self, schedule: str, overrides: Collection[Shift]) -> None:
        """Remove these overrides of a schedule."""

    def remove_schedule(self, name: str) -> None:
        """Remove a schedule."""

    def set_policy(self, policy: Policy) -> None:
        """Create an escalation policy, or change the one of that name."""

    def set_service(self, name: str, *, policy: str, description: str) -> None:
        """Create a service with this policy and description, or change those of the one of that name."""
