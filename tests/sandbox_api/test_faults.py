"""Every fault changes the behaviour that it describes while it is active, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates.sandbox.faults import FAULTS
from tests.sandbox_api.scenarios import (
    Seen,
    analytics,
    crowd,
    deliveries,
    errors,
    health,
    limits,
    parts,
    payments,
    refills,
    registration,
    sign_in,
    tokens,
    workflows,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox_api.conftest import Business, Platform, Receiver

WHAT_CHANGES: dict[Callable[[Platform, Receiver], Seen], dict[str, str]] = {
    health: {
        "health_version_missing": "version",
        "health_names_other_environment": "environment",
        "health_status_unknown": "status",
        "health_touches_database_slowly": "slow",
    },
    registration: {
        "weak_password_accepted": "weak",
        "duplicate_email_accepted": "again, in capitals",
        "email_case_distinguished": "in capitals",
        "registration_answers_password": "fields",
    },
    sign_in: {
        "unknown_email_answers_faster": "unknown answers at once",
        "unknown_email_told_apart": "distinguished",
        "sign_in_never_closes": "after ten wrong",
        "refresh_token_reusable": "refreshes",
    },
    tokens: {
        "none_signature_accepted": "none",
        "tampered_token_accepted": "none, tampered",
        "revoked_api_key_accepted": "revoked",
        "expired_api_key_accepted": "expired",
    },
    workflows: {
        "workflow_amount_rounded": "amount",
        "workflow_negative_amount_accepted": "negative",
        "workflow_visible_to_other_businesses": "stranger",
        "workflow_plain_http_accepted": "http",
        "slow_workflow_reads": "slow",
    },
    payments: {
        "idempotency_key_ignored": "same, other body",
        "idempotency_body_not_compared": "other body",
        "decline_reported_as_completed": "decline",
        "amount_through_binary_float": "amounts",
        "asynchronous_failure_forgotten": "later",
        "card_number_in_answer": "fields",
        "other_business_workflow_payable": "stranger",
    },
    deliveries: {
        "webhook_signature_missing": "signature",
        "webhook_signature_over_other_bytes": "signature",
        "webhook_timestamp_stale": "fresh",
        "webhook_new_id_on_retry": "ids",
        "webhook_not_retried": "attempts, afterwards",
        "webhook_sent_to_disabled_hook": "afterwards",
        "webhook_sent_after_410": "afterwards",
        "webhook_private_address_accepted": "private",
    },
    analytics: {
        "analytics_counts_other_businesses": "month",
        "analytics_stale": "week",
        "analytics_success_rate_as_fraction": "rate",
        "analytics_volume_counts_failures": "declined in volume",
        "analytics_unknown_period_accepted": "unknown",
        "slow_analytics": "slow",
    },
    limits: {
        "rate_limit_switched_off": "accepted, retry after",
        "rate_limit_higher_than_promised": "accepted",
        "retry_after_lies": "retry after",
        "retry_after_missing": "retry after",
        "limit_shared_by_all_callers": "other",
    },
    refills: {"rate_limit_never_refills": "again"},
    errors: {
        "stack_trace_in_errors": "traceback",
        "malformed_json_crashes": "broken",
        "sql_text_in_errors": "sql",
        "unknown_path_answers_html": "html",
        "huge_body_crashes": "huge",
    },
    parts: {
        "status_invents_connections": "maximum",
        "status_claims_database_disconnected": "connected",
        "slow_database": "slow database",
        "cache_returns_stale": "value",
        "cache_shared_by_all_callers": "after another's",
        "status_invents_hit_rate": "rate",
        "slow_cache": "slow cache",
    },
    crowd: {
        "concurrent_writes_lost": "lost",
        "business_data_crossed": "own",
        "concurrent_requests_refused": "writes",
    },
}
"""The keys of its scenario that differ while a fault is active, and no other."""
HIDES = {
    "webhook_not_retried": "ids",
    "rate_limit_switched_off": "other",
    "stack_trace_in_errors": "broken",
    "status_claims_database_disconnected": "maximum, slow database",
    "concurrent_writes_lost": "own, writes",
    "business_data_crossed": "writes",
}
"""The keys in which a fault hides what another one changes."""
OTHERWISE = {"slow_payments_tail"}
"""Tested separately."""


def test_every_fault_is_shown() -> None:
    """Every fault has a test here, and names acceptance gates; each of those has two faults or more."""
    shown = [name for faults in WHAT_CHANGES.values() for name in faults]
    assert sorted([*shown, *OTHERWISE]) == sorted(FAULTS)
    assert all(fault.gates and fault.description.endswith(".") for fault in FAULTS.values())
    by_gate = [gate for fault in FAULTS.values() for gate in fault.gates]
    assert all(gate.startswith("acceptance.") for gate in by_gate)
    assert len(set(by_gate)) == 13
    assert all(by_gate.count(gate) >= 2 for gate in by_gate)


@pytest.mark.parametrize("scenario", WHAT_CHANGES, ids=lambda scenario: scenario.__name__)
def test_faults_change_what_they_describe(
    platform: Platform, receiver: Receiver, scenario: Callable[[Platform, Receiver], Seen]
) -> None:
    """While faults of different keys are active, the scenario differs in exactly these keys."""
    compare(platform, receiver, scenario, together(WHAT_CHANGES[scenario]))


@pytest.mark.nightly
@pytest.mark.parametrize("scenario", WHAT_CHANGES, ids=lambda scenario: scenario.__name__)
def test_a_fault_alone_changes_what_it_describes(
    platform: Platform, receiver: Receiver, scenario: Callable[[Platform, Receiver], Seen]
) -> None:
    """While one fault is active, its scenario differs in exactly the keys of the table."""
    faults = WHAT_CHANGES[scenario]
    compare(platform, receiver, scenario, [{name: keys} for name, keys in faults.items()])


def together(faults: dict[str, str]) -> list[dict[str, str]]:
    """Return the faults in as few runs as possible, each of faults that change and hide different keys."""
    runs: list[dict[str, str]] = []
    for name, keys in faults.items():
        for run in runs:
            if all(touched(name, keys).isdisjoint(touched(*one)) for one in run.items()):
                run[name] = keys
                break
        else:
            runs.append({name: keys})
    return runs


def touched(name: str, keys: str) -> set[str]:
    """Return the keys that a fault changes, or in which it hides what another one changes."""
    return {*keys.split(", "), *HIDES.get(name, "").split(", ")} - {""}


def compare(
    platform: Platform,
    receiver: Receiver,
    scenario: Callable[[Platform, Receiver], Seen],
    runs: list[dict[str, str]],
) -> None:
    """Check that the scenario differs in each run in exactly the keys of its faults, and not afterwards."""

    def observe() -> Seen:
        receiver.received.clear()
        receiver.answers = [200]
        return scenario(platform, receiver)

    right = observe()
    for faults in runs:
        with platform.faults(*faults):
            wrong = observe()
        changed = {place for place in right if right[place] != wrong[place]}
        assert changed == {key for keys in faults.values() for key in keys.split(", ")}, (
            faults,
            right,
            wrong,
        )
    assert observe() == right


def test_every_eighth_payment_is_slow(platform: Platform, business: Business) -> None:
    """A fault that shows only in the tail of the distribution."""
    business.payment()
    with platform.faults("slow_payments_tail"):
        times = [business.pay().elapsed.total_seconds() for _ in range(16)]
    assert sum(took > 0.45 for took in times) == 2
