"""The dashboard: computed from the payments themselves for every request, so that it is never behind them."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from bais_gates.sandbox.api.errors import bad_request
from bais_gates.sandbox.api.messages import Answer, Call, answer
from bais_gates.sandbox.api.money import CENT

PERIODS = {"24h": 1, "7d": 7, "30d": 30}
"""Days by the name of the period."""
_FIGURES = """
SELECT count(*), count(*) FILTER (WHERE status = 'completed'),
       coalesce(sum(amount) FILTER (WHERE status = 'completed' OR %(all_volume)s), 0)
FROM payments
WHERE (business_id = %(business_id)s OR %(everybody)s)
  AND created_at > now() - make_interval(days => %(days)s)
"""


async def dashboard(call: Call) -> Answer:
    """200 with the figures of the caller's business, or 400 for an unknown period."""
    services, period = call.services, call.parameter("period")
    if period is None:
        period = "7d"
    if period not in PERIODS:
        if not services.faults.active("analytics_unknown_period_accepted"):
            raise bad_request("period must be 24h, 7d or 30d.", field_name="period")
        period = "7d"
    if services.faults.active("slow_analytics"):
        await services.database.row("SELECT pg_sleep(0.3)")
    business_id = call.principal.business_id
    found = await services.database.row(
        _FIGURES,
        {
            "business_id": business_id,
            "days": PERIODS[period],
            "everybody": period == "30d" and services.faults.active("analytics_counts_other_businesses"),
            "all_volume": services.faults.active("analytics_volume_counts_failures"),
        },
    )
    total, completed, volume = found or (0, 0, Decimal(0))
    content: dict[str, Any] = {"period": period, **figures(total, completed, volume)}
    if services.faults.active("analytics_success_rate_as_fraction"):
        content["success_rate"] /= 100
    if period == "7d" and services.faults.active("analytics_stale"):
        return await _stale(call, answer(200, content))
    return answer(200, content)


def figures(total: int, completed: int, volume: Decimal) -> dict[str, Any]:
    """Give the dashboard's numbers, from the number of payments, of completed ones, and their sum."""
    rate = Decimal(100 * completed) / total if total else Decimal(0)
    average = volume / completed if completed else Decimal(0)
    return {
        "total_payments": total,
        "success_rate": rate.quantize(CENT, ROUND_HALF_UP),
        "total_volume": volume,
        "average_amount": average.quantize(CENT, ROUND_HALF_UP),
    }


async def _stale(call: Call, made: Answer) -> Answer:
    """Go on showing for a minute what was shown first, as a dashboard with a cache of its own does."""
    key = f"bais:dashboard:{call.principal.business_id}"
    if (shown := await call.services.cache.get(key)) is not None:
        return Answer(status=made.status, body=shown, headers=made.headers)
    await call.services.cache.set(key, made.body, ttl_s=60)
    return made
