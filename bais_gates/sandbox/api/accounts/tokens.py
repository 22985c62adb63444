"""Access tokens: short-lived JWTs, signed (HMAC-SHA256) with a key derived from ``secret_key``."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jwt

from bais_gates.sandbox.api.messages import Principal

if TYPE_CHECKING:
    from bais_gates.sandbox.faults import Switch

_ISSUER, _AUDIENCE, _ALGORITHM = "bais", "bais-api", "HS256"
_REQUIRED = ["exp", "iat", "iss", "aud", "sub", "biz", "jti"]


def derive_key(secret: str, purpose: str) -> bytes:
    """Return the 32-byte key for one purpose, so that no key serves two."""
    return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).digest()


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Issues and verifies access tokens."""

    key: bytes
    ttl_s: int
    faults: Switch

    def issue(self, *, user_id: str, business_id: str) -> str:
        """Return a token for ``user_id`` that is valid for ``ttl_s`` seconds."""
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": user_id,
            "biz": business_id,
            "jti": secrets.token_hex(12),
            "iat": now,
            "exp": now + self.ttl_s,
        }
        return jwt.encode(claims, self.key, _ALGORITHM)

    def read(self, token: str) -> Principal | None:
        """Return the token's owner, or None if it is malformed, tampered with, unsigned or expired."""
        claims: dict[str, Any] | None
        try:
            claims = _verify(token, self.key)
        except (jwt.PyJWTError, ValueError, RecursionError):
            claims = self._read_unverified(token)
        if (
            not claims
            or claims["exp"] <= time.time()
            or not all(isinstance(claims[name], str) for name in ("sub", "biz", "jti"))
        ):
            return None
        return Principal(
            business_id=claims["biz"], user_id=claims["sub"], subject=claims["sub"], token_id=claims["jti"]
        )

    def _read_unverified(self, token: str) -> dict[str, Any] | None:
        """Return the claims that an active fault accepts, or None."""
        try:
            if self.faults.active("none_signature_accepted"):
                accepted = str(jwt.get_unverified_header(token).get("alg")).lower() == "none"
            else:
                accepted = self.faults.active("tampered_token_accepted")
            if not accepted:
                return None
            claims: dict[str, Any] = jwt.decode(
                token, options={"verify_signature": False, "verify_exp": True, "require": _REQUIRED}
            )
        except (jwt.PyJWTError, ValueError, RecursionError):
            return None
        return claims


@lru_cache(maxsize=4096)
def _verify(token: str, key: bytes) -> dict[str, Any]:
    """Return the claims of a valid token; kept for later requests, which must check its expiry."""
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=[_ALGORITHM],
        issuer=_ISSUER,
        audience=_AUDIENCE,
        options={"require": _REQUIRED},
    )
    return claims
