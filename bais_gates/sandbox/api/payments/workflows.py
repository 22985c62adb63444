"""Creating a payment workflow, and reading it back."""

from __future__ import annotations

import asyncio
import secrets
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from bais_gates.sandbox.api import values
from bais_gates.sandbox.api.errors import ApiError, bad_request, not_found, unavailable
from bais_gates.sandbox.api.messages import Request, Response, json_response, new_id
from bais_gates.sandbox.api.payments import money
from bais_gates.sandbox.api.webhooks import destination

if TYPE_CHECKING:
    from bais_gates.sandbox.api.services import Services

_MAX_METADATA = 8192
_INSERT = """
INSERT INTO workflows
  (id, business_id, name, description, payment_provider, amount, currency, webhook_url, metadata, public_key)
VALUES (%(id)s, %(business_id)s, %(name)s, %(description)s, %(payment_provider)s, %(amount)s, %(currency)s,
        %(webhook_url)s, %(metadata)s, %(public_key)s)
"""
_SELECT = """
SELECT id, public_key, status, name, description, payment_provider, amount, currency, webhook_url,
       metadata, created_at
FROM workflows WHERE id = %(id)s AND (business_id = %(business_id)s OR %(anybody)s)
"""


class WorkflowRequest(msgspec.Struct, frozen=True):
    """The body of POST /api/v1/workflows/payment.

    ``amount`` and ``metadata`` keep the bytes that were sent.
    """

    name: str
    payment_provider: str
    amount: msgspec.Raw
    currency: str
    webhook_url: str
    description: str | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


def new_public_key() -> str:
    """Return a new public key of a workflow."""
    return "bais_pk_" + secrets.token_urlsafe(18)


async def create_workflow(request: Request, services: Services) -> Response:
    """Respond 201 with the workflow's id and public key, or 400."""
    body = request.parse(WorkflowRequest)
    row = _validate(request, services, body)
    workflow_id, public_key = new_id("wf"), new_public_key()
    row |= {"id": workflow_id, "public_key": public_key, "business_id": request.principal.business_id}
    async with services.concurrency.entered() as fault:
        if fault == "concurrent_requests_refused":
            raise unavailable("database")
        if fault != "concurrent_writes_lost":
            await services.database.rows(_INSERT, row)
    services.audit.record(request, "workflow.create", workflow_id)
    return json_response(201, {"workflow_id": workflow_id, "public_key": public_key, "status": "active"})


async def read_workflow(request: Request, services: Services) -> Response:
    """Respond 200 with the workflow, or 404."""
    workflow_id = request.path["workflow_id"]
    check_no_quote(request, workflow_id, "workflows")
    business_id = request.principal.business_id
    anybody = request.faults.active("workflow_visible_to_other_businesses")
    if request.faults.active("slow_workflow_reads"):
        await asyncio.sleep(0.3)
    stored = None
    async with services.concurrency.entered() as fault:
        if fault == "concurrent_requests_refused":
            raise unavailable("database")
        if values.is_id(workflow_id):
            key = {"id": workflow_id, "business_id": business_id, "anybody": anybody}
            stored = await services.database.row(_SELECT, key)
        if stored is not None and fault == "business_data_crossed":
            stored = services.concurrency.swap(business_id, stored)
    if stored is None:
        services.audit.record(request, "workflow.read", workflow_id, allowed=False)
        raise not_found()
    (
        identifier,
        public_key,
        status,
        name,
        description,
        provider,
        amount,
        currency,
        url,
        metadata,
        created_at,
    ) = stored
    content = {
        "workflow_id": identifier,
        "public_key": public_key,
        "status": status,
        "name": name,
        "description": description,
        "payment_provider": provider,
        "amount": round(amount) + Decimal(0) if request.faults.active("workflow_amount_rounded") else amount,
        "currency": currency,
        "webhook_url": url,
        "metadata": msgspec.Raw(metadata.encode()),
        "created_at": created_at,
    }
    return json_response(200, content)


def check_no_quote(request: Request, identifier: str, table: str) -> None:
    """Raise what a release shows that puts ids into its SQL as text; only while that fault is on."""
    if "'" in identifier and request.faults.active("sql_text_in_errors"):
        statement = f"SELECT * FROM {table} WHERE id = '{identifier}'"  # noqa: S608 - never executed: it is the fault's response
        raise ApiError(500, "internal_error", f"unterminated quoted string in: {statement}")


def _validate(request: Request, services: Services, body: WorkflowRequest) -> dict[str, object]:
    """Return the workflow's columns. Raises a 400 that names the first invalid field."""
    faults = request.faults
    if body.payment_provider != "stripe":
        raise bad_request("The payment_provider must be stripe.", field_name="payment_provider")
    if faults.active("workflow_negative_amount_accepted"):
        amount = max(abs(money.parse_amount(bytes(body.amount), minimum=-money.MAXIMUM)), money.CENT)
    else:
        amount = money.parse_amount(bytes(body.amount))
    metadata = bytes(body.metadata)
    if not metadata.startswith(b"{") or len(metadata) > _MAX_METADATA:
        raise bad_request(
            f"metadata must be an object of {_MAX_METADATA} bytes at most.", field_name="metadata"
        )
    url = body.webhook_url
    if faults.active("workflow_plain_http_accepted"):
        url = url.replace("http://", "https://", 1)
    destination.check(url, "webhook_url", loopback_allowed=not services.settings.is_production)
    description = None
    if body.description is not None:
        description = values.text(body.description, "description", maximum=2000, minimum=0)
    return {
        "name": values.text(body.name, "name", maximum=200),
        "description": description,
        "payment_provider": body.payment_provider,
        "amount": amount,
        "currency": money.check_currency(body.currency),
        "webhook_url": body.webhook_url,
        "metadata": metadata.decode(),
    }
