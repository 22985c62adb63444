"""Schedules of the stand-in for PagerDuty, against cases computed by hand and a slow calculation."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bais_gates.sandbox.oncall.rendering import (
    Entry,
    Window,
    final_entries,
    layer_entries,
    moment,
    overlaid,
    override_entries,
)

WEEK = 604_800
BERLIN = ZoneInfo("Europe/Berlin")


def layer(start: str, *users: str, length: int = WEEK, **more: Any) -> dict[str, Any]:
    """Return a layer that begins with its first user's turn."""
    own = {"start": start, "rotation_virtual_start": start, "rotation_turn_length_seconds": length}
    return {**own, "users": list(users), "end": None, "restrictions": [], **more}


def window(since: str, until: str, *, overflow: bool = False) -> Window:
    """Return a window of two moments in UTC."""
    return Window(moment(f"{since}Z"), moment(f"{until}Z"), overflow)


def shown(entries: list[Entry]) -> list[str]:
    """Return entries as texts in UTC."""
    return [f"{one.start:%m-%d %H:%M} {one.end:%m-%d %H:%M} {one.user}" for one in entries]


@pytest.mark.parametrize(
    ("zone", "start", "since", "until", "handovers"),
    [
        # Berlin, Monday 09:00: 07:00 UTC in summer, 08:00 in winter.
        ("Europe/Berlin", "2026-10-05T07:00:00Z", "2026-10-06T00:00", "2026-11-10T00:00",
         ["10-12 07:00", "10-19 07:00", "10-26 08:00", "11-02 08:00", "11-09 08:00"]),
        ("Europe/Berlin", "2027-03-08T08:00:00Z", "2027-03-09T00:00", "2027-04-13T00:00",
         ["03-15 08:00", "03-22 08:00", "03-29 07:00", "04-05 07:00", "04-12 07:00"]),
        # New York, Monday 09:00: 13:00 UTC in summer, 14:00 in winter.
        ("America/New_York", "2026-10-19T13:00:00Z", "2026-10-20T00:00", "2026-11-17T00:00",
         ["10-26 13:00", "11-02 14:00", "11-09 14:00", "11-16 14:00"]),
        ("America/New_York", "2027-03-01T14:00:00Z", "2027-03-02T00:00", "2027-03-30T00:00",
         ["03-08 14:00", "03-15 13:00", "03-22 13:00", "03-29 13:00"]),
        # Sunday 02:30 is skipped in Berlin on 2027-03-28, and is there twice on 2026-10-25.
        ("Europe/Berlin", "2027-03-21T01:30:00Z", "2027-03-22T00:00", "2027-04-05T00:00",
         ["03-28 01:30", "04-04 00:30"]),
        ("Europe/Berlin", "2026-10-18T00:30:00Z", "2026-10-19T00:00", "2026-11-02T00:00",
         ["10-25 00:30", "11-01 01:30"]),
    ],
)  # fmt: skip
def test_turns_of_a_week_keep_their_local_time(
    zone: str, start: str, since: str, until: str, handovers: list[str]
) -> None:
    """Where the clock is put forward or back, a turn is an hour shorter or longer."""
    entries = layer_entries(layer(start, "a", "b", "c"), ZoneInfo(zone), window(since, until))

    assert [f"{one.end:%m-%d %H:%M}" for one in entries[:-1]] == handovers
    assert [one.user for one in entries] == list("abcabcabc")[: len(entries)]
    assert all(one.end == two.start for one, two in itertools.pairwise(entries))


def test_turns_of_hours_have_their_length_in_seconds() -> None:
    """A turn of twelve hours has twelve hours also in the night in which the clock is put forward."""
    half = layer("2027-03-27T18:00:00Z", "a", "b", length=43_200)
    assert shown(layer_entries(half, BERLIN, window("2027-03-27T12:00", "2027-03-28T18:00"))) == [
        "03-27 18:00 03-28 06:00 a",
        "03-28 06:00 03-28 18:00 b",
    ]


def test_the_virtual_start_counts_turns_and_the_start_begins_them() -> None:
    """A layer that begins within the second turn begins with the second user, and ends with its end."""
    own = layer("2026-06-10T12:00:00Z", "a", "b", rotation_virtual_start="2026-06-01T07:00:00Z")
    own["end"] = "2026-06-20T00:00:00Z"
    expected = ["06-10 12:00 06-15 07:00 b", "06-15 07:00 06-20 00:00 a"]
    assert shown(layer_entries(own, BERLIN, window("2026-06-01T00:00", "2026-07-01T00:00"))) == expected
    before = layer("2026-06-10T12:00:00Z", "a", "b", "c", rotation_virtual_start="2026-06-22T07:00:00Z")
    assert shown(layer_entries(before, BERLIN, window("2026-06-01T00:00", "2026-06-16T00:00"))) == [
        "06-10 12:00 06-15 07:00 b",
        "06-15 07:00 06-16 00:00 c",
    ]


def test_overflow_shows_whole_entries() -> None:
    """Entries are truncated to the window, unless they may overflow; coverage is of the window alone."""
    own = {"layers": [layer("2026-06-01T07:00:00Z", "a", "b")], "overrides": []}
    short, whole = (window("2026-06-03T00:00", "2026-06-04T00:00", overflow=flag) for flag in (False, True))
    assert shown(final_entries(own, BERLIN, short)) == ["06-03 00:00 06-04 00:00 a"]
    assert shown(final_entries(own, BERLIN, whole)) == ["06-01 07:00 06-08 07:00 a"]
    assert whole.coverage(final_entries(own, BERLIN, whole)) == 100
    early = window("2026-05-31T07:00", "2026-06-02T07:00")
    assert early.coverage(final_entries(own, BERLIN, early)) == 50
    assert early.coverage([]) == 0


def test_restrictions_limit_a_layer() -> None:
    """By day and by week in local time, over midnight, and twice the same period only once."""
    daily = {"type": "daily_restriction", "start_time_of_day": "22:00:00", "duration_seconds": 28_800}
    own = layer("2026-10-23T00:00:00Z", "a", restrictions=[daily, daily])
    assert shown(layer_entries(own, BERLIN, window("2026-10-24T00:00", "2026-10-26T00:00"))) == [
        "10-24 00:00 10-24 04:00 a",
        "10-24 20:00 10-25 05:00 a",  # nine hours: the clock is put back
        "10-25 21:00 10-26 00:00 a",
    ]
    weekly = {**daily, "type": "weekly_restriction", "start_day_of_week": 6}
    own = layer("2026-10-01T00:00:00Z", "a", restrictions=[weekly])
    found = layer_entries(own, BERLIN, window("2026-10-17T00:00", "2026-10-26T00:00"))
    assert shown(found) == ["10-17 20:00 10-18 04:00 a", "10-24 20:00 10-25 05:00 a"]


def test_later_layers_and_overrides_win() -> None:
    """The last override wins, then the last layer; below both, what they leave is shown."""
    own = {
        "layers": [
            layer("2026-06-01T07:00:00Z", "a"),
            layer("2026-06-02T00:00:00Z", "b", end="2026-06-03T00:00:00Z"),
        ],
        "overrides": [
            {"start": "2026-06-02T12:00:00Z", "end": "2026-06-03T12:00:00Z", "user": "c"},
            {"start": "2026-06-03T06:00:00Z", "end": "2026-06-03T09:00:00Z", "user": "d"},
        ],
    }
    period = window("2026-06-01T12:00", "2026-06-04T00:00")
    assert shown(final_entries(own, BERLIN, period)) == [
        "06-01 12:00 06-02 00:00 a",
        "06-02 00:00 06-02 12:00 b",
        "06-02 12:00 06-03 06:00 c",
        "06-03 06:00 06-03 09:00 d",
        "06-03 09:00 06-03 12:00 c",
        "06-03 12:00 06-04 00:00 a",
    ]
    assert len(override_entries(own["overrides"], period)) == 3


HOURS = st.integers(0, 24 * 21)


@st.composite
def schedules(draw: st.DrawFn) -> dict[str, Any]:
    """Return a schedule with any layers and overrides within three weeks around a change of the clock."""
    began = datetime(2026, 10, 12, tzinfo=UTC)

    def at() -> str:
        return (began + timedelta(hours=draw(HOURS))).isoformat()

    layers = [
        layer(
            at(),
            *draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3)),
            length=draw(st.sampled_from([3_600, 43_200, 86_400, WEEK])),
            rotation_virtual_start=at(),
            end=draw(st.sampled_from([None, at()])),
        )
        for _ in range(draw(st.integers(0, 3)))
    ]
    overrides = [
        {"start": at(), "end": at(), "user": draw(st.sampled_from("xy"))}
        for _ in range(draw(st.integers(0, 3)))
    ]
    return {"layers": layers, "overrides": overrides}


def slowly(schedule: dict[str, Any], zone: ZoneInfo, when: datetime) -> str | None:
    """Return who is on call at a moment, by counting turns up or down one by one."""
    for one in reversed(schedule["overrides"]):
        if moment(one["start"]) <= when < moment(one["end"]):
            return str(one["user"])
    for one in reversed(schedule["layers"]):
        if when < moment(one["start"]) or (one["end"] and when >= moment(one["end"])):
            continue
        length, turn = timedelta(seconds=one["rotation_turn_length_seconds"]), 0
        virtual = moment(one["rotation_virtual_start"])

        def begins(turn: int, length: timedelta = length, virtual: datetime = virtual) -> datetime:
            if length.seconds:
                return virtual + turn * length
            local = virtual.astimezone(zone).replace(tzinfo=None) + turn * length
            return local.replace(tzinfo=zone).astimezone(UTC)

        while begins(turn) > when:
            turn -= 1
        while begins(turn + 1) <= when:
            turn += 1
        return str(one["users"][turn % len(one["users"])])
    return None


@settings(max_examples=20, deadline=None)
@given(schedules(), st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu"]), st.booleans())
def test_what_is_rendered_is_who_is_on_call(schedule: dict[str, Any], name: str, overflow: bool) -> None:
    """At every half past an hour one entry at most has the moment, and its user is the one by counting."""
    zone, period = ZoneInfo(name), window("2026-10-20T00:00", "2026-10-28T00:00", overflow=overflow)
    entries = final_entries(schedule, zone, period)
    assert entries == sorted(entries)
    when = period.since + timedelta(minutes=30)
    while when < period.until:
        found = [one.user for one in entries if one.start <= when < one.end]
        assert found == [one for one in [slowly(schedule, zone, when)] if one is not None]
        when += timedelta(hours=1)


def test_nothing_is_lost_below_nothing() -> None:
    """An entry of no length changes nothing."""
    one = Entry(moment("2026-06-01T00:00:00Z"), moment("2026-06-02T00:00:00Z"), "a")
    assert overlaid([one], [Entry(one.start + timedelta(hours=1), one.start + timedelta(hours=1), "b")]) == [
        one
    ]
