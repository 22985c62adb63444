"""Account lockout: too many wrong passwords lock an account for a while, from whatever address they come.

The account is a keyed hash of the submitted e-mail address, known or not, so that the lock does not reveal
which accounts exist. An attempt is recorded atomically after its password was verified: of any number of
concurrent guesses the first ten wrong ones receive 401, and all others, even a right one, receive 429.
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

_LOCKED_FOR = "return math.max(0, redis.call('PTTL', KEYS[1]))"
_RECORD = """
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
    """Counts wrong passwords by account, and locks it for ``rules.lock_s`` seconds."""

    cache: Cache
    rules: SignIn
    key: bytes

    async def locked_for(self, email: str) -> int:
        """Return the whole seconds for which the account stays locked; 0 if it is not."""
        return ceil(await self.cache.run_script(_LOCKED_FOR, (self._keys(email)[0],), ()) / 1000)

    async def record(self, email: str, *, success: bool, attempt: str) -> int:
        """Record an attempt; return the seconds of a lock that overrides its result, or 0."""
        rules = self.rules
        arguments = (int(success), rules.max_failures, rules.window_s * 1000, rules.lock_s * 1000, attempt)
        return ceil(await self.cache.run_script(_RECORD, self._keys(email), arguments) / 1000)

    def _keys(self, email: str) -> tuple[str, str]:
        account = hmac.new(self.key, email.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        return f"bais:sign-in:{{{account}}}:closed", f"bais:sign-in:{{{account}}}:wrong"
