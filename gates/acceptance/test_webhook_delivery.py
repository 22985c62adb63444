"""Check webhooks with a listener of this gate: signed, retried until accepted, sent to nobody else."""

from __future__ import annotations

import base64
import secrets
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from bais_gates import Environment, Evidence
from bais_gates.bais import ACCEPTED, FAILS_LATER, Business, require_field, unexpected_statuses
from bais_gates.probes import Delivery, Inbox, Listener, Response, signature_problem

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIGURE = "/api/v1/webhooks/configure"
MAX_SKEW_S = 60.0
"""Seconds between an attempt's timestamp and its arrival; receivers of Standard Webhooks allow 300."""
GROWTH = 1.3
"""How many times longer the next retry delay must be: more than noise makes of equal delays."""
BOTH = ("payment.completed", "payment.failed")
RETRIED, FAILURES = "retried webhook", "webhook for failures"


@pytest.mark.gate("acceptance.webhook_delivery")
def test_webhook_delivery(
    new_business: Callable[[], Business],
    webhook_listener: Listener,
    environment: Environment,
    evidence: Evidence,
) -> None:
    """A webhook arrives signed, is retried with growing delay until accepted, and reaches nobody else."""
    deadline_s = environment.webhooks.deadline_s
    business, other = new_business(), new_business()
    retried, gone = webhook_listener.inbox(500, 503, 200), webhook_listener.inbox(410)
    inactive, failures, foreign = (webhook_listener.inbox() for _ in range(3))
    own_secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    secret = check_configuration(RETRIED, business, retried, evidence)
    check_configuration("webhook that answers 410", business, gone, evidence)
    check_configuration("inactive webhook", business, inactive, evidence, active=False)
    second_secret = check_configuration(
        FAILURES, business, failures, evidence, events=("payment.failed",), secret=own_secret
    )
    check_configuration("another business's webhook", other, foreign, evidence)
    whose = "the caller's" if second_secret == own_secret else "another"
    evidence.check("signing secret (webhook configured with one)", whose, "==", "the caller's")

    completed = pay(business, ACCEPTED, 19.99)
    retried.wait_for(lambda got: any(one.answered == 200 for one in got), deadline_s)
    check_retries(retried.received, secret, evidence)
    check_event(RETRIED, retried.received, completed, "payment.completed", evidence)

    failed = pay(business, FAILS_LATER, 7.77)
    failures.wait_for(bool, deadline_s)
    retried.wait_for(lambda got: any(one.type == "payment.failed" for one in got), deadline_s)
    check_event(FAILURES, failures.received, failed, "payment.failed", evidence)
    check_event(RETRIED, retried.received, failed, "payment.failed", evidence)
    check_invalid_webhooks(business, evidence)
    check_no_repeats(retried, failures, (secret, second_secret), evidence)
    check_unwanted_deliveries(gone, inactive, foreign, evidence)


def check_configuration(
    label: str, business: Business, inbox: Inbox, evidence: Evidence, **fields: object
) -> str:
    """Check that a webhook to ``inbox`` can be configured; return its signing secret."""
    made = business.configure_webhook(inbox.url, **{"events": BOTH, **fields})
    evidence.require(f"configuration status ({label})", made.status, "==", 201, source=made.url)
    violations = business.api.conforms(made, "POST", CONFIGURE)
    evidence.check(f"configuration contract violations ({label})", violations, "==", [])
    return require_field(made, 201, "signature_secret")


def pay(business: Business, card: str, amount: float) -> tuple[str, float]:
    """Take a payment in a workflow of its own; return its id and amount."""
    workflow_id = business.workflow_id(amount=amount)
    return require_field(business.pay(workflow_id, amount=amount, card=card), 201, "payment_id"), amount


def of_type(deliveries: tuple[Delivery, ...], kind: str) -> list[Delivery]:
    """Return the deliveries of one event type."""
    return [one for one in deliveries if one.type == kind]


def check_retries(deliveries: tuple[Delivery, ...], secret: str, evidence: Evidence) -> None:
    """Check that one event was sent unchanged, with growing delay, until it was accepted."""
    attempts = of_type(deliveries, "payment.completed")
    statuses = [one.answered for one in attempts]
    evidence.require("listener's response to each attempt", statuses, "==", [500, 503, 200])
    ids, bodies, n = {one.id for one in attempts}, {one.body for one in attempts}, len(attempts)
    evidence.check("distinct webhook-ids (retries of one event)", len(ids), "==", 1, n=n)
    evidence.check("distinct bodies (retries of one event)", len(bodies), "==", 1, n=n)
    delays = [after.at - before.at for before, after in pairwise(attempts)]
    evidence.attach("retry delays in seconds", [round(delay, 3) for delay in delays])
    growth = delays[1] / delays[0]
    evidence.check("second / first retry delay", growth, ">=", GROWTH, unit="times", n=len(delays))
    check_signatures(RETRIED, deliveries, secret, evidence)


def check_signatures(label: str, deliveries: tuple[Delivery, ...], secret: str, evidence: Evidence) -> None:
    """Check signature, timestamp, method and content type of every delivery."""
    n = len(deliveries)
    problems = sorted({problem for one in deliveries if (problem := signature_problem(one, secret))})
    evidence.check(f"signature errors ({label})", problems, "==", [], n=n)
    ages = [one.age_s() for one in deliveries]
    known = [abs(age) for age in ages if age is not None]
    evidence.check(f"deliveries with a timestamp ({label})", len(known), "==", n)
    largest = max(known, default=None)
    evidence.check(f"maximum timestamp skew ({label})", largest, "<=", MAX_SKEW_S, unit="s", n=len(known))
    kinds = sorted(
        {f"{one.method} {one.headers.get('content-type', 'none').partition(';')[0]}" for one in deliveries}
    )
    evidence.check(f"method and content type ({label})", kinds, "==", ["POST application/json"])


def check_event(
    label: str, deliveries: tuple[Delivery, ...], payment: tuple[str, float], kind: str, evidence: Evidence
) -> None:
    """Check that the event arrived, is about this payment, and contains no card number."""
    payment_id, amount = payment
    events, group = of_type(deliveries, kind), f"({kind}, {label})"
    evidence.require(f"deliveries {group}", len(events), ">=", 1, unit="deliveries")
    body = events[-1].json
    data = body.get("data")
    missing = sorted({"type", "timestamp", "data"} - body.keys())
    evidence.check(f"missing body fields {group}", missing, "==", [])
    ids = sorted({str(value) for value in data.values()} & {payment_id}) if isinstance(data, dict) else []
    evidence.check(f"payment id in the body {group}", ids, "==", [payment_id])
    if isinstance(data, dict) and "amount" in data:
        evidence.check(f"amount in the body {group}", data["amount"], "==", amount)
    leaks = sum(card.encode() in one.body for one in events for card in (ACCEPTED, FAILS_LATER))
    evidence.check(f"deliveries that contain a card number {group}", leaks, "==", 0, n=len(events))


def check_invalid_webhooks(business: Business, evidence: Evidence) -> None:
    """Check that unsafe URLs and invalid events are refused with 400."""
    configure = business.configure_webhook
    answers: dict[str, Response] = {name: configure(url) for name, url in INVALID_URLS.items()}
    answers["an unknown event"] = configure("https://example.com/hook", events=("payment.imagined",))
    answers["events as text"] = configure("https://example.com/hook", events="payment.completed")
    accepted = unexpected_statuses(400, answers)
    evidence.check("invalid webhooks not refused with 400", accepted, "==", {}, n=len(answers))
    violations = {
        one for answer in answers.values() for one in business.api.conforms(answer, "POST", CONFIGURE)
    }
    evidence.check("contract violations (invalid webhooks)", sorted(violations), "==", [])


def check_no_repeats(retried: Inbox, failures: Inbox, keys: tuple[str, str], evidence: Evidence) -> None:
    """Check that accepted events are not sent again, and that each webhook gets its own event types."""
    time.sleep(0.5)
    for label, inbox, secret in ((RETRIED, retried, keys[0]), (FAILURES, failures, keys[1])):
        check_signatures(f"{label}, all deliveries", inbox.received, secret, evidence)
        accepted = [one.id for one in inbox.received if one.answered == 200]
        repeats = len(accepted) - len(set(accepted))
        evidence.check(f"repeated deliveries of accepted events ({label})", repeats, "==", 0)
    ids = {kind: {one.id for one in of_type(retried.received, kind)} for kind in BOTH}
    counts = {kind: len(values) for kind, values in ids.items()}
    evidence.check(f"events received ({RETRIED})", counts, "==", dict.fromkeys(BOTH, 1))
    evidence.check("webhook-ids shared by two events", len(ids[BOTH[0]] & ids[BOTH[1]]), "==", 0)
    kinds = sorted({one.type for one in failures.received})
    evidence.check(f"event types received ({FAILURES})", kinds, "==", ["payment.failed"])


def check_unwanted_deliveries(gone: Inbox, inactive: Inbox, foreign: Inbox, evidence: Evidence) -> None:
    """Check that webhooks that answered 410, are inactive or belong to others receive nothing more."""
    counts = {
        "webhook that answered 410": len(gone.received),
        "inactive webhook": len(inactive.received),
        "another business's webhook": len(foreign.received),
    }
    expected = dict(zip(counts, (1, 0, 0), strict=True))
    evidence.check("deliveries to gone, inactive and another business's webhooks", counts, "==", expected)


INVALID_URLS = {
    "a private address (10/8)": "https://10.0.0.1/hook",
    "a private address (172.16/12)": "https://172.16.31.4/hook",
    "a private address (192.168/16)": "https://192.168.1.1:8443/hook",
    "the cloud's metadata address": "https://169.254.169.254/latest/meta-data/",
    "a private IPv6 address": "https://[fd00::1]/hook",
    "a link-local IPv6 address": "https://[fe80::1]/hook",
    "a private address inside IPv6": "https://[::ffff:10.0.0.1]/hook",
    "a private address as one number": "https://167772161/hook",
    "the unspecified address": "https://0.0.0.0/hook",
    "plain http to a public host": "http://example.com/hook",
    "an ftp URL": "ftp://example.com/hook",
    "no URL": "example.com",
}
