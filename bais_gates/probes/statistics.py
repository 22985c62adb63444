"""Percentiles by one stated definition, safe against empty and unknown samples.

The definition is the nearest rank: the p-th percentile of n samples is the smallest sample such that at least
p per cent of all samples are not above it, i.e. the ceil(p / 100 * n)-th smallest. It is always a sample that
was really measured; nothing is interpolated and nothing rounded into the limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def percentile(samples: Sequence[float], p: float) -> float:
    """Give the ``p``-th percentile (0 < p <= 100) of ``samples`` by nearest rank.

    NaN when there is no sample, or when any sample is NaN: what is partly unknown has no known rank. An
    infinite sample is ordered like any other, so an answer that never came is the slowest one.
    """
    if not 0 < p <= 100:
        raise ValueError(f"a percentile lies in (0, 100], not {p!r}")
    if not samples or any(math.isnan(sample) for sample in samples):
        return math.nan
    # Exact arithmetic: in floats 0.07 * 100 is 7.000000000000001, and its ceiling one rank too far.
    rank = math.ceil(Fraction(str(p)) * len(samples) / 100)
    return sorted(samples)[rank - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is said of a set of samples, all in the samples' own unit; NaN throughout when it is empty."""

    n: int
    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, samples: Iterable[float]) -> Summary:
        """Summarise ``samples``."""
        ordered = sorted(samples)
        return cls(
            n=len(ordered),
            p50=percentile(ordered, 50),
            p95=percentile(ordered, 95),
            p99=percentile(ordered, 99),
            max=percentile(ordered, 100),
        )
