"""Waiting in the supervisor's one thread: for a condition, but never past a deadline or the owner's death."""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING, TypeVar

from bais_gates.sandbox.errors import OwnerGoneError, SandboxError, ToldToEndError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_STEP = 0.01


class Watch:
    """What the supervisor wakes up for: a signal (told to end, a child ended) and its owner's end.

    ``owner`` is a pidfd, or None for a sandbox that stays up until it is told to end.
    """

    def __init__(self, owner: int | None) -> None:
        self._owner = owner
        self._told: str | None = None
        self._wake, write = os.pipe()
        for end in (self._wake, write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._be_told)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def pause(self, seconds: float | None) -> None:
        """Sleep until a child ends, at most ``seconds`` (None: for ever). Raises ``ToldToEndError``."""
        fds = [self._wake] if self._owner is None else [self._wake, self._owner]
        readable: list[int] = select.select(fds, [], [], seconds)[0]
        if self._wake in readable:
            os.read(self._wake, 4096)
        if self._owner in readable:
            raise OwnerGoneError("its owner is gone")
        if self._told is not None:
            raise ToldToEndError(self._told)

    def until(self, condition: Callable[[], T | None], within: float, what: str) -> T:
        """Ask ``condition`` again and again until it answers, and hand that on.

        Raises ``SandboxError`` naming ``what`` after ``within`` seconds, and ``ToldToEndError``.
        """
        deadline = time.monotonic() + within
        while (answer := condition()) is None:
            if time.monotonic() > deadline:
                raise SandboxError(f"the sandbox's {what} was not ready within {within:.0f} s")
            self.pause(_STEP)
        return answer

    def _be_told(self, number: int, _frame: object) -> None:
        self._told = f"it was sent {signal.Signals(number).name}"
