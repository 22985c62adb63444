"""Who gets in, with what, and for how long."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING

import pytest

from bais_gates import Evidence, Unique
from bais_gates.bais import Api, Business, differences, needed, not_answered
from bais_gates.probes import Response, jwt

if TYPE_CHECKING:
    from collections.abc import Callable

LOGIN = "/api/v1/auth/login"
PROTECTED = "/api/v1/analytics/dashboard"
KEY_LIFE_S = 2
GRACE_S = 1.2
"""What an expiry in whole seconds may be late by."""
WRONG_BEFORE_LOCK = 10
PAIRS = 12
"""Of sign-ins with an unknown e-mail and with a wrong password, side by side in time."""
SIMILAR = 1.5
"""How many times longer the one may take than the other."""
NETWORK_MS = 5.0
"""Added to both times, so that answers of a millisecond are not compared by their noise."""
REFRESHES_AT_ONCE = 5


@pytest.mark.gate("acceptance.user_authentication")
def test_user_authentication(
    api: Api, new_business: Callable[[], Business], unique: Unique, evidence: Evidence
) -> None:
    """Only the owner gets in: no forged, expired, revoked or used token, no guessing, no hint who exists."""
    business, other = new_business(), new_business()
    short_lived = needed(business.api_key(expires_in=KEY_LIFE_S), 201, "api_key")
    made_at = time.monotonic()
    evidence.check("status with an API key before it expires", _try(api, short_lived), "==", 200)

    _sign_in_conforms(api, business, evidence)
    _forged_tokens_are_refused(api, business, other, evidence)
    _revoked_keys_are_refused(api, business, other, evidence)
    _refresh_tokens_work_once(api, business, evidence)
    _nothing_tells_who_exists(api, business, new_business, unique, evidence)
    _guessing_ends(api, business, new_business(), evidence)

    time.sleep(max(0.0, made_at + KEY_LIFE_S + GRACE_S - time.monotonic()))
    evidence.check("status with an API key after it expired", _try(api, short_lived), "==", 401)


def _try(api: Api, token: str) -> int:
    return api.get(PROTECTED, token=token).status


def _sign_in_conforms(api: Api, business: Business, evidence: Evidence) -> None:
    answer = api.login(business.email, business.password)
    evidence.check("sign-in status", answer.status, "==", 200)
    evidence.check("sign-in contract violations", api.conforms(answer, "POST", LOGIN), "==", [])
    token = answer.field("access_token") or ""
    evidence.check("status with the access token", _try(api, token), "==", 200)
    repeated = {business.access_token, business.refresh_token} & {token, answer.field("refresh_token")}
    evidence.check("tokens that a second sign-in repeats", len(repeated), "==", 0)
    claims = jwt.claims(token)
    life = answer.field("expires_in")
    if claims is not None and isinstance(life, int):
        evidence.check("expiry inside the access token", jwt.seconds_left(claims), "<=", life + 60, unit="s")


def _forged_tokens_are_refused(api: Api, business: Business, other: Business, evidence: Evidence) -> None:
    tokens = {
        "garbage": "not-a-token",
        "the refresh token": business.refresh_token,
        **jwt.forgeries(business.access_token, subject=business.user_id, other=other.access_token),
    }
    answers = {name: api.get(PROTECTED, token=token) for name, token in tokens.items()}
    answers["no token"] = api.get(PROTECTED)
    for name, header in (("an empty token", "Bearer "), ("another scheme", f"Basic {business.access_token}")):
        answers[name] = api.get(PROTECTED, headers={"Authorization": header.strip()})
    let_in = not_answered(401, answers)
    evidence.check("forged tokens not answered 401", let_in, "==", {}, n=len(answers))
    violations = {one for answer in answers.values() for one in api.conforms(answer, "GET", PROTECTED)}
    evidence.check("contract violations with forged tokens", sorted(violations), "==", [])
    evidence.check("status with the true token among them", _try(api, business.access_token), "==", 200)


def _revoked_keys_are_refused(api: Api, business: Business, other: Business, evidence: Evidence) -> None:
    made = business.api_key()
    evidence.check(
        "API key contract violations", api.conforms(made, "POST", "/api/v1/auth/api-keys"), "==", []
    )
    key, key_id = needed(made, 201, "api_key"), needed(made, 201, "api_key_id")
    path = f"/api/v1/auth/api-keys/{key_id}"
    evidence.check("status with a new API key", _try(api, key), "==", 200)
    evidence.check("another business revokes it: status", other.api.delete(path).status, "==", 404)
    evidence.check("status with the key after that", _try(api, key), "==", 200)
    revoked = business.api.delete(path)
    evidence.check("its own business revokes it: status", revoked.status, "==", 204)
    evidence.check("revocation contract violations", api.conforms(revoked, "DELETE", path), "==", [])
    evidence.check("status with the revoked key", _try(api, key), "==", 401)
    evidence.check("revoking it again: status", business.api.delete(path).status, "==", 404)


def _refresh_tokens_work_once(api: Api, business: Business, evidence: Evidence) -> None:
    first = api.refresh(business.refresh_token)
    evidence.check("first refresh status", first.status, "==", 200)
    evidence.check(
        "refresh contract violations", api.conforms(first, "POST", "/api/v1/auth/refresh"), "==", []
    )
    access, refresh = first.field("access_token") or "", first.field("refresh_token") or ""
    evidence.check("status with the refreshed token", _try(api, access), "==", 200)
    old = {business.access_token, business.refresh_token}
    evidence.check("old tokens given again", len(old & {access, refresh}), "==", 0)
    second = api.refresh(refresh)
    evidence.check("refresh with the new refresh token: status", second.status, "==", 200)
    used = {
        "the first one": api.refresh(business.refresh_token),
        "the second one": api.refresh(refresh),
        "a made-up one": api.refresh(refresh[::-1]),
    }
    evidence.check("used refresh tokens not answered 401", not_answered(401, used), "==", {}, n=len(used))
    fresh = needed(api.login(business.email, business.password), 200, "refresh_token")
    with ThreadPoolExecutor(REFRESHES_AT_ONCE) as pool:
        statuses = sorted(answer.status for answer in pool.map(api.refresh, [fresh] * REFRESHES_AT_ONCE))
    wanted = [200] + [401] * (REFRESHES_AT_ONCE - 1)
    evidence.check(
        f"statuses of one refresh token used {REFRESHES_AT_ONCE} times at once", statuses, "==", wanted
    )


def _nothing_tells_who_exists(
    api: Api, known: Business, new_business: Callable[[], Business], unique: Unique, evidence: Evidence
) -> None:
    """See the same answer, in similar time, whether the e-mail is unknown or the password wrong."""
    unknown: list[Response] = []
    wrong: list[Response] = []
    for accounts in ([known, new_business()], [new_business(), new_business()]):
        _sign_in_wrongly(api, accounts, unique, unknown, wrong)
        if _apart(unknown, wrong) <= SIMILAR:
            break  # else it may be noise: twice the samples, all of them counted, tell
    told = {one for pair in zip(unknown, wrong, strict=True) for one in differences(*pair)}
    evidence.check("what tells an unknown e-mail from a wrong password", sorted(told), "==", [], n=len(wrong))
    statuses = sorted({one.status for one in unknown + wrong})
    evidence.check("statuses of unknown e-mails and wrong passwords", statuses, "==", [401])
    violations = {one for answer in unknown + wrong for one in api.conforms(answer, "POST", LOGIN)}
    evidence.check("refused sign-in contract violations", sorted(violations), "==", [])
    evidence.attach("sign-in times, ms", {"unknown": _times(unknown), "wrong": _times(wrong)})
    name = "time with an unknown e-mail against a wrong password"
    evidence.check(name, _apart(unknown, wrong), "<=", SIMILAR, unit="times", n=len(wrong), n_min=PAIRS)
    signs_in = api.login(known.email, known.password).status
    evidence.check("sign-in after nine wrong passwords: status", signs_in, "==", 200)


def _sign_in_wrongly(
    api: Api, accounts: list[Business], unique: Unique, unknown: list[Response], wrong: list[Response]
) -> None:
    """Sign in side by side in time, so that noise meets both; never ten times wrongly for one account."""
    for i in range(PAIRS):
        someone = accounts[0] if i < WRONG_BEFORE_LOCK - 1 else accounts[1]
        pair = [(unknown, unique.email("unknown")), (wrong, someone.email)]
        for answers, email in pair if i % 2 else reversed(pair):
            answers.append(api.login(email, unique.password()))


def _times(answers: list[Response]) -> list[float]:
    return [round(answer.elapsed_ms, 1) for answer in answers]


def _apart(unknown: list[Response], wrong: list[Response]) -> float:
    """Give how many times longer the one takes than the other, by what three robust measures agree on.

    The quickest, the quickest quarter and the median pair: a real difference shows in all of them; noise,
    which only ever adds time, hardly.
    """
    some, others = (sorted(one.elapsed_ms + NETWORK_MS for one in answers) for answers in (unknown, wrong))
    pairs = (
        (a.elapsed_ms + NETWORK_MS) / (b.elapsed_ms + NETWORK_MS) for a, b in zip(unknown, wrong, strict=True)
    )
    ratios = [some[0] / others[0], some[len(some) // 4] / others[len(others) // 4], median(pairs)]
    return max(1.0, min(ratios), 1 / max(ratios))


def _guessing_ends(api: Api, neighbour: Business, victim: Business, evidence: Evidence) -> None:
    guesses = []
    for i in range(WRONG_BEFORE_LOCK):
        from_elsewhere = {"X-Forwarded-For": f"198.51.100.{i + 1}"}
        body = {"email": victim.email, "password": f"wrong-{i}-{victim.password}"}
        guesses.append(api.post(LOGIN, json=body, headers=from_elsewhere).status)
    evidence.check("statuses of ten wrong passwords", sorted(set(guesses)), "==", [401], n=len(guesses))
    closed = api.login(victim.email, victim.password)
    evidence.check("the right password after ten wrong ones: status", closed.status, "==", 429)
    evidence.check("closed sign-in contract violations", api.conforms(closed, "POST", LOGIN), "==", [])
    moved = {"X-Forwarded-For": "203.0.113.9"}
    body = {"email": victim.email, "password": victim.password}
    elsewhere = api.post(LOGIN, json=body, headers=moved).status
    evidence.check("the same from another address: status", elsewhere, "==", 429)
    evidence.check("status with the token that it had before", _try(api, victim.access_token), "==", 200)
    untouched = api.login(neighbour.email, neighbour.password).status
    evidence.check("another account's sign-in meanwhile: status", untouched, "==", 200)
