"""Waiting in the supervisor's one thread: for a condition, but never past a deadline or the owner's death."""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING, TypeVar

from bais_gates.sandbox.errors import OwnerGoneError, SandboxError, ToldToEndError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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

    def pause(self, seconds: float | None, also: Sequence[int] = ()) -> list[int]:
        """Sleep until a child ends, at most ``seconds`` (None: for ever). Raises ``ToldToEndError``.

        Gives those of the descriptors ``also`` that can be read: they end the sleep as well.
        """
        ours = [self._wake] if self._owner is None else [self._wake, self._owner]
        poll = select.poll()  # select() can't take descriptors from 1024 on
        for descriptor in (*ours, *also):
            poll.register(descriptor, select.POLLIN)
        wait_ms = None if seconds is None else max(0.0, seconds) * 1000
        readable = [descriptor for descriptor, _ in poll.poll(wait_ms)]
        if self._wake in readable:
            os.read(self._wake, 4096)
        if self._owner in readable:
            raise OwnerGoneError("its owner is gone")
        if self._told is not None:
            raise ToldToEndError(self._told)
        return [descriptor for descriptor in readable if descriptor not in ours]

    def through(self, steps: Iterator[None]) -> None:
        """Take the steps to their end, with a little sleep between them. Raises what they raise."""
        for _ in steps:
            self.pause(_STEP)

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
