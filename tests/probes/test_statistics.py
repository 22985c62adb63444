"""Percentiles by nearest rank; unknown samples give NaN."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.probes.statistics import Summary, percentile

samples = st.lists(st.floats(min_value=0, max_value=1e9), min_size=1, max_size=300)
percents = st.floats(min_value=0.01, max_value=100)


@given(samples, percents)
def test_nearest_rank(values: list[float], p: float) -> None:
    """At least p percent of the samples are at or below the percentile, and fewer are below."""
    found = percentile(values, p)

    assert found in values
    assert sum(v <= found for v in values) * 100 >= p * len(values) * (1 - 1e-12)
    assert sum(v < found for v in values) * 100 < p * len(values) * (1 + 1e-12)


@given(samples, st.randoms(use_true_random=False))
def test_order_never_matters(values: list[float], random: object) -> None:
    """The order of the samples does not change the summary."""
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random, which hypothesis hands out untyped

    assert Summary.of(values) == Summary.of(shuffled)


@given(samples, st.integers(0, 299), st.floats(min_value=0, max_value=1e9), percents)
def test_a_slower_sample_never_lowers_a_percentile(
    values: list[float], at: int, added: float, p: float
) -> None:
    """Percentiles are monotonic in each sample."""
    slower = list(values)
    slower[at % len(values)] += added

    assert percentile(slower, p) >= percentile(values, p)


@pytest.mark.parametrize(
    ("p", "expected"),
    [(1, 1), (7, 7), (50, 50), (95, 95), (95.1, 96), (99, 99), (99.9, 100), (100, 100)],
)
def test_ranks_are_exact(p: float, expected: int) -> None:
    """The p-th percentile of 1..100 is p: floating point does not shift the rank."""
    assert percentile(range(1, 101), p) == expected


def test_no_sample_has_no_percentile() -> None:
    """Without a sample, n is 0 and all percentiles are NaN."""
    summary = Summary.of([])

    assert summary.n == 0
    assert all(math.isnan(x) for x in (summary.p50, summary.p95, summary.p99, summary.max))


@given(samples, st.integers(0, 300))
def test_an_unknown_sample_makes_the_percentile_unknown(values: list[float], at: int) -> None:
    """One NaN makes every percentile NaN, at any position."""
    values.insert(at % (len(values) + 1), math.nan)

    assert math.isnan(percentile(values, 50))
    assert math.isnan(Summary.of(values).max)


def test_infinity_is_the_slowest_sample() -> None:
    """It is ordered above all others."""
    assert percentile([1.0, math.inf, 2.0], 100) == math.inf
    assert percentile([1.0, math.inf, 2.0], 50) == 2.0


@pytest.mark.parametrize("p", [0, -1, 100.5, math.nan])
def test_a_percentage_out_of_range_is_an_error(p: float) -> None:
    """It is a programming error."""
    with pytest.raises(ValueError, match="percentile must be in"):
        percentile([1.0], p)
