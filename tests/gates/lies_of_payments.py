"""Lies about workflows, payments and webhooks, and the check that each must fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.gates.lying_proxy import Answer, Exchange, Lie, cached, lie, on

WORKFLOWS, PROCESS = "/api/v1/workflows/payment", "/api/v1/payments/process"
CONFIGURE = "/api/v1/webhooks/configure"

# --- workflows ---


@lie("payment_workflow_creation", "amounts that do not read back as sent")
def a_cent_more() -> Lie:
    """Add a cent to a workflow's amount when it is read."""

    def answer(e: Exchange) -> Answer:
        response = e.forward()
        if response.status != 200:
            return response
        return response.changed(amount=round(response.json["amount"] + 0.01, 2))

    return on("GET", WORKFLOWS, answer)


@lie("payment_workflow_creation", "status (another business's workflow)")
def workflows_from_a_shared_cache() -> Lie:
    """Cache workflows by path alone, so that other businesses see them."""
    return cached("GET", WORKFLOWS, lambda e: e.path)


@lie("payment_workflow_creation", "status (another business's workflow)")
def forbidden_instead_of_unknown() -> Lie:
    """Answer 403 for another's workflow and 404 for an unknown one."""
    existing: set[str] = set()

    def answer(e: Exchange) -> Answer:
        response = e.forward()
        if response.status == 200:
            existing.add(e.path)
        return response.changed(403) if response.status == 404 and e.path in existing else response

    return on("GET", WORKFLOWS, answer)


@lie("payment_workflow_creation", "distinct workflow ids (8 concurrent creations)")
def ids_issued_twice() -> Lie:
    """Answer some creations with the response, and the id, of another one."""
    first: list[Any] = []

    def answer(e: Exchange) -> Answer:
        response = e.forward()
        if response.status == 201:
            first.append(response)
        return first[len(first) // 3] if response.status == 201 and len(first) > 12 else response

    return on("POST", WORKFLOWS, answer)


# --- payments ---


@lie("payment_processing", "database rows (one with a key, two without)")
def payments_taken_twice() -> Lie:
    """Forward each payment twice."""

    def answer(e: Exchange) -> Answer:
        e.forward(without="idempotency-key")
        return e.forward()

    return on("POST", PROCESS, answer)


@lie("payment_processing", "distinct payments (20 concurrent duplicates)")
def keys_removed() -> Lie:
    """Remove the Idempotency-Key from requests."""
    return on("POST", PROCESS, lambda e: e.forward(without="idempotency-key"))


@lie("payment_processing", "payments with a different database row")
def another_amount_taken_than_reported() -> Lie:
    """Take 20.00 for a request of 19.99, and report 19.99."""
    amounts: dict[str, Any] = {}

    def answer(e: Exchange) -> Answer:
        if e.method == "GET":
            response = e.forward()
            return response.changed(amount=amounts[e.path]) if e.path in amounts else response
        response = e.forward(amount=20.0) if e.json.get("amount") == 19.99 else e.forward()
        if response.status == 201 and e.json.get("amount") == 19.99:
            amounts[f"/api/v1/payments/{response.json['payment_id']}"] = 19.99
            return response.changed(amount=19.99)
        return response

    return lambda e: answer(e) if e.path.startswith("/api/v1/payments/") else e.forward()


@lie("payment_processing", "statuses (declined card and its retry)")
def declined_reported_as_completed() -> Lie:
    """Report a declined card as a completed payment."""

    def answer(e: Exchange) -> Answer:
        response = e.forward()
        if response.status != 402:
            return response
        amount = e.json["amount"]
        return response.changed(201, payment_id="pay_0123456789", status="completed", amount=amount)

    return on("POST", PROCESS, answer)


@lie("payment_processing", "responses that contain a card number")
def card_number_in_a_header() -> Lie:
    """Add a debugging header with the card number."""

    def answer(e: Exchange) -> Answer:
        response: Answer = e.forward()
        card = ((e.json or {}).get("payment_method") or {}).get("card_number", "")
        return replace(response, headers={**response.headers, "x-debug-card": card})

    return on("POST", PROCESS, answer)


@lie("payment_processing", "final status (payment that fails later)")
def failures_reported_as_completed() -> Lie:
    """Report a failed payment as completed."""

    def answer(e: Exchange) -> Answer:
        response = e.forward()
        failed = (response.json or {}).get("status") == "failed"
        return response.changed(status="completed") if failed else response

    return on("GET", "/api/v1/payments/", answer)


@lie("payment_processing", "payments not answered or read back as sent")
def cents_cut_off() -> Lie:
    """Cut the cents off payments when they are read."""

    def answer(e: Exchange) -> Answer:
        response = e.forward()
        return response.changed(amount=int(response.json["amount"])) if response.status == 200 else response

    return on("GET", "/api/v1/payments/", answer)


# --- webhooks ---


@lie("webhook_delivery", "deliveries to gone, inactive and another business's webhooks")
def every_webhook_activated() -> Lie:
    """Configure every webhook as active."""
    return on("POST", CONFIGURE, lambda e: e.forward(active=True))


@lie("webhook_delivery", "signature errors (retried webhook)")
def another_secret_reported() -> Lie:
    """Report another secret than the one that signs."""

    def answer(e: Exchange) -> Answer:
        response = e.forward()
        if response.status != 201 or "secret" in e.json:
            return response
        return response.changed(signature_secret="whsec_" + "QUJD" * 8)

    return on("POST", CONFIGURE, answer)


@lie("webhook_delivery", "invalid webhooks not refused with 400")
def refused_webhooks_reported_as_configured() -> Lie:
    """Report a refused webhook as configured."""

    def answer(e: Exchange) -> Answer:
        response = e.forward()
        if response.status != 400:
            return response
        body = b'{"webhook_id": "whk_0123456789", "signature_secret": "whsec_QUJDREVGR0g="}'
        return Answer(status=201, headers=response.headers, body=body)

    return on("POST", CONFIGURE, answer)


@lie("webhook_delivery", "listener's response to each attempt|events received (retried webhook)")
def payments_taken_twice_notify_twice() -> Lie:
    """Forward each payment twice, so that its webhook is notified of two."""
    return payments_taken_twice()
