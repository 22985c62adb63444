"""The text of values, checks and times."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.reports import wording
from bais_gates.verdict.model import Check, Op


def _check(observed: object, limit: object, *, ok: bool | None = False, **more: object) -> Check:
    return Check(name="p95", observed=observed, op=Op.LE, limit=limit, ok=ok, **more)  # type: ignore[arg-type]  # built from a table


@pytest.mark.parametrize(
    ("number", "text"),
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
def test_numbers_are_short(number: float, text: str) -> None:
    """A number has four significant digits or all of its whole ones."""
    assert wording.number(number) == text


@given(st.one_of(st.integers(), st.floats()))
def test_any_number_is_short(number: float) -> None:
    """No number takes more than a few characters."""
    assert 0 < len(wording.number(number)) < 40


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"observed": 212.41, "limit": 200, "unit": "ms", "n": 300}, "212.4 ms (limit 200 ms, 300 samples)"),
        ({"observed": 3, "op": Op.GE, "limit": 5}, "3 (minimum 5)"),
        ({"observed": 100, "op": Op.LT, "limit": 100}, "100 (must be below 100)"),
        ({"observed": 0, "op": Op.GT, "limit": 0, "n": 1}, "0 (must be above 0, 1 sample)"),
        ({"observed": 200, "op": Op.EQ, "limit": 200, "ok": True}, "200"),
        ({"observed": 503, "op": Op.EQ, "limit": 200}, "503 (expected 200)"),
        ({"observed": "200", "op": Op.EQ, "limit": 200}, '"200" (expected 200)'),
        ({"observed": True, "op": Op.EQ, "limit": False}, "yes (expected no)"),
        ({"observed": "", "op": Op.NE, "limit": ""}, '"" (must not be "")'),
        ({"observed": "TLSv1", "op": Op.IN, "limit": ["a", "b"]}, "TLSv1 (expected one of a, b)"),
        ({"observed": "x", "op": Op.IN, "limit": "private"}, "x (must be contained in private)"),
        ({"observed": "5", "op": Op.MATCHES, "limit": "[a-z]+"}, "5 (must match [a-z]+)"),
        ({"observed": [], "op": Op.EQ, "limit": [], "n": 100, "ok": True}, "none of 100"),
        ({"observed": {}, "op": Op.EQ, "limit": {}, "ok": True}, "none"),
        ({"observed": 0, "limit": 0, "n": 26, "ok": True}, "none of 26"),
        ({"observed": 3, "op": Op.EQ, "limit": 0, "n": 26}, "3 of 26 (expected none)"),
        ({"observed": ["a", "b"], "op": Op.EQ, "limit": [], "n": 9}, "2 of 9 (expected none): a, b"),
        ({"observed": ["a" * 99] * 3, "op": Op.EQ, "limit": []}, f"3 (expected none): {99 * 'a'} and 2 more"),
        ({"observed": ["a, b", "c"], "op": Op.EQ, "limit": []}, "2 (expected none): a, b; c"),
        ({"observed": {"x": 1, "y": 2}, "op": Op.EQ, "limit": {"x": 1}}, "1 differs: y: 2"),
        ({"observed": {"x": 1}, "op": Op.EQ, "limit": {"x": 2}}, "1 differs: x: 1 (expected 2)"),
        ({"observed": {"x": 500}, "op": Op.EQ, "limit": {}, "n": 4}, "1 of 4 (expected none): x: 500"),
        ({"observed": [201, 201], "op": Op.EQ, "limit": [201, 409]}, "201, 201 (expected 201, 409)"),
        ({"observed": "nan", "limit": 200, "ok": None, "unit": "ms"}, "not measured (limit 200 ms)"),
        ({"observed": math.nan, "limit": 2, "ok": None, "source": "busy"}, "not measured (limit 2): busy"),
        ({"observed": None, "limit": 5, "ok": None, "n": 3, "n_min": 20}, "3 of 20 samples (limit 5)"),
        ({"observed": 2, "limit": 5, "ok": None, "n": 0}, "0 of 1 sample (observed 2, limit 5)"),
        ({"observed": "bad op", "op": Op.EQ, "limit": None, "ok": None}, "not comparable: bad op"),
    ],
)  # fmt: skip
def test_a_comparison_is_what_a_person_would_write(fields: dict[str, Any], text: str) -> None:
    """A comparison has the observed value first, then the limit and the samples; lists are counted."""
    check = Check(**{"name": "x", "op": Op.LE, "ok": False, **fields})
    assert wording.comparison(check) == text
    assert wording.check_text(check) == f"x: {text}"


@given(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.integers())
    )
)
def test_any_check_has_text(observed: Any) -> None:
    """Whatever was observed and compared has a text, also with values that JSON lacks."""
    for op in Op:
        for ok in (True, False, None):
            check = Check(name="x", observed=observed, op=op, limit=observed, ok=ok, n=1)
            assert wording.comparison(check)


def test_rounding_never_makes_a_false_check_look_true() -> None:
    """Where rounding would show two equal numbers, all digits are shown."""
    assert wording.comparison(_check(200.00001, 200.0)) == "200.00001 (limit 200.0)"


def test_a_huge_value_is_cut() -> None:
    """An observed text of a megabyte takes a few hundred characters."""
    assert len(wording.comparison(_check("x" * 1_000_000, "y"))) < 600


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.085, "85 ms"), (3.21, "3.2 s"), (245, "4 min 05 s"), (7380, "2 h 03 min"), (math.nan, "unknown")],
)
def test_durations(seconds: float, text: str) -> None:
    """A duration has the unit that a person would use."""
    assert wording.duration(seconds) == text


def test_moments_are_utc() -> None:
    """A moment of another zone is written in UTC."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert wording.moment(at) == "2026-01-02 01:04:05 UTC"
    assert wording.moment(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02 00:00:00 UTC"
