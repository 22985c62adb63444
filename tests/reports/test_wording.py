"""How values, checks and times are said."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.reports import wording
from bais_gates.verdict.model import Check, Op


def _check(observed: object, limit: object, *, ok: bool | None = False, **more: object) -> Check:
    return Check(name="p95", observed=observed, op=Op.LE, limit=limit, ok=ok, **more)  # type: ignore[arg-type]  # built from a table


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (200, "200"),
        (1234567, "1,234,567"),
        (12.4137, "12.41"),
        (0.99951, "0.9995"),
        (212.0, "212"),
        (0.0, "0"),
        (-3.5, "-3.5"),
        (1.5e-9, "1.5e-09"),
        (2.5e20, "2.5e+20"),
        (math.nan, "not a number"),
        (math.inf, "infinite"),
    ],
)
def test_numbers_are_short(number: float, said: str) -> None:
    """A number is said with four significant digits or all of its whole ones."""
    assert wording.number(number) == said


@given(st.one_of(st.integers(), st.floats()))
def test_any_number_can_be_said(number: float) -> None:
    """No number is too large, small or strange to be said in a few characters."""
    assert 0 < len(wording.number(number)) < 40


def test_a_check_is_one_line_with_its_samples() -> None:
    """A comparison reads observed, operator, limit, unit, and the samples it rests on."""
    assert wording.comparison(_check(212.41, 200, unit="ms", n=300)) == "212.4 <= 200 ms (n 300)"
    assert (
        wording.comparison(_check(None, 5, ok=None, unit="s", n=3, n_min=20))
        == "no value <= 5 s (n 3, needs 20)"
    )


def test_rounding_never_makes_a_false_check_look_true() -> None:
    """Where rounding would show two equal numbers, all digits are shown."""
    assert wording.comparison(_check(200.00001, 200.0)) == "200.00001 <= 200.0"


def test_a_huge_value_is_cut() -> None:
    """An observed text of a megabyte takes a few hundred characters."""
    assert len(wording.comparison(_check("x" * 1_000_000, "y"))) < 600


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.085, "85 ms"), (3.21, "3.2 s"), (245, "4 min 05 s"), (7380, "2 h 03 min"), (math.nan, "unknown")],
)
def test_durations(seconds: float, said: str) -> None:
    """A duration is said in the unit that a person would use."""
    assert wording.duration(seconds) == said


def test_moments_are_utc() -> None:
    """A moment of another zone is said in UTC."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert wording.moment(at) == "2026-01-02 01:04:05 UTC"
    assert wording.moment(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02 00:00:00 UTC"
