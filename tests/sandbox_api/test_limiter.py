"""The rate limit: the exact burst, a correct Retry-After, and no effect on other callers."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

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
    platform: Platform, limit: int, window_s: int, pauses_s: Sequence[float], burst: int
) -> list[list[int]]:
    """Send bursts with pauses between them; return the waits that a new caller received."""
    cache = Cache(platform.config["redis_url"], timeout_s=5)
    limiter, caller = Limiter(cache, Switch(None), window_s), f"test:{uuid4()}"
    received = []
    for pause_s in (0.0, *pauses_s):
        await asyncio.sleep(pause_s)
        received.append(list(await asyncio.gather(*(limiter.admit(caller, limit) for _ in range(burst)))))
    await cache.close()
    return received


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 150), beyond=st.integers(0, 30), window_s=st.sampled_from([60, 600, 3600]))
def test_exactly_the_limit_is_accepted(platform: Platform, limit: int, beyond: int, window_s: int) -> None:
    """Of concurrent requests exactly the limit is accepted; the others receive the same wait."""
    (received,) = asyncio.run(waits(platform, limit, window_s, (), limit + beyond))
    assert received.count(0) == limit
    refused = {wait for wait in received if wait}
    assert len(refused) == (1 if beyond else 0)
    steps = max(1, -(-STEPS // limit))  # so many refills until there is a whole request again
    assert all(0 < wait <= steps * window_s / STEPS for wait in refused)


def test_the_bucket_fills_in_steps(platform: Platform) -> None:
    """A sixth is refilled every sixth of the window, and never more than the limit."""
    first, early, second, rest = asyncio.run(waits(platform, 12, 6, (0.5, 0.7, 3.1), 20))
    assert [one.count(0) for one in (first, early, second, rest)] == [12, 0, 2, 6]
    assert set(first) == {0, 1}


def test_a_refused_caller_is_accepted_after_retry_after(
    platform: Platform, another_api: Callable[..., AnotherApi]
) -> None:
    """A burst of 100 is accepted, then 429 until Retry-After; another token is not affected."""
    limits = {"per_token": 100, "per_address": 6000, "window_s": 12}  # refilled every 2 s
    business, other = platform.business(), platform.business()
    business.client = other.client = another_api(rate_limit=limits).client
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: business.get(DASHBOARD), range(108)))
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) == 8
        assert platform.error_of(refused[0]) == "rate_limited"
        # A key of the same business, and another business, have limits of their own; probes have none.
        assert other.get(DASHBOARD).status_code == 200
        assert business.get("/health").status_code == business.get("/ready").status_code == 200
        wait_s = int(refused[-1].headers["retry-after"])
        assert 1 <= wait_s <= 2
        assert business.get(DASHBOARD).status_code == 429
        time.sleep(wait_s)
        assert business.get(DASHBOARD).status_code == 200


def test_strangers_are_limited_by_address(another_api: Callable[..., AnotherApi]) -> None:
    """Without a valid token the address is limited, however many tokens it tries; probes are not."""
    api = another_api(rate_limit={"per_token": 100, "per_address": 5, "window_s": 600})
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
