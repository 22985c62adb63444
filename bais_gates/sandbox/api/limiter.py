"""The rate limit: a bucket for each caller in Redis, emptied and refilled by one atomic script.

A bucket holds as many requests as the limit allows in a window, and gets a sixth of them back every sixth
of the window (of 100 a minute: 16.7 every 10 s), counted from the request that found it full. So exactly
the limit is let in at once, and the time until the next refill - ``Retry-After`` - is known to the second
and at most a sixth of the window.

When Redis does not answer, requests are refused with 503 rather than let in unlimited: the limit protects
sign-in and the payment provider, /ready already takes the instance out of rotation, and an outage must not
be a way round it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bais_gates.sandbox.api.cache import Cache
    from bais_gates.sandbox.faults import Switch

STEPS = 6
"""Refills a window. The script counts in sixths of a request, so that everything in it is a whole number."""
_SCRIPT = """
local capacity, refill = tonumber(ARGV[1]), tonumber(ARGV[2])
local cost, step = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local bucket = redis.call('HMGET', KEYS[1], 'left', 'since')
local left, since = tonumber(bucket[1]), tonumber(bucket[2])
if not left or left > capacity then left, since = capacity, now end
local steps = math.max(0, math.floor((now - since) / step))
left, since = left + steps * refill, since + steps * step
if left >= capacity then left, since = capacity, now end
if left < cost then
  if refill == 0 then return step end
  return since + math.ceil((cost - left) / refill) * step - now
end
redis.call('HSET', KEYS[1], 'left', string.format('%.0f', left - cost), 'since', string.format('%.0f', since))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 0
"""


@dataclass(frozen=True, slots=True)
class Limiter:
    """Counts requests of a caller against ``limit`` a ``window_s``."""

    cache: Cache
    faults: Switch
    window_s: int

    async def admit(self, caller: str, limit: int) -> int:
        """0 when the request is let in; else the whole seconds after which the next one will be.

        ``caller`` names the bucket. Raises the 503 when Redis does not answer.
        """
        faults = self.faults
        if faults.active("rate_limit_switched_off"):
            return 0
        if faults.active("rate_limit_higher_than_promised"):
            limit += limit // 2
        refill = 0 if faults.active("rate_limit_never_refills") else limit
        key = f"bais:rate:{caller}"
        shared = faults.active("limit_shared_by_all_callers")
        if shared and await self.cache.get("bais:rate:anybody-refused") is not None:
            return 1
        step_us = self.window_s * 1_000_000 // STEPS
        wait_us = await self.cache.number(
            _SCRIPT, (key,), (limit * STEPS, refill, STEPS, step_us, 2 * self.window_s * 1000)
        )
        if wait_us and shared:
            await self.cache.set("bais:rate:anybody-refused", b"1", ttl_s=2)
        return ceil(wait_us / 1_000_000)
