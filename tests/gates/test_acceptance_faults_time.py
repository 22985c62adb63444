"""Each fault of rate limits and response times turns its gate red, for the reason meant.

These two gates take their time: faults that show in different checks of one gate are switched on together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates.verdict.model import Outcome

if TYPE_CHECKING:
    from bais_gates.verdict.model import Check
    from tests.gates.conftest import Bench, Judged


pytestmark = pytest.mark.quiet


def names(judged: Judged) -> set[str]:
    """Give the names of the checks that did not hold; those without data only where nothing starved."""
    return {
        check.name
        for check in judged.checks
        if check.ok is False or (check.ok is None and not blames_the_machine(check))
    }


def blames_the_machine(check: Check) -> bool:
    """Tell whether a check has no data as this machine was too busy for a verdict on times."""
    words = check.source or ""
    return check.ok is None and ("this machine" in words or "generator itself" in words)


def starved(judged: Judged) -> bool:
    """Tell whether this machine was too busy with other work for a verdict on times."""
    return any(blames_the_machine(check) for check in judged.checks)


@pytest.mark.parametrize("gate", ["rate_limiting", "performance_response_time"])
def test_the_gate_is_green_without_a_fault(bench: Bench, gate: str) -> None:
    """Against a sound sandbox the gate passes; on a starved machine it has no data, never a failure."""
    judged = bench.run(gate)

    assert [check.name for check in judged.checks if check.ok is False] == [], judged.false
    assert judged.outcome is (Outcome.NO_DATA if starved(judged) else Outcome.PASS), judged.message


def test_answers_that_take_too_long_are_seen_where_they_are(bench: Bench) -> None:
    """A slow tail of payments, slow workflow reads and a slow dashboard are three endpoints too slow."""
    judged = bench.run(
        "performance_response_time", "slow_payments_tail", "slow_workflow_reads", "slow_analytics"
    )

    slow = {"POST payment: p95", "GET workflow: p95", "GET dashboard: p95"}
    assert slow <= {check.name for check in judged.checks if check.ok is not True}, judged.false
    if not starved(judged):
        assert judged.outcome is Outcome.FAIL, judged.message
        assert names(judged) <= slow | {"all endpoints together: p95"}, judged.false


@pytest.mark.parametrize("fault", ["rate_limit_switched_off", "rate_limit_higher_than_promised"])
def test_a_limit_that_is_not_kept_is_seen_at_once(bench: Bench, fault: str) -> None:
    """Where more is let in than promised, and nothing refused, the gate says so and goes no further."""
    judged = bench.run("rate_limiting", fault)

    assert judged.outcome is Outcome.FAIL, judged.message
    assert names(judged) == {"let in at once, API key, at most", "refused, API key"}, judged.false


def test_a_limit_that_never_ends_is_seen(bench: Bench) -> None:
    """A caller that waited out its Retry-After and is still refused was told something untrue."""
    judged = bench.run("rate_limiting", "rate_limit_never_refills")

    assert judged.outcome is Outcome.FAIL, judged.message
    assert names(judged) == {"status after waiting Retry-After in silence"}, judged.false


def test_an_untrue_retry_after_is_seen(bench: Bench) -> None:
    """Retry-After 1 where it takes longer lets nobody in."""
    judged = bench.run("rate_limiting", "retry_after_lies")

    assert judged.outcome is Outcome.FAIL, judged.message
    assert names(judged) == {"status after waiting Retry-After in silence"}, judged.false


def test_a_missing_retry_after_is_seen(bench: Bench) -> None:
    """A 429 without Retry-After breaks the contract and tells nobody when to come back."""
    judged = bench.run("rate_limiting", "retry_after_missing")

    assert judged.outcome is Outcome.FAIL, judged.message
    expected = {
        "contract violations of refusals",
        "Retry-After that is no whole number of seconds",
        "longest Retry-After",
    }
    assert names(judged) == expected, judged.false


def test_a_shared_limit_is_seen(bench: Bench) -> None:
    """Where one caller's limit refuses everybody, the bystander's answers say so."""
    judged = bench.run("rate_limiting", "limit_shared_by_all_callers")

    assert judged.outcome is not Outcome.PASS
    assert "429" in judged.false + judged.message
