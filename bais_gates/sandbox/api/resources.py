"""A path and its methods: authentication, rate limit and body of a request before its handler runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from starlette.routing import Route

from bais_gates.sandbox.api.accounts.api_keys import find_api_key, looks_like_api_key
from bais_gates.sandbox.api.errors import ApiError, bad_request, too_many, unauthorized
from bais_gates.sandbox.api.messages import Principal, Request, Response
from bais_gates.sandbox.api.services import Services

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

MAX_BODY = 65_536
_BODY_WITHIN_S = 10.0
_MAX_DRAINED = 16 * 1024 * 1024
"""A refused body up to this length is still read to its end, so that its sender sees the response."""

Handler = Callable[[Request, Services], Awaitable[Response]]


class Limit(Enum):
    """How an operation is rate-limited."""

    NONE = "not limited: probes must always get a response"
    STRICT = "refused with 503 while the limiter's Redis does not respond"
    LENIENT = "accepted then: this page reports that Redis does not respond"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of a path: its handler and the conditions for calling it."""

    handler: Handler
    public: bool = False
    limit: Limit = Limit.STRICT
    has_body: bool = False
    not_in_production: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """A path template and its operations by method."""

    template: str
    operations: Mapping[str, Operation]
    methods: bytes = field(init=False)

    def __post_init__(self) -> None:
        names = sorted({*self.operations, *(("HEAD",) if "GET" in self.operations else ())})
        object.__setattr__(self, "methods", ", ".join(names).encode("ascii"))

    def route(self) -> Route:
        """Return the route for Starlette's router; a match only puts this resource into the scope."""
        return Route(self.template, _Matched(self))

    async def __call__(self, request: Request, services: Services, receive: Receive) -> Response:
        """Respond to ``request``. Raises ``ApiError``."""
        operation = self.operations.get("GET" if request.method == "HEAD" else request.method)
        production = services.settings.is_production
        if operation is None or (production and operation.not_in_production):
            if production and all(each.not_in_production for each in self.operations.values()):
                raise ApiError(404, "not_found", "There is no such path.")
            raise ApiError(
                405,
                "method_not_allowed",
                "This path does not have that method.",
                headers=((b"allow", self.methods),),
            )
        authenticated = False
        if operation.limit is not Limit.NONE:  # else nothing depends on the caller
            authenticated = await _authenticate(request, services)
            await _limit(request, services, operation.limit)
        if not operation.public and not authenticated:
            raise unauthorized()
        if operation.has_body:
            request.body = await _read_body(request, receive)
        return await operation.handler(request, services)


class _Matched:
    """The router's endpoint of a path."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI signature
        scope["bais.resource"] = self._resource


async def _authenticate(request: Request, services: Services) -> bool:
    """Set the request's principal from its bearer token; False without a valid one."""
    header = request.headers.get(b"authorization")
    if not header:
        return False
    scheme, _, credentials = header.partition(b" ")
    token = credentials.strip().decode("latin-1")
    if scheme.lower() != b"bearer" or not token or len(token) > 4096:
        return False
    principal: Principal | None
    if looks_like_api_key(token):
        principal = await find_api_key(services, token)
    else:
        principal = services.access_tokens.read(token)
    if principal is None:
        return False
    request.principal = principal
    return True


async def _limit(request: Request, services: Services, limit: Limit) -> None:
    rules = services.settings.rate_limit
    if token_id := request.principal.token_id:
        scope, caller, allowed = "token", f"token:{token_id}", rules.per_token
    else:
        scope, caller, allowed = "address", f"address:{request.address}", rules.per_address
    try:
        wait_s = await services.limiter.admit(caller, allowed)
    except ApiError:
        if limit is Limit.LENIENT:
            return
        raise
    if wait_s:
        services.metrics.limited.labels(scope).inc()
        retry_after_s: int | None = wait_s
        if request.faults.active("retry_after_lies"):
            retry_after_s = 1
        elif request.faults.active("retry_after_missing"):
            retry_after_s = None
        raise too_many("Too many requests; retry after the seconds in Retry-After.", retry_after_s)


async def _read_body(request: Request, receive: Receive) -> bytes:
    kind = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise ApiError(415, "unsupported_media_type", "The body must be application/json.")
    length = request.headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > MAX_BODY:
        raise _too_large(request, close=int(length) > _MAX_DRAINED)
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            return await _receive_body(request, receive)
    except TimeoutError:
        headers = ((b"connection", b"close"),)
        raise ApiError(408, "request_timeout", "The body did not arrive in time.", headers=headers) from None


async def _receive_body(request: Request, receive: Receive) -> bytes:
    body, length = b"", 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise bad_request("The body is incomplete.", kind="incomplete_body")
        part: bytes = message.get("body", b"")
        length += len(part)
        ended = not message.get("more_body", False)
        if length > MAX_BODY:  # sent in chunks: its length was not known beforehand
            body = b""
            if ended or length > _MAX_DRAINED:
                raise _too_large(request, close=not ended)
            continue
        body += part
        if ended:
            return body


def _too_large(request: Request, *, close: bool) -> ApiError:
    headers = ((b"connection", b"close"),) if close else ()
    if request.faults.active("huge_body_crashes"):
        return ApiError(500, "internal_error", "The platform failed to respond.", headers=headers)
    message = f"The body may have {MAX_BODY} bytes at most."
    return ApiError(413, "body_too_large", message, headers=headers)
