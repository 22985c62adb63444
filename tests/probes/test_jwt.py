"""Claims and forgeries of tokens."""

from __future__ import annotations

import math
import time

import jwt as independent
import pytest

from bais_gates.probes import jwt

KEY = "a key of the platform that no gate knows"


def _token(subject: str = "u1", life_s: int = 900) -> str:
    return independent.encode({"sub": subject, "exp": int(time.time()) + life_s}, KEY, algorithm="HS256")


def test_claims_and_life_of_a_token() -> None:
    """They are those of an independent library."""
    claims = jwt.claims(_token())
    assert claims is not None
    assert claims["sub"] == "u1"
    assert 895 < jwt.seconds_left(claims) <= 900
    assert jwt.seconds_left({}) == math.inf


@pytest.mark.parametrize("text", ["", "opaque", "a.b", "a.b.c", "....", "é.é.é"])
def test_a_token_that_is_not_a_jwt_has_no_claims(text: str) -> None:
    """It is not an error."""
    assert jwt.claims(text) is None


def test_an_independent_library_refuses_every_forgery() -> None:
    """Each forgery differs from the valid token."""
    true = _token()
    forged = jwt.forgeries(true, subject="u1", other=_token("u2"))
    assert len(set(forged.values())) == len(forged) >= 10
    for token in forged.values():
        with pytest.raises(independent.InvalidTokenError):
            independent.decode(token, KEY, algorithms=["HS256"])


def test_a_verifier_without_checks_accepts_forgeries() -> None:
    """The forgeries are well-formed."""
    forged = jwt.forgeries(_token(), subject="u1", other=_token("u2"))
    lenient = {"verify_signature": False, "verify_exp": False}
    accepted = [name for name, token in forged.items() if _decodes(token, lenient)]
    assert {"signature changed", "alg none", "expiry extended"} <= set(accepted)


def _decodes(token: str, options: dict[str, bool]) -> bool:
    try:
        independent.decode(token, options=options)  # type: ignore[arg-type]  # a plain dict is what it takes
    except independent.InvalidTokenError:
        return False
    return True


def test_forgeries_of_an_opaque_token() -> None:
    """A changed and a truncated token, and fabricated unsigned JWTs."""
    forged = jwt.forgeries("opaque-token-123", subject="u1", other="opaque-token-456")
    assert set(forged) == {"one character changed", "truncated", "alg none", "alg None", "alg NONE"}
    assert "opaque-token-123" not in forged.values()
