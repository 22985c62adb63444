"""Freeze windows: when they refuse a deploy, and what is wrong with a file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.errors import GateInputError
from bais_gates.rollout.errors import Refused
from bais_gates.rollout.freezes import Freeze, Override, load_freezes, read_override, require_no_freeze

FREEZE = """\
freezes:
  - start: {start}
    end: {end}
    zone: {zone}
    reason: The team is away over the holidays.
    environments: [production]
    may_override: [Dana Whitfield]
"""
REPOSITORY = Path(__file__).parents[2] / "gates" / "rollout" / "freezes.yaml"


def write(folder: Path, *, start: str = "2026-12-18T18:00", end: str = "2027-01-04T08:00", zone: str) -> Path:
    """Write a file with one freeze."""
    file = folder / "freezes.yaml"
    file.write_text(FREEZE.format(start=start, end=end, zone=zone))
    return file


def moment(text: str) -> datetime:
    """Return a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "frozen"),
    [
        ("2026-12-18T16:59:59", False),
        ("2026-12-18T17:00", True),
        ("2027-01-04T06:59:59", True),
        ("2027-01-04T07:00", False),
    ],
)
def test_a_freeze_is_a_time_of_its_zone(tmp_path: Path, now: str, frozen: bool) -> None:
    """In winter Berlin is an hour ahead of UTC; the end is outside."""
    file = write(tmp_path, zone="Europe/Berlin")
    if not frozen:
        require_no_freeze(file, "production", now=moment(now))
        return
    with pytest.raises(Refused, match=r"frozen until 2027-01-04 07:00 UTC: The team is away .* Dana Whit"):
        require_no_freeze(file, "production", now=moment(now))
    require_no_freeze(file, "staging", now=moment(now))


def test_only_who_may_overrides_it(tmp_path: Path) -> None:
    """Another name is refused."""
    file, now = write(tmp_path, zone="UTC"), moment("2026-12-24T12:00")
    reason = "A card number leaks."

    require_no_freeze(file, "production", now=now, override=Override(by="Dana Whitfield", reason=reason))
    with pytest.raises(Refused):
        require_no_freeze(file, "production", now=now, override=Override(by="Alex Meyer", reason=reason))


@pytest.mark.parametrize(("by", "reason"), [("Dana Whitfield", None), (" ", "why"), ("Dana", " ")])
def test_an_override_needs_person_and_reason(by: str, reason: str | None) -> None:
    """A reason alone is no override."""
    assert read_override(None, "why") is None
    with pytest.raises(GateInputError, match="needs a person, and a --reason"):
        read_override(by, reason)


def test_a_repeated_hour_is_frozen_both_times(tmp_path: Path) -> None:
    """Clocks go back at 03:00 on 2026-10-25: 02:30 exists twice, and is before the end both times."""
    file = write(tmp_path, start="2026-10-25T02:15", end="2026-10-25T02:30", zone="Europe/Berlin")
    (freeze,) = load_freezes(file)

    assert (freeze.start, freeze.end) == (moment("2026-10-25T00:15"), moment("2026-10-25T01:30"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"zone": "Europe/Nowhere"}, r":4: freezes\[0\]\.zone: unknown time zone"),
        ({"zone": "../../etc/passwd"}, "unknown time zone"),
        ({"zone": "UTC", "start": "2026-02-30T10:00"}, r":2: freezes\[0\]\.start: no such day"),
        ({"zone": "UTC", "start": "2026-12-18"}, r"freezes\[0\]\.start"),
        ({"zone": "UTC", "end": "2026-12-18T17:00"}, r":3: freezes\[0\]\.end: must be after start"),
    ],
)
def test_a_file_that_is_wrong_stops_the_deploy(tmp_path: Path, change: dict[str, str], words: str) -> None:
    """The error names file, line and key; a freeze that can't be read never lets a deploy through."""
    with pytest.raises(GateInputError, match=words):
        load_freezes(write(tmp_path, **change))


def test_the_suite_s_file_is_valid() -> None:
    """The file that ships has no freeze."""
    assert load_freezes(REPOSITORY) == ()


@given(st.integers(-5000, 5000), st.integers(1, 5000))
def test_it_holds_from_its_start_until_before_its_end(offset: int, length: int) -> None:
    """Whatever the time."""
    start = moment("2026-12-18T18:00")
    end, now = start + timedelta(minutes=length), start + timedelta(minutes=offset)
    freeze = Freeze(start=start, end=end, reason="r", environments=(), may_override=())

    assert freeze.applies("production", now) is (0 <= offset < length)
