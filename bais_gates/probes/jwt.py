"""Read the claims of JSON Web Tokens without their key, and forge tokens that a server must refuse."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import Any, Final

_PARTS: Final = 3
_YEAR_S: Final = 365 * 24 * 3600
_GUESSED_KEYS: Final = {"an empty key": b"", "the key 'secret'": b"secret"}


def claims(token: str) -> dict[str, Any] | None:
    """Return the unverified claims of a JWT; None if the token is not a JWT."""
    parts = token.split(".")
    return _decoded(parts[1]) if len(parts) == _PARTS and _decoded(parts[0]) is not None else None


def seconds_left(of: dict[str, Any]) -> float:
    """Return the seconds until the ``exp`` claim by this machine's clock; infinity without one."""
    expires = of.get("exp")
    return float(expires) - time.time() if isinstance(expires, int | float) else float("inf")


def forgeries(token: str, *, subject: str, other: str) -> dict[str, str]:
    """Return forged versions of a valid token, by the kind of forgery.

    ``subject`` is the ``sub`` of a fabricated token; ``other`` is another caller's valid token, whose claims
    are combined with this token's signature. A token that is not a JWT allows only some forgeries.
    """
    payload = claims(token)
    if payload is None:
        fabricated: dict[str, Any] = {"sub": subject, "exp": int(time.time()) + 3600}
        return {"one character changed": _flipped(token), "truncated": token[:-1], **_unsigned(fabricated)}
    head, body, signature = token.split(".")
    longer = {**payload, "exp": int(time.time()) + _YEAR_S}
    forged = {
        "signature changed": f"{head}.{body}.{_flipped(signature)}",
        "signature empty": f"{head}.{body}.",
        "signature missing": f"{head}.{body}",
        "expiry extended": f"{head}.{_encoded(longer)}.{signature}",
        "expiry in the past": f"{head}.{_encoded({**payload, 'exp': 1})}.{signature}",
        **_unsigned(payload),
    }
    if claims(other) is not None:
        forged["claims of another caller"] = f"{head}.{other.split('.')[1]}.{signature}"
    for name, key in _GUESSED_KEYS.items():
        start = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(longer)}"
        digest = hmac.new(key, start.encode(), hashlib.sha256).digest()
        forged[f"signed with {name}"] = f"{start}.{_text(digest)}"
    return forged


def _unsigned(payload: dict[str, Any]) -> dict[str, str]:
    return {
        f"alg {algorithm}": f"{_encoded({'alg': algorithm, 'typ': 'JWT'})}.{_encoded(payload)}."
        for algorithm in ("none", "None", "NONE")
    }


def _flipped(text: str) -> str:
    """Change one character in the middle, where base64 has no padding bits."""
    middle = len(text) // 2
    return text[:middle] + ("A" if text[middle : middle + 1] != "A" else "B") + text[middle + 1 :]


def _encoded(value: dict[str, Any]) -> str:
    return _text(json.dumps(value, separators=(",", ":")).encode())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(part: str) -> dict[str, Any] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError):
        return None
    return value if isinstance(value, dict) else None
