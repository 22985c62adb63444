"""What callers see of the API: each scenario returns all that the faults it is about may change."""

from __future__ import annotations

import base64
import hmac
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

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
    seen = {
        "accepted": len(answers) - len(refused),
        "other": other.get("/api/v1/cache/test").status_code,
    }
    waits = {answer.headers.get("retry-after") for answer in refused}
    for _ in range(8):  # in the second half of the two seconds between refills the truth is 1, too
        if waits == {"1"}:
            time.sleep(0.25)
            later = business.get("/api/v1/cache/test")
            waits |= {later.headers.get("retry-after")} if later.status_code == 429 else set()
    wait = "nothing" if waits == {None} else "one" if waits == {"1"} else "seconds"
    return seen | {"retry after": wait if waits else "-"}


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
