"""Run calls concurrently, each in its own thread, and collect the result or the exception of each.

A barrier makes all calls begin at the same time. A call that has not ended at the deadline has
:class:`CallTimeoutError`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class CallTimeoutError(Exception):
    """The call had not ended at the deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot(Generic[T]):
    """One call: its begin and end (seconds since the common start), and its result or exception."""

    began: float
    ended: float
    result: T | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Volley(Generic[T]):
    """All calls, in the given order."""

    shots: tuple[Shot[T], ...]

    @property
    def results(self) -> list[T]:
        """The results of the calls without an error, in order."""
        return [shot.result for shot in self.shots if shot.result is not None]

    @property
    def errors(self) -> list[str]:
        """The errors of the other calls, in order."""
        return [f"{type(shot.error).__name__}: {shot.error}" for shot in self.shots if shot.error is not None]

    @property
    def max_concurrency(self) -> int:
        """The maximum number of concurrent calls."""
        steps = [(shot.began, 1) for shot in self.shots] + [(shot.ended, -1) for shot in self.shots]
        running = maximum = 0
        for _, step in sorted(steps):
            running += step
            maximum = max(maximum, running)
        return maximum


def fire(calls: Sequence[Callable[[], T]], *, deadline_s: float) -> Volley[T]:
    """Run all ``calls`` concurrently; return when the last has ended, at most after ``deadline_s``."""
    start = _Start(len(calls))
    shots: list[Shot[T] | None] = [None] * len(calls)

    def run(index: int) -> None:
        if not start.wait():
            return
        result, error, began = None, None, time.monotonic()
        try:
            result = calls[index]()
        except Exception as e:  # noqa: BLE001 - any exception is the result of the call
            error = e
        ended = time.monotonic()
        shots[index] = Shot(began=began - start.at, ended=ended - start.at, result=result, error=error)

    threads = [
        threading.Thread(target=run, args=(index,), name=f"volley-{index}", daemon=True)
        for index in range(len(calls))
    ]
    deadline = time.monotonic() + deadline_s
    with start:
        for thread in threads:
            thread.start()
        start.release(deadline_s)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    late = CallTimeoutError(f"no result within {deadline_s:g} s")
    return Volley(shots=tuple(shot or Shot(began=0.0, ended=deadline_s, error=late) for shot in list(shots)))


class _Start:
    """A barrier that all calls wait at; after an interruption it cancels the waiting calls."""

    def __init__(self, count: int) -> None:
        self.at = 0.0
        self._ready = threading.Semaphore(0)
        self._count = count
        self._go = threading.Event()
        self._cancelled = False

    def wait(self) -> bool:
        """Wait for the start; return False if it was cancelled."""
        self._ready.release()
        self._go.wait()
        return not self._cancelled

    def release(self, within_s: float) -> None:
        """Start all calls when the last one waits, or after ``within_s`` those that do."""
        deadline = time.monotonic() + within_s
        for _ in range(self._count):
            self._ready.acquire(timeout=max(0.0, deadline - time.monotonic()))
        self.at = time.monotonic()
        self._go.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel the waiting calls if the start did not happen."""
        self._cancelled = not self._go.is_set()
        self._go.set()
