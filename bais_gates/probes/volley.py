"""Let many calls go at the same moment, each in a thread of its own, and see all of them through.

The threads meet at a starting line first, so that they begin together. Every call has its result or the
exception it ended with; one that is not back at the deadline has :class:`NotBackError`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class NotBackError(Exception):
    """The call had not come back at the volley's deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot(Generic[T]):
    """One call: when it began and ended (seconds since all were let go), and what came of it."""

    began: float
    ended: float
    result: T | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Volley(Generic[T]):
    """All calls, in the order they were given."""

    shots: tuple[Shot[T], ...]

    @property
    def results(self) -> list[T]:
        """The results of the calls that came back without an error, in order."""
        return [shot.result for shot in self.shots if shot.result is not None]

    @property
    def errors(self) -> list[str]:
        """What went wrong with the others, in order."""
        return [f"{type(shot.error).__name__}: {shot.error}" for shot in self.shots if shot.error is not None]

    @property
    def most_at_once(self) -> int:
        """The greatest number of calls that were under way at one moment."""
        steps = [(shot.began, 1) for shot in self.shots] + [(shot.ended, -1) for shot in self.shots]
        under_way = most = 0
        for _, step in sorted(steps):
            under_way += step
            most = max(most, under_way)
        return most


def fire(calls: Sequence[Callable[[], T]], *, deadline_s: float) -> Volley[T]:
    """Make all ``calls`` at once; return when the last is back, at most after ``deadline_s``."""
    start = _Start(len(calls))
    shots: list[Shot[T] | None] = [None] * len(calls)

    def run(index: int) -> None:
        if not start.wait():
            return
        result, error, began = None, None, time.monotonic()
        try:
            result = calls[index]()
        except Exception as e:  # noqa: BLE001 - whatever a call ends with is its outcome
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
        start.go_when_all_are_ready(deadline_s)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    late = NotBackError(f"not back within {deadline_s:g} s")
    return Volley(shots=tuple(shot or Shot(began=0.0, ended=deadline_s, error=late) for shot in list(shots)))


class _Start:
    """A starting line: nobody passes before all have come to it, and nobody after the volley was left."""

    def __init__(self, count: int) -> None:
        self.at = 0.0
        self._ready = threading.Semaphore(0)
        self._count = count
        self._go = threading.Event()
        self._left = False

    def wait(self) -> bool:
        """Come to the line and wait; False when it was given up."""
        self._ready.release()
        self._go.wait()
        return not self._left

    def go_when_all_are_ready(self, within_s: float) -> None:
        """Let all go once the last one has come; after ``within_s`` without those that have not."""
        deadline = time.monotonic() + within_s
        for _ in range(self._count):
            self._ready.acquire(timeout=max(0.0, deadline - time.monotonic()))
        self.at = time.monotonic()
        self._go.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Send home whoever still waits, when the volley was interrupted before it began."""
        self._left = not self._go.is_set()
        self._go.set()
