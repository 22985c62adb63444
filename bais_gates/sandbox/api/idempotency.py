"""Idempotency-Key: the first request with a key is answered once and for all.

Repeats get that answer for 24 hours.

The key is claimed in the same statement that takes the payment, by a unique index of (business, key): of
any number of requests at once one inserts it, the others wait for that statement's commit and then find the
stored answer.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING

import msgspec

from bais_gates.sandbox.api.errors import bad_request

if TYPE_CHECKING:
    from bais_gates.sandbox.api.messages import Call

_KEY = re.compile(rb"[!-~]{1,255}")
_HEADER = b"idempotency-key"
CLAIM = """
  INSERT INTO idempotency_keys (business_id, key, fingerprint, status, response, expires_at)
  SELECT %(business_id)s, %(key)s, %(fingerprint)s, %(http_status)s, %(response)s, now() + interval '24 hours'
  FROM workflow WHERE %(key)s::text IS NOT NULL
  ON CONFLICT (business_id, key) DO UPDATE SET
    fingerprint = excluded.fingerprint, status = excluded.status, response = excluded.response,
    created_at = now(), expires_at = excluded.expires_at
  WHERE idempotency_keys.expires_at <= now()
  RETURNING key
"""
"""Yields a row when the key was free, or its 24 hours were over."""
STORED = """
SELECT fingerprint, status, response FROM idempotency_keys
WHERE business_id = %(business_id)s AND key = %(key)s
"""
PURGE = "DELETE FROM idempotency_keys WHERE expires_at < now() - interval '1 hour'"


def key_of(call: Call) -> str | None:
    """Give the request's key, or None without one.

    Raises a 400 for one that is empty, too long or not printable ASCII.
    """
    raw = call.headers.get(_HEADER)
    if raw is None:
        return None
    if not _KEY.fullmatch(raw):
        raise bad_request(
            "The Idempotency-Key must have 1 to 255 printable characters.", field_name="Idempotency-Key"
        )
    return raw.decode("ascii")


def fingerprint(call: Call) -> bytes:
    """Say what two bodies with the same content have in common; keyed, as the body holds a card number."""
    canonical = msgspec.json.encode(msgspec.json.decode(call.body), order="sorted")
    return hmac.digest(call.services.fingerprint_key, canonical, "sha256")
