"""Compute percentiles by nearest rank; empty or unknown samples give NaN.

The p-th percentile of n samples is the ceil(p / 100 * n)-th smallest: the smallest sample such that at least
p percent of all samples are not above it. It is always a measured sample; nothing is interpolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def percentile(samples: Sequence[float], p: float) -> float:
    """Return the ``p``-th percentile (0 < p <= 100) of ``samples`` by nearest rank.

    NaN without samples, or when any sample is NaN. An infinite sample, such as the latency of a request
    without a response, is ordered like any other.
    """
    if not 0 < p <= 100:
        raise ValueError(f"a percentile must be in (0, 100], not {p!r}")
    if not samples or any(math.isnan(sample) for sample in samples):
        return math.nan
    # Exact arithmetic, as in floats 0.07 * 100 is 7.000000000000001 and its ceiling is one rank too high.
    rank = math.ceil(Fraction(str(p)) * len(samples) / 100)
    return sorted(samples)[rank - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The number of samples and their percentiles, in the samples' unit; NaN without samples."""

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
