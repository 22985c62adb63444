"""The outermost layer: request ids, security headers, the access log, the metrics.

Every exception of the inner layers ends here as a response in the contract's error shape.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bais_gates.sandbox.api.errors import ApiError, bad_request
from bais_gates.sandbox.api.messages import JSON, Request, Response, error_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from bais_gates.sandbox.api.resources import Resource
    from bais_gates.sandbox.api.services import Services

_log = logging.getLogger("bais.api")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_MAX_HEADERS, _MAX_TARGET = 32_768, 8_192
_SECURITY = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_NO_ROUTE = "(none)"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Gateway:
    """The ASGI application.

    ``paths`` has the resources whose path is known; for others ``router`` puts the matched one into
    ``scope["bais.resource"]``.
    """

    def __init__(self, router: ASGIApp, services: Services, paths: Mapping[str, Resource]) -> None:
        self._router, self._services, self._paths = router, services, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one HTTP request; pass on anything else."""
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        began = time.perf_counter()
        metrics = self._services.metrics
        metrics.in_flight.inc()
        request = self._request(scope)
        resource = self._paths.get(scope["path"])
        try:
            if resource is None:
                await self._router(scope, receive, send)  # only finds the resource and the path's parameters
                resource = scope.get("bais.resource")
                request.path = scope.get("path_params", {})
            response = await self._respond(resource, request, scope, receive)
        finally:
            metrics.in_flight.dec()
        await _send(send, response, request.request_id, tls=scope["scheme"] == "https")
        seconds = time.perf_counter() - began
        route = _NO_ROUTE if resource is None else resource.template
        method = request.method if request.method in _METHODS else "OTHER"
        metrics.observe(method, route, response.status, seconds)
        if response.status == 401:
            metrics.count_unauthorized(request.address)
        self._services.access_log.write(
            {
                "time": datetime.now(UTC),
                "method": method,
                "route": route,
                "status": response.status,
                "duration_ms": round(seconds * 1000, 3),
                "request_id": request.request_id,
                "business_id": request.principal.business_id or None,
                "address": request.address,
            }
        )

    async def _respond(
        self, resource: Resource | None, request: Request, scope: Scope, receive: Receive
    ) -> Response:
        try:
            _check_size(scope)
            if resource is None:
                return _not_found(request)
            return await resource(request, self._services, receive)
        except ApiError as error:
            body = error_body(error.kind, error.message, error.details)
            return Response(status=error.status, body=body, headers=(JSON, *error.headers))
        except Exception as error:  # noqa: BLE001 - whatever it is, the response must not show it
            # The message of an exception may quote the request; its type and place do not.
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            where = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else "?"
            _log.error("request %s ended in %s at %s", request.request_id, type(error).__name__, where)
            body = error_body("internal_error", "The platform failed to respond; the error was logged.")
            return Response(status=500, body=body)

    def _request(self, scope: Scope) -> Request:
        headers = dict(reversed(scope["headers"]))  # the first value of a repeated header counts
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode("ascii") if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        client = scope["client"]
        return Request(
            faults=self._services.faults,
            method=scope["method"],
            headers=headers,
            query=scope["query_string"],
            path={},
            address=_address(client[0]) if client else "unknown",
            request_id=request_id,
        )


def _address(host: str) -> str:
    """Return the address that the rate limit counts; of IPv6 the /64 network, which one client owns."""
    if ":" not in host:
        return host
    try:
        return str(ipaddress.ip_network((host.partition("%")[0], 64), strict=False))
    except ValueError:
        return "unknown"


def _check_size(scope: Scope) -> None:
    target = len(scope["raw_path"]) + len(scope["query_string"])
    if target > _MAX_TARGET:
        raise bad_request("The request's path and query are too long.", kind="uri_too_long")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > _MAX_HEADERS:
        raise bad_request("The request's headers are too long.", kind="headers_too_long")


def _not_found(request: Request) -> Response:
    if request.faults.active("unknown_path_answers_html"):
        page = b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>"
        return Response(status=404, body=page, headers=((b"content-type", b"text/html"),))
    return Response(status=404, body=error_body("not_found", "There is no such path."))


async def _send(send: Send, response: Response, request_id: str, *, tls: bool) -> None:
    headers = [
        *response.headers,
        *_SECURITY,
        (b"x-request-id", request_id.encode("ascii")),
    ]
    if response.status != 204:
        headers.append((b"content-length", b"%d" % len(response.body)))
    if tls:
        headers.append(_HSTS)
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
