"""Lies about health, registration and sign-in, and the checks that must find them out."""

from __future__ import annotations

import time
from dataclasses import replace

from tests.gates.lying_proxy import Answer, Exchange, Lie, cached, lie, on

REGISTER, LOGIN, DASHBOARD = "/api/v1/auth/register", "/api/v1/auth/login", "/api/v1/analytics/dashboard"

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
        return replace(told, headers={**told.headers, "content-type": "text/plain"})

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
        return Answer(status=201, headers={"content-type": "application/json"}, body=body)

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
