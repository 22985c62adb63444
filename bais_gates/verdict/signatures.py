"""Signatures of a decision, as values: who signed it, and how many signatures a policy requires."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature that was verified."""

    keyid: str
    """``SHA256:`` and the unpadded base64 of the SHA-256 of the public key (SPKI, DER)."""
    name: str = ""
    """The key's name in keys.yaml, or the file it was given by; empty: not listed, it has just signed."""
    owner: str = ""
    signed_at: datetime | None = None
    """When the signer says it was made, under the same key; None where another tool signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureRule:
    """What a policy requires for one environment: signatures by so many people, by these keys."""

    required: int
    keys: tuple[str, ...] = ()
    """Names in keys.yaml; empty: every key that is listed there."""
