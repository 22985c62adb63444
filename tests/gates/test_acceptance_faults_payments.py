"""Each fault of health, accounts, payments and webhooks turns its gate red, for the reason meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from bais_gates.verdict.model import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gates.conftest import Bench

REASONS = {
    "health_endpoint": {
        "health_version_missing": r"version|GET /health contract violations",
        "health_names_other_environment": r"environment",
        "health_status_unknown": r"status|GET /health contract violations",
        "health_touches_database_slowly": r"typical time of GET /health",
    },
    "user_registration": {
        "weak_password_accepted": r".* a weak password .*|.* refused weak password|a refused .*",
        "duplicate_email_accepted": r"second registrations .*|statuses of 6 registrations .*|sign-in with .*",
        "email_case_distinguished": r"second registrations not answered 409",
        "registration_answers_password": r"answers that hold the password|contract violations of all .*",
    },
    "user_authentication": {
        "none_signature_accepted": r"forged tokens not answered 401",
        "tampered_token_accepted": r"forged tokens not answered 401",
        "refresh_token_reusable": r"used refresh tokens not .*|statuses of one refresh token .*",
        "unknown_email_answers_faster": r"time with an unknown e-mail against a wrong password",
        "unknown_email_told_apart": r"what tells an unknown e-mail from a wrong password",
        "revoked_api_key_accepted": r"status with the revoked key",
        "expired_api_key_accepted": r"status with an API key after it expired",
        "sign_in_never_closes": r"the right password after ten wrong ones: status|the same from another .*",
    },
    "payment_workflow_creation": {
        "workflow_amount_rounded": r"what reads back otherwise|amounts .*",
        "workflow_negative_amount_accepted": r"unsound workflows not answered 400",
        "workflow_visible_to_other_businesses": r".*another business's workflow.*|what tells another.*",
        "workflow_plain_http_accepted": r"unsound workflows not answered 400",
    },
    "payment_processing": {
        "idempotency_key_ignored": r"(.* )?the same key .*|rows of .*|different payments of 20 .*",
        "idempotency_body_not_compared": r"the same key with another body: status",
        "decline_reported_as_completed": r"statuses of a declined card .*|type .*|payments taken .*",
        "amount_through_binary_float": r"payments answered or read .*|payments whose row is another",
        "asynchronous_failure_forgotten": r"a payment that fails later ends as|row of the failed .*",
        "card_number_in_answer": r"answers that hold a card number|(reading )?contract violations .*",
        "other_business_workflow_payable": r".*another.* workflow.*",
    },
    "webhook_delivery": {
        "webhook_signature_missing": r"signature problems of .*",
        "webhook_signature_over_other_bytes": r"signature problems of .*",
        "webhook_timestamp_stale": r"timestamp against arrival of .*",
        "webhook_new_id_on_retry": r"different webhook-ids of one event|events that .* got",
        "webhook_not_retried": r"answers given to payment.completed",
        "webhook_sent_to_disabled_hook": r"deliveries to webhooks that want none",
        "webhook_sent_after_410": r"deliveries to webhooks that want none",
        "webhook_private_address_accepted": r"unfit webhooks not answered 400",
    },
}


@pytest.fixture(scope="module")
def impatient(bench: Bench) -> Path:
    """Write the sandbox's environment file with less patience for deliveries that never come."""
    data = yaml.safe_load(bench.environment_file.read_text(encoding="utf-8"))
    data["webhooks"]["deadline_s"] = 4
    data["payments"] = {"settled_within_s": 3}
    path = bench.directory / "impatient.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


@pytest.mark.quiet
@pytest.mark.parametrize("gate", REASONS)
def test_the_gate_is_green_without_a_fault(bench: Bench, gate: str) -> None:
    """Against the sandbox as it should be, the gate passes."""
    judged = bench.run(gate)

    assert (judged.outcome, judged.message, judged.false) == (Outcome.PASS, "", "")


@pytest.mark.parametrize(
    ("gate", "fault"), [(gate, fault) for gate, faults in REASONS.items() for fault in faults]
)
def test_each_fault_turns_it_red_for_the_reason_meant(
    bench: Bench, impatient: Path, gate: str, fault: str
) -> None:
    """With the fault on the gate fails, and every false check is about what the fault does."""
    judged = bench.run(gate, fault, environment_file=impatient)

    assert judged.outcome is Outcome.FAIL, judged.message
    reasons = [check.name for check in judged.checks if check.ok is not True]
    strays = [name for name in reasons if not re.fullmatch(REASONS[gate][fault], name)]
    assert strays == [], judged.false
