"""Check the cache: each caller reads its own last value, in time, and the platform reports it truthfully."""

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
    wrong_responses,
)

if TYPE_CHECKING:
    from collections.abc import Callable

VALUE: Final = "/api/v1/cache/test"
STATUS: Final = "/api/v1/system/status"
READINGS: Final = 5
HIT_RATIO_SLACK: Final = 1.0
"""Percentage points that the hit ratio may move between the platform's reading and the gate's."""
TURNS: Final = 6
TIMED: Final = 100
TIMED_PER_S: Final = 300.0
WARM_UP: Final = 5
READS: Final = 30
READS_PER_S: Final = 60.0
OPERATIONS_A_READ: Final = 2
"""Cache operations in one read through the API: the rate limiter's and the value's own."""
API_READ: Final = "read through the API"


@pytest.mark.gate("acceptance.cache_functionality")
def test_cache_functionality(
    api: Api, new_business: Callable[[], Business], cache: Cache, limits: Limits, evidence: Evidence
) -> None:
    """Each caller reads back its own last value through the cache, in time; its reported state is true."""
    one, other, third = (new_business().api for _ in range(3))
    ready = api.get("/ready", deadline_s=5.0)
    reported = str(ready.field("checks", "cache"))
    evidence.check("reported cache check (GET /ready)", reported, "==", "ok", source=ready.url)

    before = cache.statistics()
    reads = check_callers_in_turn(one, other, evidence) + check_concurrent_callers(one, other, evidence)
    hits = cache.statistics().hits - before.hits
    source = "INFO stats: the platform reads from this Redis"
    evidence.check("cache hits (reads through the API)", hits, ">=", reads, n=reads, source=source)
    check_isolation(api, third, evidence)
    check_reported_state(api, cache, limits, evidence)
    check_latency(cache, third, api, limits, evidence)


def write(caller: Api, value: str) -> list[str]:
    """Write a value; return what was wrong with the response."""
    answer = caller.post(VALUE, json={"value": value})
    wrong = [] if answer.status == 200 else [f"status {answer.status}"]
    return caller.conforms(answer, "POST", VALUE) or wrong


def read(caller: Api, expected: str) -> list[str]:
    """Read the value; return what was wrong with the response."""
    answer = caller.get(VALUE)
    value = answer.field("value")
    ok = answer.status == 200 and value == expected
    wrong = [] if ok else [f"status {answer.status}, {str(value)[:40]!r} instead of {expected[:40]!r}"]
    return caller.conforms(answer, "GET", VALUE) or wrong


def check_callers_in_turn(one: Api, other: Api, evidence: Evidence) -> int:
    """Have two callers write and read in turn, also odd and long values; return the number of reads."""
    wrong: list[str] = []
    kinds = ("", "ключ 鍵 \U0001f511", "x" * 2000, '{"quoted": "\\u0000"}', "0", "null")
    for turn in range(TURNS):
        mine, theirs = (f"{kinds[(turn + k) % len(kinds)]}{secrets.token_hex(8)}" for k in range(2))
        wrong += write(one, mine) + write(other, theirs)
        wrong += read(one, mine) + read(other, theirs) + read(one, mine)
    evidence.check("values that do not read back (callers in turn)", wrong, "==", [], n=3 * TURNS)
    return 3 * TURNS


def check_concurrent_callers(one: Api, other: Api, evidence: Evidence) -> int:
    """Have two callers write and read at the same moment; return the number of reads."""

    def write_and_read(caller: Api) -> list[str]:
        wrong: list[str] = []
        for _ in range(TURNS):
            value = secrets.token_hex(8)
            wrong += write(caller, value) + read(caller, value)
        return wrong

    volley = fire([lambda: write_and_read(one), lambda: write_and_read(other)], deadline_s=30)
    wrong = [what for result in volley.results for what in result] + volley.errors
    evidence.check("values that do not read back (concurrent callers)", wrong, "==", [], n=2 * TURNS)
    return 2 * TURNS


def check_isolation(api: Api, third: Api, evidence: Evidence) -> None:
    """Check that a caller who wrote nothing reads nothing, and that a token is required."""
    answer = third.get(VALUE)
    value = answer.field("value") if answer.status == 200 else None
    observed = "none" if value is None else repr(value)
    evidence.check("value read by a caller who wrote nothing", observed, "==", "none")
    evidence.check("status (read without a token)", api.get(VALUE).status, "==", 401)
    written = api.post(VALUE, json={"value": "stranger"})
    evidence.check("status (write without a token)", written.status, "==", 401)


def check_reported_state(api: Api, cache: Cache, limits: Limits, evidence: Evidence) -> None:
    """Compare what the platform reports about its cache with what Redis reports."""
    differing, implausible, states, latencies, violations = [], [], set(), [], []
    for _ in range(READINGS):
        early = cache.statistics()
        answer = api.get(STATUS)
        late = cache.statistics()
        reported: dict[str, Any] = answer.field("cache") or {}
        states.add(str(reported.get("status", "missing")))
        violations += api.conforms(answer, "GET", STATUS)
        rate, latency = reported.get("hit_rate", "nothing"), reported.get("latency_ms", "nothing")
        if not is_between(rate, early, late):
            counted = f"{100 * early.hit_ratio:.2f} % before and {100 * late.hit_ratio:.2f} % after"
            differing.append(f"reported {rate}, Redis counted {counted}")
        if not isinstance(latency, int | float) or not 0 < latency <= answer.elapsed_ms:
            implausible.append(f"reported {latency}, the whole response took {answer.elapsed_ms:.2f} ms")
        else:
            latencies.append(float(latency))
    n, median = READINGS, Summary.of(latencies).p50
    evidence.check("reported cache status", sorted(states), "==", ["connected"], n=n)
    evidence.check("reported hit ratio differs from Redis", differing, "==", [], n=n, source="INFO stats")
    evidence.check("implausible reported latencies", implausible, "==", [], n=n)
    evidence.check("contract violations (GET system status)", violations, "==", [], n=n)
    limit = limits.cache_operation_ms
    evidence.check("median reported cache latency", median, "<=", limit, unit="ms", n=len(latencies), n_min=n)


def is_between(reported: object, early: CacheStatistics, late: CacheStatistics) -> bool:
    """Return whether a reported hit ratio (percent) lies between two readings of Redis, with slack."""
    if isinstance(reported, bool) or not isinstance(reported, int | float):
        return False
    low, high = sorted((100 * early.hit_ratio, 100 * late.hit_ratio))
    return low - HIT_RATIO_SLACK <= reported <= high + HIT_RATIO_SLACK


def check_latency(cache: Cache, caller: Api, api: Api, limits: Limits, evidence: Evidence) -> None:
    """Measure the cache directly, and how much longer a read through the API takes than GET /health."""
    value, limit = secrets.token_hex(8), limits.cache_operation_ms
    write(caller, value)
    operation, source = direct_operation(cache.scratch(secrets.token_hex(4)))

    def read_value() -> str | None:
        return "; ".join(read(caller, value)) or None

    def health() -> str | None:
        return None if api.get("/health").status == 200 else "not 200"

    def sample() -> Timing:
        taken: list[float] = []
        lane = Lane(
            name="direct",
            ask=lambda: taken.append(operation()),
            rate_per_s=TIMED_PER_S,
            count=TIMED,
            warm_up=WARM_UP,
        )
        directly = measure([lane])
        callers = callers_for(READS_PER_S, limits.api_p95_ms)
        lanes = [
            Lane(name=name, ask=ask, rate_per_s=READS_PER_S, count=READS, warm_up=WARM_UP, callers=callers)
            for name, ask in ((API_READ, read_value), ("GET /health", health))
        ]
        return Timing(taken_ms=taken[WARM_UP:], directly=directly, over_http=measure(lanes), limit_ms=limit)

    timing = sample()
    if timing.starved is not None:
        source += f"; measured a second time, because the first time {timing.starved}"
        timing = sample()
    check_timing(timing, source, evidence)


def direct_operation(scratch: Scratch) -> tuple[Callable[[], float], str]:
    """Return the operation to time and its description: get alone where the access forbids writing."""
    try:
        scratch.round_trip_ms()
    except CacheForbiddenError:
        return scratch.read_ms, "get; the access allows no writing"
    return scratch.round_trip_ms, "the slowest of set, get and delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The measured times, and whether they can be compared with the limit."""

    taken_ms: list[float]
    directly: Measured
    over_http: Measured
    limit_ms: float

    @property
    def extra_ms(self) -> float:
        """The median milliseconds that a read through the API takes beyond GET /health."""
        lanes = self.over_http.lanes
        return lanes[API_READ].latency.p50 - lanes["GET /health"].latency.p50

    @property
    def extra_limit_ms(self) -> float:
        """The limit of ``extra_ms``: that of its cache operations together."""
        return OPERATIONS_A_READ * self.limit_ms

    @property
    def starved(self) -> str | None:
        """Why a time beyond its limit proves nothing, if one is and the generator was starved."""
        in_time = percentile(self.taken_ms, 95) <= self.limit_ms and self.extra_ms <= self.extra_limit_ms
        if in_time:
            return None
        health_ms = self.over_http.lanes["GET /health"].latency.p50
        return self.directly.starved("direct", self.limit_ms) or self.over_http.starved(
            API_READ, health_ms + self.extra_limit_ms, p=50
        )


def check_timing(timing: Timing, source: str, evidence: Evidence) -> None:
    """Check both times; one beyond its limit from a starved generator is no data."""
    for name, lane in (*timing.directly.lanes.items(), *timing.over_http.lanes.items()):
        n = lane.latency.n
        evidence.check(f"failed operations ({name})", wrong_responses(lane), "==", [], n=n)
    p95, n_direct = percentile(timing.taken_ms, 95), len(timing.taken_ms)
    n_api = timing.over_http.lanes[API_READ].latency.n
    limits = f"{OPERATIONS_A_READ} operations of {timing.limit_ms:g} ms"
    for name, value, limit, n, n_min, text in (
        ("p95 latency (direct operation)", p95, timing.limit_ms, n_direct, TIMED, source),
        (
            f"median latency above GET /health ({API_READ})",
            timing.extra_ms,
            timing.extra_limit_ms,
            n_api,
            READS,
            limits,
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
            source=f"{text}; {timing.starved}" if unprovable else text,
        )
