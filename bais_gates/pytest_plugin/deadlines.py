"""Deadlines: of a gate, by a signal that ends its waiting; of the run, by a thread that ends the run."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

REPEAT_S = 1.0
"""How often a deadline that has passed is raised again, should the gate swallow it."""


class GateDeadline(BaseException):
    """The gate's deadline has passed. Not an Exception, so that ``except Exception`` lets it through."""


@contextlib.contextmanager
def deadline(
    seconds: float, message: str, on_pass: Callable[[GateDeadline], None] = lambda _error: None
) -> Iterator[None]:
    """Raise GateDeadline with ``message`` in the block after ``seconds``, again each second, and at its end.

    ``on_pass`` is called with it at once, so that it is known also where the block swallows the exception.
    Does nothing outside the main thread, where no signal arrives. Another user's timer of the same kind goes
    on after the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = True
    passed: list[GateDeadline] = []

    def fire(_signal: int, _frame: FrameType | None) -> None:
        if armed:
            passed.append(GateDeadline(message))
            on_pass(passed[-1])
            raise passed[-1]

    before = signal.signal(signal.SIGALRM, fire)
    began = time.monotonic()
    others_delay, others_interval = signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), REPEAT_S)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if others_delay:
            left = max(0.001, others_delay - (time.monotonic() - began))
            signal.setitimer(signal.ITIMER_REAL, left, others_interval)
    if passed:
        raise passed[0]
