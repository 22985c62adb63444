"""Who is on call when: a schedule of layers and overrides, rendered as PagerDuty renders it.

A layer's people take turns, counted from ``rotation_virtual_start``. A turn of whole days ends at the same
local time of the schedule's time zone, also where the clock is put forward or back in between; any other has
its length in seconds. A later layer takes the place of an earlier one, overrides that of all layers, and the
last override that of the others (support.pagerduty.com, "Schedule Basics"; the shapes are those of the REST
API's schema).
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from zoneinfo import ZoneInfo

_DAY_S: Final = 86_400


class Entry(NamedTuple):
    """A user on call from ``start`` until ``end``, both in UTC."""

    start: datetime
    end: datetime
    user: str


class Window(NamedTuple):
    """The period that is asked for, and whether entries may reach beyond it."""

    since: datetime
    until: datetime
    overflow: bool = False

    def around(self, days: float) -> Window:
        """Return the window with so many days more on both sides."""
        more = timedelta(days=days)
        return Window(self.since - more, self.until + more)

    def shown(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return the entries that touch the window, truncated to it unless they may overflow."""
        found = [one for one in entries if one.end > self.since and one.start < self.until]
        return found if self.overflow else [_clipped(one, self.since, self.until) for one in found]

    def coverage(self, entries: Iterable[Entry]) -> float:
        """Return the percentage of the window in which somebody is on call; ``entries`` don't overlap."""
        whole = (self.until - self.since).total_seconds()
        parts = (_clipped(one, self.since, self.until) for one in entries)
        covered = sum(max(0.0, (one.end - one.start).total_seconds()) for one in parts)
        return round(100 * covered / whole, 6) if whole > 0 else 0.0


def layer_entries(layer: Mapping[str, Any], zone: ZoneInfo, window: Window) -> list[Entry]:
    """Return the entries of one layer, with the versions of it that were in force before it was changed."""
    wide = window.around(1 + layer["rotation_turn_length_seconds"] / _DAY_S)
    versions = [*layer.get("past", ()), layer]
    return window.shown(entry for one in versions for entry in _version_entries(one, zone, wide))


def override_entries(overrides: Iterable[Mapping[str, Any]], window: Window) -> list[Entry]:
    """Return the entries of the overrides: where two overlap, the last one's."""
    entries: list[Entry] = []
    for one in overrides:
        entry = Entry(moment(one["start"]), moment(one["end"]), one["user"])
        entries = overlaid(entries, [entry])
    return window.shown(entries)


def final_entries(schedule: Mapping[str, Any], zone: ZoneInfo, window: Window) -> list[Entry]:
    """Return the entries of the whole schedule, its layers in the order in which they were added."""
    lengths = [one["rotation_turn_length_seconds"] for one in schedule["layers"]]
    wide = window.around(1 + max(lengths, default=0) / _DAY_S) if window.overflow else window
    entries: list[Entry] = []
    for layer in schedule["layers"]:
        entries = overlaid(entries, layer_entries(layer, zone, wide))
    return window.shown(overlaid(entries, override_entries(schedule["overrides"], wide)))


def overlaid(below: Sequence[Entry], above: Sequence[Entry]) -> list[Entry]:
    """Return ``above``, and what it leaves of ``below``, by start."""
    left, above = list(below), [one for one in above if one.start < one.end]
    for top in above:
        left = [
            part
            for one in left
            for part in (Entry(one.start, min(one.end, top.start), one.user), _after(one, top))
            if part.start < part.end
        ]
    return sorted([*left, *above])


def moment(text: str) -> datetime:
    """Return the moment in UTC of a text with an offset; raise ValueError for any other text."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no offset")
    return found.astimezone(UTC)


def _after(one: Entry, top: Entry) -> Entry:
    """Return what is left of an entry after the end of another."""
    return Entry(max(one.start, top.end), one.end, one.user)


def _clipped(one: Entry, since: datetime, until: datetime) -> Entry:
    return Entry(max(one.start, since), min(one.end, until), one.user)


def _version_entries(layer: Mapping[str, Any], zone: ZoneInfo, window: Window) -> Iterator[Entry]:
    since = max(window.since, moment(layer["start"]))
    until = min(window.until, moment(layer["end"])) if layer.get("end") else window.until
    if since >= until or not layer["users"]:
        return
    turns = list(_turns(layer, zone, since, until))
    if not layer.get("restrictions"):
        yield from turns
        return
    allowed = list(_allowed(layer["restrictions"], zone, since, until))
    for turn in turns:
        for start, end in allowed:
            part = _clipped(turn, start, end)
            if part.start < part.end:
                yield part


def _turns(layer: Mapping[str, Any], zone: ZoneInfo, since: datetime, until: datetime) -> Iterator[Entry]:
    """Yield the turns between two moments, truncated to them."""
    length, users = layer["rotation_turn_length_seconds"], layer["users"]
    virtual = moment(layer["rotation_virtual_start"])

    def begins(turn: int) -> datetime:
        if length % _DAY_S:
            return virtual + turn * timedelta(seconds=length)
        local = virtual.astimezone(zone).replace(tzinfo=None) + turn * timedelta(seconds=length)
        return local.replace(tzinfo=zone).astimezone(UTC)

    number = int((since - virtual).total_seconds() // length) - 1  # a change of the clock moves it by one
    while begins(number) < until:
        turn = _clipped(Entry(begins(number), begins(number + 1), users[number % len(users)]), since, until)
        if turn.start < turn.end:
            yield turn
        number += 1


def _allowed(
    restrictions: Iterable[Mapping[str, Any]], zone: ZoneInfo, since: datetime, until: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the periods to which daily and weekly restrictions (1: Monday) limit a layer; none overlap."""
    found = []
    for one in restrictions:
        length = timedelta(seconds=one["duration_seconds"])
        day = (since - length).astimezone(zone).date() - timedelta(days=1)
        while day <= until.astimezone(zone).date():
            if one["type"] == "daily_restriction" or day.isoweekday() == one["start_day_of_week"]:
                begin = datetime.combine(day, time.fromisoformat(one["start_time_of_day"]))
                found.append((_instant(begin, zone), _instant(begin + length, zone)))
            day += timedelta(days=1)
    reached = since
    for start, end in sorted(found):
        if max(start, reached) < min(end, until):
            yield max(start, reached), min(end, until)
            reached = min(end, until)


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    return local.replace(tzinfo=zone).astimezone(UTC)
