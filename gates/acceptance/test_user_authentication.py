"""Check sign-in, tokens, API keys and refresh tokens: who gets access, with what, and for how long."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING

import pytest

from bais_gates import Evidence, Unique
from bais_gates.bais import Api, Business, differences, require_field, unexpected_statuses
from bais_gates.probes import Response, jwt

if TYPE_CHECKING:
    from collections.abc import Callable

LOGIN = "/api/v1/auth/login"
PROTECTED = "/api/v1/analytics/dashboard"
KEY_LIFE_S = 2
GRACE_S = 1.2
"""Seconds by which an expiry in whole seconds may be late."""
POLL_S = 0.1
WRONG_BEFORE_LOCK = 10
PAIRS = 12
"""Pairs of sign-ins, one with an unknown e-mail and one with a wrong password, close in time."""
MAX_RATIO = 1.5
"""Largest latency ratio that counts as similar."""
NETWORK_MS = 5.0
"""Added to both latencies, so that the noise of responses within a millisecond is not compared."""
CONCURRENT_REFRESHES = 5


@pytest.mark.gate("acceptance.user_authentication")
def test_user_authentication(
    api: Api, new_business: Callable[[], Business], unique: Unique, evidence: Evidence
) -> None:
    """Only valid credentials work: forged, expired, revoked and used tokens get 401; guessing is limited."""
    business, other = new_business(), new_business()
    short_lived = require_field(business.api_key(expires_in=KEY_LIFE_S), 201, "api_key")
    made_at = time.monotonic()
    evidence.check("status (API key before its expiry)", status_with(api, short_lived), "==", 200)

    check_sign_in(api, business, evidence)
    check_forged_tokens(api, business, other, evidence)
    check_key_revocation(api, business, other, evidence)
    check_refresh_tokens(api, business, evidence)
    check_account_enumeration(api, business, new_business, unique, evidence)
    check_lockout(api, business, new_business(), evidence)

    time.sleep(max(0.0, made_at + KEY_LIFE_S - time.monotonic()))
    status, expired_by = status_with(api, short_lived), made_at + KEY_LIFE_S + GRACE_S
    while status == 200 and time.monotonic() < expired_by:
        time.sleep(POLL_S)
        status = status_with(api, short_lived)
    evidence.check("status (API key after its expiry)", status, "==", 401)


def status_with(api: Api, token: str) -> int:
    """Return the status of a protected request with ``token``."""
    return api.get(PROTECTED, token=token).status


def check_sign_in(api: Api, business: Business, evidence: Evidence) -> None:
    """Check that sign-in yields new tokens that work and expire as announced."""
    answer = api.login(business.email, business.password)
    evidence.check("status (sign-in)", answer.status, "==", 200)
    evidence.check("contract violations (sign-in)", api.conforms(answer, "POST", LOGIN), "==", [])
    token = answer.field("access_token") or ""
    evidence.check("status (access token)", status_with(api, token), "==", 200)
    reused = {business.access_token, business.refresh_token} & {token, answer.field("refresh_token")}
    evidence.check("tokens reused by a second sign-in", len(reused), "==", 0)
    claims = jwt.claims(token)
    life = answer.field("expires_in")
    if claims is not None and isinstance(life, int):
        evidence.check("access token lifetime (exp)", jwt.seconds_left(claims), "<=", life + 60, unit="s")


def check_forged_tokens(api: Api, business: Business, other: Business, evidence: Evidence) -> None:
    """Check that forged, malformed and missing tokens get 401."""
    tokens = {
        "garbage": "not-a-token",
        "the refresh token": business.refresh_token,
        **jwt.forgeries(business.access_token, subject=business.user_id, other=other.access_token),
    }
    answers = {name: api.get(PROTECTED, token=token) for name, token in tokens.items()}
    answers["no token"] = api.get(PROTECTED)
    for name, header in (("an empty token", "Bearer "), ("another scheme", f"Basic {business.access_token}")):
        answers[name] = api.get(PROTECTED, headers={"Authorization": header.strip()})
    accepted = unexpected_statuses(401, answers)
    evidence.check("forged tokens not refused with 401", accepted, "==", {}, n=len(answers))
    violations = {one for answer in answers.values() for one in api.conforms(answer, "GET", PROTECTED)}
    evidence.check("contract violations (forged tokens)", sorted(violations), "==", [])
    status = status_with(api, business.access_token)
    evidence.check("status (valid token after forged ones)", status, "==", 200)


def check_key_revocation(api: Api, business: Business, other: Business, evidence: Evidence) -> None:
    """Check that an API key works until its own business revokes it."""
    made = business.api_key()
    violations = api.conforms(made, "POST", "/api/v1/auth/api-keys")
    evidence.check("contract violations (API key creation)", violations, "==", [])
    key, key_id = require_field(made, 201, "api_key"), require_field(made, 201, "api_key_id")
    path = f"/api/v1/auth/api-keys/{key_id}"
    evidence.check("status (new API key)", status_with(api, key), "==", 200)
    evidence.check("status (revocation by another business)", other.api.delete(path).status, "==", 404)
    status = status_with(api, key)
    evidence.check("status (API key after another business's revocation)", status, "==", 200)
    revoked = business.api.delete(path)
    evidence.check("status (revocation by its own business)", revoked.status, "==", 204)
    evidence.check("contract violations (revocation)", api.conforms(revoked, "DELETE", path), "==", [])
    evidence.check("status (revoked API key)", status_with(api, key), "==", 401)
    evidence.check("status (second revocation)", business.api.delete(path).status, "==", 404)


def check_refresh_tokens(api: Api, business: Business, evidence: Evidence) -> None:
    """Check that a refresh token works once, also when used concurrently."""
    first = api.refresh(business.refresh_token)
    evidence.check("status (first refresh)", first.status, "==", 200)
    violations = api.conforms(first, "POST", "/api/v1/auth/refresh")
    evidence.check("contract violations (refresh)", violations, "==", [])
    access, refresh = first.field("access_token") or "", first.field("refresh_token") or ""
    evidence.check("status (refreshed access token)", status_with(api, access), "==", 200)
    old = {business.access_token, business.refresh_token}
    evidence.check("old tokens issued again", len(old & {access, refresh}), "==", 0)
    second = api.refresh(refresh)
    evidence.check("status (refresh with the new refresh token)", second.status, "==", 200)
    used = {
        "the first one": api.refresh(business.refresh_token),
        "the second one": api.refresh(refresh),
        "a made-up one": api.refresh(refresh[::-1]),
    }
    accepted = unexpected_statuses(401, used)
    evidence.check("used refresh tokens not refused with 401", accepted, "==", {}, n=len(used))
    fresh = require_field(api.login(business.email, business.password), 200, "refresh_token")
    with ThreadPoolExecutor(CONCURRENT_REFRESHES) as pool:
        statuses = sorted(answer.status for answer in pool.map(api.refresh, [fresh] * CONCURRENT_REFRESHES))
    expected = [200] + [401] * (CONCURRENT_REFRESHES - 1)
    name = f"statuses ({CONCURRENT_REFRESHES} concurrent uses of one refresh token)"
    evidence.check(name, statuses, "==", expected)


def check_account_enumeration(
    api: Api, known: Business, new_business: Callable[[], Business], unique: Unique, evidence: Evidence
) -> None:
    """Check that an unknown e-mail and a wrong password get equal responses in similar time."""
    unknown: list[Response] = []
    wrong: list[Response] = []
    for accounts in ([known, new_business()], [new_business(), new_business()]):
        fail_sign_ins(api, accounts, unique, unknown, wrong)
        if latency_ratio(unknown, wrong) <= MAX_RATIO:
            break  # otherwise it may be noise: decide on twice the samples, all of them counted
    revealing = {one for pair in zip(unknown, wrong, strict=True) for one in differences(*pair)}
    kinds, n = "(unknown e-mail, wrong password)", len(wrong)
    evidence.check(f"response differences {kinds}", sorted(revealing), "==", [], n=n)
    statuses = sorted({one.status for one in unknown + wrong})
    evidence.check(f"statuses {kinds}", statuses, "==", [401])
    violations = {one for answer in unknown + wrong for one in api.conforms(answer, "POST", LOGIN)}
    evidence.check("contract violations (refused sign-in)", sorted(violations), "==", [])
    for name, answers in (("unknown e-mail", unknown), ("wrong password", wrong)):
        evidence.attach(f"sign-in latencies in ms ({name})", [round(one.elapsed_ms, 1) for one in answers])
    ratio = latency_ratio(unknown, wrong)
    evidence.check(f"latency ratio {kinds}", ratio, "<=", MAX_RATIO, unit="times", n=n, n_min=PAIRS)
    status = api.login(known.email, known.password).status
    evidence.check("status (sign-in after nine wrong passwords)", status, "==", 200)


def fail_sign_ins(
    api: Api, accounts: list[Business], unique: Unique, unknown: list[Response], wrong: list[Response]
) -> None:
    """Fail sign-ins of both kinds close in time, so that noise meets both, without locking an account."""
    for i in range(PAIRS):
        account = accounts[0] if i < WRONG_BEFORE_LOCK - 1 else accounts[1]
        pair = [(unknown, unique.email("unknown")), (wrong, account.email)]
        for answers, email in pair if i % 2 else reversed(pair):
            answers.append(api.login(email, unique.password()))


def latency_ratio(unknown: list[Response], wrong: list[Response]) -> float:
    """Return how many times longer the slower group takes, as far as three robust measures agree.

    These are the minimum, the first quartile and the median pair: a real difference shows in all of them;
    noise, which only ever adds time, rarely does.
    """
    some, others = (sorted(one.elapsed_ms + NETWORK_MS for one in answers) for answers in (unknown, wrong))
    pairs = (
        (a.elapsed_ms + NETWORK_MS) / (b.elapsed_ms + NETWORK_MS) for a, b in zip(unknown, wrong, strict=True)
    )
    ratios = [some[0] / others[0], some[len(some) // 4] / others[len(others) // 4], median(pairs)]
    return max(1.0, min(ratios), 1 / max(ratios))


def check_lockout(api: Api, neighbour: Business, victim: Business, evidence: Evidence) -> None:
    """Check that wrong passwords lock sign-in to this account, from every address, and nothing else."""
    statuses = []
    for i in range(WRONG_BEFORE_LOCK):
        address = {"X-Forwarded-For": f"198.51.100.{i + 1}"}
        body = {"email": victim.email, "password": f"wrong-{i}-{victim.password}"}
        statuses.append(api.post(LOGIN, json=body, headers=address).status)
    evidence.check("statuses (ten wrong passwords)", sorted(set(statuses)), "==", [401], n=len(statuses))
    locked = api.login(victim.email, victim.password)
    evidence.check("status (correct password after ten wrong ones)", locked.status, "==", 429)
    evidence.check("contract violations (locked sign-in)", api.conforms(locked, "POST", LOGIN), "==", [])
    address = {"X-Forwarded-For": "203.0.113.9"}
    body = {"email": victim.email, "password": victim.password}
    status = api.post(LOGIN, json=body, headers=address).status
    evidence.check("status (correct password from another address)", status, "==", 429)
    evidence.check("status (token issued before the lock)", status_with(api, victim.access_token), "==", 200)
    status = api.login(neighbour.email, neighbour.password).status
    evidence.check("status (sign-in of another account during the lock)", status, "==", 200)
