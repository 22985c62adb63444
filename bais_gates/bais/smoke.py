"""Health check and smoke test of the staged platform, through its own API."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bais_gates.bais.api import ACCEPTED, DECLINED, Business
from bais_gates.staging.staged import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bais_gates.bais.api import Api
    from bais_gates.probes.http import Response
    from bais_gates.targets.target import Unique

HEALTH_MS: Final = 1000.0
"""Shows only that it responds; the acceptance gates measure its latency."""
AMOUNT: Final = 49.99
SETTLED: Final = frozenset({"completed", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedIdentity:
    """The identity that the staged API must report; None is not checked."""

    environment: str | None = None
    version: str | None = None


def check_health(api: Api, expected: ExpectedIdentity) -> Iterator[Finding]:
    """Request /health, /ready, /metrics and the system status once; yield a finding for each property."""
    answer = api.get("/health", deadline_s=5.0)
    yield Finding(name="status (GET /health)", observed=answer.status, limit=200, source=answer.url)
    yield Finding(name="reported health (GET /health)", observed=answer.field("status"), limit="healthy")
    yield Finding(
        name="latency (GET /health)", observed=answer.elapsed_ms, op="<=", limit=HEALTH_MS, unit="ms"
    )
    for name, wanted in (("environment", expected.environment), ("version", expected.version)):
        if wanted is not None:
            yield Finding(name=f"reported {name} (GET /health)", observed=answer.field(name), limit=wanted)
    yield Finding(
        name="contract violations (GET /health)", observed=api.conforms(answer, "GET", "/health"), limit=[]
    )
    ready = api.get("/ready", deadline_s=5.0)
    yield Finding(name="status (GET /ready)", observed=ready.status, limit=200, source=ready.url)
    for part in ("database", "cache"):
        yield Finding(
            name=f"reported {part} check (GET /ready)", observed=ready.field("checks", part), limit="ok"
        )
    metrics = api.get("/metrics", deadline_s=5.0)
    yield Finding(name="status (GET /metrics)", observed=metrics.status, limit=200, source=metrics.url)
    yield from _status(api.get("/api/v1/system/status", deadline_s=5.0), api)


def _status(answer: Response, api: Api) -> Iterator[Finding]:
    yield Finding(name="status (GET system status)", observed=answer.status, limit=200, source=answer.url)
    for part in ("database", "cache"):
        yield Finding(
            name=f"reported {part} status (GET system status)",
            observed=answer.field(part, "status"),
            limit="connected",
        )
    yield Finding(
        name="contract violations (GET system status)",
        observed=api.conforms(answer, "GET", "/api/v1/system/status"),
        limit=[],
    )


@dataclass(slots=True)
class SmokeObjects:
    """The objects that the smoke test created, for a gate that looks them up elsewhere."""

    email: str = ""
    workflow_id: str = ""
    payment_id: str = ""


def run_smoke_test(
    api: Api,
    unique: Unique,
    *,
    settled_within_s: float,
    made: SmokeObjects | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Finding]:
    """Register, sign in, create a workflow, take a payment and read it back; yield a finding for each step.

    Ends after the first step that failed and that the following ones need. ``made`` receives the ids.
    """
    made = made if made is not None else SmokeObjects()
    made.email, password = unique.email("smoke"), unique.password()
    fields = {"business_name": unique.word("business"), "contact_name": "Gate Keeper", "phone": "+1-555-0123"}
    registered = api.register(email=made.email, password=password, **fields)
    yield from _step("registration", registered, 201, api, "/api/v1/auth/register")
    if registered.status != 201:
        return
    signed_in = api.login(made.email, password)
    yield from _step("sign-in", signed_in, 200, api, "/api/v1/auth/login")
    token = signed_in.field("access_token")
    if signed_in.status != 200 or not isinstance(token, str):
        return
    business = Business(
        email=made.email,
        password=password,
        user_id=str(registered.field("user_id")),
        access_token=token,
        refresh_token=str(signed_in.field("refresh_token")),
        api=api.with_token(token),
        unique=unique,
    )
    yield from _take_payment(business, made, settled_within_s, sleep)
    if made.payment_id:
        yield from _read_without_token(api, made)


def _take_payment(
    business: Business, made: SmokeObjects, settled_within_s: float, sleep: Callable[[float], None]
) -> Iterator[Finding]:
    workflow = business.workflow(amount=AMOUNT)
    yield from _step("workflow", workflow, 201, business.api, "/api/v1/workflows/payment")
    made.workflow_id = str(workflow.field("workflow_id") or "")
    if workflow.status != 201 or not made.workflow_id:
        return
    declined = business.pay(made.workflow_id, amount=AMOUNT, card=DECLINED)
    yield Finding(
        name="status (payment, declined card)", observed=declined.status, limit=402, source=declined.url
    )
    key = business.unique.key()
    paid = business.pay(made.workflow_id, amount=AMOUNT, card=ACCEPTED, key=key)
    yield from _step("payment", paid, 201, business.api, "/api/v1/payments/process")
    made.payment_id = str(paid.field("payment_id") or "")
    if paid.status != 201 or not made.payment_id:
        return
    again = business.pay(made.workflow_id, amount=AMOUNT, card=ACCEPTED, key=key)
    yield Finding(
        name="payment id (repeat with the same Idempotency-Key)",
        observed=again.field("payment_id"),
        limit=made.payment_id,
    )
    began = time.monotonic()
    while (read := business.payment(made.payment_id)).field("status") not in SETTLED:
        if time.monotonic() - began > settled_within_s:
            break
        sleep(0.1)
    yield Finding(name="payment status (read back)", observed=read.field("status"), limit="completed")
    yield Finding(name="payment amount (read back)", observed=read.money("amount"), limit=str(AMOUNT))
    dashboard = business.api.get("/api/v1/analytics/dashboard")
    yield Finding(
        name="total payments (GET dashboard)", observed=dashboard.field("total_payments"), op=">=", limit=1
    )


def _read_without_token(api: Api, made: SmokeObjects) -> Iterator[Finding]:
    path = f"/api/v1/payments/{made.payment_id}"
    yield Finding(name="status (GET payment without a token)", observed=api.get(path).status, limit=401)


def _step(name: str, answer: Response, status: int, api: Api, path: str) -> Iterator[Finding]:
    yield Finding(name=f"status ({name})", observed=answer.status, limit=status, source=answer.url)
    if answer.status == status:
        yield Finding(
            name=f"contract violations ({name})", observed=api.conforms(answer, "POST", path), limit=[]
        )
