"""PagerDuty's REST API v2: who may call it and how often, which operation a request is, and lists in pages.

Credentials, headers and errors are as in developer.pagerduty.com/docs (authentication, versioning, errors,
pagination, rate-limits). Operations are in ``resources``, ``schedules`` and ``paging``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from bais_gates.sandbox.oncall import paging, resources, schedules
from bais_gates.sandbox.oncall.account import absent, invalid, refusal
from bais_gates.sandbox.oncall.http import Refused, Reply, reply_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.sandbox.oncall.account import Account
    from bais_gates.sandbox.oncall.http import Object, Request

_VERSION: Final = re.compile(r"application/vnd\.pagerduty\+json;\s*version=2")
_TOKEN: Final = re.compile(r"Token token=(\S+)")
_LIMIT: Final = 960
"""Requests a minute."""
_MOST, _MOST_DEEP, _PAGE = 100, 10_000, 25

_ROUTES: Final = tuple(
    (method, re.compile(path.replace("{}", "([A-Z0-9]+)")), handler)
    for method, path, handler in (*resources.ROUTES, *schedules.ROUTES, *paging.ROUTES)
)


def respond(account: Account, request: Request) -> Reply:
    """Respond to a request whose path is that of the API."""
    with account.lock:
        try:
            _check(account, request)
            paging.advance(account)
            result = _handler(account, request)
            if isinstance(result, Reply):
                return result
            return reply_json(200, _page(request, *result) if isinstance(result, tuple) else result)
        except Refused as refused:
            return refused.reply
        except Exception as error:  # noqa: BLE001 - whatever it is, the reply is JSON and says so
            return refusal(500, 2000, "Internal Server Error", f"{type(error).__name__}: {error}").reply


def _check(account: Account, request: Request) -> None:
    """Refuse a request by its headers."""
    settings = account.state["settings"]
    token = _TOKEN.fullmatch(request.headers.get("authorization", ""))
    if token is None or token[1] != account.access.token:
        raise refusal(401, 2006, "Authentication failed")
    if settings["refuse_next"] > 0:
        settings["refuse_next"] -= 1
        reply = refusal(429, 2020, "Rate Limit Exceeded").reply
        headers = {"ratelimit-limit": str(_LIMIT), "ratelimit-remaining": "0", "ratelimit-reset": "1"}
        raise Refused(reply._replace(headers=headers if settings["limit_headers"] else {}))
    if not _VERSION.fullmatch(request.headers.get("accept", "")):
        raise invalid("Accept must be application/vnd.pagerduty+json;version=2")
    writes = request.method != "GET" and request.path != "/schedules/preview"
    if settings["rights"] == "none" or (writes and settings["rights"] == "read"):
        raise refusal(403, 2010, "Access Denied")
    if request.body and request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise invalid("Content-Type must be application/json")


def _handler(account: Account, request: Request) -> Any:
    known = [
        (method, found, handler)
        for method, path, handler in _ROUTES
        if (found := path.fullmatch(request.path))
    ]
    for method, found, handler in known:
        if method == request.method:
            run: Callable[..., Any] = handler
            return run(account, request, *found.groups())
    if known:
        raise refusal(405, 2100, "Method Not Allowed")
    raise absent()


def _page(request: Request, key: str, found: list[Object]) -> Object:
    """Return one page of a list; the total only if it is asked for."""
    try:
        limit, offset = int(request.first("limit", str(_PAGE))), int(request.first("offset", "0"))
    except ValueError:
        raise invalid("Limit and offset must be numbers") from None
    if limit < 1 or offset < 0 or offset + limit > _MOST_DEEP:
        raise invalid("Offset plus limit must be at most 10000")
    limit = min(limit, _MOST)
    return {
        key: found[offset : offset + limit],
        "limit": limit,
        "offset": offset,
        "more": offset + limit < len(found),
        "total": len(found) if request.flag("total") else None,
    }
