"""DSSE envelopes (Dead Simple Signing Envelope, v1): signing, and strict reading of what was signed.

``signedAt`` and ``signedAtSig`` stand beside ``keyid`` and ``sig``: when the signer says that it signed,
itself signed under a payload type of its own. DSSE has no such field, and other tools ignore it. What is
read must be exactly what is written here, to the byte, as nothing in the file may change unnoticed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from bais_gates.attest.keys import PublicKey, SigningKey, exceptions
from bais_gates.strict import parse_json
from bais_gates.verdict.codec import format_moment, parse_moment

if TYPE_CHECKING:
    from bais_gates.verdict.model import JsonValue

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
TIME_TYPE: Final = "application/vnd.bais-gates.signed-at"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureLine:
    """One signature of an envelope, not verified."""

    keyid: str
    sig: bytes
    signed_at: datetime | None = None
    signed_at_sig: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A payload and its signatures, not verified."""

    payload: bytes
    signatures: tuple[SignatureLine, ...] = ()

    def signed(self, key: SigningKey, now: datetime) -> Envelope:
        """Return it with the signature of this key, in place of an earlier one by it."""
        sig = key.key.sign(pae(PAYLOAD_TYPE, self.payload))
        line = SignatureLine(
            keyid=key.keyid, sig=sig, signed_at=now, signed_at_sig=key.key.sign(_time_text(now, sig))
        )
        others = (each for each in self.signatures if each.keyid != key.keyid)
        return Envelope(payload=self.payload, signatures=(*others, line))

    def encode(self) -> bytes:
        """Return it as one line of JSON, without a newline."""
        signatures = [
            {"keyid": each.keyid, "sig": _base64(each.sig)}
            | (
                {"signedAt": format_moment(each.signed_at), "signedAtSig": _base64(each.signed_at_sig)}
                if each.signed_at
                else {}
            )
            for each in self.signatures
        ]
        document = {
            "payload": _base64(self.payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": signatures,
        }
        return json.dumps(document, separators=(",", ":")).encode()


def pae(payload_type: str, body: bytes) -> bytes:
    """Return the pre-authentication encoding, which is what is signed."""
    return b"DSSEv1 %d %b %d %b" % (len(payload_type), payload_type.encode(), len(body), body)


def statement_bytes(statement: Mapping[str, JsonValue]) -> bytes:
    """Return a statement as the bytes of a payload."""
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def parse(line: bytes) -> Envelope:
    """Read an envelope; raise ValueError for what is not exactly as ``encode`` writes it."""
    try:
        data: Any = parse_json(line)
        if data["payloadType"] != PAYLOAD_TYPE:
            raise ValueError("another payload type")
        envelope = Envelope(
            payload=base64.b64decode(data["payload"], validate=True),
            signatures=tuple(_signature(each) for each in data["signatures"]),
        )
    except (KeyError, TypeError, AttributeError, binascii.Error, RecursionError) as error:
        raise ValueError("not a DSSE envelope") from error
    if envelope.encode() != line:
        raise ValueError("not the form that bais-gates writes")
    return envelope


def _signature(data: Any) -> SignatureLine:
    return SignatureLine(
        keyid=str(data["keyid"]),
        sig=base64.b64decode(data["sig"], validate=True),
        signed_at=parse_moment(data["signedAt"]) if "signedAt" in data else None,
        signed_at_sig=base64.b64decode(data.get("signedAtSig", ""), validate=True),
    )


def is_valid(envelope: Envelope, signature: SignatureLine, key: PublicKey) -> bool:
    """Return whether this key signed the payload, and the time if there is one."""
    try:
        key.key.verify(signature.sig, pae(PAYLOAD_TYPE, envelope.payload))
        if signature.signed_at is not None:
            key.key.verify(signature.signed_at_sig, _time_text(signature.signed_at, signature.sig))
    except exceptions.InvalidSignature:
        return False
    return True


def verify(envelope: Envelope, keys: Iterable[PublicKey], threshold: int = 1) -> tuple[PublicKey, ...]:
    """Return the keys of different people that signed the payload.

    Raises ValueError for a signature that is not valid under the key that it names, and for fewer signatures
    than ``threshold``. A signature by another key counts for nothing.
    """
    known = {key.keyid: key for key in keys}
    people: dict[str, PublicKey] = {}
    for signature in envelope.signatures:
        key = known.get(signature.keyid)
        if key is None:
            continue
        if not is_valid(envelope, signature, key):
            raise ValueError(f"the signature of {key.name} is not valid")
        people.setdefault(key.person, key)
    if len(people) < threshold:
        raise ValueError(f"{len(people)} of {threshold} signatures by the keys given")
    return tuple(people.values())


def _time_text(moment: datetime, sig: bytes) -> bytes:
    return pae(TIME_TYPE, format_moment(moment).encode() + b" " + sig)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
