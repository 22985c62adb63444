"""The benchmark of load runs: its open-model client against the arithmetic of a pause."""

from __future__ import annotations

import asyncio

import pytest

from bais_gates.probes.statistics import percentile
from benchmarks.load import Scene, Wait, open_model, serving


def test_a_pause_is_in_the_latencies_of_the_open_model_client() -> None:
    """All that fall due in a pause wait for its end, on four connections as on any number: never shorter."""
    scene = Scene(rate=100, seconds=2, connections=4, pause_s=0.5)
    expected = Wait.from_due(scene.pause_s, scene.seconds)

    with serving(scene.pause_s, scene.seconds) as (url, _):
        latencies = asyncio.run(open_model(url, scene))

    assert len(latencies) == 200
    one_request_ms = 1000 / scene.rate
    for p in (80, 90, 95, 99):
        assert percentile(latencies, p) >= expected.percentile(p) - 2 * one_request_ms


@pytest.mark.parametrize(
    ("pause_s", "every_s", "p95", "p99", "slow"),
    [(1, 10, 500, 900, 0.09), (0.5, 2, 400, 480, 0.2), (1, 20, 0, 800, 0.045), (1, 200, 0, 0, 0.0045)],
)
def test_how_long_requests_wait_from_their_due_times(
    pause_s: float, every_s: float, p95: float, p99: float, slow: float
) -> None:
    """Requests wait uniformly up to the whole pause, the pause's share of them; the others do not."""
    wait = Wait.from_due(pause_s, every_s)

    assert [wait.percentile(p) for p in (50, 95, 99)] == pytest.approx([0, p95, p99])
    assert wait.slow() == pytest.approx(slow)


@pytest.mark.parametrize(
    ("period_s", "p95", "p99", "slow"),
    [(0.05, 0, 0, 0.005), (0.2, 0, 900, 0.02), (0.8, 500, 900, 0.08), (5, 500, 900, 0.09)],
)
def test_how_long_requests_wait_from_sending(period_s: float, p95: float, p99: float, slow: float) -> None:
    """A connection that sends often hides all of a pause but one request; a rare one hides nothing."""
    wait = Wait.from_sending(1, 10, period_s)

    assert [wait.percentile(p) for p in (50, 95, 99)] == pytest.approx([0, p95, p99])
    assert wait.slow() == pytest.approx(slow)
