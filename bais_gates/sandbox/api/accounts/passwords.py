"""Password hashing with argon2id, on its own threads rather than the event loop."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error, InvalidHashError

from bais_gates.sandbox.api.errors import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

_Result = TypeVar("_Result")
MEMORY_KIB, LANES = 7 * 1024, 1
"""With the five passes of the default settings, one of OWASP's recommendations for argon2id."""
_MAX_WAITING = 300
"""What two threads hash in 4 s at 25 ms each; further requests would time out while waiting."""


def make_hasher(passes: int) -> PasswordHasher:
    """Return the hasher of the platform's passwords."""
    return PasswordHasher(passes, MEMORY_KIB, LANES, type=Type.ID)


class Passwords:
    """Hashes and verifies passwords, two at a time; argon2 releases the interpreter lock meanwhile."""

    def __init__(self, passes: int) -> None:
        self._hasher = make_hasher(passes)
        self._threads = ThreadPoolExecutor(2, "argon2")
        self._waiting = 0
        self._dummy_hash = self._hasher.hash(os.urandom(16).hex())

    async def hash(self, password: str) -> str:
        """Return the encoded argon2id hash with a new salt. Raises the 503 when too many are waiting."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Return whether ``password`` has the hash ``stored``.

        None (no such user) takes the same time and returns False. Raises the 503 when too many are waiting.
        """
        matches = await self._run(lambda: self._verify(password, stored or self._dummy_hash))
        return matches and stored is not None

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        if self._waiting >= _MAX_WAITING:
            raise unavailable("sign-in")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
