"""How busy this machine is: whether a slow response can be due to the machine and not to the target."""

from __future__ import annotations

import bisect
import math
import os
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_EVERY_S: Final = 0.025


class CpuUse:
    """Reads the CPU time used by all processes (``/proc/stat``), many times a second while it is open."""

    def __init__(self) -> None:
        self._at: list[float] = []
        self._busy: list[float] = []
        self._total: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="cpu-use", daemon=True)

    def __enter__(self) -> Self:
        self._read()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._read()

    def share(self, began: float = -math.inf, ended: float = math.inf) -> float:
        """Return the share (0..1) of all CPU time that was used between two moments (``time.monotonic``).

        Measured from the last reading before the first moment to the first one after the second; NaN when
        unknown.
        """
        if not self._at:
            return math.nan
        first = max(0, bisect.bisect_right(self._at, began) - 1)
        last = min(len(self._at) - 1, bisect.bisect_left(self._at, ended))
        total = self._total[last] - self._total[first]
        return (self._busy[last] - self._busy[first]) / total if total > 0 else math.nan

    def _follow(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._read()

    def _read(self) -> None:
        at = time.monotonic()
        try:
            with open("/proc/stat", "rb") as file:  # noqa: PTH123 - forty times a second
                words = file.readline().split()
            ticks = [int(word) for word in words[1:9]]  # user nice system idle iowait irq softirq steal
            idle = sum(ticks[3:5])
        except (OSError, ValueError):
            return
        self._at.append(at)
        self._total.append(sum(ticks))
        self._busy.append(sum(ticks) - idle)


class RunDelay:
    """The time for which the calling thread was runnable but had no CPU; 0 without schedstat."""

    def __init__(self) -> None:
        self._file: int | None = None

    def __enter__(self) -> Self:
        try:
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)

    def seconds(self) -> float:
        """Return the seconds since the thread's start (the second field of ``schedstat``, in nanoseconds)."""
        if self._file is None:
            return 0.0
        fields = os.pread(self._file, 128, 0).split()
        return int(fields[1]) / 1e9 if len(fields) > 1 else 0.0
