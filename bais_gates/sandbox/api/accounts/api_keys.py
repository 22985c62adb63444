"""API keys: bearer tokens of 256 random bits for a business's agents, of which only the SHA-256 is stored.

Redis keeps the owner of a key for a minute: to look it up in the database takes as long as most responses.
To revoke a key first replaces that by "nobody", which no look-up that is under way can replace again.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from math import floor
from typing import TYPE_CHECKING, Annotated

import msgspec

from bais_gates.sandbox.api import values
from bais_gates.sandbox.api.errors import ApiError, not_found
from bais_gates.sandbox.api.messages import Principal, Request, Response, digest, json_response, new_id

if TYPE_CHECKING:
    from bais_gates.sandbox.api.services import Services

_PREFIX = "bais_sk_"
_TEN_YEARS_S = 315_360_000
_INSERT = """
INSERT INTO api_keys (id, business_id, user_id, name, hash, expires_at)
VALUES (%(id)s, %(business_id)s, %(user_id)s, %(name)s, %(hash)s, %(expires_at)s)
"""
_FIND = """
SELECT id, business_id, user_id, revoked_at IS NOT NULL,
       extract(epoch FROM expires_at - now())::float8
FROM api_keys WHERE hash = %(hash)s
"""
_HASH = "SELECT hash FROM api_keys WHERE id = %(id)s AND business_id = %(business_id)s"
_NAME, _KEPT_S = "bais:key:", 60
_NOBODY = b""
_decode = msgspec.json.Decoder(tuple[str, str, str]).decode
_REVOKE = """
UPDATE api_keys SET revoked_at = now()
WHERE id = %(id)s AND business_id = %(business_id)s AND revoked_at IS NULL RETURNING id
"""


class ApiKeyRequest(msgspec.Struct, frozen=True):
    """The body of POST /api/v1/auth/api-keys; ``expires_in`` in seconds."""

    name: str
    expires_in: Annotated[int, msgspec.Meta(ge=1, le=_TEN_YEARS_S)] | None = None


def new_api_key() -> str:
    """Return a new key; the database keeps only its :func:`digest`."""
    return _PREFIX + secrets.token_urlsafe(32)


def looks_like_api_key(token: str) -> bool:
    """Return whether a bearer token is an API key rather than an access token."""
    return token.startswith(_PREFIX)


async def find_api_key(services: Services, key: str) -> Principal | None:
    """Return the key's owner; None if it is unknown, revoked or expired. Raises the 503."""
    hash_, faults = digest(key), services.faults
    accepts_revoked, accepts_expired = map(
        faults.active, ("revoked_api_key_accepted", "expired_api_key_accepted")
    )
    name = None if accepts_revoked or accepts_expired else f"{_NAME}{hash_.hex()}"
    if name is not None:
        try:
            kept = await services.cache.get(name)
        except ApiError:
            name = None  # without Redis there still is the database
        else:
            if kept is not None:
                return _principal(*_decode(kept)) if kept else None
    stored = await services.database.row(_FIND, {"hash": hash_})
    if stored is None:
        return None
    *owner, revoked, seconds_left = stored
    left_s = _KEPT_S if seconds_left is None else floor(seconds_left)
    if (revoked and not accepts_revoked) or (left_s < 0 and not accepts_expired):
        return None
    if name is not None and left_s > 0:
        await services.cache.add(name, msgspec.json.encode(owner), ttl_s=min(_KEPT_S, left_s))
    return _principal(*owner)


def _principal(key_id: str, business_id: str, user_id: str) -> Principal:
    return Principal(business_id=business_id, user_id=user_id, subject=key_id, token_id=key_id)


async def create_api_key(request: Request, services: Services) -> Response:
    """Respond 201 with the key, which is shown only here."""
    body = request.parse(ApiKeyRequest)
    name = values.text(body.name, "name", maximum=200)
    key, key_id = new_api_key(), new_id("key")
    expires_at = None if body.expires_in is None else datetime.now(UTC) + timedelta(seconds=body.expires_in)
    owner = request.principal
    row = {"id": key_id, "business_id": owner.business_id, "user_id": owner.user_id, "name": name}
    await services.database.rows(_INSERT, row | {"hash": digest(key), "expires_at": expires_at})
    services.audit.record(request, "api_key.create", key_id)
    return json_response(201, {"api_key_id": key_id, "api_key": key, "name": name, "expires_at": expires_at})


async def revoke_api_key(request: Request, services: Services) -> Response:
    """Respond 204, or 404 for a key that is unknown, already revoked, or another business's."""
    key_id = request.path["api_key_id"]
    named = {"id": key_id, "business_id": request.principal.business_id}
    stored = await services.database.row(_HASH, named) if values.is_id(key_id) else None
    if stored is not None:
        await services.cache.set(f"{_NAME}{stored[0].hex()}", _NOBODY, ttl_s=_KEPT_S)
    if stored is None or await services.database.row(_REVOKE, named) is None:
        services.audit.record(request, "api_key.revoke", key_id, allowed=False)
        raise not_found()
    services.audit.record(request, "api_key.revoke", key_id)
    return Response(status=204, headers=())
