"""Asynchronous failures: what the payment provider reports after a payment was accepted."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bais_gates.sandbox.api.errors import ApiError
from bais_gates.sandbox.api.payments.idempotency import PURGE
from bais_gates.sandbox.api.webhooks.delivery import QUEUE, event_body

if TYPE_CHECKING:
    from bais_gates.sandbox.api.database import Database
    from bais_gates.sandbox.api.metrics import Metrics
    from bais_gates.sandbox.api.webhooks.delivery import Deliverer
    from bais_gates.sandbox.faults import Switch

_IDLE_S, _PURGE_EVERY_S = 1.0, 600.0
_REASON = "card_charge_failed"
_DUE = """
SELECT id, workflow_id, amount, currency FROM payments WHERE status = 'pending' AND settle_at <= now()
ORDER BY settle_at LIMIT 100
"""
_FAIL = f"""
WITH payment AS (
  UPDATE payments SET status = %(status)s, failure_reason = %(reason)s, settle_at = NULL
  WHERE id = %(id)s AND status = 'pending' AND settle_at IS NOT NULL RETURNING id, business_id
), queued AS ({QUEUE.format(source="payment")})
SELECT id FROM payment
"""  # noqa: S608 - put together from this package's own constants


class Settlement:
    """The background task that records asynchronous failures and queues their events."""

    def __init__(
        self, delay_s: float, database: Database, deliverer: Deliverer, metrics: Metrics, faults: Switch
    ) -> None:
        self._delay_s, self._database, self._deliverer = delay_s, database, deliverer
        self._metrics, self._faults = metrics, faults
        self._scheduled = asyncio.Event()
        self.counter = itertools.count(1)
        """Counts the payments of this process, for a fault that affects some of them."""

    def due_after(self, moment: datetime) -> datetime:
        """Return when the result of a payment taken at ``moment`` is reported."""
        return moment + timedelta(seconds=self._delay_s)

    def schedule(self) -> None:
        """Wake the task, as a payment was taken whose result is reported later."""
        self._scheduled.set()

    async def run(self) -> None:
        """Settle payments until cancelled, beginning with those that an earlier process left pending."""
        loop = asyncio.get_running_loop()
        purge_at = loop.time()
        while True:
            scheduled = self._scheduled.is_set()
            self._scheduled.clear()
            if scheduled:
                await asyncio.sleep(self._delay_s)
            try:
                await self._settle()
                if loop.time() >= purge_at:
                    purge_at = loop.time() + _PURGE_EVERY_S
                    await self._database.rows(PURGE)
            except ApiError:
                await asyncio.sleep(_IDLE_S)
            try:
                async with asyncio.timeout(_IDLE_S):
                    await self._scheduled.wait()
            except TimeoutError:
                continue

    async def _settle(self) -> None:
        for payment_id, workflow_id, amount, currency in await self._database.rows(_DUE):
            data = {"payment_id": payment_id, "workflow_id": workflow_id, "status": "failed"}
            data |= {"amount": amount, "currency": currency, "failure_reason": _REASON}
            ignored = self._faults.active("asynchronous_failure_forgotten")
            parameters = {
                "id": payment_id,
                "status": "pending" if ignored else "failed",
                "reason": None if ignored else _REASON,
                "event": "payment.failed",
                "event_body": event_body("payment.failed", datetime.now(UTC), data),
                "to_inactive": self._faults.active("webhook_sent_to_disabled_hook"),
            }
            if await self._database.row(_FAIL, parameters) is not None:
                self._metrics.payments.labels("failed").inc()
                self._deliverer.wake()
