"""Test that each fault of rate limits and response times fails its gate, for its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates.verdict.model import Outcome

if TYPE_CHECKING:
    from tests.gates.conftest import Bench, Judged

SLOW = {
    "slow_payments_tail": "p95 latency (POST /payments/process)",
    "slow_workflow_reads": "p95 latency (GET /workflows/payment/{id})",
    "slow_analytics": "p95 latency (GET /analytics/dashboard)",
}
ACCEPTED = "requests accepted before the first 429 (API key, upper bound)"


@pytest.mark.quiet
@pytest.mark.parametrize(
    "gate",
    [
        "rate_limiting",
        # In every run the test below holds that no endpoint fails but the slow ones.
        pytest.param("performance_response_time", marks=pytest.mark.nightly),
    ],
)
def test_the_gate_passes_without_a_fault(bench: Bench, gate: str) -> None:
    """Without a fault the gate passes; on a machine that stays busy it has no data, but does not fail."""
    judged = bench.measure(gate)

    assert judged.failed == set(), judged.false
    assert judged.outcome is (Outcome.NO_DATA if judged.starved else Outcome.PASS), judged.message


@pytest.mark.quiet
def test_slow_endpoints_are_named(bench: Bench) -> None:
    """A slow tail of payments, slow workflow reads and a slow dashboard fail at these three endpoints."""
    judged = bench.measure("performance_response_time", *SLOW)

    slow = set(SLOW.values())
    assert slow <= judged.failed | judged.starved, judged.false
    if judged.starved:
        pytest.skip(
            f"this machine was too busy to measure times, twice: {len(judged.starved)} checks without data"
        )
    assert judged.outcome is Outcome.FAIL, judged.message
    # On a slow machine the delayed requests hold up others, but none as long as themselves.
    others = judged.failed - slow - {"p95 latency (all endpoints)"}
    assert max(map(judged.observed, others), default=0.0) < min(map(judged.observed, slow)), judged.false


@pytest.mark.parametrize(
    "fault",
    ["rate_limit_higher_than_promised", pytest.param("rate_limit_switched_off", marks=pytest.mark.nightly)],
)
def test_a_limit_that_is_not_enforced_fails_the_gate(bench: Bench, fault: str) -> None:
    """If more is accepted than the limit, and nothing refused, the gate fails and ends there."""
    assert failed(bench, fault) == {ACCEPTED, "requests refused with 429 (API key)"}


def test_a_limit_that_never_ends_fails_the_gate(bench: Bench) -> None:
    """A caller that waited for its Retry-After must not be refused again."""
    assert failed(bench, "rate_limit_never_refills") == {"status after waiting for Retry-After"}


@pytest.mark.quiet
def test_a_wrong_retry_after_fails_the_gate(bench: Bench) -> None:
    """A Retry-After that is too short ends in another refusal, unless a busy machine waits longer."""
    assert failed(bench, "retry_after_lies") == {"status after waiting for Retry-After"}


def test_a_missing_retry_after_fails_the_gate(bench: Bench) -> None:
    """A 429 without Retry-After violates the contract and leaves nothing to wait for."""
    assert failed(bench, "retry_after_missing") == {
        "contract violations (429 responses)",
        "Retry-After values that are not whole seconds",
        "longest Retry-After",
    }


def test_a_shared_limit_fails_the_gate(bench: Bench) -> None:
    """A limit shared by all callers refuses the caller within its limit."""
    judged = bench.run("rate_limiting", "limit_shared_by_all_callers")

    assert judged.outcome is not Outcome.PASS
    assert "429" in judged.false + judged.message


def failed(bench: Bench, fault: str) -> set[str]:
    """Return the failed checks of the limiter with the fault on; latencies are for the quiet run alone."""
    judged: Judged = bench.run("rate_limiting", fault)
    assert judged.outcome is Outcome.FAIL, judged.message
    return {name for name in judged.failed if "latency" not in name}
