"""Configuring webhooks, and what signs their deliveries (Standard Webhooks)."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from typing import Literal

import msgspec

from bais_gates.sandbox.api import destination
from bais_gates.sandbox.api.errors import ApiError, bad_request
from bais_gates.sandbox.api.messages import Answer, Call, answer, new_id

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


async def configure_webhook(call: Call) -> Answer:
    """201 with the webhook's id and the secret that its deliveries are signed with."""
    services, body = call.services, call.parse(WebhookRequest)
    try:
        destination.check(body.url, "url", loopback_allowed=not services.settings.is_production)
    except ApiError as error:
        if "private" not in error.message or not services.faults.active("webhook_private_address_accepted"):
            raise
    events = list(dict.fromkeys(body.events))
    if not events or len(body.events) > 16:
        raise bad_request("events must name one event or more.", field_name="events")
    key = secrets.token_bytes(32) if body.secret is None else _key(body.secret)
    webhook_id = new_id("wh")
    row = {
        "id": webhook_id,
        "business_id": call.principal.business_id,
        "url": body.url,
        "events": events,
        "secret": services.vault.encrypt(key),
        "active": body.active,
    }
    await services.database.rows(_INSERT, row)
    services.audit.record(call, "webhook.configure", webhook_id)
    content = {
        "webhook_id": webhook_id,
        "signature_secret": _PREFIX + base64.b64encode(key).decode(),
        "url": body.url,
        "events": events,
        "active": body.active,
    }
    return answer(201, content)


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """``webhook-signature``: HMAC-SHA256 over id, timestamp and the exact bytes of the body."""
    mac = hmac.digest(key, b"%s.%d.%s" % (message_id.encode(), timestamp, body), "sha256")
    return "v1," + base64.b64encode(mac).decode()


def _key(secret: str) -> bytes:
    """Give the HMAC key that a caller's own secret means: base64 after ``whsec_``, else the text itself."""
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
