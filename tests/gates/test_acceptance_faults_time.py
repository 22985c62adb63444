"""Test that each fault of rate limits and response times fails its gate, for its reason.

These two gates take long: faults that show in different checks of one gate are switched on together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates.verdict.model import Outcome

if TYPE_CHECKING:
    from bais_gates.verdict.model import Check
    from tests.gates.conftest import Bench, Judged


pytestmark = pytest.mark.quiet


def failed_checks(judged: Judged) -> set[str]:
    """Return the names of the false checks, and of those without data unless the machine was too busy."""
    return {
        check.name
        for check in judged.checks
        if check.ok is False or (check.ok is None and not is_starved(check))
    }


def is_starved(check: Check) -> bool:
    """Return whether a check has no data because this machine was too busy to measure times."""
    words = check.source or ""
    return check.ok is None and ("this machine" in words or "load generator" in words)


def any_starved(judged: Judged) -> bool:
    """Return whether this machine was too busy to measure times."""
    return any(is_starved(check) for check in judged.checks)


@pytest.mark.parametrize("gate", ["rate_limiting", "performance_response_time"])
def test_the_gate_passes_without_a_fault(bench: Bench, gate: str) -> None:
    """Without a fault the gate passes; on a busy machine it has no data, but does not fail."""
    judged = bench.run(gate)

    assert [check.name for check in judged.checks if check.ok is False] == [], judged.false
    assert judged.outcome is (Outcome.NO_DATA if any_starved(judged) else Outcome.PASS), judged.message


def test_slow_endpoints_are_named(bench: Bench) -> None:
    """A slow tail of payments, slow workflow reads and a slow dashboard fail at these three endpoints."""
    judged = bench.run(
        "performance_response_time", "slow_payments_tail", "slow_workflow_reads", "slow_analytics"
    )

    endpoints = ("POST /payments/process", "GET /workflows/payment/{id}", "GET /analytics/dashboard")
    slow = {f"p95 latency ({endpoint})" for endpoint in endpoints}
    assert slow <= {check.name for check in judged.checks if check.ok is not True}, judged.false
    if not any_starved(judged):
        assert judged.outcome is Outcome.FAIL, judged.message
        assert failed_checks(judged) <= slow | {"p95 latency (all endpoints)"}, judged.false


@pytest.mark.parametrize("fault", ["rate_limit_switched_off", "rate_limit_higher_than_promised"])
def test_a_limit_that_is_not_enforced_fails_the_gate(bench: Bench, fault: str) -> None:
    """If more is accepted than the limit, and nothing refused, the gate fails and ends there."""
    judged = bench.run("rate_limiting", fault)

    assert judged.outcome is Outcome.FAIL, judged.message
    assert failed_checks(judged) == {
        "requests accepted before the first 429 (API key, upper bound)",
        "requests refused with 429 (API key)",
    }, judged.false


def test_a_limit_that_never_ends_fails_the_gate(bench: Bench) -> None:
    """A caller that waited for its Retry-After must not be refused again."""
    judged = bench.run("rate_limiting", "rate_limit_never_refills")

    assert judged.outcome is Outcome.FAIL, judged.message
    assert failed_checks(judged) == {"status after waiting for Retry-After"}, judged.false


def test_a_wrong_retry_after_fails_the_gate(bench: Bench) -> None:
    """A Retry-After that is too short ends in another refusal."""
    judged = bench.run("rate_limiting", "retry_after_lies")

    assert judged.outcome is Outcome.FAIL, judged.message
    assert failed_checks(judged) == {"status after waiting for Retry-After"}, judged.false


def test_a_missing_retry_after_fails_the_gate(bench: Bench) -> None:
    """A 429 without Retry-After violates the contract and leaves nothing to wait for."""
    judged = bench.run("rate_limiting", "retry_after_missing")

    assert judged.outcome is Outcome.FAIL, judged.message
    expected = {
        "contract violations (429 responses)",
        "Retry-After values that are not whole seconds",
        "longest Retry-After",
    }
    assert failed_checks(judged) == expected, judged.false


def test_a_shared_limit_fails_the_gate(bench: Bench) -> None:
    """A limit shared by all callers refuses the caller within its limit."""
    judged = bench.run("rate_limiting", "limit_shared_by_all_callers")

    assert judged.outcome is not Outcome.PASS
    assert "429" in judged.false + judged.message
