"""Check response times: p95 latency of correct responses per endpoint, from due time, over enough samples."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from bais_gates import Environment, Evidence, Limits, RateLimit
from bais_gates.bais import ACCEPTED, Api, Business, card_method, require_field
from bais_gates.probes import (
    Lane,
    Measured,
    Response,
    Summary,
    callers_for,
    measure,
    measure_again_if_slow,
    wrong_responses,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OFTEN_PER_S: Final = 25.0
OFTEN_N: Final = 100
WARM_UP: Final = 20
"""Enough for connection pools to open what the rate needs: a platform that was just started has cold ones."""
SELDOM_PER_S: Final = 6.25
"""For endpoints that are slow on purpose (password hashing) or rarely used."""
SELDOM_N: Final = 25
SELDOM_WARM_UP: Final = 5
KEY_SHARE: Final = 0.8
"""Share of the rate limit that each API key uses."""
RATE_SHARE: Final = 0.9
"""Share of the target rate that must have been achieved for the figures to be about that rate."""


@pytest.mark.gate("acceptance.performance_response_time")
def test_performance_response_time(
    api: Api,
    new_business: Callable[[], Business],
    environment: Environment,
    limits: Limits,
    evidence: Evidence,
) -> None:
    """The p95 latency of correct responses is within its limit at each endpoint, from when they were due."""
    rate = environment.rate_limit

    endpoints: list[Endpoint] = []

    def take() -> Measured:
        endpoints[:] = endpoints_of(api, new_business(), rate, limits)
        return measure(lanes_of(endpoints, limits))

    measured, note = measure_again_if_slow(
        take,
        lambda measured: any(is_slow(one, measured, limits) for one in endpoints),
        lambda measured: starvation_of_slow(endpoints, measured, limits),
    )
    for endpoint in endpoints:
        check_endpoint(endpoint, measured, limits, note, evidence)
    check_all_endpoints(endpoints, measured, limits, note, evidence)
    evidence.attach("latencies in ms", latency_table(measured), "application/json")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A request and its correct response."""

    name: str
    ask: Callable[[], Response]
    status: int
    key: str
    """The text field that a correct response has."""
    expected: str | None = None
    """Its value; None: any."""
    new: bool = False
    """Whether it is different in each response."""
    seldom: bool = False
    limit_ms: float | None = None
    """None: the limit of the API."""


def endpoints_of(api: Api, business: Business, rate: RateLimit, limits: Limits) -> list[Endpoint]:
    """Prepare the endpoints, each with enough API keys to stay below the rate limit of each key."""
    unique = business.unique
    workflow_id = business.workflow_id()
    payment_id = require_field(business.pay(workflow_id), 201, "payment_id")
    cached = unique.word("cached")
    require_field(business.api.post("/api/v1/cache/test", json={"value": cached}), 200, "value")
    payment = {
        "workflow_id": workflow_id,
        "amount": 12.34,
        "currency": "USD",
        "payment_method": card_method(ACCEPTED),
    }
    workflow = {
        "name": unique.word("workflow"),
        "payment_provider": "stripe",
        "amount": 49.99,
        "currency": "USD",
        "webhook_url": "https://example.com/hooks/bais",
    }
    hook = {"url": "https://example.com/hooks/bais", "events": ["payment.completed"], "active": False}

    def get(path: str, key: str, expected: str | None, query: str = "") -> Endpoint:
        keys = cycle_keys(business, rate, OFTEN_N + WARM_UP)
        url = f"/api/v1{path}{query}".replace("{id}", str(expected))
        return Endpoint(
            name=f"GET {path}", ask=lambda: next(keys).get(url), status=200, key=key, expected=expected
        )

    def post(path: str, body: Any, key: str, *, seldom: bool = False) -> Endpoint:
        keys = cycle_keys(business, rate, SELDOM_N + SELDOM_WARM_UP if seldom else OFTEN_N + WARM_UP)
        return Endpoint(
            name=f"POST {path}",
            ask=lambda: next(keys).post(f"/api/v1{path}", json=body),
            status=201,
            key=key,
            new=True,
            seldom=seldom,
        )

    return [
        Endpoint(
            name="GET /health",
            ask=lambda: api.get("/health"),
            status=200,
            key="status",
            expected="healthy",
            limit_ms=limits.health_p95_ms,
        ),
        Endpoint(
            name="GET /ready", ask=lambda: api.get("/ready"), status=200, key="status", expected="ready"
        ),
        get("/workflows/payment/{id}", "workflow_id", workflow_id),
        get("/payments/{id}", "payment_id", payment_id),
        get("/analytics/dashboard", "period", "24h", query="?period=24h"),
        get("/system/status", "status", None),
        post("/payments/process", payment, "payment_id"),
        post("/workflows/payment", workflow, "workflow_id"),
        post("/webhooks/configure", hook, "webhook_id", seldom=True),
        post("/auth/api-keys", {"name": "performance"}, "api_key_id", seldom=True),
        *sign_in_endpoints(api, business),
    ]


def sign_in_endpoints(api: Api, business: Business) -> list[Endpoint]:
    """Prepare the endpoints that need no token: registration, sign-in, refresh."""
    unique = business.unique
    chain = [business.refresh_token]

    def refresh() -> Response:
        answer = api.refresh(chain[-1])
        chain.append(str(answer.field("refresh_token")))
        return answer

    def register() -> Response:
        return api.register(
            email=unique.email(),
            password=unique.password(),
            business_name=unique.word("business"),
            contact_name="Gate Keeper",
        )

    return [
        Endpoint(name="POST /auth/register", ask=register, status=201, key="user_id", new=True, seldom=True),
        Endpoint(
            name="POST /auth/login",
            ask=lambda: api.login(business.email, business.password),
            status=200,
            key="token_type",
            expected="bearer",
            seldom=True,
        ),
        Endpoint(
            name="POST /auth/refresh", ask=refresh, status=200, key="refresh_token", new=True, seldom=True
        ),
    ]


def cycle_keys(business: Business, rate: RateLimit, requests: int) -> Iterator[Api]:
    """Return an endless cycle of clients whose API keys together allow ``requests`` requests at once."""
    count = math.ceil(requests / (rate.per_token * KEY_SHARE))
    keys = [require_field(business.api_key(), 201, "api_key") for _ in range(count)]
    return itertools.cycle([business.api.with_token(key) for key in keys])


def lanes_of(endpoints: list[Endpoint], limits: Limits) -> list[Lane]:
    """Return a lane for each endpoint; those of one rate are spread evenly over its period."""
    lanes = []
    for rate, seldom in ((OFTEN_PER_S, False), (SELDOM_PER_S, True)):
        those = [endpoint for endpoint in endpoints if endpoint.seldom is seldom]
        period = 1 / rate
        lanes += [lane_of(one, limits, rate, period * place / len(those)) for place, one in enumerate(those)]
    return lanes


def lane_of(endpoint: Endpoint, limits: Limits, rate: float, offset_s: float) -> Lane:
    """Return the lane that sends one endpoint's requests on schedule and checks every response."""
    earlier: set[str] = set()

    def ask() -> str | None:
        answer = endpoint.ask()
        value = answer.field(endpoint.key)
        if answer.status != endpoint.status:
            return f"status {answer.status}"
        if not isinstance(value, str) or endpoint.expected not in (None, value):
            return f"{endpoint.key} is {value!r}"
        if endpoint.new and value in earlier:
            return f"{endpoint.key} is the same as in an earlier response"
        earlier.add(value)
        return None

    # Each refresh needs the token of the one before it; other requests may overlap.
    single = endpoint.key == "refresh_token"
    return Lane(
        name=endpoint.name,
        ask=ask,
        rate_per_s=rate,
        count=SELDOM_N if endpoint.seldom else OFTEN_N,
        warm_up=SELDOM_WARM_UP if endpoint.seldom else WARM_UP,
        callers=1 if single else callers_for(rate, limit_of(endpoint, limits)),
        offset_s=offset_s,
    )


def limit_of(endpoint: Endpoint, limits: Limits) -> float:
    """Return the limit of the endpoint's p95 latency in milliseconds."""
    return limits.api_p95_ms if endpoint.limit_ms is None else endpoint.limit_ms


def is_slow(endpoint: Endpoint, measured: Measured, limits: Limits) -> bool:
    """Return whether the endpoint's p95 latency is beyond its limit."""
    return not measured.lanes[endpoint.name].latency.p95 <= limit_of(endpoint, limits)


def starvation_of_slow(endpoints: list[Endpoint], measured: Measured, limits: Limits) -> str | None:
    """Return why a slow endpoint's latency proves nothing: the generator was starved; None otherwise."""
    slow = [endpoint for endpoint in endpoints if is_slow(endpoint, measured, limits)]
    reasons = [measured.starved(endpoint.name, limit_of(endpoint, limits)) for endpoint in slow]
    return next(filter(None, reasons), None)


def check_endpoint(
    endpoint: Endpoint, measured: Measured, limits: Limits, note: str | None, evidence: Evidence
) -> None:
    """Check the p95 latency and the correctness of one endpoint's responses."""
    lane, limit = measured.lanes[endpoint.name], limit_of(endpoint, limits)
    n_min = SELDOM_N if endpoint.seldom else OFTEN_N
    reason = measured.starved(endpoint.name, limit)
    slow = is_slow(endpoint, measured, limits)
    unprovable = slow and reason is not None
    evidence.check(
        f"p95 latency ({endpoint.name})",
        math.nan if unprovable else lane.latency.p95,
        "<=",
        limit,
        unit="ms",
        n=lane.latency.n,
        n_min=n_min,
        source=explain(measured, reason, note, slow=slow),
    )
    wrong = wrong_responses(lane)
    evidence.check(f"incorrect responses ({endpoint.name})", wrong, "==", [], n=lane.latency.n, source=reason)


def check_all_endpoints(
    endpoints: list[Endpoint], measured: Measured, limits: Limits, note: str | None, evidence: Evidence
) -> None:
    """Check the API's endpoints together: with many more samples a slow tail shows sooner."""
    names = [endpoint.name for endpoint in endpoints if endpoint.limit_ms is None and not endpoint.seldom]
    latency = Summary.of(s.latency_ms for name in names for s in measured.lanes[name].samples)
    reasons = [reason for name in names if (reason := measured.starved(name, limits.api_p95_ms)) is not None]
    slow = latency.p95 > limits.api_p95_ms
    unprovable = slow and bool(reasons)
    evidence.check(
        "p95 latency (all endpoints)",
        math.nan if unprovable else latency.p95,
        "<=",
        limits.api_p95_ms,
        unit="ms",
        n=latency.n,
        n_min=len(names) * OFTEN_N,
        source=explain(measured, next(iter(reasons), None), note, slow=slow),
    )
    achieved = min(lane.achieved_per_s / lane.target_per_s for lane in measured.lanes.values())
    evidence.check(
        "achieved / target request rate",
        math.nan if achieved < RATE_SHARE and reasons else achieved,
        ">=",
        RATE_SHARE,
        n=len(measured.lanes),
        source=reasons[0] if reasons else None,
    )


def explain(measured: Measured, reason: str | None, note: str | None, *, slow: bool) -> str | None:
    """Return what else is to be known of a latency: why it proves nothing, or how busy this machine was."""
    machine = reason or f"this machine was {measured.machine_use:.0%} busy meanwhile"
    return "; ".join(filter(None, (machine if slow else None, note))) or None


def latency_table(measured: Measured) -> dict[str, object]:
    """Return all measured figures as an attachment for whoever investigates."""

    def ms(value: float) -> float:
        return round(value, 2)

    rows = {
        name: {
            "n": lane.latency.n,
            "p50": ms(lane.latency.p50),
            "p95": ms(lane.latency.p95),
            "p99": ms(lane.latency.p99),
            "max": ms(lane.latency.max),
            "p95 uncorrected": ms(lane.service.p95),
            "p95 of the generator's delay": ms(lane.delayed_p95_ms),
            "target per s": lane.target_per_s,
            "achieved per s": ms(lane.achieved_per_s),
        }
        for name, lane in measured.lanes.items()
    }
    return {"endpoints": rows, "seconds": ms(measured.seconds), "machine use": round(measured.machine_use, 3)}
