"""Waiting in the supervisor's only thread, interrupted by a signal, a deadline or the end of the owner."""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING, TypeVar

from bais_gates.sandbox.errors import OwnerEndedError, SandboxError, StopRequestedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")
_STEP = 0.01


class Watch:
    """Wakes the supervisor for a signal (to stop, or that a child ended) and for the end of its owner.

    ``owner`` is a pidfd, or None for a sandbox that stays up until it is stopped.
    """

    def __init__(self, owner: int | None) -> None:
        self._owner = owner
        self._stop_reason: str | None = None
        self._wake, write = os.pipe()
        for end in (self._wake, write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._request_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def pause(self, seconds: float | None, also: Sequence[int] = ()) -> list[int]:
        """Sleep until a child ends or a descriptor of ``also`` is readable, for at most ``seconds``.

        Returns the readable descriptors of ``also``; None means no time limit. Raises ``StopRequestedError``.
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
            raise OwnerEndedError("its owner ended")
        if self._stop_reason is not None:
            raise StopRequestedError(self._stop_reason)
        return [descriptor for descriptor in readable if descriptor not in ours]

    def exhaust(self, steps: Iterator[None]) -> None:
        """Take all steps, with a short sleep between them. Raises their errors and ``StopRequestedError``."""
        for _ in steps:
            self.pause(_STEP)

    def until(self, condition: Callable[[], T | None], within: float, what: str) -> T:
        """Return the first value of ``condition`` that is not None.

        Raises ``SandboxError`` that names ``what`` after ``within`` seconds, and ``StopRequestedError``.
        """
        deadline = time.monotonic() + within
        while (value := condition()) is None:
            if time.monotonic() > deadline:
                raise SandboxError(f"the sandbox's {what} was not ready within {within:.0f} s")
            self.pause(_STEP)
        return value

    def _request_stop(self, number: int, _frame: object) -> None:
        self._stop_reason = f"it received {signal.Signals(number).name}"
