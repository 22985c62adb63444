"""Delivers what is queued in PostgreSQL, until it is taken or given up.

A delivery is claimed by moving its next attempt behind the time that this one may take: any number of
processes can claim side by side (SKIP LOCKED), and what a killed process had claimed is due again soon
after.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx

from bais_gates.sandbox.api import destination, webhooks
from bais_gates.sandbox.api.errors import ApiError
from bais_gates.sandbox.api.messages import new_id

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

    from bais_gates.sandbox.api.config import Settings
    from bais_gates.sandbox.api.database import Database, Row
    from bais_gates.sandbox.api.metrics import Metrics
    from bais_gates.sandbox.faults import Switch

_log = logging.getLogger("bais.webhooks")
_AT_ONCE, _IDLE_S, _SPARE_S = 16, 1.0, 2.0
_CLAIM = """
UPDATE webhook_deliveries AS d
SET attempts = d.attempts + 1, next_attempt_at = now() + make_interval(secs => %(lease_s)s)
FROM webhooks AS w
WHERE w.id = d.webhook_id AND d.id IN (
  SELECT id FROM webhook_deliveries WHERE state = 'pending' AND next_attempt_at <= now()
  ORDER BY next_attempt_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING d.id, d.webhook_id, d.attempts, d.body, w.url, w.secret, w.active
"""
_NEXT_DUE = """
SELECT extract(epoch FROM min(next_attempt_at) - now())::float8
FROM webhook_deliveries WHERE state = 'pending'
"""
_DONE = """
UPDATE webhook_deliveries SET state = %(state)s, last_status = %(status)s, finished_at = now()
WHERE id = %(id)s
"""
_AGAIN = """
UPDATE webhook_deliveries
SET last_status = %(status)s, next_attempt_at = now() + make_interval(secs => %(delay_s)s)
WHERE id = %(id)s
"""
_DISABLE = """
WITH gone AS (UPDATE webhooks SET active = false, disabled_at = now() WHERE id = %(webhook_id)s)
UPDATE webhook_deliveries SET state = 'cancelled', last_status = 410, finished_at = now()
WHERE webhook_id = %(webhook_id)s AND state = 'pending'
"""


class Deliverer:
    """The background task that empties the queue."""

    def __init__(
        self, settings: Settings, database: Database, vault: Fernet, metrics: Metrics, faults: Switch
    ) -> None:
        self._rules, self._database, self._vault = settings.webhook, database, vault
        self._metrics, self._faults = metrics, faults
        self._loopback_allowed = not settings.is_production
        self._awake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._look_ups = ThreadPoolExecutor(4, "webhook-dns")

    def wake(self) -> None:
        """Something was put into the queue."""
        self._awake.set()

    async def run(self) -> None:
        """Deliver, for ever; what a stopped process left behind is found at the start."""
        timeout = httpx.Timeout(self._rules.timeout_s)
        limits = httpx.Limits(
            max_keepalive_connections=0
        )  # each attempt judges and connects to an address anew
        async with httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False, verify=True) as client:
            try:
                while True:
                    self._awake.clear()
                    pause_s = await self._round(client)
                    if pause_s > 0:
                        await self._sleep(pause_s)
            finally:
                self._look_ups.shutdown(wait=False, cancel_futures=True)
                for task in self._running:
                    task.cancel()
                await asyncio.gather(*self._running, return_exceptions=True)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            return

    async def _round(self, client: httpx.AsyncClient) -> float:
        """Start what is due; the seconds until there may be more to do."""
        room = _AT_ONCE - len(self._running)
        if room <= 0:
            return 0.05
        try:
            lease_s = self._rules.timeout_s + _SPARE_S
            claimed = await self._database.rows(_CLAIM, {"limit": room, "lease_s": lease_s})
            for row in claimed:
                task = asyncio.create_task(self._deliver(client, row))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            if claimed:
                return 0
            due = await self._database.row(_NEXT_DUE)
        except ApiError:
            return _IDLE_S
        return _IDLE_S if due is None or due[0] is None else min(_IDLE_S, max(0.01, due[0]))

    async def _deliver(self, client: httpx.AsyncClient, row: Row) -> None:
        delivery_id, webhook_id, attempts, *_, active = row
        try:
            if not active and not self._faults.active("webhook_sent_to_disabled_hook"):
                await self._finish(delivery_id, "cancelled", None)
                return
            status = await self._attempt(client, row)
            await self._judge(delivery_id, webhook_id, attempts, status)
        except ApiError:
            return  # the database is away: the lease ends, and it is tried again
        except Exception as error:  # noqa: BLE001 - one delivery that can't be made must not keep back the others
            _log.error("delivery %s could not be attempted: %s", delivery_id, type(error).__name__)

    async def _attempt(self, client: httpx.AsyncClient, row: Row) -> int | None:
        """Give the status of the answer; None without one."""
        message_id, _, attempts, body, url, secret, _ = row
        faults, timestamp = self._faults, int(time.time())
        if faults.active("webhook_timestamp_stale"):
            timestamp -= 3600
        if attempts > 1 and faults.active("webhook_new_id_on_retry"):
            message_id = new_id("msg")
        signed = body + b" " if faults.active("webhook_signature_over_other_bytes") else body
        headers = {
            "content-type": "application/json",
            "user-agent": "BAIS-Webhooks/1.0",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": webhooks.sign(
                self._vault.decrypt(bytes(secret)), message_id, timestamp, signed
            ),
        }
        if faults.active("webhook_signature_missing"):
            del headers["webhook-signature"]
        try:
            async with asyncio.timeout(self._rules.timeout_s):
                request = await self._request(client, url, headers, body)
                response = await client.send(request, stream=True, follow_redirects=False)
                await response.aclose()  # its body does not matter, and may be endless
        except (httpx.HTTPError, OSError, TimeoutError, ValueError, ApiError):
            return None
        return response.status_code

    async def _request(
        self, client: httpx.AsyncClient, url: str, headers: dict[str, str], body: bytes
    ) -> httpx.Request:
        place = destination.check(url, "url", loopback_allowed=self._loopback_allowed)
        loop = asyncio.get_running_loop()
        address = await loop.run_in_executor(
            self._look_ups, lambda: destination.resolve(place, loopback_allowed=self._loopback_allowed)
        )
        bracketed = f"[{address}]" if address.version == 6 else str(address)
        host = place.host if place.address is None else bracketed
        return client.build_request(
            "POST",
            f"{place.scheme}://{bracketed}:{place.port}{place.target}",
            headers={**headers, "host": f"{host}:{place.port}"},
            content=body,
            extensions={"sni_hostname": place.host},
        )

    async def _judge(self, delivery_id: str, webhook_id: str, attempts: int, status: int | None) -> None:
        """Note how an attempt ended: taken, disabled, to be tried again, or given up."""
        results, delays = self._metrics.deliveries, self._rules.retry_delays_s
        if status is not None and 200 <= status < 300:
            results.labels("delivered").inc()
            await self._finish(delivery_id, "delivered", status)
        elif status == 410 and not self._faults.active("webhook_sent_after_410"):
            results.labels("disabled").inc()
            await self._database.rows(_DISABLE, {"webhook_id": webhook_id})
        elif status == 410 or attempts > len(delays) or self._faults.active("webhook_not_retried"):
            results.labels("failed").inc()
            await self._finish(delivery_id, "failed", status)
        else:
            results.labels("retried").inc()
            again = {"id": delivery_id, "status": status, "delay_s": delays[attempts - 1]}
            await self._database.rows(_AGAIN, again)
            self.wake()

    async def _finish(self, delivery_id: str, state: str, status: int | None) -> None:
        await self._database.rows(_DONE, {"id": delivery_id, "state": state, "status": status})
