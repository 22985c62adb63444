"""A provider that answers what a test says, and gates as the functions that they are."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from bais_gates.oncall import shifts
from bais_gates.oncall.plan import policy_of
from bais_gates.oncall.provider import (
    Contact,
    NotificationRule,
    Page,
    PageEvent,
    Person,
    Policy,
    Schedule,
    Service,
    Shift,
)
from bais_gates.oncall.readiness import Coverage, read_coverage
from bais_gates.oncall.rotation import Rotation
from bais_gates.pytest_plugin.evidence import Evidence
from bais_gates.reports.wording import check_text

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
"""A Monday after the hand-over."""
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NEXT = datetime(2026, 12, 7, 8, tzinfo=UTC)
"""The next hand-over, 09:00 in Berlin."""
PHONE = Contact("phone", enabled=True)


@cache
def gate(name: str) -> ModuleType:
    """Return the module of an on-call gate."""
    path = Path(__file__).parents[2] / "gates" / "oncall" / f"test_{name}.py"
    spec = importlib.util.spec_from_file_location(f"gate_of_oncall_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unheld(evidence: Evidence) -> list[str]:
    """Return the checks that did not hold, as the terminal prints them."""
    return [check_text(one) for one in evidence.recorded().checks if one.ok is not True]


def email(name: str) -> str:
    """Return the address of one of the tests' people."""
    return f"{name.lower()}@bais.example"


def person(name: str, *contacts: Contact, **changes: Any) -> Person:
    """Return an account that is rung at once; ``contacts`` replace its phone."""
    contacts = contacts or (PHONE,)
    rules = tuple(NotificationRule("high", 0.0, one) for one in contacts)
    values: dict[str, Any] = {"active": True, "contacts": contacts, "rules": rules}
    return Person(email=email(name), name=name, **(values | changes))


@dataclass
class Desk:
    """A provider that pages by a rotation, until a test changes what it answers."""

    rotation: Rotation
    now: datetime = NOW
    schedule: dict[str, Schedule] = field(default_factory=dict)
    """By tier."""
    log: list[PageEvent] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)
    acknowledges: str | None = "Dan"
    """Who acknowledges a page, at the second look; None: nobody."""
    after: timedelta = timedelta(seconds=90)

    def __post_init__(self) -> None:
        since, until = self.now - DAY, self.now + 120 * DAY
        for tier, found in shifts.expected(self.rotation, since, until).items():
            regular = next(
                shifts.turns(self.rotation, one, since, until)
                for one in self.rotation.tiers
                if one.name == tier
            )
            self.schedule[tier] = Schedule(
                name=f"BAIS {tier}",
                time_zone=self.rotation.time_zone,
                turn_s=(604_800.0,),
                shifts=found,
                regular=regular,
            )

    def change(self, tier: str, **changes: Any) -> None:
        """Replace values of a schedule."""
        one = self.schedule[tier]
        values = {name: getattr(one, name) for name in one.__slots__} | changes
        self.schedule[tier] = Schedule(**values)

    def override(self, tier: str, name: str | None, start: datetime, end: datetime) -> None:
        """Have somebody else, or nobody, take a time."""
        part = [Shift(start, end, email(name or "nobody"))]
        found = shifts.overlay(self.schedule[tier].shifts, part)
        self.change(tier, shifts=tuple(one for one in found if name or one.person != email("nobody")))

    def coverage(self) -> Coverage:
        """Return who is on call by this provider."""
        provider: Any = self
        return read_coverage(self.rotation, provider, self.now)

    def schedules(self, names: Collection[str], since: datetime, until: datetime) -> Sequence[Schedule]:
        """Return the schedules, whole; a caller clips them."""
        del since, until
        return [one for one in self.schedule.values() if one.name in names]

    def policies(self, names: Collection[str]) -> Sequence[Policy]:
        """Return the policy of the rotation."""
        return [one for one in [policy_of(self.rotation)] if one.name in names]

    def services(self, names: Collection[str]) -> Sequence[Service]:
        """Return active services."""
        return [Service(name=name, policy=self.rotation.name, status="active") for name in names]

    def people(self, emails: Collection[str]) -> Sequence[Person]:
        """Return accounts that can be woken."""
        return [person(member.name) for member in self.rotation.members if member.email in emails]

    def on_call(self, policy: str, at: datetime | None = None) -> Mapping[int, Sequence[str]]:
        """Return who is on call on each level."""
        del policy, at
        found = {}
        for number, tier in enumerate(self.rotation.tiers, 1):
            who = shifts.person_at(self.schedule[tier.name].shifts, self.now)
            found[number] = [who] if who else []
        return found

    def page(self, service: str, title: str) -> Page:
        """Notify who is on call first."""
        assert title
        first = self.on_call("")[1]
        self.log = [PageEvent("triggered", self.now)]
        self.log += [PageEvent("notified", self.now + timedelta(seconds=2), one) for one in first]
        return Page("reference", service)

    def events(self, page: Page) -> Sequence[PageEvent]:
        """Return the log; somebody acknowledges after it was read once."""
        shown = list(self.log)
        if self.acknowledges and not any(one.kind == "acknowledged" for one in self.log):
            self.log.append(PageEvent("acknowledged", self.now + self.after, email(self.acknowledges)))
        assert page.reference == "reference"
        return shown

    def resolve(self, page: Page) -> None:
        """Resolve a page."""
        self.resolved.append(page.service)
        self.log.append(PageEvent("resolved", self.now + self.after))
