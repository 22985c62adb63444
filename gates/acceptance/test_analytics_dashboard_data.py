"""Check that the dashboard's figures are exactly those of the caller's own payments, without delay."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Final

import pytest

from bais_gates import Evidence
from bais_gates.bais import DECLINED, FAILS_LATER, Api, Business, require_field
from bais_gates.probes import Response, decimal_text

if TYPE_CHECKING:
    from collections.abc import Callable

DASHBOARD: Final = "/api/v1/analytics/dashboard"
FINAL_WITHIN_S: Final = 3.0
"""Seconds that a payment may take from accepted to completed or failed."""


@pytest.mark.gate("acceptance.analytics_dashboard_data")
def test_analytics_dashboard_data(api: Api, new_business: Callable[[], Business], evidence: Evidence) -> None:
    """The dashboard shows exactly the caller's own payments, the newest included, for each period."""
    one, other = (Books(business, business.workflow_id()) for business in (new_business(), new_business()))
    check_figures("before any payment", one, evidence)

    check_each_payment(one, other, evidence)
    for period in PERIODS:
        check_figures(period, one, evidence, period)
        check_figures(f"{period}, another business", other, evidence, period)
    evidence.check("dashboard figures (no period given)", one.observed(None), "==", one.expected("7d"))
    evidence.check("contract violations (GET dashboard)", violations(one.business.api), "==", [])
    check_invalid_requests(api, one.business, evidence)
    check_payments_without_volume(one, evidence)


@dataclass
class Books:
    """The payments of one business, and the figures that its dashboard must show for them."""

    business: Business
    workflow_id: str
    completed: list[Decimal] = field(default_factory=list)
    attempts: int = 0

    def pay(self, amount: str, *, key: str | None = None) -> Response:
        """Take a payment that is accepted, and book it once it is completed."""
        answer = self.business.pay(self.workflow_id, amount=float(amount), key=key)
        wait_for_status(self.business, require_field(answer, 201, "payment_id"), "completed")
        self.completed.append(Decimal(amount))
        self.attempts += 1
        return answer

    def expected(self, period: str) -> dict[str, str]:
        """Return the exact figures as text, by the contract's definitions."""
        volume, n = sum(self.completed, Decimal(0)), len(self.completed)
        return {
            "period": period,
            "total_payments": str(self.attempts),
            "success_rate": rounded(Decimal(100 * n) / self.attempts) if self.attempts else "0",
            "total_volume": decimal_text(volume),
            "average_amount": rounded(volume / n) if n else "0",
        }

    def observed(self, period: str | None) -> dict[str, str]:
        """Return the figures on the dashboard as text, or the status if it is not 200."""
        answer = self.business.api.get(DASHBOARD + (f"?period={period}" if period else ""))
        if answer.status != 200:
            return {"status": str(answer.status)}
        numbers = ("total_payments", "success_rate", "total_volume", "average_amount")
        figures = {name: answer.money(name) or "no number" for name in numbers}
        return {"period": str(answer.field("period")), **figures}


def rounded(value: Decimal) -> str:
    """Return a number as text, rounded half up to two decimals."""
    return decimal_text(value.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))


def wait_for_status(business: Business, payment_id: str, expected: str) -> str:
    """Wait until a payment has the status ``expected`` or time is up; return its last status."""
    ends_at, pause = time.monotonic() + FINAL_WITHIN_S, 0.02
    while True:
        status = str(business.payment(payment_id).field("status"))
        if status == expected or time.monotonic() > ends_at:
            return status
        time.sleep(pause)
        pause *= 1.5  # few requests: the gate itself must stay below the rate limit


def check_figures(group: str, books: Books, evidence: Evidence, period: str = "7d") -> None:
    """Check that the dashboard shows exactly the booked payments."""
    evidence.check(f"dashboard figures ({group})", books.observed(period), "==", books.expected(period))


def check_each_payment(one: Books, other: Books, evidence: Evidence) -> None:
    """Check the figures right after each payment, while another business pays in between."""
    stale = []
    for turn, amount in enumerate(AMOUNTS):
        one.pay(amount)
        if (observed := one.observed("24h")) != (expected := one.expected("24h")):
            stale.append({"after payment of": amount, "shown": observed, "expected": expected})
        if turn < len(OTHER_AMOUNTS):
            other.pay(OTHER_AMOUNTS[turn])
    evidence.check("stale dashboard figures (right after a payment)", stale, "==", [], n=len(AMOUNTS))


def check_payments_without_volume(one: Books, evidence: Evidence) -> None:
    """Check that a failed and a declined payment count as attempts without volume, and a repeat not at all.

    Whether cards fail, are declined and payments repeat as they should is for the payment gate; here it is
    only how the dashboard counts them. Where one does not, the figures to expect from then on are unknown.
    """
    failing = one.business.pay(one.workflow_id, amount=700, card=FAILS_LATER)
    if wait_for_status(one.business, require_field(failing, 201, "payment_id"), "failed") != "failed":
        return
    one.attempts += 1
    check_figures("after a failed payment", one, evidence)

    if one.business.pay(one.workflow_id, amount=500, card=DECLINED).status != 402:
        return
    one.attempts += 1
    check_figures("after a declined payment", one, evidence)

    key = one.business.unique.key()
    first = one.pay(AMOUNTS[0], key=key)
    repeat = one.business.pay(one.workflow_id, amount=float(AMOUNTS[0]), key=key)
    if repeat.field("payment_id") == first.field("payment_id"):
        check_figures("after a repeat with the same key", one, evidence)


def violations(api: Api) -> list[str]:
    """Return the contract violations of one response for each period."""
    return [
        violation
        for period in PERIODS
        for violation in api.conforms(api.get(f"{DASHBOARD}?period={period}"), "GET", DASHBOARD)
    ]


def check_invalid_requests(api: Api, business: Business, evidence: Evidence) -> None:
    """Check that an unknown period gets 400, a missing or invalid token 401."""
    requests = [(f"unknown period {p!r}", business.api, f"?period={p}", 400) for p in UNKNOWN_PERIODS]
    requests += [("no token", api, "", 401), ("invalid token", api.with_token("not.a.token"), "", 401)]
    for name, caller, query, status in requests:
        answer = caller.get(DASHBOARD + query)
        evidence.check(f"status ({name})", answer.status, "==", status)
        evidence.check(f"contract violations ({name})", api.conforms(answer, "GET", DASHBOARD), "==", [])


PERIODS: Final = ("24h", "7d", "30d")
UNKNOWN_PERIODS: Final = ("1y", "7D", "24h,7d", "-7d", "7d'%20OR%20'1'='1", "%00")
AMOUNTS: Final = ("0.10", "0.20", "19.99", "250.47", "33.33", "0.01")
"""Amounts whose sum and average go wrong in binary floating point."""
OTHER_AMOUNTS: Final = ("999999.99", "1000.00", "0.29")
