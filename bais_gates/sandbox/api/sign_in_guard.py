"""Too many wrong passwords close sign-in to an account for a while, whatever the address they come from.

The account is named by a keyed hash of the e-mail that was typed, known or not, so that the lock says
nothing about which accounts exist. The count is settled after the password was looked at, atomically: of
any number of guesses made at once the first ten to be wrong are told so, and all others - the right one too
- that sign-in is closed.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bais_gates.sandbox.api.cache import Cache
    from bais_gates.sandbox.api.config import SignIn

_LOOK = "return math.max(0, redis.call('PTTL', KEYS[1]))"
_SETTLE = """
local locked = redis.call('PTTL', KEYS[1])
if locked > 0 then return locked end
if ARGV[1] == '1' then redis.call('DEL', KEYS[2]) return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[3]))
redis.call('ZADD', KEYS[2], now, ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], '1', 'PX', ARGV[4])
  redis.call('DEL', KEYS[2])
end
return 0
"""


@dataclass(frozen=True, slots=True)
class SignInGuard:
    """Counts wrong passwords by account."""

    cache: Cache
    rules: SignIn
    key: bytes

    async def closed_for(self, email: str) -> int:
        """Give the whole seconds for which sign-in to this account stays closed; 0 when it is open."""
        return ceil(await self.cache.number(_LOOK, (self._names(email)[0],), ()) / 1000)

    async def settle(self, email: str, *, right: bool, attempt: str) -> int:
        """Count an attempt that has been looked at; more than 0 seconds: its outcome must not be told."""
        rules = self.rules
        arguments = (int(right), rules.max_failures, rules.window_s * 1000, rules.lock_s * 1000, attempt)
        return ceil(await self.cache.number(_SETTLE, self._names(email), arguments) / 1000)

    def _names(self, email: str) -> tuple[str, str]:
        account = hmac.new(self.key, email.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        return f"bais:sign-in:{{{account}}}:closed", f"bais:sign-in:{{{account}}}:wrong"
