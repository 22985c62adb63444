"""Whether the cache gives each caller its own last value, in time, and the platform the truth about it."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from bais_gates import Evidence, Limits
from bais_gates.bais import Api, Business
from bais_gates.probes import (
    Cache,
    CacheForbiddenError,
    CacheStatistics,
    Lane,
    Measured,
    Scratch,
    Summary,
    callers_for,
    fire,
    measure,
    percentile,
)

if TYPE_CHECKING:
    from collections.abc import Callable

VALUE: Final = "/api/v1/cache/test"
STATUS: Final = "/api/v1/system/status"
READINGS: Final = 5
HIT_RATE_SLACK: Final = 1.0
"""Percentage points that the hit rate may move between the platform's look and ours."""
TURNS: Final = 6
TIMED: Final = 100
TIMED_PER_S: Final = 150.0
WARM_UP: Final = 5
READS: Final = 30
READS_PER_S: Final = 30.0
OPERATIONS_A_READ: Final = 2
"""Cache operations in one read through the API: the rate limiter's and the value's own."""


@pytest.mark.gate("acceptance.cache_functionality")
def test_cache_functionality(
    api: Api, new_business: Callable[[], Business], cache: Cache, limits: Limits, evidence: Evidence
) -> None:
    """Each caller reads back its own last value through the cache, in time; what is told of it is true."""
    one, other, third = (new_business().api for _ in range(3))
    ready = api.get("/ready", deadline_s=5.0)
    evidence.check("/ready on the cache", str(ready.field("checks", "cache")), "==", "ok", source=ready.url)

    before = cache.statistics()
    reads = alternate(one, other, evidence) + at_once(one, other, evidence)
    after = cache.statistics()
    evidence.check(
        "look-ups that hit while values were read",
        after.hits - before.hits,
        ">=",
        reads,
        n=reads,
        source="INFO stats: the platform reads from this Redis",
    )
    strangers(api, third, evidence)
    truthful(api, cache, limits, evidence)
    operations_in_time(cache, third, api, limits, evidence)


def write(caller: Api, value: str) -> list[str]:
    """Write a value; give what was wrong with the answer."""
    answer = caller.post(VALUE, json={"value": value})
    return caller.conforms(answer, "POST", VALUE) or _unless(answer.status == 200, f"status {answer.status}")


def read(caller: Api, value: str) -> list[str]:
    """Read the value; give what was wrong with the answer."""
    answer = caller.get(VALUE)
    seen = answer.field("value")
    return caller.conforms(answer, "GET", VALUE) or _unless(
        answer.status == 200 and seen == value,
        f"status {answer.status}, {str(seen)[:40]!r} for {value[:40]!r}",
    )


def _unless(right: bool, what: str) -> list[str]:  # noqa: FBT001 - reads as the sentence it is
    return [] if right else [what]


def alternate(one: Api, other: Api, evidence: Evidence) -> int:
    """Have two callers write and read in turn, also odd and long values; give the number of reads."""
    wrong: list[str] = []
    kinds = ("", "ключ 鍵 \U0001f511", "x" * 2000, '{"quoted": "\\u0000"}', "0", "null")
    for turn in range(TURNS):
        mine, theirs = (f"{kinds[(turn + k) % len(kinds)]}{secrets.token_hex(8)}" for k in range(2))
        wrong += write(one, mine) + write(other, theirs)
        wrong += read(one, mine) + read(other, theirs) + read(one, mine)
    evidence.check("values not read back by their own caller", wrong, "==", [], n=3 * TURNS)
    return 3 * TURNS


def at_once(one: Api, other: Api, evidence: Evidence) -> int:
    """Have two callers write and read at the same moment; give the number of reads."""

    def own(caller: Api) -> list[str]:
        wrong: list[str] = []
        for _ in range(TURNS):
            value = secrets.token_hex(8)
            wrong += write(caller, value) + read(caller, value)
        return wrong

    volley = fire([lambda: own(one), lambda: own(other)], deadline_s=30)
    wrong = [what for result in volley.results for what in result] + volley.errors
    evidence.check("values crossed between two callers at once", wrong, "==", [], n=2 * TURNS)
    return 2 * TURNS


def strangers(api: Api, third: Api, evidence: Evidence) -> None:
    """Check that one who wrote nothing reads nothing, and that nobody gets in without a token."""
    nothing = third.get(VALUE)
    told = nothing.field("value") if nothing.status == 200 else None
    evidence.check("value for a caller that wrote none", repr(told), "==", repr(None))
    for name, answer in (
        ("reading", api.get(VALUE)),
        ("writing", api.post(VALUE, json={"value": "stranger"})),
    ):
        evidence.check(f"status of {name} without a token", answer.status, "==", 401)


def truthful(api: Api, cache: Cache, limits: Limits, evidence: Evidence) -> None:
    """Hold what the platform says of its cache to what Redis says."""
    astray, impossible, states, latencies, violations = [], [], set(), [], []
    for _ in range(READINGS):
        early = cache.statistics()
        answer = api.get(STATUS)
        late = cache.statistics()
        told: dict[str, Any] = answer.field("cache") or {}
        states.add(str(told.get("status")))
        violations += api.conforms(answer, "GET", STATUS)
        rate, latency = told.get("hit_rate"), told.get("latency_ms")
        if not _within(rate, early, late):
            astray.append(f"told {rate!r}, Redis {100 * early.hit_rate:.2f} to {100 * late.hit_rate:.2f}")
        if not isinstance(latency, int | float) or not 0 < latency <= answer.elapsed_ms:
            impossible.append(f"{latency!r} ms of {answer.elapsed_ms:.2f} ms")
        else:
            latencies.append(float(latency))
    n = READINGS
    evidence.check("cache status told", sorted(states), "==", ["connected"], n=n)
    evidence.check("hit rates told astray", astray, "==", [], n=n, source="INFO stats")
    evidence.check("latencies told that can not have been measured", impossible, "==", [], n=n)
    evidence.check("contract violations of the status", violations, "==", [], n=n)
    evidence.check(
        "cache latency told, median",
        Summary.of(latencies).p50,
        "<=",
        limits.cache_operation_ms,
        unit="ms",
        n=len(latencies),
        n_min=n,
    )


def _within(told: object, early: CacheStatistics, late: CacheStatistics) -> bool:
    if isinstance(told, bool) or not isinstance(told, int | float):
        return False
    low, high = sorted((100 * early.hit_rate, 100 * late.hit_rate))
    return low - HIT_RATE_SLACK <= told <= high + HIT_RATE_SLACK


def operations_in_time(cache: Cache, caller: Api, api: Api, limits: Limits, evidence: Evidence) -> None:
    """Time the cache directly, and what a read through the API takes beyond /health, which asks nothing."""
    value, limit = secrets.token_hex(8), limits.cache_operation_ms
    write(caller, value)
    operation, words = direct(cache.scratch(secrets.token_hex(4)))

    def through() -> str | None:
        return "; ".join(read(caller, value)) or None

    def health() -> str | None:
        return None if api.get("/health").status == 200 else "not 200"

    def sampled() -> Timing:
        taken: list[float] = []
        asked = Lane(
            name="direct",
            ask=lambda: taken.append(operation()),
            rate_per_s=TIMED_PER_S,
            count=TIMED,
            warm_up=WARM_UP,
        )
        directly = measure([asked])
        callers = callers_for(READS_PER_S, limits.api_p95_ms)
        lanes = [
            Lane(name=name, ask=ask, rate_per_s=READS_PER_S, count=READS, warm_up=WARM_UP, callers=callers)
            for name, ask in (("through", through), ("health", health))
        ]
        return Timing(taken_ms=taken[WARM_UP:], directly=directly, over_http=measure(lanes), limit_ms=limit)

    timing = sampled()
    if timing.starved is not None:
        words += f"; measured a second time, because the first time {timing.starved}"
        timing = sampled()
    judge(timing, words, evidence)


def direct(scratch: Scratch) -> tuple[Callable[[], float], str]:
    """Give the operation to time: set, get and delete, or where the access forbids writing get alone."""
    try:
        scratch.round_trip_ms()
    except CacheForbiddenError:
        return scratch.read_ms, "get; the access allows no writing"
    return scratch.round_trip_ms, "the slowest of set, get and delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What was measured, and whether it can be held to the limit."""

    taken_ms: list[float]
    directly: Measured
    over_http: Measured
    limit_ms: float

    @property
    def extra_ms(self) -> float:
        """The median milliseconds that a read through the API takes beyond /health."""
        lanes = self.over_http.lanes
        return lanes["through"].latency.p50 - lanes["health"].latency.p50

    @property
    def extra_limit_ms(self) -> float:
        """What they may be: so many operations."""
        return OPERATIONS_A_READ * self.limit_ms

    @property
    def starved(self) -> str | None:
        """Why a figure beyond its limit proves nothing, if one is and the generator was starved."""
        in_time = percentile(self.taken_ms, 95) <= self.limit_ms and self.extra_ms <= self.extra_limit_ms
        if in_time:
            return None
        return self.directly.starved("direct", self.limit_ms) or self.over_http.starved(
            "through", self.limit_ms
        )


def judge(timing: Timing, words: str, evidence: Evidence) -> None:
    """Check both timings; a figure beyond its limit from a starved generator is no data."""
    for name, lane in (*timing.directly.lanes.items(), *timing.over_http.lanes.items()):
        evidence.check(
            f"operations that went wrong, {name}", sorted(set(lane.wrong)), "==", [], n=lane.latency.n
        )
    for name, value, limit, n, n_min, source in (
        (
            "direct operations, p95",
            percentile(timing.taken_ms, 95),
            timing.limit_ms,
            len(timing.taken_ms),
            TIMED,
            words,
        ),
        (
            "a read through the API, beyond /health, median",
            timing.extra_ms,
            timing.extra_limit_ms,
            timing.over_http.lanes["through"].latency.n,
            READS,
            f"{OPERATIONS_A_READ} operations of {timing.limit_ms:g} ms",
        ),
    ):
        unprovable = not value <= limit and timing.starved is not None
        evidence.check(
            name,
            math.nan if unprovable else value,
            "<=",
            limit,
            unit="ms",
            n=n,
            n_min=n_min,
            source=f"{source}; {timing.starved}" if unprovable else source,
        )
