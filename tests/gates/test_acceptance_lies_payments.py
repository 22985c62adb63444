"""A proxy that lies in its own ways is found out by the gates of accounts, payments and webhooks."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bais_gates.probes.http import HttpClient
from bais_gates.targets.environment import load_environment
from bais_gates.verdict.model import Outcome

if TYPE_CHECKING:
    from lying_proxy import Answer, Exchange, Lie

    from conftest import Bench


def _load_proxy() -> Any:
    """Load the helper beside this file: tests are no package."""
    spec = importlib.util.spec_from_file_location("lying_proxy", Path(__file__).with_name("lying_proxy.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


proxy = _load_proxy()
REGISTER, LOGIN, DASHBOARD = "/api/v1/auth/register", "/api/v1/auth/login", "/api/v1/analytics/dashboard"
WORKFLOWS, PROCESS, CONFIGURE = (
    "/api/v1/workflows/payment",
    "/api/v1/payments/process",
    "/api/v1/webhooks/configure",
)
LIES: dict[str, tuple[str, str, Callable[[], Lie]]] = {}


def lie(gate: str, check: str) -> Callable[[Callable[[], Lie]], Callable[[], Lie]]:
    """Note a lie (made anew for each test), the gate that must find it out and a check that must be false.

    Where it is a matter of chance which of two checks finds it first, both are named, with a | between.
    """

    def note(make: Callable[[], Lie]) -> Callable[[], Lie]:
        LIES[make.__name__] = (gate, check, make)
        return make

    return note


def on(method: str, start: str, answer: Callable[[Exchange], Answer]) -> Lie:
    """Lie about one method and beginning of a path, pass everything else on."""
    return lambda e: answer(e) if e.method == method and e.path.startswith(start) else e.forward()


def cached(method: str, start: str, key: Callable[[Exchange], str]) -> Lie:
    """Give the first answer with status 200 again to every request with the same key."""
    known: dict[str, Answer] = {}

    def answer(e: Exchange) -> Answer:
        found = known.get(key(e)) or e.forward()
        if found.status == 200:
            known[key(e)] = found
        return found

    return on(method, start, answer)


# --- health ---


@lie("health_endpoint", "different X-Request-IDs")
def health_from_a_cache() -> Lie:
    """Lie: a cache answers /health in the release's place."""
    return cached("GET", "/health", lambda e: e.path)


@lie("health_endpoint", "GET /ready status")
def readiness_unknown() -> Lie:
    """Lie: readiness is told as 503 while it is 200."""
    return on("GET", "/ready", lambda e: e.forward().told(503))


@lie("health_endpoint", "GET /health contract violations")
def health_as_text() -> Lie:
    """Lie: the content type is another than documented."""

    def answer(e: Exchange) -> Answer:
        told: Answer = e.forward()
        return proxy.replace(told, headers={**told.headers, "content-type": "text/plain"})

    return on("GET", "/health", answer)


# --- registration ---


@lie("user_registration", "second registrations not answered 409")
def second_registration_told_as_first() -> Lie:
    """Lie: a refused second registration is told as a first one."""

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        if told.status != 409:
            return told
        return told.told(201, user_id="usr_0123456789", verification_token="v" * 24)

    return on("POST", REGISTER, answer)


@lie("user_registration", "status of signing in right after")
def registration_never_passed_on() -> Lie:
    """Lie: registrations are answered and never reach the API."""
    count = iter(range(10**6))

    def answer(_e: Exchange) -> Answer:
        body = f'{{"user_id": "usr_{next(count):010}", "verification_token": "{"v" * 24}"}}'.encode()
        return proxy.Answer(status=201, headers={"content-type": "application/json"}, body=body)

    return on("POST", REGISTER, answer)


@lie("user_registration", "different user_id of 2 registrations")
def everybody_is_the_same_user() -> Lie:
    """Lie: all users get one id."""

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        return told.told(user_id="usr_0123456789") if told.status == 201 else told

    return on("POST", REGISTER, answer)


@lie("user_registration", "registrations with an invalid e-mail not answered 400")
def bad_address_is_a_conflict() -> Lie:
    """Lie: an address that is none is told as a registered one."""
    return on(
        "POST",
        REGISTER,
        lambda e: e.forward().told(409) if "@" not in e.json.get("email", "@") else e.forward(),
    )


# --- authentication ---


@lie("user_authentication", "status with the revoked key")
def answers_remembered_by_token() -> Lie:
    """Lie: a cache by token lets a token outlive its end."""
    return cached("GET", DASHBOARD, lambda e: e.token)


@lie("user_authentication", "forged tokens not answered 401")
def answers_remembered_for_all() -> Lie:
    """Lie: a cache by path alone lets everybody in."""
    return cached("GET", DASHBOARD, lambda e: e.path)


@lie("user_authentication", "contract violations with forged tokens")
def scheme_not_told() -> Lie:
    """Lie: a 401 leaves out WWW-Authenticate."""
    return on("GET", DASHBOARD, lambda e: e.forward().without("www-authenticate"))


@lie("user_authentication", "closed sign-in contract violations")
def lock_without_retry_after() -> Lie:
    """Lie: a closed sign-in does not say when it opens."""
    return on("POST", LOGIN, lambda e: e.forward().without("retry-after"))


@lie("user_authentication", "time with an unknown e-mail against a wrong password")
def known_accounts_take_longer() -> Lie:
    """Lie: sign-in takes 150 ms longer where the account exists."""
    known: set[str] = set()

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        if e.path == REGISTER and told.status == 201:
            known.add(e.json["email"])
        if e.path == LOGIN and e.json["email"] in known:
            time.sleep(0.15)
        return told

    return on("POST", "/api/v1/auth/", answer)


@lie("user_authentication", "used refresh tokens not answered 401")
def refresh_answered_from_a_cache() -> Lie:
    """Lie: a used refresh token gets what it got before."""
    return cached("POST", "/api/v1/auth/refresh", lambda e: e.body.decode())


# --- workflows ---


@lie("payment_workflow_creation", "amounts that read back otherwise")
def a_cent_more() -> Lie:
    """Lie: a workflow reads back with a cent more."""

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        return told.told(amount=round(told.json["amount"] + 0.01, 2)) if told.status == 200 else told

    return on("GET", WORKFLOWS, answer)


@lie("payment_workflow_creation", "another business's workflow: status")
def workflows_from_a_shared_cache() -> Lie:
    """Lie: a cache by path alone shows workflows to other businesses."""
    return cached("GET", WORKFLOWS, lambda e: e.path)


@lie("payment_workflow_creation", "another business's workflow: status")
def forbidden_instead_of_unknown() -> Lie:
    """Lie: another's workflow is told apart from an unknown one by 403."""
    seen: set[str] = set()

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        if told.status == 200:
            seen.add(e.path)
        return told.told(403) if told.status == 404 and e.path in seen else told

    return on("GET", WORKFLOWS, answer)


@lie("payment_workflow_creation", "different ids of 8 workflows set up at once")
def ids_given_twice() -> Lie:
    """Lie: some workflows get the answer, and the id, of another one."""
    first: list[Any] = []

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        if told.status == 201:
            first.append(told)
        return first[len(first) // 3] if told.status == 201 and len(first) > 12 else told

    return on("POST", WORKFLOWS, answer)


# --- payments ---


@lie("payment_processing", "rows of the three payments")
def payments_taken_twice() -> Lie:
    """Lie: each payment is asked of the API twice."""

    def answer(e: Exchange) -> Answer:
        e.forward(without="idempotency-key")
        return e.forward()

    return on("POST", PROCESS, answer)


@lie("payment_processing", "different payments of 20 duplicates at once")
def keys_left_out() -> Lie:
    """Lie: the Idempotency-Key never reaches the API."""
    return on("POST", PROCESS, lambda e: e.forward(without="idempotency-key"))


@lie("payment_processing", "payments whose row is another")
def another_amount_taken_than_told() -> Lie:
    """Lie: 20.00 is taken where 19.99 was asked for, and 19.99 is told."""
    amounts: dict[str, Any] = {}

    def answer(e: Exchange) -> Answer:
        if e.method == "GET":
            told = e.forward()
            return told.told(amount=amounts[e.path]) if e.path in amounts else told
        told = e.forward(amount=20.0) if e.json.get("amount") == 19.99 else e.forward()
        if told.status == 201 and e.json.get("amount") == 19.99:
            amounts[f"/api/v1/payments/{told.json['payment_id']}"] = 19.99
            return told.told(amount=19.99)
        return told

    return lambda e: answer(e) if e.path.startswith("/api/v1/payments/") else e.forward()


@lie("payment_processing", "statuses of a declined card and its repeat")
def declined_told_as_taken() -> Lie:
    """Lie: a declined card is told as a completed payment."""

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        if told.status != 402:
            return told
        sent = e.json
        return told.told(201, payment_id="pay_0123456789", status="completed", amount=sent["amount"])

    return on("POST", PROCESS, answer)


@lie("payment_processing", "answers that hold a card number")
def card_number_in_a_header() -> Lie:
    """Lie: a debugging header holds the card number."""

    def answer(e: Exchange) -> Answer:
        told: Answer = e.forward()
        card = ((e.json or {}).get("payment_method") or {}).get("card_number", "")
        return proxy.replace(told, headers={**told.headers, "x-debug-card": card})

    return on("POST", PROCESS, answer)


@lie("payment_processing", "a payment that fails later ends as")
def failures_told_as_completed() -> Lie:
    """Lie: a payment that failed later is told as completed."""

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        return told.told(status="completed") if (told.json or {}).get("status") == "failed" else told

    return on("GET", "/api/v1/payments/", answer)


@lie("payment_processing", "payments answered or read back otherwise")
def cents_cut_off() -> Lie:
    """Lie: payments read back in whole units."""

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        return told.told(amount=int(told.json["amount"])) if told.status == 200 else told

    return on("GET", "/api/v1/payments/", answer)


# --- webhooks ---


@lie("webhook_delivery", "deliveries to webhooks that want none")
def every_webhook_made_active() -> Lie:
    """Lie: an inactive webhook is configured as an active one."""
    return on("POST", CONFIGURE, lambda e: e.forward(active=True))


@lie("webhook_delivery", "signature problems of the retried webhook")
def another_secret_told() -> Lie:
    """Lie: the secret told is not the one that signs."""

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        if told.status != 201 or "secret" in e.json:
            return told
        return told.told(signature_secret="whsec_" + "QUJD" * 8)

    return on("POST", CONFIGURE, answer)


@lie("webhook_delivery", "unfit webhooks not answered 400")
def unfit_webhooks_told_as_made() -> Lie:
    """Lie: a refused webhook is told as configured."""

    def answer(e: Exchange) -> Answer:
        told = e.forward()
        if told.status != 400:
            return told
        headers = told.headers
        body = b'{"webhook_id": "whk_0123456789", "signature_secret": "whsec_QUJDREVGR0g="}'
        return proxy.Answer(status=201, headers=headers, body=body)

    return on("POST", CONFIGURE, answer)


@lie("webhook_delivery", "answers given to payment.completed|events that the retried webhook got")
def payments_taken_twice_tell_twice() -> Lie:
    """Lie: a payment taken twice tells its webhook of two."""
    return payments_taken_twice()


@pytest.fixture(scope="module")
def upstream(bench: Bench) -> Iterator[HttpClient]:
    """Give the proxy's own way to the sandbox."""
    part = load_environment(bench.environment_file, gates_dir=Path()).need_api()
    with HttpClient(part.url, ca_file=str(part.ca_file)) as client:
        yield client


def _through(bench: Bench, url: str) -> Path:
    """Write the sandbox's environment file with the API's address exchanged."""
    data = yaml.safe_load(bench.environment_file.read_text(encoding="utf-8"))
    data["api"] = {"url": url, "environment": data["api"]["environment"], "version": data["api"]["version"]}
    data["webhooks"]["deadline_s"] = 4
    path = bench.directory / "proxied.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


@pytest.mark.parametrize("gate", sorted({gate for gate, _check, _make in LIES.values()}))
def test_a_proxy_that_does_not_lie_changes_nothing(bench: Bench, upstream: HttpClient, gate: str) -> None:
    """Through an honest proxy every gate passes: it is the lie that turns it red."""
    with proxy.LyingProxy(upstream, lambda exchange: exchange.forward()) as between:
        judged = bench.run(gate, environment_file=_through(bench, between.url))

    assert (judged.outcome, judged.message, judged.false) == (Outcome.PASS, "", "")


def _runs() -> list[tuple[str, ...]]:
    """Give the lies that are told in one run: gates that take long get those that do not hide each other."""
    together = [
        ("answers_remembered_by_token", "scheme_not_told", "lock_without_retry_after"),
        ("known_accounts_take_longer", "refresh_answered_from_a_cache"),
        ("every_webhook_made_active", "another_secret_told", "unfit_webhooks_told_as_made"),
    ]
    taken = {name for names in together for name in names}
    return [(name,) for name in LIES if name not in taken] + together


@pytest.mark.parametrize("names", _runs(), ids="+".join)
def test_each_lie_is_found_out(bench: Bench, upstream: HttpClient, names: tuple[str, ...]) -> None:
    """With the lies between gate and API, the gate fails by the checks that are about them."""
    lies = [LIES[name] for name in names]
    with proxy.LyingProxy(upstream, proxy.one_behind_the_other([make() for _g, _c, make in lies])) as between:
        judged = bench.run(lies[0][0], environment_file=_through(bench, between.url))

    assert judged.outcome is Outcome.FAIL, judged.message
    false = {one.name for one in judged.checks if one.ok is False}
    missed = [check for _gate, check, _make in lies if false.isdisjoint(check.split("|"))]
    assert missed == [], judged.false
