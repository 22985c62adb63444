"""Whether the dashboard's figures are exactly those of the caller's own payments, at once, in each period."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Final

import pytest

from bais_gates import Evidence
from bais_gates.bais import DECLINED, FAILS_LATER, Api, Business, needed
from bais_gates.probes import Response, decimal_text

if TYPE_CHECKING:
    from collections.abc import Callable

DASHBOARD: Final = "/api/v1/analytics/dashboard"
PERIODS: Final = ("24h", "7d", "30d")
UNKNOWN_PERIODS: Final = ("1y", "7D", "24h,7d", "-7d", "7d'%20OR%20'1'='1", "%00")
OWN: Final = ("0.10", "0.20", "19.99", "250.47", "33.33", "0.01")
"""Amounts whose sum and average go wrong in binary floating point."""
OTHERS: Final = ("999999.99", "1000.00", "0.29")
SETTLED_S: Final = 3.0
"""Seconds that a payment may take from accepted to completed or failed."""


@dataclass
class Books:
    """What one business has done, and what its dashboard must therefore say."""

    business: Business
    workflow_id: str
    completed: list[Decimal] = field(default_factory=list)
    attempts: int = 0

    def pay(self, amount: str, *, key: str | None = None) -> Response:
        """Take a payment that is accepted, and enter it once it is completed."""
        answer = self.business.pay(self.workflow_id, amount=float(amount), key=key)
        settle(self.business, needed(answer, 201, "payment_id"), "completed")
        self.completed.append(Decimal(amount))
        self.attempts += 1
        return answer

    def expected(self, period: str) -> dict[str, str]:
        """Give the figures as exact text, by the contract's definitions."""
        volume, n = sum(self.completed, Decimal(0)), len(self.completed)
        return {
            "period": period,
            "total_payments": str(self.attempts),
            "success_rate": _rounded(Decimal(100 * n) / self.attempts) if self.attempts else "0",
            "total_volume": decimal_text(volume),
            "average_amount": _rounded(volume / n) if n else "0",
        }

    def observed(self, period: str | None) -> dict[str, str]:
        """Give the figures that the dashboard shows, as exact text."""
        answer = self.business.api.get(DASHBOARD + (f"?period={period}" if period else ""))
        if answer.status != 200:
            return {"status": str(answer.status)}
        numbers = ("total_payments", "success_rate", "total_volume", "average_amount")
        shown = {name: answer.money(name) or "(no number)" for name in numbers}
        return {"period": str(answer.field("period")), **shown}


def _rounded(value: Decimal) -> str:
    return decimal_text(value.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))


def settle(business: Business, payment_id: str, status: str) -> str:
    """Wait, in bounded time, until a payment has ``status``; give the status it has then."""
    until, pause = time.monotonic() + SETTLED_S, 0.02
    while True:
        seen = str(business.payment(payment_id).field("status"))
        if seen == status or time.monotonic() > until:
            return seen
        time.sleep(pause)
        pause *= 1.5  # few requests: the caller's rate limit is for what is judged


@pytest.mark.gate("acceptance.analytics_dashboard_data")
def test_analytics_dashboard_data(api: Api, new_business: Callable[[], Business], evidence: Evidence) -> None:
    """The dashboard shows exactly the caller's own payments, the last second's included, in each period."""
    one, other = (Books(business, business.workflow_id()) for business in (new_business(), new_business()))
    evidence.check("dashboard before any payment", one.observed("7d"), "==", one.expected("7d"))

    follow_each_payment(one, other, evidence)
    for period in PERIODS:
        evidence.check(f"dashboard of {period}", one.observed(period), "==", one.expected(period))
        evidence.check(
            f"another business's dashboard of {period}", other.observed(period), "==", other.expected(period)
        )
    evidence.check("dashboard without a period", one.observed(None), "==", one.expected("7d"))
    evidence.check("contract violations", conformity(one.business.api), "==", [])
    refuse_strangers_and_nonsense(api, one.business, evidence)
    count_what_took_no_money(one, evidence)


def follow_each_payment(one: Books, other: Books, evidence: Evidence) -> None:
    """Look right after each payment, another business paying in between: nothing lags, nothing is mixed."""
    lagging = []
    for turn, amount in enumerate(OWN):
        one.pay(amount)
        if (seen := one.observed("24h")) != (due := one.expected("24h")):
            lagging.append({"after": amount, "shown": seen, "paid": due})
        if turn < len(OTHERS):
            other.pay(OTHERS[turn])
    evidence.check("figures that did not follow a payment at once", lagging, "==", [], n=len(OWN))


def count_what_took_no_money(one: Books, evidence: Evidence) -> None:
    """Check that a failed and a declined payment are attempts without volume, and a repeat is nothing.

    Whether cards fail, are declined and payments repeat as they should is the payment gate's; here it is only
    how the dashboard counts it when they do. When one does not, what it should count from then on is unknown.
    """
    failing = one.business.pay(one.workflow_id, amount=700, card=FAILS_LATER)
    if settle(one.business, needed(failing, 201, "payment_id"), "failed") != "failed":
        return
    one.attempts += 1
    evidence.check("dashboard after a failed payment", one.observed("7d"), "==", one.expected("7d"))

    if one.business.pay(one.workflow_id, amount=500, card=DECLINED).status != 402:
        return
    one.attempts += 1
    evidence.check("dashboard after a declined payment", one.observed("7d"), "==", one.expected("7d"))

    key = one.business.unique.key()
    first = one.pay(OWN[0], key=key)
    again = one.business.pay(one.workflow_id, amount=float(OWN[0]), key=key)
    if again.field("payment_id") == first.field("payment_id"):
        seen = one.observed("7d")
        evidence.check("dashboard after a repeat with the same key", seen, "==", one.expected("7d"))


def conformity(api: Api) -> list[str]:
    """Hold one answer for each period to the contract."""
    return [
        violation
        for period in PERIODS
        for violation in api.conforms(api.get(f"{DASHBOARD}?period={period}"), "GET", DASHBOARD)
    ]


def refuse_strangers_and_nonsense(api: Api, business: Business, evidence: Evidence) -> None:
    """Check that an unknown period is 400 and shows nothing, no token or a wrong one 401."""
    for period in UNKNOWN_PERIODS:
        answer = business.api.get(f"{DASHBOARD}?period={period}")
        evidence.check(f"status for the unknown period {period!r}", answer.status, "==", 400)
        evidence.check(
            f"violations for the unknown period {period!r}",
            api.conforms(answer, "GET", DASHBOARD),
            "==",
            [],
        )
    for name, caller in (("no token", api), ("a made-up token", api.with_token("not.a.token"))):
        answer = caller.get(DASHBOARD)
        evidence.check(f"status with {name}", answer.status, "==", 401)
        evidence.check(f"violations with {name}", api.conforms(answer, "GET", DASHBOARD), "==", [])
