"""The rate limit: the exact burst, a correct Retry-After, and no effect on other callers."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bais_gates.sandbox.api.cache import Cache
from bais_gates.sandbox.api.limiter import STEPS, Limiter
from bais_gates.sandbox.faults import Switch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.sandbox_api.conftest import AnotherApi, Platform

DASHBOARD = "/api/v1/analytics/dashboard"


async def waits(
    platform: Platform, limit: int, window_s: int, burst: int, shifts: Sequence[int] = ()
) -> list[tuple[list[int], float]]:
    """Send a burst, and one more after each shift of the bucket into the past by so many refills.

    Returns the waits that a new caller received, and the seconds that each burst took.
    """
    cache = Cache(platform.config["redis_url"], timeout_s=5)
    limiter, caller = Limiter(cache, Switch(None), window_s), f"test:{uuid4()}"
    received = []
    with redis.Redis.from_url(platform.config["redis_url"]) as bucket:
        for shift in (0, *shifts):
            if shift:
                bucket.hincrby(f"bais:rate:{caller}", "since", -shift * window_s * 1_000_000 // STEPS)
            began = time.monotonic()
            answers = await asyncio.gather(*(limiter.admit(caller, limit) for _ in range(burst)))
            received.append((list(answers), time.monotonic() - began))
    cache.close()
    return received


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 150), beyond=st.integers(0, 30), window_s=st.sampled_from([60, 600, 3600]))
def test_exactly_the_limit_is_accepted(platform: Platform, limit: int, beyond: int, window_s: int) -> None:
    """Of concurrent requests exactly the limit is accepted, and what refills meanwhile; the others wait."""
    ((received, seconds),) = asyncio.run(waits(platform, limit, window_s, limit + beyond))
    refilled = int(seconds * STEPS / window_s) * limit // STEPS
    assert limit <= received.count(0) <= limit + refilled
    steps = max(1, -(-STEPS // limit))  # so many refills until there is a whole request again
    longest = steps * window_s // STEPS
    assert all(longest - seconds <= wait <= longest for wait in received if wait)


def test_the_bucket_fills_in_steps(platform: Platform) -> None:
    """A thirtieth is refilled every thirtieth of the window, and never more than the limit."""
    bursts = asyncio.run(waits(platform, 12, 36_000, 20, shifts=(2, 4, 15, 100)))
    assert [answers.count(0) for answers, _ in bursts] == [12, 0, 2, 6, 12]
    assert {wait for answers, _ in bursts for wait in answers if wait} <= set(
        range(1, 3 * 36_000 // STEPS + 1)
    )


def test_a_refused_caller_is_accepted_after_retry_after(
    platform: Platform, another_api: Callable[..., AnotherApi]
) -> None:
    """A burst of 100 is accepted, then 429 until Retry-After; another token is not affected."""
    limits = {"per_token": 100, "per_address": 6000, "window_s": 60}  # 3.3 are refilled every 2 s
    business, other = platform.business(), platform.business()
    business.client = other.client = another_api(rate_limit=limits).client
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: business.get(DASHBOARD), range(120)))
    refused = [answer for answer in answers if answer.status_code == 429]
    refilled = int((time.monotonic() - began) / 2) * 100 // STEPS
    assert 20 - refilled <= len(refused) <= 20
    assert platform.error_of(refused[0]) == "rate_limited"
    assert {answer.headers["retry-after"] for answer in refused} <= {"1", "2"}
    # A key of the same business, and another business, have limits of their own; probes have none.
    assert other.get(DASHBOARD).status_code == 200
    assert business.get("/health").status_code == business.get("/ready").status_code == 200
    # Those refilled meanwhile are used up; the refusal after them says how long to wait.
    while (last := business.get(DASHBOARD)).status_code == 200:
        assert time.monotonic() - began < 20
    time.sleep(int(last.headers["retry-after"]))
    assert business.get(DASHBOARD).status_code == 200


def test_strangers_are_limited_by_address(platform: Platform, another_api: Callable[..., AnotherApi]) -> None:
    """Without a valid token the address is limited, however many tokens it tries; probes are not."""
    limits = {"per_token": 100, "per_address": 5, "window_s": 600}
    # A Redis database of its own: the empty bucket of this address must not refuse the tests that follow.
    api = another_api(rate_limit=limits, redis_url=platform.config["redis_url"].removesuffix("/0") + "/2")
    tokens: tuple[dict[str, str], ...] = (
        {},
        {"authorization": "Bearer x"},
        {"authorization": "Bearer bais_sk_x"},
    )
    statuses = [api.client.get(DASHBOARD, headers=tokens[n % 3]).status_code for n in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    assert api.client.post("/api/v1/auth/login", json={}).status_code == 429
    assert api.client.get("/api/v1/system/status").status_code == 429
    assert {api.client.get(path).status_code for path in ("/health", "/ready", "/metrics")} == {200}


def test_faults_are_read_again_when_their_file_changes(tmp_path: Path) -> None:
    """A fault is active while the file lists it; unknown names and broken files change nothing."""
    path = tmp_path / "faults.json"
    switch = Switch(path)

    def is_on() -> bool:
        time.sleep(0.11)
        return switch.active("retry_after_lies")

    assert not is_on()
    path.write_text('["retry_after_lies", "no_such_fault"]')
    assert is_on()
    path.write_text('["retry_after')
    assert is_on()
    path.write_text("[]")
    assert not is_on()
    path.write_text('["retry_after_lies"]')
    assert is_on()
    path.unlink()
    assert not is_on()
    assert not Switch(None).active("retry_after_lies")
