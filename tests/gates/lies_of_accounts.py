"""Lies about health, registration and sign-in, and the check that each must fail."""

from __future__ import annotations

import time
from dataclasses import replace

from tests.gates.lying_proxy import Answer, Exchange, Lie, cached, lie, on

REGISTER, LOGIN, DASHBOARD = "/api/v1/auth/register", "/api/v1/auth/login", "/api/v1/analytics/dashboard"

# --- health ---


@lie("health_endpoint", "distinct X-Request-IDs (repeated GET /health)")
def health_from_a_cache() -> Lie:
    """Answer /health from a cache instead of the release."""
    return cached("GET", "/health", lambda e: e.path)


@lie("health_endpoint", "status (GET /ready)")
def readiness_unknown() -> Lie:
    """Answer 503 although the API is ready."""
    return on("GET", "/ready", lambda e: e.forward().changed(503))


@lie("health_endpoint", "contract violations (GET /health)")
def health_as_text() -> Lie:
    """Answer with an undocumented content type."""

    def answer(e: Exchange) -> Answer:
        response: Answer = e.forward()
        return replace(response, headers={**response.headers, "content-type": "text/plain"})

    return on("GET", "/health", answer)


# --- registration ---


@lie("user_registration", "duplicate registrations not refused with 409")
def refused_registration_reported_as_accepted() -> Lie:
    """Report a refused registration as an accepted one."""

    def answer(e: Exchange) -> Answer:
        response = e.forward()
        if response.status != 409:
            return response
        return response.changed(201, user_id="usr_0123456789", verification_token="v" * 24)

    return on("POST", REGISTER, answer)


@lie("user_registration", "status (sign-in after registration)")
def registration_never_forwarded() -> Lie:
    """Answer registrations without forwarding them."""
    count = iter(range(10**6))

    def answer(_e: Exchange) -> Answer:
        body = f'{{"user_id": "usr_{next(count):010}", "verification_token": "{"v" * 24}"}}'.encode()
        return Answer(status=201, headers={"content-type": "application/json"}, body=body)

    return on("POST", REGISTER, answer)


@lie("user_registration", "distinct user_id values (2 registrations)")
def same_id_for_every_user() -> Lie:
    """Answer every registration with one id."""

    def answer(e: Exchange) -> Answer:
        response = e.forward()
        return response.changed(user_id="usr_0123456789") if response.status == 201 else response

    return on("POST", REGISTER, answer)


@lie("user_registration", "registrations not refused with 400 (invalid e-mail)")
def invalid_address_reported_as_conflict() -> Lie:
    """Report an invalid address as a registered one."""
    return on(
        "POST",
        REGISTER,
        lambda e: e.forward().changed(409) if "@" not in e.json.get("email", "@") else e.forward(),
    )


# --- authentication ---


@lie("user_authentication", "status (revoked API key)")
def responses_cached_by_token() -> Lie:
    """Cache responses by token, so that a token works after its end."""
    return cached("GET", DASHBOARD, lambda e: e.token)


@lie("user_authentication", "forged tokens not refused with 401")
def responses_cached_by_path() -> Lie:
    """Cache responses by path alone, so that every token works."""
    return cached("GET", DASHBOARD, lambda e: e.path)


@lie("user_authentication", "contract violations (forged tokens)")
def www_authenticate_missing() -> Lie:
    """Remove WWW-Authenticate from a 401."""
    return on("GET", DASHBOARD, lambda e: e.forward().without("www-authenticate"))


@lie("user_authentication", "contract violations (locked sign-in)")
def lock_without_retry_after() -> Lie:
    """Remove Retry-After from a locked sign-in."""
    return on("POST", LOGIN, lambda e: e.forward().without("retry-after"))


@lie("user_authentication", "latency ratio (unknown e-mail, wrong password)")
def known_accounts_take_longer() -> Lie:
    """Make sign-in take twice as long, and 150 ms longer, if the account exists."""
    known: set[str] = set()

    def answer(e: Exchange) -> Answer:
        began = time.monotonic()
        response = e.forward()
        if e.path == REGISTER and response.status == 201:
            known.add(e.json["email"])
        if e.path == LOGIN and e.json["email"] in known:
            time.sleep(max(0.15, time.monotonic() - began))
        return response

    return on("POST", "/api/v1/auth/", answer)


@lie("user_authentication", "used refresh tokens not refused with 401")
def refresh_cached() -> Lie:
    """Answer a used refresh token with its first response."""
    return cached("POST", "/api/v1/auth/refresh", lambda e: e.body.decode())
