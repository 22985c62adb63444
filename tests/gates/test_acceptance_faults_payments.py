"""Test that each fault of health, accounts, payments and webhooks fails its gate, for its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates.verdict.model import Outcome
from tests.gates.conftest import cases_of

if TYPE_CHECKING:
    from tests.gates.conftest import Bench

DUPLICATES = r"duplicate registrations .*|statuses \(6 concurrent registrations .*"
DISTINGUISHABLE = r"response differences \(another's, unknown workflow\)"
SAME_KEY = r"(status|response differences) \(same key, .*"
REASONS: dict[str, tuple[dict[str, str], ...]] = {
    "health_endpoint": (
        {
            "health_version_missing": r"reported version|contract violations \(GET /health\)",
            "health_names_other_environment": r"reported environment",
            "health_status_unknown": r"reported status|contract violations \(GET /health\)",
            "health_touches_database_slowly": r"median latency \(GET /health\)",
        },
    ),
    "user_registration": (
        {
            "weak_password_accepted": r".*\((.* )?weak password\)|status \(registration after a refused .*",
            "duplicate_email_accepted": rf"{DUPLICATES}|status(es)? \(sign-in with .*",
        },
        {
            "email_case_distinguished": r"duplicate registrations not refused with 409",
            "registration_answers_password": r"responses that contain the .*|contract violations \(all .*",
        },
    ),
    "user_authentication": (
        {
            "none_signature_accepted": r"forged tokens not refused with 401",
            "unknown_email_answers_faster": r"latency ratio \(unknown e-mail, wrong password\)",
            "unknown_email_told_apart": r"response differences \(unknown e-mail, wrong password\)",
            "revoked_api_key_accepted": r"status \(revoked API key\)",
        },
        {
            "tampered_token_accepted": r"forged tokens not refused with 401",
            "refresh_token_reusable": r"used refresh tokens not .*|statuses \(5 concurrent uses of one .*",
            "expired_api_key_accepted": r"status \(API key after its expiry\)",
            "sign_in_never_closes": r"status \(correct password (after ten wrong ones|from another .*)\)",
        },
    ),
    "payment_workflow_creation": (
        {
            "workflow_amount_rounded": r"required fields that do not read back as sent|amounts .*",
            "workflow_negative_amount_accepted": r"invalid workflows not refused with 400",
            "workflow_visible_to_other_businesses": rf"status \(another business's .*|{DISTINGUISHABLE}",
        },
        {"workflow_plain_http_accepted": r"invalid workflows not refused with 400"},
    ),
    "payment_processing": (
        {
            "idempotency_key_ignored": rf"{SAME_KEY}|database rows .*|distinct payments \(20 .*",
            "amount_through_binary_float": r"payments not answered or read .*|payments with a different .*",
            "asynchronous_failure_forgotten": r"(final status|database row) \(payment that fails later\)",
            "card_number_in_answer": r"responses that contain a card.*|contract violations .*payment.*",
            "other_business_workflow_payable": r".*another.* workflow.*",
        },
        {
            "idempotency_body_not_compared": r"status \(same key, different body\)",
            "decline_reported_as_completed": r"statuses \(declined card .*|error type .*|payments taken .*",
        },
    ),
    "webhook_delivery": (
        {
            "webhook_signature_missing": r"signature errors .*",
            "webhook_new_id_on_retry": r"distinct webhook-ids \(retries .*|event(s| types) received .*",
            "webhook_sent_to_disabled_hook": r"deliveries to gone, inactive and another business's .*",
            "webhook_private_address_accepted": r"invalid webhooks not refused with 400",
        },
        {
            "webhook_signature_over_other_bytes": r"signature errors .*",
            "webhook_timestamp_stale": r"maximum timestamp skew .*",
            "webhook_sent_after_410": r"deliveries to gone, inactive and another business's webhooks",
        },
        {"webhook_not_retried": r"listener's response to each attempt"},
    ),
}
"""By gate, the faults of each run, and the checks that each may fail; one of them by no other of the run."""


@pytest.mark.nightly  # in every run, all checks hold but those of the faults
@pytest.mark.parametrize("gate", REASONS)
def test_the_gate_passes_without_a_fault(bench: Bench, gate: str) -> None:
    """Without a fault in the sandbox the gate passes."""
    judged = bench.measure(gate)

    assert (judged.outcome, judged.message, judged.false) == (Outcome.PASS, "", "")


@pytest.mark.parametrize(("gate", "reasons"), cases_of(REASONS))
def test_each_fault_fails_the_gate_for_its_reason(bench: Bench, gate: str, reasons: dict[str, str]) -> None:
    """With faults on, the gate fails; each fails a check of its own, and every false check is about one."""
    judged = bench.run(gate, *reasons, environment_file=bench.described(**bench.SHORT_DEADLINES))

    assert judged.outcome is Outcome.FAIL, judged.message
    assert judged.differences(reasons) == [], judged.false
