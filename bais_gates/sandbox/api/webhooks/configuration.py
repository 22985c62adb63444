"""Configuring a webhook."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import TYPE_CHECKING, Literal

import msgspec

from bais_gates.sandbox.api.errors import ApiError, bad_request
from bais_gates.sandbox.api.messages import Request, Response, json_response, new_id
from bais_gates.sandbox.api.webhooks import destination

if TYPE_CHECKING:
    from bais_gates.sandbox.api.services import Services

_PREFIX = "whsec_"
_INSERT = """
INSERT INTO webhooks (id, business_id, url, events, secret, active)
VALUES (%(id)s, %(business_id)s, %(url)s, %(events)s, %(secret)s, %(active)s)
"""


class WebhookRequest(msgspec.Struct, frozen=True):
    """The body of POST /api/v1/webhooks/configure."""

    url: str
    events: list[Literal["payment.completed", "payment.failed", "workflow.updated"]]
    secret: str | None = None
    active: bool = True


async def configure_webhook(request: Request, services: Services) -> Response:
    """Respond 201 with the webhook's id and the secret that its deliveries are signed with."""
    body = request.parse(WebhookRequest)
    try:
        destination.check(body.url, "url", loopback_allowed=not services.settings.is_production)
    except ApiError as error:
        if "private" not in error.message or not request.faults.active("webhook_private_address_accepted"):
            raise
    events = list(dict.fromkeys(body.events))
    if not events or len(body.events) > 16:
        raise bad_request("events must name at least one event.", field_name="events")
    key = secrets.token_bytes(32) if body.secret is None else _decode_secret(body.secret)
    webhook_id = new_id("wh")
    row = {
        "id": webhook_id,
        "business_id": request.principal.business_id,
        "url": body.url,
        "events": events,
        "secret": services.vault.encrypt(key),
        "active": body.active,
    }
    await services.database.rows(_INSERT, row)
    services.audit.record(request, "webhook.configure", webhook_id)
    content = {
        "webhook_id": webhook_id,
        "signature_secret": _PREFIX + base64.b64encode(key).decode(),
        "url": body.url,
        "events": events,
        "active": body.active,
    }
    return json_response(201, content)


def _decode_secret(secret: str) -> bytes:
    """Return the HMAC key of a caller's own secret: base64 after ``whsec_``, else the text itself."""
    if not 1 <= len(secret) <= 256:
        raise bad_request("secret must have 1 to 256 characters.", field_name="secret")
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise bad_request("secret must be base64 after whsec_.", field_name="secret")
    return key
