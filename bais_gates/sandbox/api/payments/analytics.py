"""The dashboard, computed from the payments for every request, so that it is never stale."""

from __future__ import annotations

import asyncio
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.api.errors import bad_request
from bais_gates.sandbox.api.messages import Request, Response, json_response
from bais_gates.sandbox.api.payments.money import CENT

if TYPE_CHECKING:
    from bais_gates.sandbox.api.services import Services

PERIODS = {"24h": 1, "7d": 7, "30d": 30}
"""Days of each period."""
_FIGURES = """
SELECT count(*), count(*) FILTER (WHERE status = 'completed'),
       coalesce(sum(amount) FILTER (WHERE status = 'completed' OR %(all_volume)s), 0)
FROM payments
WHERE business_id = %(business_id)s AND created_at > now() - make_interval(days => %(days)s)
"""
# With "or" in the one above PostgreSQL would plan each of its executions anew.
_FIGURES_OF_ALL = _FIGURES.replace("business_id = %(business_id)s AND", "")


async def dashboard(request: Request, services: Services) -> Response:
    """Respond 200 with the figures of the caller's business, or 400 for an unknown period."""
    period = request.parameter("period")
    if period is None:
        period = "7d"
    if period not in PERIODS:
        if not request.faults.active("analytics_unknown_period_accepted"):
            raise bad_request("period must be 24h, 7d or 30d.", field_name="period")
        period = "7d"
    if request.faults.active("slow_analytics"):
        await asyncio.sleep(0.3)
    all_businesses = period == "30d" and request.faults.active("analytics_counts_other_businesses")
    row = await services.database.row(
        _FIGURES_OF_ALL if all_businesses else _FIGURES,
        {
            "business_id": request.principal.business_id,
            "days": PERIODS[period],
            "all_volume": request.faults.active("analytics_volume_counts_failures"),
        },
    )
    total, completed, volume = row or (0, 0, Decimal(0))
    content: dict[str, Any] = {"period": period, **figures(total, completed, volume)}
    if request.faults.active("analytics_success_rate_as_fraction"):
        content["success_rate"] /= 100
    if period == "7d" and request.faults.active("analytics_stale"):
        return await _stale(request, services, json_response(200, content))
    return json_response(200, content)


def figures(total: int, completed: int, volume: Decimal) -> dict[str, Any]:
    """Return the figures for ``total`` payments, ``completed`` of them, with a sum of ``volume``."""
    rate = Decimal(100 * completed) / total if total else Decimal(0)
    average = volume / completed if completed else Decimal(0)
    return {
        "total_payments": total,
        "success_rate": rate.quantize(CENT, ROUND_HALF_UP),
        "total_volume": volume,
        "average_amount": average.quantize(CENT, ROUND_HALF_UP),
    }


async def _stale(request: Request, services: Services, fresh: Response) -> Response:
    """Return the response of up to a minute ago, as a dashboard with a cache of its own does."""
    key = f"bais:dashboard:{request.principal.business_id}"
    if (cached := await services.cache.get(key)) is not None:
        return Response(status=fresh.status, body=cached)
    await services.cache.set(key, fresh.body, ttl_s=60)
    return fresh
