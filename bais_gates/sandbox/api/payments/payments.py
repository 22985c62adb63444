"""Taking a payment, and reading it back.

One statement takes a payment: it finds the workflow, claims the Idempotency-Key, inserts the payment and
queues the webhook deliveries, all or nothing. The response is built before and stored with the key.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from bais_gates.sandbox.api import values
from bais_gates.sandbox.api.errors import ApiError, conflict, not_found, unavailable
from bais_gates.sandbox.api.messages import JSON, Request, Response, error_body, json_response, new_id
from bais_gates.sandbox.api.payments import cards, idempotency, money
from bais_gates.sandbox.api.payments.workflows import check_no_quote
from bais_gates.sandbox.api.webhooks.delivery import QUEUE, event_body

if TYPE_CHECKING:
    from bais_gates.sandbox.api.services import Services

_TAKE = f"""
WITH workflow AS (
  SELECT id FROM workflows
  WHERE id = %(workflow_id)s AND (business_id = %(business_id)s OR %(anybody)s)
), claimed AS ({idempotency.CLAIM}), payment AS (
  INSERT INTO payments (id, business_id, workflow_id, amount, currency, status, customer_email,
                        card_last_four, failure_reason, idempotency_key, created_at, settle_at)
  SELECT %(payment_id)s, %(business_id)s, workflow.id, %(amount)s, %(currency)s, %(status)s,
         %(customer_email)s, %(card_last_four)s, %(failure_reason)s, %(key)s, %(created_at)s, %(settle_at)s
  FROM workflow WHERE %(key)s::text IS NULL OR EXISTS (SELECT 1 FROM claimed)
  RETURNING business_id
), queued AS ({QUEUE.format(source="payment")})
SELECT (SELECT count(*) FROM workflow), (SELECT count(*) FROM payment), (SELECT count(*) FROM queued)
"""  # noqa: S608 - put together from this package's own constants
_SELECT = """
SELECT id, workflow_id, status, amount, currency, customer_email, card_last_four, failure_reason, created_at
FROM payments WHERE id = %(id)s AND business_id = %(business_id)s
"""
_FAILING_EVERY = 20
"""Of a release whose payments fail at times, every one of this number does: 5 %."""


class PaymentRequest(msgspec.Struct, frozen=True):
    """The body of POST /api/v1/payments/process."""

    workflow_id: str
    payment_method: cards.Card
    amount: msgspec.Raw
    currency: str
    customer_email: str | None = None


async def process_payment(request: Request, services: Services) -> Response:
    """Respond 201, 402 for a declined card, or with the response stored for the key; else 400, 404 or 409."""
    body = request.parse(PaymentRequest)
    key = idempotency.read_key(request.headers)
    row = _validate(request, services, body)
    if request.faults.active("slow_payments_tail") and next(services.settlement.counter) % 8 == 0:
        await services.database.row("SELECT pg_sleep(0.5)")
    failing = "payments_fail_at_times" in services.settings.defects
    if failing and next(services.settlement.counter) % _FAILING_EVERY == 0:
        raise RuntimeError  # no ApiError: the gateway responds 500
    if not values.is_id(body.workflow_id):
        raise not_found()
    response = _response(request, body, row)
    row |= {
        "key": key,
        "fingerprint": idempotency.fingerprint(services.fingerprint_key, request.body) if key else b"",
        "http_status": response.status,
        "response": response.body,
    }
    ignored = key is not None and request.faults.active("idempotency_key_ignored")
    async with services.concurrency.entered() as fault:
        if fault == "concurrent_requests_refused":
            raise unavailable("database")
        if fault == "concurrent_writes_lost":
            return response
        counts = await services.database.row(_TAKE, row | {"key": None} if ignored else row)
    workflows, payments, queued = counts or (0, 0, 0)
    if not workflows:
        services.audit.record(request, "payment.create", body.workflow_id, allowed=False)
        raise not_found()
    if not payments:
        return await _stored_response(request, services, row)
    services.audit.record(request, "payment.create", str(row["payment_id"]), allowed=response.status == 201)
    services.metrics.payments.labels(str(row["status"])).inc()
    if queued:
        services.deliverer.wake()
    if row["settle_at"] is not None:
        services.settlement.schedule()
    return response


async def read_payment(request: Request, services: Services) -> Response:
    """Respond 200 with the payment, or 404."""
    payment_id = request.path["payment_id"]
    check_no_quote(request, payment_id, "payments")
    business_id, stored = request.principal.business_id, None
    async with services.concurrency.entered() as fault:
        if fault == "concurrent_requests_refused":
            raise unavailable("database")
        if values.is_id(payment_id):
            stored = await services.database.row(_SELECT, {"id": payment_id, "business_id": business_id})
        if stored is not None and fault == "business_data_crossed":
            stored = services.concurrency.swap(business_id, stored)
    if stored is None:
        services.audit.record(request, "payment.read", payment_id, allowed=False)
        raise not_found()
    identifier, workflow_id, status, amount, currency, email, last_four, reason, created_at = stored
    if status == "declined":  # its id is known only while a fault reports it as completed
        status = "completed"
    content = {
        "payment_id": identifier,
        "workflow_id": workflow_id,
        "status": status,
        "amount": _amount(request, amount),
        "currency": currency,
        "customer_email": email,
        "card_last_four": last_four,
        "failure_reason": reason,
        "created_at": created_at,
    }
    if request.faults.active("card_number_in_answer"):
        content["card_number"] = f"424242424242{last_four}"
    return json_response(200, content)


def _validate(request: Request, services: Services, body: PaymentRequest) -> dict[str, object]:
    """Return the payment's columns. Raises a 400 that names the first invalid field."""
    moment = datetime.now(UTC)
    amount = money.parse_amount(bytes(body.amount))
    currency = money.check_currency(body.currency)
    cards.check_card(body.payment_method, moment)
    number = body.payment_method.card_number
    status, reason, settle_at = "completed", None, None
    if number == cards.DECLINED:
        status, reason = "declined", "card_declined"
    elif number == cards.FAILS_LATER:
        status, settle_at = "pending", services.settlement.due_after(moment)
    payment_id = new_id("pay")
    data: dict[str, object] = {"payment_id": payment_id, "workflow_id": body.workflow_id, "status": status}
    data |= {"amount": amount, "currency": currency}
    return {
        "payment_id": payment_id,
        "business_id": request.principal.business_id,
        "workflow_id": body.workflow_id,
        "anybody": request.faults.active("other_business_workflow_payable"),
        "amount": amount,
        "currency": currency,
        "status": status,
        "customer_email": None
        if body.customer_email is None
        else values.email(body.customer_email, "customer_email"),
        "card_last_four": number[-4:],
        "failure_reason": reason,
        "created_at": moment,
        "settle_at": settle_at,
        "event": "payment.completed" if status == "completed" else None,
        "event_body": event_body("payment.completed", moment, data),
        "to_inactive": request.faults.active("webhook_sent_to_disabled_hook"),
    }


def _response(request: Request, body: PaymentRequest, row: dict[str, object]) -> Response:
    """Return the response to this payment, which is not yet taken."""
    declined = row["status"] == "declined"
    if declined and not request.faults.active("decline_reported_as_completed"):
        return Response(
            status=402, body=error_body("card_declined", "The card was declined; no money was taken.")
        )
    content = {
        "payment_id": row["payment_id"],
        "status": "completed" if declined else row["status"],
        "amount": _amount(request, row["amount"]),
        "currency": row["currency"],
        "workflow_id": body.workflow_id,
        "created_at": row["created_at"],
    }
    return json_response(201, content)


async def _stored_response(request: Request, services: Services, row: dict[str, object]) -> Response:
    """Return the response that is stored for the key. Raises a 409 if it belongs to another body."""
    stored = await services.database.row(
        idempotency.STORED, {"business_id": row["business_id"], "key": row["key"]}
    )
    if stored is None:  # it has just expired
        raise ApiError(503, "service_unavailable", "Try again.", headers=((b"retry-after", b"1"),))
    fingerprint, status, body = stored
    if bytes(fingerprint) != row["fingerprint"] and not request.faults.active(
        "idempotency_body_not_compared"
    ):
        services.audit.record(request, "payment.create", "", allowed=False)
        raise conflict("idempotency_key_reused", "This Idempotency-Key was used with another body.")
    services.metrics.payment_replays.inc()
    return Response(status=status, body=bytes(body), headers=(JSON,))


def _amount(request: Request, amount: object) -> object:
    if isinstance(amount, Decimal) and request.faults.active("amount_through_binary_float"):
        return money.through_binary_float(amount)
    return amount
