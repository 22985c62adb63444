"""Look into JSON Web Tokens without their key, and forge them, to see that forgeries are refused."""

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
    """Give the claims of a JWT unverified; None when the token is no JWT."""
    parts = token.split(".")
    return _decoded(parts[1]) if len(parts) == _PARTS and _decoded(parts[0]) is not None else None


def seconds_left(of: dict[str, Any]) -> float:
    """Give the seconds until the ``exp`` claim by this machine's clock; infinity when it has none."""
    expires = of.get("exp")
    return float(expires) - time.time() if isinstance(expires, int | float) else float("inf")


def forgeries(token: str, *, subject: str, other: str) -> dict[str, str]:
    """Make forged relatives of a valid token, by what was done to them.

    ``subject`` is whom a token made from nothing claims to be; ``other`` is another caller's valid token,
    whose claims are put under this one's signature. Of a token that is no JWT, what can be forged remains.
    """
    payload = claims(token)
    if payload is None:
        made_up: dict[str, Any] = {"sub": subject, "exp": int(time.time()) + 3600}
        return {"one character changed": _flipped(token), "cut short": token[:-1], **_unsigned(made_up)}
    head, body, signature = token.split(".")
    longer = {**payload, "exp": int(time.time()) + _YEAR_S}
    forged = {
        "the signature changed": f"{head}.{body}.{_flipped(signature)}",
        "the signature left out": f"{head}.{body}.",
        "the last part left out": f"{head}.{body}",
        "a longer life under the old signature": f"{head}.{_encoded(longer)}.{signature}",
        "an expiry long past": f"{head}.{_encoded({**payload, 'exp': 1})}.{signature}",
        **_unsigned(payload),
    }
    if claims(other) is not None:
        forged["another caller's claims under this signature"] = f"{head}.{other.split('.')[1]}.{signature}"
    for name, key in _GUESSED_KEYS.items():
        start = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(longer)}"
        made = hmac.new(key, start.encode(), hashlib.sha256).digest()
        forged[f"signed with {name}"] = f"{start}.{_text(made)}"
    return forged


def _unsigned(payload: dict[str, Any]) -> dict[str, str]:
    return {
        f"alg {algorithm}": f"{_encoded({'alg': algorithm, 'typ': 'JWT'})}.{_encoded(payload)}."
        for algorithm in ("none", "None", "NONE")
    }


def _flipped(text: str) -> str:
    """Change one character in the middle, where no bit of base64 is padding."""
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
