"""What handlers are given and what they give back: a ``Call`` in, an ``Answer`` out."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from bais_gates.sandbox.api.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.sandbox.api.services import Services

JSON = (b"content-type", b"application/json")
_encode = msgspec.json.Encoder(decimal_format="number").encode
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}
_Body = TypeVar("_Body")


def new_id(prefix: str) -> str:
    """Give an identifier that nobody can guess (80 random bits) and that sorts by the moment it was made."""
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def digest(secret: str) -> bytes:
    """Say what is stored of a token that has 256 random bits of its own, and so needs no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls: ``subject`` is the user's or the API key's id, ``token_id`` names its bucket."""

    business_id: str
    user_id: str
    subject: str
    token_id: str


ANONYMOUS = Principal(business_id="", user_id="", subject="anonymous", token_id="")


@dataclass(slots=True, kw_only=True)
class Answer:
    """A response: a status, a body that is already bytes, and headers beside those that every answer has."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = (JSON,)


def answer(status: int, content: object, *headers: tuple[bytes, bytes]) -> Answer:
    """Give a JSON answer; a ``Decimal`` in ``content`` becomes a number with exactly its digits."""
    return Answer(status=status, body=_encode(content), headers=(JSON, *headers))


def encode(content: object) -> bytes:
    """JSON as every answer has it."""
    return _encode(content)


def error_body(kind: str, message: str, details: object = None) -> bytes:
    """Give the one shape of every error."""
    error: dict[str, object] = {"type": kind, "message": message}
    if details is not None:
        error["details"] = details
    return _encode({"error": error})


@dataclass(slots=True, kw_only=True)
class Call:
    """One request on its way through the API."""

    services: Services
    method: str
    headers: Mapping[bytes, bytes]
    query: bytes
    path: Mapping[str, str]
    address: str
    request_id: str
    principal: Principal = ANONYMOUS
    body: bytes = b""
    fields: dict[str, object] = field(default_factory=dict)

    def parse(self, shape: type[_Body]) -> _Body:
        """Give the body as ``shape``, unknown fields left out. Raises a 400 saying where it does not fit."""
        decoder = _decoders.get(shape)
        if decoder is None:
            decoder = _decoders[shape] = msgspec.json.Decoder(shape)
        try:
            return decoder.decode(self.body)  # type: ignore[no-any-return]  # the decoder was made for this shape
        except msgspec.ValidationError as error:
            raise bad_request(f"The body does not fit: {error}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if self.services.faults.active("stack_trace_in_errors"):
                raise _with_traceback() from None
            if self.services.faults.active("malformed_json_crashes"):
                raise
            raise bad_request("The body is not well-formed JSON.", kind="invalid_json") from None

    def parameter(self, name: str) -> str | None:
        """Give a query parameter, or None. Sent twice, it is refused: which one counts would be a guess."""
        if not self.query:
            return None
        try:
            pairs = parse_qsl(
                self.query.decode("ascii"), keep_blank_values=True, max_num_fields=32, errors="strict"
            )
        except (UnicodeDecodeError, ValueError):
            raise bad_request("The query string is not well-formed.") from None
        values = [value for key, value in pairs if key == name]
        if len(values) > 1:
            raise bad_request(f"The parameter {name} was sent twice.", field_name=name)
        return values[0] if values else None


def _with_traceback() -> Exception:
    import traceback  # noqa: PLC0415 - only a fault needs it

    error = bad_request("The body is not well-formed JSON.", kind="invalid_json")
    error.details = {"trace": traceback.format_exc()}
    return error
