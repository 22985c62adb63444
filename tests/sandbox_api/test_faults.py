"""Every fault changes the behaviour that it describes while it is active, and nothing else."""

from __future__ import annotations

import base64
import hmac
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.sandbox.faults import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox_api.conftest import Business, Platform, Receiver

Seen = dict[str, object]
JSON = {"content-type": "application/json"}


def fastest_s(call: Callable[[], object]) -> float:
    """Return the seconds of the fastest of three calls, as a busy machine delays one."""
    times = []
    for _ in range(3):
        began = time.monotonic()
        call()
        times.append(time.monotonic() - began)
    return min(times)


def health(platform: Platform, receiver: Receiver) -> Seen:  # noqa: ARG001 - every scenario is given both
    """Return the content of /health, and whether it is slow."""
    content = platform.client.get("/health").json()
    seen: Seen = {"slow": fastest_s(lambda: platform.client.get("/health")) > 0.11}
    return seen | {key: content.get(key) for key in ("status", "version", "environment")}


def registration(platform: Platform, receiver: Receiver) -> Seen:  # noqa: ARG001
    """Return the responses to registrations."""
    email = platform.email()
    first = platform.register(email=email)
    return {
        "fields": sorted(first.json()),
        "again": platform.register(email=email).status_code,
        "in capitals": platform.register(email=email.upper()).status_code,
        "weak": platform.register(password="weak").status_code,
    }


def sign_in(platform: Platform, receiver: Receiver) -> Seen:  # noqa: ARG001
    """Return the responses to wrong passwords and unknown addresses, and their speed."""
    business, client = platform.business(), platform.client
    seen: Seen = {}
    # In turn, so that a busy machine slows both; nine wrong passwords and a tenth one lock the account.
    pairs = [
        [platform.sign_in(email, "x") for email in (platform.email(), business.email)] for _ in range(10)
    ]
    unknown_s, wrong_s = (min(one.elapsed for one in answers) for answers in zip(*pairs, strict=True))
    seen["unknown answers at once"] = unknown_s < wrong_s / 2
    seen["distinguished"] = pairs[-1][0].text != pairs[-1][1].text
    seen["after ten wrong"] = platform.sign_in(business.email).status_code
    body = {"refresh_token": business.tokens["refresh_token"]}
    seen["refreshes"] = [client.post("/api/v1/auth/refresh", json=body).status_code for _ in range(2)]
    return seen


def tokens(platform: Platform, receiver: Receiver) -> Seen:  # noqa: ARG001
    """Return whether unsigned and tampered tokens, and revoked and expired keys, are accepted."""
    business, client = platform.business(), platform.client
    head, claims, signature = business.tokens["access_token"].split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    swapped = ("A" if signature[0] != "A" else "B") + signature[1:]

    def status(token: str) -> int:
        headers = {"authorization": f"Bearer {token}"}
        return client.get("/api/v1/cache/test", headers=headers).status_code

    brief = business.post("/api/v1/auth/api-keys", {"name": "k", "expires_in": 1}).json()
    revoked = business.post("/api/v1/auth/api-keys", {"name": "k"}).json()
    client.delete(f"/api/v1/auth/api-keys/{revoked['api_key_id']}", headers=business.headers)
    seen: Seen = {"none": status(f"{none}.{claims}."), "tampered": status(f"{head}.{claims}.{swapped}")}
    seen["revoked"] = status(revoked["api_key"])
    time.sleep(1.05)
    return seen | {"expired": status(brief["api_key"])}


def workflows(platform: Platform, receiver: Receiver) -> Seen:  # noqa: ARG001
    """Return the content of workflows, and who may read them."""
    business, stranger = platform.business(), platform.business()
    path = f"/api/v1/workflows/payment/{business.workflow(amount=19.99).json()['workflow_id']}"
    return {
        "slow": fastest_s(lambda: business.get(path)) > 0.29,
        "amount": business.get(path).json()["amount"],
        "negative": business.workflow(amount=-5).status_code,
        "http": business.workflow(webhook_url="http://example.com/").status_code,
        "stranger": stranger.get(path).status_code,
    }


def payments(platform: Platform, receiver: Receiver) -> Seen:
    """Return the results of payments, repeats, declines and failures, and their webhooks."""
    business, stranger = platform.business(), platform.business()
    hook = {"url": receiver.url, "events": ["payment.failed"]}
    business.post("/api/v1/webhooks/configure", hook)
    first, again = business.pay(key="k"), business.pay(key="k")
    failing = business.pay(business.FAILS_LATER).json()
    read = business.get(f"/api/v1/payments/{first.json()['payment_id']}")
    seen: Seen = {
        "same": first.content == again.content if again.status_code == 201 else again.status_code,
        "other body": business.pay(key="k", amount=1).status_code == 409,
        "amounts": (first.json()["amount"], read.json()["amount"]),
        "fields": sorted(read.json()),
        "stranger": stranger.pay(workflow_id=business.workflow_id).status_code,
        "decline": business.pay(business.DECLINED).status_code,
    }
    seen["delivered"] = len(receiver.wait(1, within=3))
    path = f"/api/v1/payments/{failing['payment_id']}"
    platform.eventually(lambda: business.get(path).json()["status"] == "failed", within=0.3)
    return seen | {"later": business.get(path).json()["status"]}


def deliveries(platform: Platform, receiver: Receiver) -> Seen:
    """Return the deliveries to a receiver that responds 500, then 410, and to an inactive one."""
    business, path = platform.business(), "/api/v1/webhooks/configure"
    receiver.answers = [500, 410]
    events = ["payment.completed"]
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    business.post(path, {"url": receiver.url, "events": events, "secret": secret})
    idle = platform.business()
    idle.post(path, {"url": receiver.url + "/inactive", "events": events, "active": False})
    business.pay()
    tried = receiver.wait(2, within=1.2)
    idle.pay()
    business.pay()
    time.sleep(0.25)
    headers, body, at = tried[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    right = "v1," + base64.b64encode(hmac.digest(b"k" * 24, signed, "sha256")).decode()
    private = business.post(path, {"url": "https://10.0.0.1/", "events": events}).status_code
    return {
        "signature": headers.get("webhook-signature", "none") == right
        or headers.get("webhook-signature", "none")[:4],
        "fresh": abs(int(headers["webhook-timestamp"]) - at) < 60,
        "attempts": len(tried),
        "ids": len({one["webhook-id"] for one, _, _ in tried}),
        "afterwards": len(receiver.received) - len(tried),
        "private": private,
    }


def analytics(platform: Platform, receiver: Receiver) -> Seen:  # noqa: ARG001
    """Return the content of the dashboard."""
    business = platform.business()
    platform.business().pay(amount=3)
    business.pay(amount=1)
    business.get("/api/v1/analytics/dashboard")
    business.pay(business.DECLINED, amount=10)
    business.pay(amount=2)
    shown = business.get("/api/v1/analytics/dashboard?period=24h").json()
    total = shown["total_payments"]
    week, month = (
        business.get(f"/api/v1/analytics/dashboard?period={period}").json()["total_payments"] - total
        for period in ("7d", "30d")
    )
    return {
        "slow": fastest_s(lambda: business.get("/api/v1/analytics/dashboard")) > 0.29,
        "total": total,
        "week": week,
        "month": month > 0,
        "rate": "a fraction" if shown["success_rate"] <= 1 else "per cent",
        "declined in volume": shown["total_volume"] > 3,
        "unknown": business.get("/api/v1/analytics/dashboard?period=1y").status_code,
    }


def limits(platform: Platform, receiver: Receiver) -> Seen:  # noqa: ARG001
    """Return the accepted requests, the Retry-After of the others, and the effect on another caller."""
    business, other = platform.business(), platform.business()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: business.get("/api/v1/cache/test"), range(156)))
    refused = [answer for answer in answers if answer.status_code == 429]
    waits = {answer.headers.get("retry-after") for answer in refused}
    wait = "nothing" if waits == {None} else "one" if waits == {"1"} else "seconds"
    return {
        "accepted": len(answers) - len(refused),
        "retry after": wait if waits else "-",
        "other": other.get("/api/v1/cache/test").status_code,
    }


def refills(platform: Platform, receiver: Receiver) -> Seen:  # noqa: ARG001
    """Return whether a caller is accepted again after a refill, simulated by changing its bucket."""
    import redis  # noqa: PLC0415 - only this scenario looks into Redis

    business = platform.business()
    key = business.post("/api/v1/auth/api-keys", {"name": "k"}).json()
    headers = {"authorization": f"Bearer {key['api_key']}"}
    bucket = f"bais:rate:token:{key['api_key_id']}"
    business.client.get("/api/v1/cache/test", headers=headers)
    with redis.Redis.from_url(platform.config["redis_url"]) as cache:
        since = int(cache.hget(bucket, "since") or 0)
        cache.hset(bucket, mapping={"left": 0, "since": since - 10_000_000})
    return {"again": business.client.get("/api/v1/cache/test", headers=headers).status_code}


def errors(platform: Platform, receiver: Receiver) -> Seen:  # noqa: ARG001
    """Return the responses to bad requests."""
    client, business = platform.client, platform.business()
    broken = client.post("/api/v1/auth/login", content=b"{", headers=JSON)
    return {
        "broken": broken.status_code,
        "traceback": "Traceback" in broken.text,
        "html": "<html>" in client.get("/nope").text,
        "huge": client.post("/api/v1/auth/login", content=b"x" * 70_000, headers=JSON).status_code,
        "sql": "SELECT" in business.get("/api/v1/payments/x'y").text,
    }


def parts(platform: Platform, receiver: Receiver) -> Seen:  # noqa: ARG001
    """Return the content of the status page and of the cache."""
    business, other = platform.business(), platform.business()
    path = "/api/v1/cache/test"
    for value in ("one", "two"):
        business.post(path, {"value": value})
    # The fastest of several: a busy machine delays one now and then, the fault all.
    reads = [business.get(path) for _ in range(5)]
    fastest_s = min(read.elapsed.total_seconds() for read in reads)
    seen: Seen = {"value": reads[0].json()["value"], "slow cache": fastest_s > 0.03}
    other.post(path, {"value": "other"})
    seen["after another's"] = business.get(path).json()["value"] == seen["value"]
    status = platform.client.get("/api/v1/system/status").json()
    # Look-ups of nothing but what is there, so that the true rate is not low.
    rate = status["cache"]["hit_rate"]
    info = platform.rows("SELECT current_setting('max_connections')::int")
    return seen | {
        "connected": status["database"]["status"],
        "maximum": status["database"]["max_connections"] in {info[0][0], None},
        "slow database": (status["database"]["latency_ms"] or 0) > 125,
        "rate": rate not in {99.9, 1.0},
    }


def crowd(platform: Platform, receiver: Receiver) -> Seen:  # noqa: ARG001
    """Return the results of sixty concurrent writes, and then sixty reads."""
    businesses = [platform.business() for _ in range(3)]
    for one in businesses:
        one.payment()

    def write(n: int) -> tuple[Business, Any]:
        one = businesses[n % 3]
        return one, one.workflow(name=f"of {n % 3}")

    def read(made: tuple[Business, Any]) -> tuple[int, bool]:
        one, answer = made
        found = one.get(f"/api/v1/workflows/payment/{answer.json().get('workflow_id')}")
        return found.status_code, found.json().get("name") in {f"of {businesses.index(one)}", None}

    with ThreadPoolExecutor(60) as pool:
        written = list(pool.map(write, range(60)))
        seen: Seen = {"writes": sorted({answer.status_code for _, answer in written})}
        stored = [made for made in written if made[1].status_code == 201]
        found = list(pool.map(read, stored))
    seen["lost"] = any(status == 404 for status, _ in found)
    return seen | {"own": all(own for _, own in found)}


WHAT_CHANGES: dict[Callable[[Platform, Receiver], Seen], dict[str, str]] = {
    health: {
        "health_version_missing": "version",
        "health_names_other_environment": "environment",
        "health_status_unknown": "status",
        "health_touches_database_slowly": "slow",
    },
    registration: {
        "weak_password_accepted": "weak",
        "duplicate_email_accepted": "again, in capitals",
        "email_case_distinguished": "in capitals",
        "registration_answers_password": "fields",
    },
    sign_in: {
        "unknown_email_answers_faster": "unknown answers at once",
        "unknown_email_told_apart": "distinguished",
        "sign_in_never_closes": "after ten wrong",
        "refresh_token_reusable": "refreshes",
    },
    tokens: {
        "none_signature_accepted": "none",
        "tampered_token_accepted": "none, tampered",
        "revoked_api_key_accepted": "revoked",
        "expired_api_key_accepted": "expired",
    },
    workflows: {
        "workflow_amount_rounded": "amount",
        "workflow_negative_amount_accepted": "negative",
        "workflow_visible_to_other_businesses": "stranger",
        "workflow_plain_http_accepted": "http",
        "slow_workflow_reads": "slow",
    },
    payments: {
        "idempotency_key_ignored": "same, other body",
        "idempotency_body_not_compared": "other body",
        "decline_reported_as_completed": "decline",
        "amount_through_binary_float": "amounts",
        "asynchronous_failure_forgotten": "later",
        "card_number_in_answer": "fields",
        "other_business_workflow_payable": "stranger",
    },
    deliveries: {
        "webhook_signature_missing": "signature",
        "webhook_signature_over_other_bytes": "signature",
        "webhook_timestamp_stale": "fresh",
        "webhook_new_id_on_retry": "ids",
        "webhook_not_retried": "attempts, afterwards",
        "webhook_sent_to_disabled_hook": "afterwards",
        "webhook_sent_after_410": "afterwards",
        "webhook_private_address_accepted": "private",
    },
    analytics: {
        "analytics_counts_other_businesses": "month",
        "analytics_stale": "week",
        "analytics_success_rate_as_fraction": "rate",
        "analytics_volume_counts_failures": "declined in volume",
        "analytics_unknown_period_accepted": "unknown",
        "slow_analytics": "slow",
    },
    limits: {
        "rate_limit_switched_off": "accepted, retry after",
        "rate_limit_higher_than_promised": "accepted",
        "retry_after_lies": "retry after",
        "retry_after_missing": "retry after",
        "limit_shared_by_all_callers": "other",
    },
    refills: {"rate_limit_never_refills": "again"},
    errors: {
        "stack_trace_in_errors": "traceback",
        "malformed_json_crashes": "broken",
        "sql_text_in_errors": "sql",
        "unknown_path_answers_html": "html",
        "huge_body_crashes": "huge",
    },
    parts: {
        "status_invents_connections": "maximum",
        "status_claims_database_disconnected": "connected",
        "slow_database": "slow database",
        "cache_returns_stale": "value",
        "cache_shared_by_all_callers": "after another's",
        "status_invents_hit_rate": "rate",
        "slow_cache": "slow cache",
    },
    crowd: {
        "concurrent_writes_lost": "lost",
        "business_data_crossed": "own",
        "concurrent_requests_refused": "writes",
    },
}
"""The keys of its scenario that differ while a fault is active, and no other."""
HIDES = {
    "webhook_not_retried": "ids",
    "rate_limit_switched_off": "other",
    "stack_trace_in_errors": "broken",
    "status_claims_database_disconnected": "maximum, slow database",
    "concurrent_writes_lost": "own, writes",
    "business_data_crossed": "writes",
}
"""The keys in which a fault hides what another one changes."""
OTHERWISE = {"slow_payments_tail"}
"""Tested separately."""


def test_every_fault_is_shown() -> None:
    """Every fault has a test here, and names acceptance gates; each of those has two faults or more."""
    shown = [name for faults in WHAT_CHANGES.values() for name in faults]
    assert sorted([*shown, *OTHERWISE]) == sorted(FAULTS)
    assert all(fault.gates and fault.description.endswith(".") for fault in FAULTS.values())
    by_gate = [gate for fault in FAULTS.values() for gate in fault.gates]
    assert all(gate.startswith("acceptance.") for gate in by_gate)
    assert len(set(by_gate)) == 13
    assert all(by_gate.count(gate) >= 2 for gate in by_gate)


@pytest.mark.parametrize("scenario", WHAT_CHANGES, ids=lambda scenario: scenario.__name__)
def test_faults_change_what_they_describe(
    platform: Platform, receiver: Receiver, scenario: Callable[[Platform, Receiver], Seen]
) -> None:
    """While faults of different keys are active, the scenario differs in exactly these keys."""
    compare(platform, receiver, scenario, together(WHAT_CHANGES[scenario]))


@pytest.mark.nightly
@pytest.mark.parametrize("scenario", WHAT_CHANGES, ids=lambda scenario: scenario.__name__)
def test_a_fault_alone_changes_what_it_describes(
    platform: Platform, receiver: Receiver, scenario: Callable[[Platform, Receiver], Seen]
) -> None:
    """While one fault is active, its scenario differs in exactly the keys of the table."""
    faults = WHAT_CHANGES[scenario]
    compare(platform, receiver, scenario, [{name: keys} for name, keys in faults.items()])


def together(faults: dict[str, str]) -> list[dict[str, str]]:
    """Return the faults in as few runs as possible, each of faults that change and hide different keys."""
    runs: list[dict[str, str]] = []
    for name, keys in faults.items():
        for run in runs:
            if all(touched(name, keys).isdisjoint(touched(*one)) for one in run.items()):
                run[name] = keys
                break
        else:
            runs.append({name: keys})
    return runs


def touched(name: str, keys: str) -> set[str]:
    """Return the keys that a fault changes, or in which it hides what another one changes."""
    return {*keys.split(", "), *HIDES.get(name, "").split(", ")} - {""}


def compare(
    platform: Platform,
    receiver: Receiver,
    scenario: Callable[[Platform, Receiver], Seen],
    runs: list[dict[str, str]],
) -> None:
    """Check that the scenario differs in each run in exactly the keys of its faults, and not afterwards."""

    def observe() -> Seen:
        receiver.received.clear()
        receiver.answers = [200]
        return scenario(platform, receiver)

    right = observe()
    for faults in runs:
        with platform.faults(*faults):
            wrong = observe()
        changed = {place for place in right if right[place] != wrong[place]}
        assert changed == {key for keys in faults.values() for key in keys.split(", ")}, (
            faults,
            right,
            wrong,
        )
    assert observe() == right


def test_every_eighth_payment_is_slow(platform: Platform, business: Business) -> None:
    """A fault that shows only in the tail of the distribution."""
    business.payment()
    with platform.faults("slow_payments_tail"):
        times = [business.pay().elapsed.total_seconds() for _ in range(16)]
    assert sum(took > 0.45 for took in times) == 2
