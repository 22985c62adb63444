"""Taking a payment, and reading it back.

One statement takes a payment: it finds the workflow, claims the Idempotency-Key, inserts the payment and
queues the webhooks' deliveries, all of it or nothing. The answer is made before and stored with the key.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from bais_gates.sandbox.api import cards, events, idempotency, money, values
from bais_gates.sandbox.api.errors import ApiError, conflict, not_found, unavailable
from bais_gates.sandbox.api.logs import now
from bais_gates.sandbox.api.messages import JSON, Answer, Call, answer, encode, error_body, new_id
from bais_gates.sandbox.api.workflows import check_no_quote

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
), queued AS ({events.QUEUE.format(source="payment")})
SELECT (SELECT count(*) FROM workflow), (SELECT count(*) FROM payment), (SELECT count(*) FROM queued)
"""  # noqa: S608 - put together from this package's own constants
_SELECT = """
SELECT id, workflow_id, status, amount, currency, customer_email, card_last_four, failure_reason, created_at
FROM payments WHERE id = %(id)s AND business_id = %(business_id)s
"""


class PaymentRequest(msgspec.Struct, frozen=True):
    """The body of POST /api/v1/payments/process."""

    workflow_id: str
    payment_method: cards.Card
    amount: msgspec.Raw
    currency: str
    customer_email: str | None = None


async def process_payment(call: Call) -> Answer:
    """201, 402 for a declined card, or the first answer to the same key.

    400, 404, 409 as the contract says.
    """
    services, body = call.services, call.parse(PaymentRequest)
    key = idempotency.key_of(call)
    row = _checked(call, body)
    if services.faults.active("slow_payments_tail") and next(services.settlement.counter) % 8 == 0:
        await services.database.row("SELECT pg_sleep(0.5)")
    if not values.is_id(body.workflow_id):
        raise not_found()
    made = _outcome(call, body, row)
    row |= {
        "key": key,
        "fingerprint": idempotency.fingerprint(call) if key is not None else b"",
        "http_status": made.status,
        "response": made.body,
    }
    ignored = key is not None and services.faults.active("idempotency_key_ignored")
    async with services.crowd.joined() as fault:
        if fault == "concurrent_requests_refused":
            raise unavailable("database")
        if fault == "concurrent_writes_lost":
            return made
        found = await services.database.row(_TAKE, row | {"key": None} if ignored else row)
    workflows, payments, queued = found or (0, 0, 0)
    if not workflows:
        services.audit.record(call, "payment.create", body.workflow_id, allowed=False)
        raise not_found()
    if not payments:
        return await _first_answer(call, row)
    services.audit.record(call, "payment.create", str(row["payment_id"]), allowed=made.status == 201)
    services.metrics.payments.labels(str(row["status"])).inc()
    if queued:
        services.deliverer.wake()
    if row["settle_at"] is not None:
        services.settlement.expect()
    return made


async def read_payment(call: Call) -> Answer:
    """200 with the payment, or 404."""
    services, payment_id = call.services, call.path["payment_id"]
    check_no_quote(call, payment_id, "payments")
    business_id, found = call.principal.business_id, None
    async with services.crowd.joined() as fault:
        if fault == "concurrent_requests_refused":
            raise unavailable("database")
        if values.is_id(payment_id):
            found = await services.database.row(_SELECT, {"id": payment_id, "business_id": business_id})
        if found is not None and fault == "business_data_crossed":
            found = services.crowd.other_business_read(business_id, found)
    if found is None:
        services.audit.record(call, "payment.read", payment_id, allowed=False)
        raise not_found()
    identifier, workflow_id, status, amount, currency, email, last_four, reason, made = found
    if status == "declined":  # only a release that reported it as taken has told anybody its id
        status = "completed"
    content = {
        "payment_id": identifier,
        "workflow_id": workflow_id,
        "status": status,
        "amount": _rendered(call, amount),
        "currency": currency,
        "customer_email": email,
        "card_last_four": last_four,
        "failure_reason": reason,
        "created_at": made,
    }
    if services.faults.active("card_number_in_answer"):
        content["card_number"] = f"424242424242{last_four}"
    return answer(200, content)


def _checked(call: Call, body: PaymentRequest) -> dict[str, object]:
    """Give the payment's columns from a sound body. Raises a 400 naming the field that is not."""
    services, moment = call.services, now()
    amount = money.parse_amount(bytes(body.amount))
    currency = money.check_currency(body.currency)
    cards.check(body.payment_method, moment)
    number = body.payment_method.card_number
    status, reason, settle_at = "completed", None, None
    if number == cards.DECLINED:
        status, reason = "declined", "card_declined"
    elif number == cards.FAILS_LATER:
        status, settle_at = "pending", services.settlement.due_after(moment)
    payment_id = new_id("pay")
    told: dict[str, object] = {"payment_id": payment_id, "workflow_id": body.workflow_id, "status": status}
    told |= {"amount": amount, "currency": currency}
    return {
        "payment_id": payment_id,
        "business_id": call.principal.business_id,
        "workflow_id": body.workflow_id,
        "anybody": services.faults.active("other_business_workflow_payable"),
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
        "event_body": events.body("payment.completed", moment, told),
        "to_inactive": services.faults.active("webhook_sent_to_disabled_hook"),
    }


def _outcome(call: Call, body: PaymentRequest, row: dict[str, object]) -> Answer:
    """Give the answer that this payment will have."""
    declined = row["status"] == "declined"
    if declined and not call.services.faults.active("decline_reported_as_completed"):
        return Answer(
            status=402, body=error_body("card_declined", "The card was declined; no money was taken.")
        )
    content = {
        "payment_id": row["payment_id"],
        "status": "completed" if declined else row["status"],
        "amount": _rendered(call, row["amount"]),
        "currency": row["currency"],
        "workflow_id": body.workflow_id,
        "created_at": row["created_at"],
    }
    return Answer(status=201, body=encode(content))


async def _first_answer(call: Call, row: dict[str, object]) -> Answer:
    """Give the answer that is stored for the key; 409 if it was to another body."""
    services = call.services
    stored = await services.database.row(
        idempotency.STORED, {"business_id": row["business_id"], "key": row["key"]}
    )
    if stored is None:  # it expired in this very moment
        raise ApiError(503, "service_unavailable", "Try again.", headers=((b"retry-after", b"1"),))
    fingerprint, status, body = stored
    if bytes(fingerprint) != row["fingerprint"] and not services.faults.active(
        "idempotency_body_not_compared"
    ):
        services.audit.record(call, "payment.create", "", allowed=False)
        raise conflict("idempotency_key_reused", "This Idempotency-Key was used with another body.")
    services.metrics.payment_replays.inc()
    return Answer(status=status, body=bytes(body), headers=(JSON,))


def _rendered(call: Call, amount: object) -> object:
    if isinstance(amount, Decimal) and call.services.faults.active("amount_through_binary_float"):
        return money.through_binary_float(amount)
    return amount
