"""The outermost layer: request ids, security headers, the access log, the metrics.

Whatever goes wrong further in ends here as an answer in the error shape.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
import time
from typing import TYPE_CHECKING

from bais_gates.sandbox.api.errors import ApiError, bad_request
from bais_gates.sandbox.api.logs import now
from bais_gates.sandbox.api.messages import JSON, Answer, Call, error_body

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from bais_gates.sandbox.api.resources import Resource
    from bais_gates.sandbox.api.services import Services

_log = logging.getLogger("bais.api")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_HEADERS_AT_MOST, _TARGET_AT_MOST = 32_768, 8_192
_SECURITY = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_NOT_ROUTED = "(none)"


class Gateway:
    """The ASGI application. ``router`` leaves the endpoint that it found in ``scope["bais.endpoint"]``."""

    def __init__(self, router: ASGIApp, services: Services) -> None:
        self._router, self._services = router, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; pass anything that is not one on."""
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        began = time.perf_counter()
        metrics = self._services.metrics
        metrics.in_flight.inc()
        call = self._call(scope)
        endpoint: Resource | None = None
        try:
            await self._router(
                scope, receive, send
            )  # finds the endpoint and the path's parameters, answers nothing
            endpoint = scope.get("bais.endpoint")
            call.path = scope.get("path_params", {})
            answer = await self._answer(endpoint, call, scope, receive)
        finally:
            metrics.in_flight.dec()
        await _send(send, answer, call.request_id, tls=scope["scheme"] == "https")
        seconds = time.perf_counter() - began
        route = _NOT_ROUTED if endpoint is None else endpoint.template
        method = call.method if call.method in _METHODS else "OTHER"
        metrics.observe(method, route, answer.status, seconds)
        self._services.access_log.write(
            {
                "time": now(),
                "method": method,
                "route": route,
                "status": answer.status,
                "duration_ms": round(seconds * 1000, 3),
                "request_id": call.request_id,
                "business_id": call.principal.business_id or None,
                "address": call.address,
            }
        )

    async def _answer(self, endpoint: Resource | None, call: Call, scope: Scope, receive: Receive) -> Answer:
        try:
            _check_size(scope)
            if endpoint is None:
                return _no_such_path(call)
            return await endpoint(call, receive)
        except ApiError as error:
            body = error_body(error.kind, error.message, error.details)
            return Answer(status=error.status, body=body, headers=(JSON, *error.headers))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told nothing of it
            # The message of an exception may quote what was sent; its kind and place do not.
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_qualname}:{place.tb_lineno}" if place is not None else "?"
            _log.error("request %s ended in %s at %s", call.request_id, type(error).__name__, where)
            body = error_body("internal_error", "The platform failed to answer; it has been noted.")
            return Answer(status=500, body=body)

    def _call(self, scope: Scope) -> Call:
        headers = dict(reversed(scope["headers"]))  # of a header that was sent twice, the first counts
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode("ascii") if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        client = scope["client"]
        return Call(
            services=self._services,
            method=scope["method"],
            headers=headers,
            query=scope["query_string"],
            path={},
            address=_address(client[0]) if client else "unknown",
            request_id=request_id,
        )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _address(host: str) -> str:
    """Give the client's address as it is counted.

    Of IPv6 the network of 64 bits, which one client has for itself.
    """
    if ":" not in host:
        return host
    try:
        return str(ipaddress.ip_network((host.partition("%")[0], 64), strict=False))
    except ValueError:
        return "unknown"


def _check_size(scope: Scope) -> None:
    target = len(scope["raw_path"]) + len(scope["query_string"])
    if target > _TARGET_AT_MOST:
        raise bad_request("The request's path and query are too long.", kind="uri_too_long")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > _HEADERS_AT_MOST:
        raise bad_request("The request's headers are too long.", kind="headers_too_long")


def _no_such_path(call: Call) -> Answer:
    if call.services.faults.active("unknown_path_answers_html"):
        page = b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>"
        return Answer(status=404, body=page, headers=((b"content-type", b"text/html"),))
    return Answer(status=404, body=error_body("not_found", "There is no such path."))


async def _send(send: Send, answer: Answer, request_id: str, *, tls: bool) -> None:
    headers = [
        *answer.headers,
        *_SECURITY,
        (b"x-request-id", request_id.encode("ascii")),
    ]
    if answer.status != 204:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    if tls:
        headers.append(_HSTS)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
