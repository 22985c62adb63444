"""A path with its methods: who may call, how often, and with what body, before a handler sees the request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from starlette.routing import Route

from bais_gates.sandbox.api.api_keys import find_api_key, looks_like_api_key
from bais_gates.sandbox.api.errors import ApiError, bad_request, too_many, unauthorized
from bais_gates.sandbox.api.messages import Answer, Call, Principal

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

BODY_AT_MOST = 65_536
_BODY_WITHIN_S = 10.0
_DRAINED_AT_MOST = 16 * 1024 * 1024
"""A refused body up to this length is still read to its end, so that its sender sees the answer."""

Handler = Callable[[Call], Awaitable[Answer]]


class Limit(Enum):
    """How an operation is limited."""

    NONE = "not at all: probes must always get an answer"
    STRICT = "refused with 503 while the limiter's Redis does not answer"
    LENIENT = "let in then: it is the page that says that Redis does not answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of a path: its handler, and what must be so before the handler is called."""

    handler: Handler
    public: bool = False
    limit: Limit = Limit.STRICT
    has_body: bool = False
    not_in_production: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """A path template and the operation of each method that it has."""

    template: str
    operations: Mapping[str, Operation]
    methods: bytes = field(init=False)

    def __post_init__(self) -> None:
        names = sorted({*self.operations, *(("HEAD",) if "GET" in self.operations else ())})
        object.__setattr__(self, "methods", ", ".join(names).encode("ascii"))

    def route(self) -> Route:
        """Say what Starlette's router needs; being matched only leaves this resource in the scope."""
        return Route(self.template, _Matched(self))

    async def __call__(self, call: Call, receive: Receive) -> Answer:
        """Answer ``call``. Raises ``ApiError``."""
        operation = self.operations.get("GET" if call.method == "HEAD" else call.method)
        production = call.services.settings.is_production
        if operation is None or (production and operation.not_in_production):
            if production and all(each.not_in_production for each in self.operations.values()):
                raise ApiError(404, "not_found", "There is no such path.")
            raise ApiError(
                405,
                "method_not_allowed",
                "This path does not have that method.",
                headers=((b"allow", self.methods),),
            )
        known = await _identify(call)
        if operation.limit is not Limit.NONE:
            await _limit(call, operation.limit)
        if not operation.public and not known:
            raise unauthorized()
        if operation.has_body:
            call.body = await _read_body(call, receive)
        return await operation.handler(call)


class _Matched:
    """The router's end point of a path."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI signature
        scope["bais.endpoint"] = self._resource


async def _identify(call: Call) -> bool:
    """Find out whose bearer token came with the request, if any."""
    header = call.headers.get(b"authorization")
    if not header:
        return False
    scheme, _, credentials = header.partition(b" ")
    token = credentials.strip().decode("latin-1")
    if scheme.lower() != b"bearer" or not token or len(token) > 4096:
        return False
    principal: Principal | None
    if looks_like_api_key(token):
        principal = await find_api_key(call.services, token)
    else:
        principal = call.services.access_tokens.read(token)
    if principal is None:
        return False
    call.principal = principal
    return True


async def _limit(call: Call, limit: Limit) -> None:
    services, rules = call.services, call.services.settings.rate_limit
    if token_id := call.principal.token_id:
        scope, caller, allowed = "token", f"token:{token_id}", rules.per_token
    else:
        scope, caller, allowed = "address", f"address:{call.address}", rules.per_address
    try:
        wait_s = await services.limiter.admit(caller, allowed)
    except ApiError:
        if limit is Limit.LENIENT:
            return
        raise
    if wait_s:
        services.metrics.limited.labels(scope).inc()
        told: int | None = wait_s
        if services.faults.active("retry_after_lies"):
            told = 1
        elif services.faults.active("retry_after_missing"):
            told = None
        raise too_many("Too many requests; Retry-After says when the next one is let in.", told)


async def _read_body(call: Call, receive: Receive) -> bytes:
    kind = call.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise ApiError(415, "unsupported_media_type", "The body must be application/json.")
    length = call.headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > BODY_AT_MOST:
        raise _too_large(call, close=int(length) > _DRAINED_AT_MOST)
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            return await _receive_all(call, receive)
    except TimeoutError:
        headers = ((b"connection", b"close"),)
        raise ApiError(408, "request_timeout", "The body did not arrive in time.", headers=headers) from None


async def _receive_all(call: Call, receive: Receive) -> bytes:
    body, length = b"", 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise bad_request("The body ended before its end.", kind="incomplete_body")
        part: bytes = message.get("body", b"")
        length += len(part)
        ended = not message.get("more_body", False)
        if length > BODY_AT_MOST:  # sent in chunks: how long it would have been is not known beforehand
            body = b""
            if ended or length > _DRAINED_AT_MOST:
                raise _too_large(call, close=not ended)
            continue
        body += part
        if ended:
            return body


def _too_large(call: Call, *, close: bool) -> ApiError:
    headers = ((b"connection", b"close"),) if close else ()
    if call.services.faults.active("huge_body_crashes"):
        return ApiError(500, "internal_error", "The platform failed to answer.", headers=headers)
    message = f"The body may have {BODY_AT_MOST} bytes at most."
    return ApiError(413, "body_too_large", message, headers=headers)
