"""Passwords are hashed with argon2id on threads of their own, never on the event loop."""

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
MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1
"""OWASP's first recommendation for argon2id: 19 MiB, two passes, one lane; about 20 ms of one core."""
_WAITING_AT_MOST = 400
"""At 20 ms each on two threads, what can be hashed in 4 s; more would only wait to be given up."""


class Passwords:
    """Hashes and compares, two at a time at most; argon2 lets go of the interpreter while it works."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(PASSES, MEMORY_KIB, LANES, type=Type.ID)
        self._threads = ThreadPoolExecutor(2, "argon2")
        self._waiting = 0
        self._nobodys = self._hasher.hash(os.urandom(16).hex())

    async def hash(self, password: str) -> str:
        """Give the encoded argon2id hash, with a salt of its own."""
        return await self._run(lambda: self._hasher.hash(password))

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether ``password`` is the one.

        With None (no such user) the same work is done, and the answer is no.
        """
        right = await self._run(lambda: self._compare(password, stored or self._nobodys))
        return right and stored is not None

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _compare(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        if self._waiting >= _WAITING_AT_MOST:
            raise unavailable("sign-in")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
