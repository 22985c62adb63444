"""Events that webhooks are told of, put into the queue by the statement that makes them true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.api.messages import encode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

EVENTS = ("payment.completed", "payment.failed", "workflow.updated")
"""What a webhook can ask for.

No operation of the contract changes a workflow, so workflow.updated never happens.
"""
QUEUE = """
  INSERT INTO webhook_deliveries (id, webhook_id, business_id, event, body)
  SELECT 'msg_' || replace(gen_random_uuid()::text, '-', ''), webhooks.id, webhooks.business_id,
         %(event)s, %(event_body)s
  FROM webhooks JOIN {source} ON webhooks.business_id = {source}.business_id
  WHERE (webhooks.active OR (%(to_inactive)s AND webhooks.disabled_at IS NULL))
    AND %(event)s::text = ANY (webhooks.events)
  RETURNING id
"""
"""One delivery for each webhook that asked for the event.

``source`` yields the business_id if it happened.
"""


def body(event: str, moment: datetime, data: Mapping[str, object]) -> bytes:
    """Give the bytes that are signed and sent, in every attempt the same."""
    return encode({"type": event, "timestamp": moment, "data": data})
