"""Check the errors for invalid requests: documented status and body, no 5xx, no internals."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import pytest

from bais_gates import Environment, Evidence
from bais_gates.bais import ACCEPTED, Api, Business, card_method, require_field
from bais_gates.probes import Response, Unreachable, fire
from bais_gates.rules import internals

if TYPE_CHECKING:
    from collections.abc import Callable

SENDERS: Final = 4
KEYS: Final = 4
"""API keys that share the requests, so that none exceeds its rate limit."""
AFTERMATH_S: Final = 0.5
NEW_CALLER_N: Final = 12
HUGE_BYTES: Final = 2 * 1024 * 1024
NESTED: Final = 20_000
DIGITS: Final = 5_000
PAY: Final = "/api/v1/payments/process"
FLOW: Final = "/api/v1/workflows/payment"
REGISTER: Final = "/api/v1/auth/register"
LOGIN: Final = "/api/v1/auth/login"
REFRESH: Final = "/api/v1/auth/refresh"
KEY: Final = "/api/v1/auth/api-keys"
HOOK: Final = "/api/v1/webhooks/configure"
DASHBOARD: Final = "/api/v1/analytics/dashboard"
JSON: Final = {"Content-Type": "application/json"}
INJECTION: Final = "' OR '1'='1'; DROP TABLE payments; --"
INJECTED_HEADER: Final = "X-Injected"
PROTOCOL_HEADERS: Final = ("server", "date", "x-request-id", "content-type", "content-length", "allow")
"""Headers that are not searched for internals, as the protocol defines their values."""


@pytest.mark.gate("acceptance.error_handling")
def test_error_handling(
    api: Api, new_business: Callable[[], Business], environment: Environment, evidence: Evidence
) -> None:
    """Invalid requests of every kind get a documented 4xx error, never a 5xx, and none leaks internals."""
    business = new_business()
    workflow_id = business.workflow_id()
    keys = [require_field(business.api_key(), 201, "api_key") for _ in range(KEYS)]
    callers = [business.api.with_token(key) for key in keys]
    table = all_invalid(workflow_id)
    violations = Violations(api, internal_names(environment))
    with ThreadPoolExecutor(SENDERS) as pool:
        answers = list(pool.map(send, table, itertools.cycle(callers), itertools.repeat(api)))
    for (request_id, answer), request in zip(answers, table, strict=True):
        violations.record(request, request_id, answer)

    n = len(table)
    evidence.check("unanswered requests", violations.unanswered, "==", [], n=n)
    evidence.check("responses with a 5xx status", violations.server_errors, "==", [], n=n)
    evidence.check("responses with an undocumented status", violations.statuses, "==", [], n=n)
    evidence.check("errors that violate the contract", violations.bodies, "==", [], n=n)
    evidence.check("responses that leak internals", violations.leaks, "==", [], n=n)
    evidence.check("responses without the request's X-Request-ID", violations.request_ids, "==", [], n=n)
    evidence.check("responses with an injected header", violations.injections, "==", [], n=n)
    time.sleep(AFTERMATH_S)  # what a request broke in the background shows a moment later
    check_aftermath(api, business, new_business, workflow_id, evidence)


def send(request: InvalidRequest, caller: Api, anonymous: Api) -> tuple[str, Response | Unreachable]:
    """Send one row with a request id of its own; return the id and the response or error."""
    request_id = f"gate-{id(request):x}"
    client = anonymous if request.anonymous else caller
    headers = {**dict(request.headers), "X-Request-ID": request_id}
    try:
        answer = client.request(request.method, request.path, content=request.content, headers=headers)
    except Unreachable as e:
        return request_id, e
    return request_id, answer


class Violations:
    """What is wrong with the responses, by kind; each entry begins with its request."""

    def __init__(self, api: Api, secret: list[str]) -> None:
        self.unanswered: list[str] = []
        self.server_errors: list[str] = []
        self.statuses: list[str] = []
        self.bodies: list[str] = []
        self.leaks: list[str] = []
        self.request_ids: list[str] = []
        self.injections: list[str] = []
        self._api = api
        self._secret = secret

    def record(self, request: InvalidRequest, request_id: str, answer: Response | Unreachable) -> None:
        """Record the violations of one response."""
        if isinstance(answer, Unreachable):
            self.unanswered.append(f"{request.name}: {answer}")
            return
        if answer.status >= 500 and answer.status not in request.statuses:
            self.server_errors.append(f"{request.name}: {answer.status}")
        if answer.status not in request.statuses:
            expected = " or ".join(map(str, sorted(request.statuses)))
            self.statuses.append(f"{request.name}: {answer.status} instead of {expected}")
        if answer.status >= 300:
            self.bodies += [f"{request.name}: {what}" for what in self._body_violations(request, answer)]
        headers = [value for name, value in answer.headers.items() if name not in PROTOCOL_HEADERS]
        searched = "\n".join([answer.text, *headers])
        found = internals.find_internals(searched, sent=sent_by(request), secret=self._secret)
        self.leaks += [f"{request.name}: {what}" for what in found]
        if answer.headers.get("x-request-id") != request_id:
            self.request_ids.append(f"{request.name}: {answer.headers.get('x-request-id', 'missing')}")
        if INJECTED_HEADER in answer.headers:
            self.injections.append(request.name)

    def _body_violations(self, request: InvalidRequest, answer: Response) -> list[str]:
        media = answer.headers.get("content-type", "").split(";")[0].strip().lower()
        wrong = [] if media == "application/json" else [f"content type {media or 'missing'}"]
        wrong += self._api.contract.schema_violations(answer.json, "Error")
        documented = self._api.conforms(answer, request.method, request.path)
        return wrong + [one for one in documented if "is not in the contract" not in one and one not in wrong]


def sent_by(request: InvalidRequest) -> list[str]:
    """Return the texts of a request that its response may quote."""
    texts = [request.path, unquote(request.path), *unquote(request.path).split("/")]
    texts += [part for _, value in request.headers for part in (value, value.partition(" ")[2])]
    if request.content is not None and len(request.content) < 20_000:
        body = request.content.decode("utf-8", "replace")
        texts += [body, *internals.extract_strings(body)]
    return texts


def internal_names(environment: Environment) -> list[str]:
    """Return the host and user names in the environment file that no response may contain."""
    parts = [environment.parts[key].url for key in ("database", "cache") if environment.describes(key)]
    names: list[str] = []
    for url in map(urlsplit, parts):
        names += [name for name in (url.hostname, url.username, f"{url.hostname}:{url.port}") if name]
    return names


def check_aftermath(
    api: Api, business: Business, new_business: Callable[[], Business], workflow_id: str, evidence: Evidence
) -> None:
    """Check that the platform still works afterwards, and that it took none of the requests as a payment."""
    for path in ("/health", "/ready"):
        evidence.check(f"status (GET {path} afterwards)", api.get(path).status, "==", 200)
    valid = business.pay(workflow_id, amount=10.5)
    evidence.check("status (valid payment afterwards)", valid.status, "==", 201)
    caller = new_business()  # registers and signs in, or the gate is an ERROR with the response
    flow = caller.workflow_id(amount=5)
    # More concurrent requests than connections are open: the platform must also accept new ones.
    volley = fire([lambda: caller.pay(flow, amount=5).status] * NEW_CALLER_N, deadline_s=15)
    evidence.check("unanswered requests of a new caller", volley.errors, "==", [], n=NEW_CALLER_N)
    statuses = sorted(set(volley.results))
    evidence.check("statuses (payments of a new caller)", statuses, "==", [201], n=NEW_CALLER_N)
    payments = business.api.get(DASHBOARD).money("total_payments") or "no number"
    evidence.check("payments on the dashboard afterwards", payments, "==", "1")


def all_invalid(workflow_id: str) -> list[InvalidRequest]:
    """Return the whole table."""
    return [
        *invalid_payments(workflow_id),
        *invalid_bodies(workflow_id),
        *invalid_workflows(),
        *invalid_accounts(),
        *invalid_addresses(),
    ]


@dataclass(frozen=True, kw_only=True)
class InvalidRequest:
    """An invalid request, and the statuses that the contract allows for it."""

    name: str
    method: str
    path: str
    statuses: frozenset[int]
    content: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    anonymous: bool = False
    """Whether it is sent without a valid token."""


def row(name: str, line: str, *statuses: int, body: Any = None, **kwargs: Any) -> InvalidRequest:
    """Return a row of the table: ``line`` is "METHOD path", ``body`` a JSON value or bytes."""
    method, _, path = line.partition(" ")
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    headers = kwargs.pop("headers", JSON if content is not None else {})
    return InvalidRequest(
        name=name,
        method=method,
        path=path,
        statuses=frozenset(statuses),
        content=content,
        headers=tuple(headers.items()),
        **kwargs,
    )


def invalid_payments(workflow_id: str) -> Iterator[InvalidRequest]:
    """Yield payments with one error in each."""
    good: dict[str, Any] = {
        "workflow_id": workflow_id,
        "amount": 10.5,
        "currency": "USD",
        "payment_method": card_method(ACCEPTED),
    }
    for text in (
        *("-1", "0", "-0.0", "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "0.001", "10.999"),
        *("1e308", "9" * DIGITS, "99999999999999999999.99", '"12.50"', "true", "null", "[]", "{}", '""'),
    ):
        raw = json.dumps({**good, "amount": "@"}).replace('"@"', text).encode()
        yield row(f"amount {text[:24]}", f"POST {PAY}", 400, body=raw)
    for field in good:
        yield row(f"no {field}", f"POST {PAY}", 400, body={k: v for k, v in good.items() if k != field})
    wrong: dict[str, tuple[Any, ...]] = {
        "currency": ("usd", "US", "USDD", "", 840, None, ["USD"], "U\u0000D"),
        "workflow_id": (7, None, [], {"$ne": ""}),
        "payment_method": ("card", [], {}, None),
        "customer_email": ("nobody", 5, "a@example.com\r\nBcc: b@example.com"),
    }
    for field, values in wrong.items():
        for value in values:
            yield row(f"{field} {value!r}", f"POST {PAY}", 400, body={**good, field: value})
    for name, workflow in (
        ("unknown", "no-such-workflow"),
        ("SQL", INJECTION),
        ("NUL", "a\u0000b"),
        ("surrogate", "\ud800"),
        ("long", "w" * 10_000),
        ("traversal", "../../../../etc/passwd"),
    ):
        yield row(f"workflow_id, {name}", f"POST {PAY}", 400, 404, body={**good, "workflow_id": workflow})
    for field, value in (
        *(("card_number", "4242"), ("card_number", "4242424242424241"), ("card_number", "x" * 16)),
        *(("exp_month", 13), ("exp_month", "12"), ("exp_year", 2001), ("cvc", "12x"), ("cvc", None)),
    ):
        card = {**card_method(ACCEPTED), field: value}
        yield row(f"{field} {value!r}", f"POST {PAY}", 400, body={**good, "payment_method": card})
    over = {**JSON, "Idempotency-Key": "k" * 256}
    yield row("Idempotency-Key of 256 characters", f"POST {PAY}", 400, body=good, headers=over)
    # None of these is a valid token.
    for name, value in (
        *(("Bearer alone", "Bearer"), ("invalid token", "Bearer a.b.c"), ("Basic", "Basic dXNlcjpwYXNz")),
        *(
            ("long token", "Bearer " + "x" * 4000),
            ("two tokens", "Bearer a b"),
            ("SQL", f"Bearer {INJECTION}"),
        ),
    ):
        headers = {**JSON, "Authorization": value}
        yield row(f"Authorization, {name}", f"POST {PAY}", 401, body=good, headers=headers, anonymous=True)
    yield row("no Authorization", f"POST {PAY}", 401, body=good, anonymous=True)


def invalid_bodies(workflow_id: str) -> Iterator[InvalidRequest]:
    """Yield bodies that are not a JSON object, or too large or too deep to be read."""
    for name, body in (
        *(("empty", b""), ("null", b"null"), ("a list", b"[]"), ("a string", b'"x"'), ("a number", b"1")),
        *(("cut off", b'{"workflow_id": "'), ("extra data", b'{"a": 1}{'), ("not JSON", b"workflow_id=1")),
        *(("bad UTF-8", b'{"workflow_id": "\xff\xfe"}'), ("NUL", b"\x00"), ("single quotes", b"{'a': 1}")),
        *(("deep lists", b"[" * NESTED), ("deep lists, closed", b"[" * NESTED + b"]" * NESTED)),
        ("deep objects", b'{"a":' * (NESTED // 3) + b"1" + b"}" * (NESTED // 3)),
    ):
        yield row(f"body {name}", f"POST {PAY}", 400, body=body)
        if len(body) < 100:
            yield row(f"registration body {name}", f"POST {REGISTER}", 400, body=body, anonymous=True)
    huge = b'{"workflow_id": "' + b"x" * HUGE_BYTES + b'"}'
    yield row("huge body", f"POST {PAY}", 400, 413, body=huge)
    yield row("huge sign-in body", f"POST {LOGIN}", 400, 413, body=huge, anonymous=True)
    good = json.dumps({"workflow_id": workflow_id, "amount": 1, "currency": "USD"}).encode()
    for media, body in (
        ("text/plain", good),
        ("application/x-www-form-urlencoded", b"amount=1&currency=USD"),
        ("application/xml", b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n1\r\n--x--"),
    ):
        yield row(
            f"content type {media}", f"POST {PAY}", 400, 415, body=body, headers={"Content-Type": media}
        )


def invalid_workflows() -> Iterator[InvalidRequest]:
    """Yield workflows with one error in each."""
    good: dict[str, Any] = {
        "name": "bad",
        "payment_provider": "stripe",
        "amount": 1,
        "currency": "USD",
        "webhook_url": "https://example.com/",
    }
    for field in good:
        yield row(
            f"workflow, no {field}", f"POST {FLOW}", 400, body={k: v for k, v in good.items() if k != field}
        )
    wrong: dict[str, tuple[Any, ...]] = {
        "name": (5, None, ["x"], "a\u0000b", "\ud800"),
        "payment_provider": ("paypal", 1),
        "amount": ("1", 10.999, None),
        "webhook_url": ("nowhere", "javascript:alert(1)", 5, "https://example.com/\r\nHost: x"),
        "metadata": ([], "x", 5),
    }
    for field, values in wrong.items():
        for value in values:
            yield row(f"workflow {field} {value!r}", f"POST {FLOW}", 400, body={**good, field: value})
    for name, value in (
        ("NUL", "a\u0000b"),
        ("surrogate", "\ud800"),
        ("odd Unicode", "\u202e\u200b\U0001f4b8"),
    ):
        # Storing such metadata is correct, too; failing is not.
        yield row(f"metadata, {name}", f"POST {FLOW}", 201, 400, body={**good, "metadata": {"x": value}})


def invalid_accounts() -> Iterator[InvalidRequest]:
    """Yield registrations, sign-ins, keys and webhooks with one error in each."""
    good: dict[str, Any] = {
        "email": "bad@example.com",
        "password": "Gg7!0123456789ab",
        "business_name": "bad",
        "contact_name": "bad",
    }
    for field in good:
        body = {k: v for k, v in good.items() if k != field}
        yield row(f"registration, no {field}", f"POST {REGISTER}", 400, body=body, anonymous=True)
    for field, value in (
        *(("email", "bad"), ("email", 5), ("email", "a@example.com\r\nBcc: b@example.com"), ("password", 1)),
        *(("email", ["bad@example.com"]), ("business_name", {}), ("contact_name", "a\u0000b")),
    ):
        body = {**good, field: value}
        yield row(f"registration {field} {value!r}", f"POST {REGISTER}", 400, body=body, anonymous=True)
    for name, body in (
        *(("empty", {}), ("numbers", {"email": 1, "password": 2}), ("lists", {"email": [], "password": []})),
        ("SQL", {"email": INJECTION, "password": INJECTION}),
        ("operators", {"email": {"$gt": ""}, "password": {"$gt": ""}}),
        ("NUL", {"email": "a\u0000@example.com", "password": "x\u0000"}),
        ("surrogate", {"email": "\ud800@example.com", "password": "\ud800"}),
    ):
        yield row(f"sign-in, {name}", f"POST {LOGIN}", 400, 401, body=body, anonymous=True)
    for name, token in (("a number", 5), ("SQL", INJECTION), ("NUL", "a\u0000b"), ("none", None)):
        body = {"refresh_token": token}
        yield row(f"refresh, {name}", f"POST {REFRESH}", 400, 401, body=body, anonymous=True)
    for text in (
        "{}",
        '{"name": 5}',
        *(f'{{"name": "x", "expires_in": {v}}}' for v in ('"1"', -1, 1.5, "1e400")),
    ):
        yield row(f"API key {text}", f"POST {KEY}", 400, body=text.encode())
    hook: dict[str, Any] = {"url": "https://example.com/", "events": ["payment.completed"]}
    hooks: tuple[tuple[str, Any], ...] = (
        *(("url", None), ("url", "ftp://example.com/"), ("url", 5), ("events", ["x"]), ("events", "x")),
        *(("events", None), ("active", "yes"), ("secret", 5)),
    )
    for field, value in hooks:
        yield row(f"webhook {field} {value!r}", f"POST {HOOK}", 400, body={**hook, field: value})


def invalid_addresses() -> Iterator[InvalidRequest]:
    """Yield unknown paths, ids, methods and parameters."""
    for path in (
        *("/api/v1/unknown", "/api/v2/payments/process", "/admin", "/.env", "/.git/config", "/server-status"),
        *("/%2e%2e/%2e%2e/etc/passwd", "/api/v1/..%2f..%2fetc%2fpasswd"),
    ):
        yield row(f"path {path}", f"GET {path}", 400, 404)
        yield row(f"path {path} without a token", f"GET {path}", 400, 401, 404, anonymous=True)
    for odd in (
        *("no-such-id", "'%20OR%20'1'='1", "%00", "%ff%fe", "..%2f..%2f..%2fetc%2fpasswd", "1;SELECT%201"),
        *("%F0%9F%92%B8%E2%80%AE", "9" * 400, "%25s%25n", "${7*7}", "%ed%a0%80"),
    ):
        yield row(f"payment {odd[:24]}", f"GET /api/v1/payments/{odd}", 400, 404)
        yield row(f"workflow {odd[:24]}", f"GET {FLOW}/{odd}", 400, 404)
    yield row("unknown API key", f"DELETE {KEY}/no-such-key", 404)
    yield row("API key, NUL", f"DELETE {KEY}/%00", 400, 404)
    for period in ("7d%0d%0aX-Injected:%20yes", "7d'--", "%ff", "%00", "a" * 3000):
        # The dashboard's own gate checks the refusal; here it must not break or inject anything.
        yield row(f"period {period[:24]}", f"GET {DASHBOARD}?period={period}", 200, 400)
    for method, paths in (
        *(("GET", (LOGIN, HOOK)), ("PUT", (PAY, FLOW, REGISTER))),
        *(("DELETE", ("/health", PAY)), ("POST", ("/health", DASHBOARD))),
    ):
        for path in paths:
            yield row(f"method {method} {path}", f"{method} {path}", 404, 405)
