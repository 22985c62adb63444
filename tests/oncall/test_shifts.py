"""Who is on call, held against a calculation minute by minute."""

from __future__ import annotations

import functools
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bais_gates.oncall import shifts
from bais_gates.oncall.provider import Shift
from tests.oncall.rotations import NAMES, rotation

if TYPE_CHECKING:
    from bais_gates.oncall.rotation import Rotation

YEAR = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OTHER_ZONES = ("America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca")
"""Clocks that change at different hours, by half an hour, on the southern half, around Ramadan, never."""
MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


def person(name: str) -> str:
    """Return the address of somebody in the tests' file."""
    return f"{name.lower()}@bais.example"


@functools.cache
def wall_clock(zone: str) -> dict[datetime, int]:
    """Return the first minute of the year (and of some days around it) at which a clock shows each time."""
    shown: dict[datetime, int] = {}
    info = ZoneInfo(zone)
    began = int(YEAR[0].timestamp())
    for minute in range(-30 * 1440, 395 * 1440):
        shown.setdefault(datetime.fromtimestamp(began + 60 * minute, info).replace(tzinfo=None), minute)
    return shown


def minute_of(zone: str, local: datetime) -> int:
    """Return the minute of the year at which a clock first shows a time, or would, unchanged."""
    shown, skipped = wall_clock(zone), 0
    while local not in shown:
        local, skipped = local - MINUTE, skipped + 1
    return shown[local] + skipped


def by_the_minute(it: Rotation, tier: int) -> list[str]:
    """Return who has the turn in each minute of the year, from nothing but the clock and the list."""
    people = it.tiers[tier].people
    starts: dict[int, int] = {}
    for number in range(-28 // it.turn_days, 366 // it.turn_days + 1):
        day = it.first_turn + timedelta(days=number * it.turn_days)
        starts[minute_of(it.time_zone, datetime.combine(day, it.handover_time))] = number
    found: list[str] = []
    turn = 0
    for minute in range(min(starts), 365 * 1440):
        turn = starts.get(minute, turn)
        found.append(people[turn % len(people)])
    return found[-min(starts) :]


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", *(pytest.param(zone, marks=pytest.mark.nightly) for zone in OTHER_ZONES)]
)
@settings(max_examples=30 if settings.get_current_profile_name() == "nightly" else 3)
@given(
    turn_days=st.sampled_from([1, 2, 7, 14]),
    hour=st.integers(0, 23),
    half=st.sampled_from([0, 30, 59]),
    first=st.integers(0, 13),
    size=st.integers(3, 8),
    absent=st.lists(st.tuples(st.integers(0, 350), st.integers(1, 20), st.sampled_from(NAMES)), max_size=3),
)
def test_shifts_are_those_of_a_calculation_minute_by_minute(  # noqa: PLR0917 - hypothesis draws them
    tmp_path_factory: pytest.TempPathFactory,
    zone: str,
    turn_days: int,
    hour: int,
    half: int,
    first: int,
    size: int,
    absent: list[tuple[int, int, str]],
) -> None:
    """Over a year with both changes of the clocks no minute differs, and nobody is on call while absent."""
    away: dict[str, tuple[date, date]] = {}
    for day, days, name in absent:
        since = date(2026, 1, 1) + timedelta(days=day)
        away.setdefault(name, (since, since + timedelta(days=days)))
    away = dict(list(away.items())[: size - 2])
    it = rotation(
        tmp_path_factory.mktemp("rotation"),
        time_zone=zone,
        turn_days=turn_days,
        handover={"time": f"{hour:02}:{half:02}"},
        first_turn=f"2026-01-{first + 1:02}",
        tiers={"primary": {"people": list(NAMES[:size]), "after_minutes": 0}},
        absences=[{"person": name, "from": f"{a}", "until": f"{b}"} for name, (a, b) in away.items()],
    )
    wanted = by_the_minute(it, 0)
    missing = {
        name: (minute_of(zone, datetime.combine(a, time(0))), minute_of(zone, datetime.combine(b, time(0))))
        for name, (a, b) in away.items()
    }
    for minute, name in enumerate(wanted):
        if name in missing:
            order = NAMES[NAMES.index(name) : size] + NAMES[: NAMES.index(name)]
            gone = {who for who, (a, b) in missing.items() if a <= minute < b}
            wanted[minute] = next(who for who in order if who not in gone)

    found = shifts.expected(it, *YEAR)["primary"]

    assert shifts.gaps(found, *YEAR) == ()
    assert all(one.end <= other.start and one.person != other.person for one, other in pairwise(found))
    assert shifts.while_absent(it, found) == ()
    got = [it.name_of[one.person] for one in found for _ in range(round((one.end - one.start) / MINUTE))]
    assert got == wanted


@pytest.mark.parametrize(
    ("zone", "local", "utc"),
    [
        ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:30"),
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30"),
        ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:45"),
    ],
)
def test_a_hand_over_that_the_clock_skips_or_shows_twice(
    tmp_path: Path, zone: str, local: str, utc: str
) -> None:
    """A skipped time counts by the offset before the change, one that is shown twice the first time."""
    day, at = local.split("T")
    it = rotation(tmp_path, time_zone=zone, handover={"time": at}, first_turn=day, turn_days=1)

    start = datetime.fromisoformat(utc).replace(tzinfo=UTC)

    assert it.start_of_turn(0) == start
    assert it.turn_at(start) == 0
    assert it.turn_at(start - MINUTE) == -1
    assert it.next_handover(start - MINUTE) == start


def test_a_cover_is_whom_the_absence_names_or_the_next_who_is_free(tmp_path: Path) -> None:
    """Of the tier, and neither absent nor on another tier; the turns of others stay where they are."""
    away = {"from": "2026-03-02", "until": "2026-03-16"}
    it = rotation(
        tmp_path,
        tiers={
            "primary": {"people": ["Ada", "Ben", "Cleo", "Dan"], "after_minutes": 0},
            "secondary": {"people": ["Eva", "Finn", "Gus", "Hal"], "after_minutes": 5},
        },
        absences=[{"person": "Ada", "covered_by": "Gus"} | away, {"person": "Finn"} | away],
    )
    until = MONDAY + timedelta(days=13)
    regular = {tier.name: shifts.turns(it, tier, MONDAY, until) for tier in it.tiers}

    found = shifts.expected(it, MONDAY, until)

    assert [it.name_of[one.person] for one in regular["primary"]] == ["Ada", "Ben"]
    assert [it.name_of[one.person] for one in found["primary"]] == ["Gus", "Ben"]
    assert [it.name_of[one.person] for one in regular["secondary"]] == ["Eva", "Finn"]
    assert [it.name_of[one.person] for one in found["secondary"]] == ["Eva", "Gus"]


def test_what_is_on_call_now_can_replace_the_turns(tmp_path: Path) -> None:
    """Covers are found for shifts from elsewhere, too: for the absent and for whoever is on two tiers."""
    it = rotation(tmp_path, absences=[{"person": "Ada", "from": "2026-03-02", "until": "2026-03-03"}])
    until = MONDAY + timedelta(days=2)
    kept = {
        "primary": (Shift(MONDAY, until, person("Ada")),),
        "secondary": (Shift(MONDAY, until, person("Dan")),),
        "manager": (Shift(MONDAY, until, person("Dan")),),
    }
    midnight = datetime(2026, 3, 2, 23, tzinfo=UTC)

    found = shifts.expected(it, MONDAY, until, kept)

    assert found["primary"] == (Shift(MONDAY, midnight, person("Ben")), Shift(midnight, until, person("Ada")))
    assert found["secondary"] == kept["secondary"]
    assert found["manager"] == (Shift(MONDAY, until, person("Eva")),)


def test_gaps_overlaps_and_differences_are_found() -> None:
    """The whole window without a shift, an hour between two, one person on two tiers, another than is due."""
    hours = [MONDAY + timedelta(hours=n) for n in range(5)]
    one = (Shift(hours[0], hours[1], "a"), Shift(hours[2], hours[4], "b"))
    other = (Shift(hours[1], hours[3], "b"), Shift(hours[3], hours[4], "c"))

    assert shifts.gaps((), hours[0], hours[4]) == ((hours[0], hours[4]),)
    assert shifts.gaps(one, hours[0], hours[4]) == ((hours[1], hours[2]),)
    assert shifts.gaps((*one, *other), hours[0], hours[4]) == ()
    assert shifts.overlaps({"x": one, "y": other}) == (shifts.Overlap(hours[2], hours[3], "b", ("y", "x")),)
    assert shifts.differences(one, other, hours[0], hours[4]) == (
        shifts.Difference(hours[0], hours[1], "a", None),
        shifts.Difference(hours[1], hours[2], None, "b"),
        shifts.Difference(hours[3], hours[4], "b", "c"),
    )
    assert shifts.seconds_on_call(one) == {"a": 3600, "b": 7200}
    assert shifts.person_at(one, hours[1]) is None
    assert shifts.person_at(one, hours[2]) == "b"


def test_turns_are_balanced_within_one_over_90_days(tmp_path: Path) -> None:
    """Nobody on a tier has over a turn more than another, whatever the day on which one begins to count."""
    it = rotation(tmp_path)
    for day in range(0, 40, 3):
        since = MONDAY + timedelta(days=day)
        found = shifts.expected(it, since, since + timedelta(days=90))["primary"]
        seconds = shifts.seconds_on_call(found).values()

        assert (max(seconds) - min(seconds)) / 86400 / it.turn_days <= 1 + 1 / 24 / it.turn_days
