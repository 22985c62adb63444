"""Whether bad requests get clean errors: the documented status and shape, no 5xx, nothing of the inside."""

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
from bais_gates.bais import ACCEPTED, Api, Business, card_method, needed
from bais_gates.probes import Response, Unreachable, fire
from bais_gates.rules import internals

if TYPE_CHECKING:
    from collections.abc import Callable

SENDERS: Final = 4
KEYS: Final = 4
"""API keys that the requests are spread over, so that none meets its rate limit."""
SETTLING_S: Final = 0.5
NEWCOMERS: Final = 12
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


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One bad request, and the statuses that the contract leaves for it."""

    name: str
    method: str
    path: str
    statuses: frozenset[int]
    content: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    anonymous: bool = False
    """Sent without a valid token."""


def bad(name: str, line: str, *statuses: int, body: Any = None, **kwargs: Any) -> Bad:
    """Write a row: ``line`` is "METHOD path", ``body`` a JSON value or bytes."""
    method, _, path = line.partition(" ")
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    headers = kwargs.pop("headers", JSON if content is not None else {})
    return Bad(
        name=name,
        method=method,
        path=path,
        statuses=frozenset(statuses),
        content=content,
        headers=tuple(headers.items()),
        **kwargs,
    )


# -- the table --


def bad_payments(workflow_id: str) -> Iterator[Bad]:
    """Payments with one thing wrong in each."""
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
        yield bad(f"amount {text[:24]}", f"POST {PAY}", 400, body=raw)
    for field in good:
        yield bad(f"no {field}", f"POST {PAY}", 400, body={k: v for k, v in good.items() if k != field})
    wrong: dict[str, tuple[Any, ...]] = {
        "currency": ("usd", "US", "USDD", "", 840, None, ["USD"], "U\u0000D"),
        "workflow_id": (7, None, [], {"$ne": ""}),
        "payment_method": ("card", [], {}, None),
        "customer_email": ("nobody", 5, "a@example.com\r\nBcc: b@example.com"),
    }
    for field, values in wrong.items():
        for value in values:
            yield bad(f"{field} {value!r}", f"POST {PAY}", 400, body={**good, field: value})
    for name, workflow in (
        ("unknown", "no-such-workflow"),
        ("SQL", INJECTION),
        ("NUL", "a\u0000b"),
        ("surrogate", "\ud800"),
        ("long", "w" * 10_000),
        ("traversal", "../../../../etc/passwd"),
    ):
        yield bad(f"workflow_id, {name}", f"POST {PAY}", 400, 404, body={**good, "workflow_id": workflow})
    for field, value in (
        *(("card_number", "4242"), ("card_number", "4242424242424241"), ("card_number", "x" * 16)),
        *(("exp_month", 13), ("exp_month", "12"), ("exp_year", 2001), ("cvc", "12x"), ("cvc", None)),
    ):
        card = {**card_method(ACCEPTED), field: value}
        yield bad(f"{field} {value!r}", f"POST {PAY}", 400, body={**good, "payment_method": card})
    over = {**JSON, "Idempotency-Key": "k" * 256}
    yield bad("Idempotency-Key of 256 characters", f"POST {PAY}", 400, body=good, headers=over)
    # Not taken as a payment whoever sends it: none of these is a token.
    for name, value in (
        *(("Bearer alone", "Bearer"), ("a made-up token", "Bearer a.b.c"), ("Basic", "Basic dXNlcjpwYXNz")),
        *(
            ("a long token", "Bearer " + "x" * 4000),
            ("two tokens", "Bearer a b"),
            ("SQL", f"Bearer {INJECTION}"),
        ),
    ):
        sent = {**JSON, "Authorization": value}
        yield bad(f"Authorization, {name}", f"POST {PAY}", 401, body=good, headers=sent, anonymous=True)
    yield bad("no Authorization", f"POST {PAY}", 401, body=good, anonymous=True)


def bad_bodies(workflow_id: str) -> Iterator[Bad]:
    """Bodies that are no JSON object, or one that should not be read to its end."""
    for name, body in (
        *(("empty", b""), ("null", b"null"), ("a list", b"[]"), ("text", b'"x"'), ("a number", b"1")),
        *(("cut", b'{"workflow_id": "'), ("followed by more", b'{"a": 1}{'), ("not JSON", b"workflow_id=1")),
        *(("bad UTF-8", b'{"workflow_id": "\xff\xfe"}'), ("NUL", b"\x00"), ("single quotes", b"{'a': 1}")),
        *(("deep lists", b"[" * NESTED), ("deep lists, closed", b"[" * NESTED + b"]" * NESTED)),
        ("deep objects", b'{"a":' * (NESTED // 3) + b"1" + b"}" * (NESTED // 3)),
    ):
        yield bad(f"body {name}", f"POST {PAY}", 400, body=body)
        if len(body) < 100:
            yield bad(f"registration {name}", f"POST {REGISTER}", 400, body=body, anonymous=True)
    huge = b'{"workflow_id": "' + b"x" * HUGE_BYTES + b'"}'
    yield bad("huge body", f"POST {PAY}", 400, 413, body=huge)
    yield bad("huge sign-in", f"POST {LOGIN}", 400, 413, body=huge, anonymous=True)
    good = json.dumps({"workflow_id": workflow_id, "amount": 1, "currency": "USD"}).encode()
    for media, body in (
        ("text/plain", good),
        ("application/x-www-form-urlencoded", b"amount=1&currency=USD"),
        ("application/xml", b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n1\r\n--x--"),
    ):
        yield bad(f"sent as {media}", f"POST {PAY}", 400, 415, body=body, headers={"Content-Type": media})


def bad_workflows() -> Iterator[Bad]:
    """Workflows with one thing wrong in each."""
    good: dict[str, Any] = {
        "name": "bad",
        "payment_provider": "stripe",
        "amount": 1,
        "currency": "USD",
        "webhook_url": "https://example.com/",
    }
    for field in good:
        yield bad(
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
            yield bad(f"workflow {field} {value!r}", f"POST {FLOW}", 400, body={**good, field: value})
    for name, value in (
        ("NUL", "a\u0000b"),
        ("surrogate", "\ud800"),
        ("odd Unicode", "\u202e\u200b\U0001f4b8"),
    ):
        # To keep such metadata is honest, too; to fall over is not.
        yield bad(f"metadata, {name}", f"POST {FLOW}", 201, 400, body={**good, "metadata": {"x": value}})


def bad_accounts() -> Iterator[Bad]:
    """Registrations, sign-ins, keys and webhooks with one thing wrong in each."""
    good: dict[str, Any] = {
        "email": "bad@example.com",
        "password": "Gg7!0123456789ab",
        "business_name": "bad",
        "contact_name": "bad",
    }
    for field in good:
        body = {k: v for k, v in good.items() if k != field}
        yield bad(f"registration, no {field}", f"POST {REGISTER}", 400, body=body, anonymous=True)
    for field, value in (
        *(("email", "bad"), ("email", 5), ("email", "a@example.com\r\nBcc: b@example.com"), ("password", 1)),
        *(("email", ["bad@example.com"]), ("business_name", {}), ("contact_name", "a\u0000b")),
    ):
        body = {**good, field: value}
        yield bad(f"registration {field} {value!r}", f"POST {REGISTER}", 400, body=body, anonymous=True)
    for name, body in (
        *(("empty", {}), ("numbers", {"email": 1, "password": 2}), ("lists", {"email": [], "password": []})),
        ("SQL", {"email": INJECTION, "password": INJECTION}),
        ("operators", {"email": {"$gt": ""}, "password": {"$gt": ""}}),
        ("NUL", {"email": "a\u0000@example.com", "password": "x\u0000"}),
        ("surrogate", {"email": "\ud800@example.com", "password": "\ud800"}),
    ):
        yield bad(f"sign-in, {name}", f"POST {LOGIN}", 400, 401, body=body, anonymous=True)
    for name, token in (("a number", 5), ("SQL", INJECTION), ("NUL", "a\u0000b"), ("none", None)):
        sent = {"refresh_token": token}
        yield bad(f"refresh, {name}", f"POST {REFRESH}", 400, 401, body=sent, anonymous=True)
    for text in (
        "{}",
        '{"name": 5}',
        *(f'{{"name": "x", "expires_in": {v}}}' for v in ('"1"', -1, 1.5, "1e400")),
    ):
        yield bad(f"API key {text}", f"POST {KEY}", 400, body=text.encode())
    hook: dict[str, Any] = {"url": "https://example.com/", "events": ["payment.completed"]}
    hooks: tuple[tuple[str, Any], ...] = (
        *(("url", None), ("url", "ftp://example.com/"), ("url", 5), ("events", ["x"]), ("events", "x")),
        *(("events", None), ("active", "yes"), ("secret", 5)),
    )
    for field, value in hooks:
        yield bad(f"webhook {field} {value!r}", f"POST {HOOK}", 400, body={**hook, field: value})


def bad_addresses() -> Iterator[Bad]:
    """Paths, methods and parameters that are not there."""
    for path in (
        *("/api/v1/unknown", "/api/v2/payments/process", "/admin", "/.env", "/.git/config", "/server-status"),
        *("/%2e%2e/%2e%2e/etc/passwd", "/api/v1/..%2f..%2fetc%2fpasswd"),
    ):
        yield bad(f"path {path}", f"GET {path}", 400, 404)
        yield bad(f"path {path} without a token", f"GET {path}", 400, 401, 404, anonymous=True)
    for odd in (
        *("no-such-id", "'%20OR%20'1'='1", "%00", "%ff%fe", "..%2f..%2f..%2fetc%2fpasswd", "1;SELECT%201"),
        *("%F0%9F%92%B8%E2%80%AE", "9" * 400, "%25s%25n", "${7*7}", "%ed%a0%80"),
    ):
        yield bad(f"payment {odd[:24]}", f"GET /api/v1/payments/{odd}", 400, 404)
        yield bad(f"workflow {odd[:24]}", f"GET {FLOW}/{odd}", 400, 404)
    yield bad("unknown API key", f"DELETE {KEY}/no-such-key", 404)
    yield bad("API key, NUL", f"DELETE {KEY}/%00", 400, 404)
    for period in ("7d%0d%0aX-Injected:%20yes", "7d'--", "%ff", "%00", "a" * 3000):
        # Whether it is refused is the dashboard's own gate; here it must not break or inject anything.
        yield bad(f"period {period[:24]}", f"GET {DASHBOARD}?period={period}", 200, 400)
    for method, paths in (
        *(("GET", (LOGIN, HOOK)), ("PUT", (PAY, FLOW, REGISTER))),
        *(("DELETE", ("/health", PAY)), ("POST", ("/health", DASHBOARD))),
    ):
        for path in paths:
            yield bad(f"method {method} {path}", f"{method} {path}", 404, 405)


def all_bad(workflow_id: str) -> list[Bad]:
    """Give the whole table."""
    return [
        *bad_payments(workflow_id),
        *bad_bodies(workflow_id),
        *bad_workflows(),
        *bad_accounts(),
        *bad_addresses(),
    ]


# -- the gate --


@pytest.mark.gate("acceptance.error_handling")
def test_error_handling(
    api: Api, new_business: Callable[[], Business], environment: Environment, evidence: Evidence
) -> None:
    """Bad requests of every kind are answered 4xx in the error shape, never with a 5xx or internals."""
    business = new_business()
    workflow_id = business.workflow_id()
    keys = [needed(business.api_key(), 201, "api_key") for _ in range(KEYS)]
    callers = [business.api.with_token(key) for key in keys]
    table = all_bad(workflow_id)
    judge = Judge(api, known_names(environment))
    with ThreadPoolExecutor(SENDERS) as pool:
        answers = list(pool.map(send, table, itertools.cycle(callers), itertools.repeat(api)))
    for (request_id, answer), request in zip(answers, table, strict=True):
        judge.hear(request, request_id, answer)

    n = len(table)
    evidence.check("requests without an HTTP answer", judge.silent, "==", [], n=n)
    evidence.check("answers with a 5xx", judge.broken, "==", [], n=n)
    evidence.check("answers with a status that is not due", judge.astray, "==", [], n=n)
    evidence.check("errors that are not in the contract's shape", judge.misshapen, "==", [], n=n)
    evidence.check("answers that tell internals", judge.telling, "==", [], n=n)
    evidence.check("answers without the request's X-Request-ID", judge.unnamed, "==", [], n=n)
    evidence.check("answers with an injected header", judge.injected, "==", [], n=n)
    time.sleep(SETTLING_S)  # what a bad request broke in the background shows a moment later
    judge_aftermath(api, business, new_business, workflow_id, evidence)


def send(request: Bad, caller: Api, nobody: Api) -> tuple[str, Response | Unreachable]:
    """Send one row, with a request id of its own."""
    request_id = f"gate-{id(request):x}"
    who = nobody if request.anonymous else caller
    headers = {**dict(request.headers), "X-Request-ID": request_id}
    try:
        answer = who.request(request.method, request.path, content=request.content, headers=headers)
    except Unreachable as e:
        return request_id, e
    return request_id, answer


class Judge:
    """Hears each answer and sorts what is wrong with it by kind; each finding names its request."""

    def __init__(self, api: Api, secret: list[str]) -> None:
        self.silent: list[str] = []
        self.broken: list[str] = []
        self.astray: list[str] = []
        self.misshapen: list[str] = []
        self.telling: list[str] = []
        self.unnamed: list[str] = []
        self.injected: list[str] = []
        self._api = api
        self._secret = secret

    def hear(self, request: Bad, request_id: str, answer: Response | Unreachable) -> None:
        """Judge one answer."""
        if isinstance(answer, Unreachable):
            self.silent.append(f"{request.name}: {answer}")
            return
        if answer.status >= 500 and answer.status not in request.statuses:
            self.broken.append(f"{request.name}: {answer.status}")
        if answer.status not in request.statuses:
            due = " or ".join(map(str, sorted(request.statuses)))
            self.astray.append(f"{request.name}: {answer.status}, due is {due}")
        if answer.status >= 300:
            self.misshapen += [f"{request.name}: {what}" for what in self._shape(request, answer)]
        told = answer.text + "\n" + "\n".join(v for k, v in answer.headers.items() if k not in _OWN_HEADERS)
        found = internals.internals(told, sent=sent_by(request), secret=self._secret)
        self.telling += [f"{request.name}: {what}" for what in found]
        if answer.headers.get("x-request-id") != request_id:
            self.unnamed.append(f"{request.name}: {answer.headers.get('x-request-id', '(missing)')!r}")
        if INJECTED_HEADER in answer.headers:
            self.injected.append(request.name)

    def _shape(self, request: Bad, answer: Response) -> list[str]:
        media = answer.headers.get("content-type", "").split(";")[0].strip().lower()
        wrong = [] if media == "application/json" else [f"content type {media or '(none)'}"]
        wrong += self._api.contract.schema_violations(answer.json, "Error")
        documented = self._api.conforms(answer, request.method, request.path)
        return wrong + [one for one in documented if "is not in the contract" not in one and one not in wrong]


_OWN_HEADERS: Final = frozenset({"server", "date", "x-request-id", "content-type", "content-length", "allow"})
"""Headers that are not searched for internals: their values are the protocol's own."""


def sent_by(request: Bad) -> list[str]:
    """Give the texts of a request that its answer may quote."""
    texts = [request.path, unquote(request.path), *unquote(request.path).split("/")]
    texts += [part for _, value in request.headers for part in (value, value.partition(" ")[2])]
    if request.content is not None and len(request.content) < 20_000:
        body = request.content.decode("utf-8", "replace")
        texts += [body, *internals.texts_in(body)]
    return texts


def known_names(environment: Environment) -> list[str]:
    """Give the names of the platform's inside that the environment file tells; none may be in an answer."""
    parts = [environment.parts[key].url for key in ("database", "cache") if environment.describes(key)]
    names: list[str] = []
    for url in map(urlsplit, parts):
        names += [name for name in (url.hostname, url.username, f"{url.hostname}:{url.port}") if name]
    return names


def judge_aftermath(
    api: Api, business: Business, new_business: Callable[[], Business], workflow_id: str, evidence: Evidence
) -> None:
    """Check that the platform is well after all of it, and that none of it was taken as a payment."""
    for path in ("/health", "/ready"):
        evidence.check(f"status of {path} afterwards", api.get(path).status, "==", 200)
    good = business.pay(workflow_id, amount=10.5)
    evidence.check("status of a good payment afterwards", good.status, "==", 201)
    newcomer = new_business()  # registers and signs in, or the gate is an ERROR that says what was answered
    flow = newcomer.workflow_id(amount=5)
    # More at once than there are connections open: the platform must also be well for who comes anew.
    volley = fire([lambda: newcomer.pay(flow, amount=5).status] * NEWCOMERS, deadline_s=15)
    evidence.check("calls of a newcomer without an answer", volley.errors, "==", [], n=NEWCOMERS)
    evidence.check("statuses of a newcomer's payments", sorted(set(volley.results)), "==", [201], n=NEWCOMERS)
    figures = business.api.get(DASHBOARD)
    evidence.check(
        "payments on the dashboard afterwards", figures.money("total_payments") or "(no number)", "==", "1"
    )
