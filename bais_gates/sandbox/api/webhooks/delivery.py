"""The delivery queue in PostgreSQL: queueing an event, signing it, and delivering it with retries.

A delivery is claimed by moving its next attempt beyond the longest time this attempt may take. Any number of
processes can claim at once (SKIP LOCKED), and the deliveries of a killed process are due again shortly after.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx

from bais_gates.sandbox.api.errors import ApiError
from bais_gates.sandbox.api.messages import encode, new_id
from bais_gates.sandbox.api.webhooks import destination

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cryptography.fernet import Fernet

    from bais_gates.sandbox.api.config import Settings
    from bais_gates.sandbox.api.database import Database
    from bais_gates.sandbox.api.database_connection import Row
    from bais_gates.sandbox.api.metrics import Metrics
    from bais_gates.sandbox.faults import Switch

_log = logging.getLogger("bais.webhooks")
_MAX_RUNNING, _IDLE_S, _SPARE_S = 16, 1.0, 2.0
_TRUST = httpx.create_ssl_context(trust_env=False)
"""The public authorities: loaded here once, as it takes a replica longer than the rest of its start."""
QUEUE = """
  INSERT INTO webhook_deliveries (id, webhook_id, business_id, event, body)
  SELECT 'msg_' || replace(gen_random_uuid()::text, '-', ''), webhooks.id, webhooks.business_id,
         %(event)s, %(event_body)s
  FROM webhooks JOIN {source} ON webhooks.business_id = {source}.business_id
  WHERE (webhooks.active OR (%(to_inactive)s AND webhooks.disabled_at IS NULL))
    AND %(event)s::text = ANY (webhooks.events)
  RETURNING id
"""
"""Queue one delivery for each webhook that subscribed to the event.

Part of the statement that makes the event true; its CTE ``source`` yields the business_id if it happened.
"""
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
_FINISH = """
UPDATE webhook_deliveries SET state = %(state)s, last_status = %(status)s, finished_at = now()
WHERE id = %(id)s
"""
_RETRY = """
UPDATE webhook_deliveries
SET last_status = %(status)s, next_attempt_at = now() + make_interval(secs => %(delay_s)s)
WHERE id = %(id)s
"""
_DISABLE = """
WITH disabled AS (UPDATE webhooks SET active = false, disabled_at = now() WHERE id = %(webhook_id)s)
UPDATE webhook_deliveries SET state = 'cancelled', last_status = 410, finished_at = now()
WHERE webhook_id = %(webhook_id)s AND state = 'pending'
"""


def event_body(event: str, moment: datetime, data: Mapping[str, object]) -> bytes:
    """Return the bytes that are signed and sent, the same in every attempt."""
    return encode({"type": event, "timestamp": moment, "data": data})


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return ``webhook-signature``: HMAC-SHA256 over the id, the timestamp and the bytes of the body."""
    mac = hmac.digest(key, b"%s.%d.%s" % (message_id.encode(), timestamp, body), "sha256")
    return "v1," + base64.b64encode(mac).decode()


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
        self._resolver = ThreadPoolExecutor(4, "webhook-dns")

    def wake(self) -> None:
        """Deliver at once, as something was queued."""
        self._awake.set()

    async def run(self) -> None:
        """Deliver until cancelled, beginning with the deliveries that an earlier process left."""
        timeout = httpx.Timeout(self._rules.timeout_s)
        limits = httpx.Limits(
            max_keepalive_connections=0
        )  # each attempt resolves and checks the address again
        async with httpx.AsyncClient(
            timeout=timeout, limits=limits, trust_env=False, verify=_TRUST
        ) as client:
            try:
                while True:
                    self._awake.clear()
                    pause_s = await self._round(client)
                    if pause_s > 0:
                        await self._sleep(pause_s)
            finally:
                self._resolver.shutdown(wait=False, cancel_futures=True)
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
        """Start the deliveries that are due; return the seconds until the next one may be."""
        room = _MAX_RUNNING - len(self._running)
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
            await self._record(delivery_id, webhook_id, attempts, status)
        except ApiError:
            return  # the database is unavailable: the lease ends, and another attempt follows
        except Exception as error:  # noqa: BLE001 - one impossible delivery must not hold up the others
            _log.error("delivery %s could not be attempted: %s", delivery_id, type(error).__name__)

    async def _attempt(self, client: httpx.AsyncClient, row: Row) -> int | None:
        """Return the status of the receiver's response; None without a response."""
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
            "webhook-signature": sign(self._vault.decrypt(bytes(secret)), message_id, timestamp, signed),
        }
        if faults.active("webhook_signature_missing"):
            del headers["webhook-signature"]
        try:
            async with asyncio.timeout(self._rules.timeout_s):
                request = await self._request(client, url, headers, body)
                response = await client.send(request, stream=True, follow_redirects=False)
                await response.aclose()  # its body is not needed, and may be endless
        except (httpx.HTTPError, OSError, TimeoutError, ValueError, ApiError):
            return None
        return response.status_code

    async def _request(
        self, client: httpx.AsyncClient, url: str, headers: dict[str, str], body: bytes
    ) -> httpx.Request:
        target = destination.check(url, "url", loopback_allowed=self._loopback_allowed)
        loop = asyncio.get_running_loop()
        address = await loop.run_in_executor(
            self._resolver, lambda: destination.resolve(target, loopback_allowed=self._loopback_allowed)
        )
        bracketed = f"[{address}]" if address.version == 6 else str(address)
        host = target.host if target.address is None else bracketed
        return client.build_request(
            "POST",
            f"{target.scheme}://{bracketed}:{target.port}{target.path}",
            headers={**headers, "host": f"{host}:{target.port}"},
            content=body,
            extensions={"sni_hostname": target.host},
        )

    async def _record(self, delivery_id: str, webhook_id: str, attempts: int, status: int | None) -> None:
        """Record how an attempt ended: delivered, webhook disabled, to be retried, or failed."""
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
            retry = {"id": delivery_id, "status": status, "delay_s": delays[attempts - 1]}
            await self._database.rows(_RETRY, retry)
            self.wake()

    async def _finish(self, delivery_id: str, state: str, status: int | None) -> None:
        await self._database.rows(_FINISH, {"id": delivery_id, "state": state, "status": status})
