"""What a handler receives and returns: a ``Request`` in, a ``Response`` out, and how both are encoded."""

from __future__ import annotations

import hashlib
import secrets
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from bais_gates.sandbox.api.errors import ApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.sandbox.faults import Switch

JSON = (b"content-type", b"application/json")
encode = msgspec.json.Encoder(decimal_format="number").encode
"""Encode as JSON; a ``Decimal`` becomes a number with exactly its digits."""
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}
_Body = TypeVar("_Body")


def new_id(prefix: str) -> str:
    """Return an unguessable identifier (80 random bits) that sorts by creation time."""
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def digest(secret: str) -> bytes:
    """Return the SHA-256 that is stored of a token; its 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The caller: ``subject`` is the id of the user or API key, ``token_id`` names its rate-limit bucket."""

    business_id: str
    user_id: str
    subject: str
    token_id: str


ANONYMOUS = Principal(business_id="", user_id="", subject="anonymous", token_id="")


@dataclass(slots=True, kw_only=True)
class Response:
    """A status, an encoded body, and the headers beside those of every response."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = (JSON,)


def json_response(status: int, content: object) -> Response:
    """Return a response with ``content`` as its JSON body."""
    return Response(status=status, body=encode(content))


def error_body(kind: str, message: str, details: object = None) -> bytes:
    """Return the JSON body of an error, as the contract defines it."""
    error: dict[str, object] = {"type": kind, "message": message}
    if details is not None:
        error["details"] = details
    return encode({"error": error})


@dataclass(slots=True, kw_only=True)
class Request:
    """One request; ``principal`` and ``body`` are set while it is authenticated and read."""

    faults: Switch
    method: str
    headers: Mapping[bytes, bytes]
    query: bytes
    path: Mapping[str, str]
    address: str
    request_id: str
    principal: Principal = ANONYMOUS
    body: bytes = b""

    def parse(self, shape: type[_Body]) -> _Body:
        """Return the body as ``shape``, without unknown fields. Raises a 400 that names the invalid field."""
        decoder = _decoders.get(shape)
        if decoder is None:
            decoder = _decoders[shape] = msgspec.json.Decoder(shape)
        try:
            return decoder.decode(self.body)  # type: ignore[no-any-return]  # the decoder was made for this shape
        except msgspec.ValidationError as error:
            raise bad_request(f"The body does not fit: {error}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            message = "The body is not well-formed JSON."
            if self.faults.active("stack_trace_in_errors"):
                trace = {"trace": traceback.format_exc()}
                raise ApiError(400, "invalid_json", message, trace) from None
            if self.faults.active("malformed_json_crashes"):
                raise
            raise bad_request(message, kind="invalid_json") from None

    def parameter(self, name: str) -> str | None:
        """Return a query parameter, or None without one. Raises a 400 for one that is sent twice."""
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
