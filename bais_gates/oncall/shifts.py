"""Who shall be on call, when: pure functions of a rotation, and what is wrong with shifts of any origin.

Shifts of a tier are in order and do not overlap. People are e-mail addresses; moments are aware.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from bais_gates.oncall.provider import CLOCK_SKEW, Shift

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from bais_gates.oncall.rotation import Rotation, Tier

    Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Difference:
    """A time at which another person is on call than shall be; None is nobody."""

    start: datetime
    end: datetime
    now: str | None
    """Who is on call as things are."""
    then: str | None
    """Who shall be."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """A time at which one person is on call on two tiers."""

    start: datetime
    end: datetime
    person: str
    tiers: tuple[str, str]


def turns(rotation: Rotation, tier: Tier, since: datetime, until: datetime) -> tuple[Shift, ...]:
    """Return the turns of a tier in a window, without regard to absences."""
    people = rotation.emails(tier)
    number = rotation.turn_at(since)
    found = []
    while (start := rotation.start_of_turn(number)) < until:
        found.append(Shift(start, rotation.start_of_turn(number + 1), people[number % len(people)]))
        number += 1
    return clip(merge(found), since, until)


def expected(
    rotation: Rotation,
    since: datetime,
    until: datetime,
    regular: Mapping[str, Sequence[Shift]] | None = None,
) -> dict[str, tuple[Shift, ...]]:
    """Return who shall be on call on each tier in a window: turns, with covers for those who can't.

    ``regular`` replaces the turns by tier. Whoever is absent, or on an earlier tier at that time, is covered
    by whom the absence names, otherwise by the next in the tier's order who is neither absent nor on another
    tier. Where there is nobody, nobody is on call.
    """
    if regular is None:
        regular = {tier.name: turns(rotation, tier, since, until) for tier in rotation.tiers}
    at = {name: _Lookup(shifts) for name, shifts in regular.items()}
    away = [
        (rotation.instant(one.since), rotation.instant(one.until), one.person, one.covered_by)
        for one in rotation.absences
    ]
    edges = {since, until}
    edges.update(edge for shifts in regular.values() for shift in shifts for edge in (shift.start, shift.end))
    edges.update(edge for start, end, _, _ in away for edge in (start, end))
    found: dict[str, list[Shift]] = {tier.name: [] for tier in rotation.tiers}
    for start, end in _spans(edges, since, until):
        absent = {
            rotation.email_of[person]: cover and rotation.email_of[cover]
            for since_, until_, person, cover in away
            if since_ <= start < until_
        }
        assigned = {tier.name: at[tier.name].person(start) for tier in rotation.tiers}
        for name, person in _covered(rotation, assigned, absent).items():
            if person is not None:
                found[name].append(Shift(start, end, person))
    return {name: merge(shifts) for name, shifts in found.items()}


def _covered(
    rotation: Rotation, assigned: Mapping[str, str | None], absent: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Return who is on call by tier at one time; ``absent`` names the absent and whom the file has cover."""
    present = {name: who for name, who in assigned.items() if who is not None and who not in absent}
    final: dict[str, str | None] = {}
    for tier in rotation.tiers:
        person = assigned[tier.name]
        if person is None or (person not in absent and person not in final.values()):
            final[tier.name] = person
            continue
        people = rotation.emails(tier)
        place = people.index(person) + 1 if person in people else 0
        candidates = [absent.get(person), *people[place:], *people[:place]]
        others = {who for name, who in (present | final).items() if name != tier.name}
        free = (one for one in candidates if one is not None and one not in absent and one not in others)
        final[tier.name] = next(free, None)
    return final


class _Lookup:
    def __init__(self, shifts: Sequence[Shift]) -> None:
        self._shifts = shifts
        self._starts = [shift.start for shift in shifts]

    def person(self, moment: datetime) -> str | None:
        """Return who is on call at a moment."""
        place = bisect_right(self._starts, moment) - 1
        return self._shifts[place].person if place >= 0 and moment < self._shifts[place].end else None


def due(
    rotation: Rotation,
    rendered: Mapping[str, Sequence[Shift]],
    now: datetime,
    until: datetime,
    *,
    at_once: bool = False,
) -> dict[str, tuple[Shift, ...]]:
    """Return who shall be on call on each tier from now on, given who is by the provider (tiers it has).

    Until the next hand-over it stays as it is rendered, as far as there is somebody who is neither absent nor
    on two tiers; then, or ``at_once``, it is as in the file.
    """
    regular: dict[str, tuple[Shift, ...]] = {}
    change = now if at_once else rotation.next_handover(now)
    for tier in rotation.tiers:
        by_file = turns(rotation, tier, now, until)
        kept = clip(rendered.get(tier.name, ()), now, change)
        regular[tier.name] = overlay(by_file, kept)
    return expected(rotation, now, until, regular)


def person_at(shifts: Sequence[Shift], moment: datetime) -> str | None:
    """Return who is on call at a moment; None for nobody."""
    return _Lookup(shifts).person(moment)


def merge(shifts: Iterable[Shift]) -> tuple[Shift, ...]:
    """Return shifts in order, those that follow each other with the same person as one."""
    merged: list[Shift] = []
    for shift in sorted(shifts):
        if merged and merged[-1].person == shift.person and merged[-1].end >= shift.start:
            merged[-1] = Shift(merged[-1].start, max(merged[-1].end, shift.end), shift.person)
        else:
            merged.append(shift)
    return tuple(merged)


def clip(shifts: Iterable[Shift], since: datetime, until: datetime) -> tuple[Shift, ...]:
    """Return the parts of shifts that are in a window."""
    cut = (Shift(max(one.start, since), min(one.end, until), one.person) for one in shifts)
    return tuple(one for one in cut if one.start < one.end)


def overlay(below: Iterable[Shift], above: Iterable[Shift]) -> tuple[Shift, ...]:
    """Return shifts of which those above take the place of those below, where both are."""
    left = list(below)
    for top in (upper := list(above)):
        left = [
            part
            for one in left
            for part in (
                Shift(one.start, min(one.end, top.start), one.person),
                Shift(max(one.start, top.end), one.end, one.person),
            )
            if part.start < part.end
        ]
    return merge([*left, *upper])


def gaps(shifts: Iterable[Shift], since: datetime, until: datetime) -> tuple[Span, ...]:
    """Return the times of a window at which nobody is on call; without a shift, the whole window."""
    found = []
    reached = since
    for shift in clip(sorted(shifts), since, until):
        if shift.start > reached:
            found.append((reached, shift.start))
        reached = max(reached, shift.end)
    return (*found, (reached, until)) if reached < until else tuple(found)


def overlaps(tiers: Mapping[str, Sequence[Shift]]) -> tuple[Overlap, ...]:
    """Return when one person is on call on two tiers, or twice on one; each pair once."""
    every = sorted(
        ((shift, tier) for tier, shifts in tiers.items() for shift in shifts), key=lambda it: it[0]
    )
    found = []
    for place, (shift, tier) in enumerate(every):
        for other, its_tier in every[place + 1 :]:
            if other.start >= shift.end:
                break
            if other.person == shift.person:
                end = min(shift.end, other.end)
                found.append(Overlap(other.start, end, shift.person, (tier, its_tier)))
    return tuple(found)


def while_absent(rotation: Rotation, shifts: Iterable[Shift]) -> tuple[Shift, ...]:
    """Return the parts of shifts in which the person is absent by the file."""
    away = [
        (rotation.email_of[one.person], rotation.instant(one.since), rotation.instant(one.until))
        for one in rotation.absences
    ]
    return tuple(
        part
        for shift in shifts
        for person, since, until in away
        if person == shift.person
        for part in clip([shift], since, until)
    )


def differences(
    now: Sequence[Shift], then: Sequence[Shift], since: datetime, until: datetime
) -> tuple[Difference, ...]:
    """Return the times of a window, of a minute or more, at which two lists have different people on call."""
    is_, shall = _Lookup(now), _Lookup(then)
    edges = {since, until, *(edge for shift in (*now, *then) for edge in (shift.start, shift.end))}
    found: list[Difference] = []
    for start, end in _spans(edges, since, until):
        one, other = is_.person(start), shall.person(start)
        if one == other:
            continue
        last = found[-1] if found else None
        if last is not None and (last.end, last.now, last.then) == (start, one, other):
            found[-1] = Difference(last.start, end, one, other)
        else:
            found.append(Difference(start, end, one, other))
    return tuple(one for one in found if one.end - one.start >= CLOCK_SKEW)


def _spans(edges: Iterable[datetime], since: datetime, until: datetime) -> Iterator[Span]:
    moments = sorted(edge for edge in edges if since <= edge <= until)
    return pairwise(moments)


def seconds_on_call(shifts: Iterable[Shift]) -> dict[str, float]:
    """Return the seconds that each person is on call."""
    total: dict[str, float] = {}
    for shift in shifts:
        seconds = (shift.end - shift.start).total_seconds()
        total[shift.person] = total.get(shift.person, 0.0) + seconds
    return total
