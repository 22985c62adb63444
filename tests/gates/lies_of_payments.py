"""Lies about workflows, payments and webhooks, and the checks that must find them out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.gates.lying_proxy import Answer, Exchange, Lie, cached, lie, on

WORKFLOWS, PROCESS = "/api/v1/workflows/payment", "/api/v1/payments/process"
CONFIGURE = "/api/v1/webhooks/configure"

# --- workflows ---


@lie("payment_workflow_creation", "amounts that read back otherwise")
def a_cent_more() -> Lie:
    """Lie: a workflow reads back with a cent more."""

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        return told.told(amount=round(told.json["amount"] + 0.01, 2)) if told.status == 200 else told

    return on("GET", WORKFLOWS, answer)


@lie("payment_workflow_creation", "another business's workflow: status")
def workflows_from_a_shared_cache() -> Lie:
    """Lie: a cache by path alone shows workflows to other businesses."""
    return cached("GET", WORKFLOWS, lambda e: e.path)


@lie("payment_workflow_creation", "another business's workflow: status")
def forbidden_instead_of_unknown() -> Lie:
    """Lie: another's workflow is told apart from an unknown one by 403."""
    seen: set[str] = set()

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        if told.status == 200:
            seen.add(e.path)
        return told.told(403) if told.status == 404 and e.path in seen else told

    return on("GET", WORKFLOWS, answer)


@lie("payment_workflow_creation", "different ids of 8 workflows set up at once")
def ids_given_twice() -> Lie:
    """Lie: some workflows get the answer, and the id, of another one."""
    first: list[Any] = []

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        if told.status == 201:
            first.append(told)
        return first[len(first) // 3] if told.status == 201 and len(first) > 12 else told

    return on("POST", WORKFLOWS, answer)


# --- payments ---


@lie("payment_processing", "rows of the three payments")
def payments_taken_twice() -> Lie:
    """Lie: each payment is asked of the API twice."""

    def answer(e: Exchange) -> Answer:
        e.forward(without="idempotency-key")
        return e.forward()

    return on("POST", PROCESS, answer)


@lie("payment_processing", "different payments of 20 duplicates at once")
def keys_left_out() -> Lie:
    """Lie: the Idempotency-Key never reaches the API."""
    return on("POST", PROCESS, lambda e: e.forward(without="idempotency-key"))


@lie("payment_processing", "payments whose row is another")
def another_amount_taken_than_told() -> Lie:
    """Lie: 20.00 is taken where 19.99 was asked for, and 19.99 is told."""
    amounts: dict[str, Any] = {}

    def answer(e: Exchange) -> Answer:
        if e.method == "GET":
            told = e.forward()
            return told.told(amount=amounts[e.path]) if e.path in amounts else told
        told = e.forward(amount=20.0) if e.json.get("amount") == 19.99 else e.forward()
        if told.status == 201 and e.json.get("amount") == 19.99:
            amounts[f"/api/v1/payments/{told.json['payment_id']}"] = 19.99
            return told.told(amount=19.99)
        return told

    return lambda e: answer(e) if e.path.startswith("/api/v1/payments/") else e.forward()


@lie("payment_processing", "statuses of a declined card and its repeat")
def declined_told_as_taken() -> Lie:
    """Lie: a declined card is told as a completed payment."""

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        if told.status != 402:
            return told
        sent = e.json
        return told.told(201, payment_id="pay_0123456789", status="completed", amount=sent["amount"])

    return on("POST", PROCESS, answer)


@lie("payment_processing", "answers that hold a card number")
def card_number_in_a_header() -> Lie:
    """Lie: a debugging header holds the card number."""

    def answer(e: Exchange) -> Answer:
        told: Answer = e.forward()
        card = ((e.json or {}).get("payment_method") or {}).get("card_number", "")
        return replace(told, headers={**told.headers, "x-debug-card": card})

    return on("POST", PROCESS, answer)


@lie("payment_processing", "a payment that fails later ends as")
def failures_told_as_completed() -> Lie:
    """Lie: a payment that failed later is told as completed."""

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        return told.told(status="completed") if (told.json or {}).get("status") == "failed" else told

    return on("GET", "/api/v1/payments/", answer)


@lie("payment_processing", "payments answered or read back otherwise")
def cents_cut_off() -> Lie:
    """Lie: payments read back in whole units."""

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        return told.told(amount=int(told.json["amount"])) if told.status == 200 else told

    return on("GET", "/api/v1/payments/", answer)


# --- webhooks ---


@lie("webhook_delivery", "deliveries to webhooks that want none")
def every_webhook_made_active() -> Lie:
    """Lie: an inactive webhook is configured as an active one."""
    return on("POST", CONFIGURE, lambda e: e.forward(active=True))


@lie("webhook_delivery", "signature problems of the retried webhook")
def another_secret_told() -> Lie:
    """Lie: the secret told is not the one that signs."""

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        if told.status != 201 or "secret" in e.json:
            return told
        return told.told(signature_secret="whsec_" + "QUJD" * 8)

    return on("POST", CONFIGURE, answer)


@lie("webhook_delivery", "unfit webhooks not answered 400")
def unfit_webhooks_told_as_made() -> Lie:
    """Lie: a refused webhook is told as configured."""

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        if told.status != 400:
            return told
        headers = told.headers
        body = b'{"webhook_id": "whk_0123456789", "signature_secret": "whsec_QUJDREVGR0g="}'
        return Answer(status=201, headers=headers, body=body)

    return on("POST", CONFIGURE, answer)


@lie("webhook_delivery", "answers given to payment.completed|events that the retried webhook got")
def payments_taken_twice_tell_twice() -> Lie:
    """Lie: a payment taken twice tells its webhook of two."""
    return payments_taken_twice()
