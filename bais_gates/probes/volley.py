"""Let many calls go at the same moment, each in a thread of its own, and see all of them through.

The threads meet at a barrier first, so that they begin together. Every call has its result or the exception
it ended with; one that is not back at the deadline has :class:`NotBackError`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class NotBackError(Exception):
    """The call had not come back at the volley's deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot(Generic[T]):
    """One call: when it began and ended (seconds since the barrier opened), and what came of it."""

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
    shots: list[Shot[T] | None] = [None] * len(calls)
    moments: list[float] = []
    barrier = threading.Barrier(len(calls) + 1, action=lambda: moments.append(time.monotonic()))

    def run(index: int) -> None:
        result, error = None, None
        try:
            barrier.wait(deadline_s)
        except threading.BrokenBarrierError:
            return
        began = time.monotonic()
        try:
            result = calls[index]()
        except Exception as e:  # noqa: BLE001 - whatever a call ends with is its outcome
            error = e
        opened = moments[0]
        shots[index] = Shot(began=began - opened, ended=time.monotonic() - opened, result=result, error=error)

    threads = [
        threading.Thread(target=run, args=(index,), name=f"volley-{index}", daemon=True)
        for index in range(len(calls))
    ]
    deadline = time.monotonic() + deadline_s
    try:
        for thread in threads:
            thread.start()
        barrier.wait(deadline_s)
    finally:
        barrier.abort()  # lets go of threads that still wait; no effect on those that are through
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = NotBackError(f"not back within {deadline_s:g} s")
    return Volley(shots=tuple(shot or Shot(began=0.0, ended=deadline_s, error=late) for shot in list(shots)))
