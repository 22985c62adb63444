"""Idempotency-Key: repeats of a request receive the response to the first one for 24 hours.

The statement that takes the payment also claims the key, by a unique index on (business, key). Of concurrent
requests one inserts it; the others wait for that commit and then find the stored response.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING

import msgspec

from bais_gates.sandbox.api.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

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
"""Return a row if the key was unused or has expired."""
STORED = """
SELECT fingerprint, status, response FROM idempotency_keys
WHERE business_id = %(business_id)s AND key = %(key)s
"""
PURGE = "DELETE FROM idempotency_keys WHERE expires_at < now() - interval '1 hour'"


def read_key(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the key, or None without one. Raises a 400 if it is empty, too long or not printable ASCII."""
    raw = headers.get(_HEADER)
    if raw is None:
        return None
    if not _KEY.fullmatch(raw):
        raise bad_request(
            "The Idempotency-Key must have 1 to 255 printable characters.", field_name="Idempotency-Key"
        )
    return raw.decode("ascii")


def fingerprint(key: bytes, body: bytes) -> bytes:
    """Return the HMAC of the JSON body's canonical form; keyed, as the body contains a card number."""
    canonical = msgspec.json.encode(msgspec.json.decode(body), order="sorted")
    return hmac.digest(key, canonical, "sha256")
