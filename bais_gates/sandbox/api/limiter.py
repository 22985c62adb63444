"""The rate limit: a token bucket for each caller in Redis, updated by one atomic script.

A full bucket holds as many requests as the limit allows in a window. A thirtieth of them is refilled every
thirtieth of the window (3.3 every 2 s for 100 a minute), counted from the request that found it full. A burst
of exactly the limit is accepted, and ``Retry-After``, the time until the next refill, is exact to the second
and at most a thirtieth of the window.

While Redis does not respond, requests are refused with 503 rather than accepted without a limit: the limit
protects sign-in and the payment provider, and an outage must not bypass it. /ready takes the instance out of
rotation meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bais_gates.sandbox.api.cache import Cache
    from bais_gates.sandbox.faults import Switch

STEPS = 30
"""Refills per window. The script counts thirtieths of a request, so that all its numbers are integers."""
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
    """Limits the requests of each caller in ``window_s`` seconds."""

    cache: Cache
    faults: Switch
    window_s: int

    async def admit(self, caller: str, limit: int) -> int:
        """Return 0 to accept the request, else the whole seconds until the next one is accepted.

        ``caller`` names the bucket. Raises the 503 when Redis does not respond.
        """
        faults = self.faults
        if faults.active("rate_limit_switched_off"):
            return 0
        if faults.active("rate_limit_higher_than_promised"):
            limit += limit // 2
        refill = 0 if faults.active("rate_limit_never_refills") else limit
        key = f"bais:rate:{caller}"
        shared = faults.active("limit_shared_by_all_callers")
        if shared and await self.cache.get("bais:rate:any-refused") is not None:
            return 1
        step_us = self.window_s * 1_000_000 // STEPS
        wait_us = await self.cache.run_script(
            _SCRIPT, (key,), (limit * STEPS, refill, STEPS, step_us, 2 * self.window_s * 1000)
        )
        if wait_us and shared:
            await self.cache.set("bais:rate:any-refused", b"1", ttl_s=2)
        return ceil(wait_us / 1_000_000)
