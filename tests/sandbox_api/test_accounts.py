"""Registration, sign-in, tokens and API keys."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from bais_gates.sandbox.api.cache import Cache
from bais_gates.sandbox.api.messages import digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox_api.conftest import AnotherApi, Business, Platform

DASHBOARD = "/api/v1/analytics/dashboard"


def status_with(platform: Platform, token: str) -> int:
    """Request the dashboard with ``token``."""
    return platform.client.get(DASHBOARD, headers={"authorization": f"Bearer {token}"}).status_code


def forged(token: str, *, header: dict[str, str] | None = None, **claims: object) -> str:
    """Return a token with other claims, and the first one's signature, or none with another header."""
    parts = token.split(".")
    decode = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in parts[:2]]
    content = [header or decode[0], decode[1] | claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in content]
    return ".".join((*encoded, "" if header else parts[2]))


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "no-at-sign"},
        {"email": "a@b"},
        {"email": "a b@example.com"},
        {"email": "a@example.com\u0000"},
        {"email": "@example.com"},
        {"email": "a" * 250 + "@example.com"},
        {"email": 7},
        {"email": None},
        {"password": "Short-1"},
        {"password": "alllower-case1"},
        {"password": "ALLUPPER-CASE1"},
        {"password": "No-Digits-Here"},
        {"password": "NoSymbolsHere1"},
        {"password": "Aa1-" * 100},
        {"business_name": ""},
        {"business_name": "  "},
        {"contact_name": "a\u0000b"},
        {"contact_name": "x" * 201},
        {"phone": "call me"},
    ],
)
def test_unsound_registrations_are_refused(platform: Platform, changes: dict[str, Any]) -> None:
    """A weak password, an invalid address or a wrong field is a 400."""
    answer = platform.register(**changes)
    assert answer.status_code == 400, answer.text
    platform.error_of(answer)


@pytest.mark.parametrize("missing", ["email", "password", "business_name", "contact_name"])
def test_missing_fields_are_named(platform: Platform, missing: str) -> None:
    """A registration without a required field is a 400 that names it."""
    body = {
        "email": platform.email(),
        "password": platform.PASSWORD,
        "business_name": "B",
        "contact_name": "C",
    }
    del body[missing]
    answer = platform.client.post("/api/v1/auth/register", json=body)
    assert answer.status_code == 400
    assert missing in answer.json()["error"]["message"]


def test_an_address_registers_once(platform: Platform) -> None:
    """Of concurrent registrations of one address, in any case, one is accepted, with its password."""
    email = platform.email()
    with ThreadPoolExecutor(6) as pool:
        cased = [email if n % 2 else email.upper() for n in range(6)]
        answers = list(pool.map(lambda address: platform.register(email=address), cased))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
    assert platform.register(email=email, password="Another-Pass-1").status_code == 409
    assert platform.sign_in(email.upper()).status_code == 200


def test_passwords_and_tokens_are_stored_hashed(platform: Platform, business: Business) -> None:
    """The database contains no usable secret: argon2id for passwords, digests for tokens and keys."""
    (stored,) = platform.rows("SELECT password_hash FROM users WHERE email = %s", business.email)[0]
    assert stored.startswith("$argon2id$v=19$m=7168,t=2,p=1$")
    key = business.post("/api/v1/auth/api-keys", {"name": "agent"}).json()["api_key"]
    dumped = str(platform.rows("SELECT * FROM api_keys")) + str(platform.rows("SELECT * FROM refresh_tokens"))
    assert key not in dumped
    assert business.tokens["refresh_token"] not in dumped


def test_unknown_address_and_wrong_password_look_alike(platform: Platform, business: Business) -> None:
    """Both receive the same response, in about the same time."""
    times: dict[str, list[float]] = {"known": [], "unknown": []}
    bodies = set()
    for _ in range(7):
        for kind, email in (("known", business.email), ("unknown", platform.email())):
            answer = platform.sign_in(email, "Wrong-Password-1")
            assert answer.status_code == 401
            bodies.add(answer.text)
            times[kind].append(answer.elapsed.total_seconds())
    assert len(bodies) == 1
    assert 0.5 < median(times["known"]) / median(times["unknown"]) < 2.0


def test_ten_wrong_passwords_close_sign_in(platform: Platform, business: Business) -> None:
    """Of fifteen concurrent wrong guesses ten receive 401; the others, and the right password, 429."""
    for email in (business.email, platform.email()):
        with ThreadPoolExecutor(15) as pool:
            statuses = list(pool.map(lambda _: platform.sign_in(email, "Wrong-1").status_code, range(15)))  # noqa: B023 - used at once
        assert sorted(statuses) == [401] * 10 + [429] * 5
        closed = platform.sign_in(email)
        assert closed.status_code == 429
        assert platform.error_of(closed) == "rate_limited"
        assert 0 < int(closed.headers["retry-after"]) <= 900


def test_sign_in_opens_again_when_promised(
    platform: Platform, another_api: Callable[..., AnotherApi]
) -> None:
    """After Retry-After the right password works; one before the last wrong one clears the count."""
    rules = {"max_failures": 3, "window_s": 60, "lock_s": 1}
    api = another_api(sign_in=rules)
    email = platform.email()
    platform.register(email=email)

    def sign_in(password: str) -> httpx.Response:
        return api.client.post("/api/v1/auth/login", json={"email": email, "password": password})

    for password, status in (
        ("x", 401),
        ("x", 401),
        (platform.PASSWORD, 200),
        ("x", 401),
        ("x", 401),
        ("x", 401),
    ):
        assert sign_in(password).status_code == status
    closed = sign_in(platform.PASSWORD)
    assert closed.status_code == 429
    time.sleep(int(closed.headers["retry-after"]))
    assert sign_in(platform.PASSWORD).status_code == 200


def test_tokens_must_be_whole(platform: Platform, business: Business) -> None:
    """Unsigned, tampered, empty and foreign tokens are 401 with the scheme to use."""
    token = business.tokens["access_token"]
    assert status_with(platform, token) == 200
    bad = [
        forged(token, header={"alg": "none", "typ": "JWT"}),
        forged(token, header={"alg": "None"}),
        forged(token, biz="biz_other"),
        token[:-2],
        token + "A",
        "x.y.z",
        "bais_sk_" + "A" * 43,
        business.tokens["refresh_token"],
        "\u00ff",
    ]
    for one in bad:
        answer = platform.client.get(DASHBOARD, headers={b"authorization": f"Bearer {one}".encode("latin-1")})
        assert answer.status_code == 401, one
        assert answer.headers["www-authenticate"] == "Bearer"
    basic = platform.client.get(DASHBOARD, headers={"authorization": f"Basic {token}"})
    assert basic.status_code == 401


def test_access_tokens_expire(platform: Platform, another_api: Callable[..., AnotherApi]) -> None:
    """A token is valid for expires_in seconds."""
    api = another_api(access_token_ttl_s=1)
    email = platform.email()
    platform.register(email=email)
    tokens = api.client.post(
        "/api/v1/auth/login", json={"email": email, "password": platform.PASSWORD}
    ).json()
    assert tokens["expires_in"] == 1
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    assert api.client.get(DASHBOARD, headers=headers).status_code == 200
    time.sleep(2.1)
    assert api.client.get(DASHBOARD, headers=headers).status_code == 401


def test_a_refresh_token_works_once(platform: Platform, business: Business) -> None:
    """Of eight concurrent uses one receives a new, valid pair; the old token is invalid afterwards."""
    body = {"refresh_token": business.tokens["refresh_token"]}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: platform.client.post("/api/v1/auth/refresh", json=body), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    new = next(answer.json() for answer in answers if answer.status_code == 200)
    assert new["refresh_token"] != body["refresh_token"]
    assert status_with(platform, new["access_token"]) == 200
    assert platform.client.post("/api/v1/auth/refresh", json={"refresh_token": "x"}).status_code == 401
    again = platform.client.post("/api/v1/auth/refresh", json={"refresh_token": new["refresh_token"]})
    assert again.status_code == 200


def test_api_keys_end_when_revoked_or_expired(platform: Platform, business: Business) -> None:
    """A key works until it is revoked, by its own business only, or until it expires."""
    made = business.post("/api/v1/auth/api-keys", {"name": "agent"}).json()
    brief = business.post("/api/v1/auth/api-keys", {"name": "agent", "expires_in": 1}).json()
    assert status_with(platform, made["api_key"]) == status_with(platform, brief["api_key"]) == 200
    path = f"/api/v1/auth/api-keys/{made['api_key_id']}"
    stranger = platform.business()
    others = platform.client.delete(path, headers=stranger.headers)
    unknown = platform.client.delete("/api/v1/auth/api-keys/key_nobodys", headers=stranger.headers)
    assert others.status_code == unknown.status_code == 404
    assert others.json() == unknown.json()
    assert status_with(platform, made["api_key"]) == 200
    revoked = platform.client.delete(path, headers=business.headers)
    assert (revoked.status_code, revoked.content) == (204, b"")
    assert status_with(platform, made["api_key"]) == 401
    assert platform.client.delete(path, headers=business.headers).status_code == 404
    time.sleep(1.1)
    assert status_with(platform, brief["api_key"]) == 401


def test_a_late_look_up_does_not_bring_a_revoked_key_back(platform: Platform, business: Business) -> None:
    """A look-up that read the database before a key was revoked can't keep its owner afterwards."""
    made = business.post("/api/v1/auth/api-keys", {"name": "agent"}).json()
    path = f"/api/v1/auth/api-keys/{made['api_key_id']}"
    assert platform.client.delete(path, headers=business.headers).status_code == 204

    async def look_up() -> None:
        cache = Cache(platform.config["redis_url"], timeout_s=5)
        await cache.add(f"bais:key:{digest(made['api_key']).hex()}", b'["key", "biz", "usr"]', ttl_s=60)
        cache.close()

    asyncio.run(look_up())
    assert status_with(platform, made["api_key"]) == 401


@pytest.mark.parametrize("expires_in", [0, -1, 10**12, 1.5, "60"])
def test_impossible_lifetimes_are_refused(alice: Business, expires_in: object) -> None:
    """expires_in is a whole number of seconds, from one to ten years."""
    answer = alice.post("/api/v1/auth/api-keys", {"name": "agent", "expires_in": expires_in})
    assert answer.status_code == 400
