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
DISK_WAITS: Final = "/proc/pressure/io"
_PRESSURES: Final = ("/proc/pressure/cpu", DISK_WAITS)


class MachineUse:
    """Reads how busy this machine's CPUs and disks are, many times a second while it is open.

    Beside the CPU time that was used (``/proc/stat``) it reads for how long some process waited for a CPU or
    a disk (pressure stall information, where the kernel has it: docs.kernel.org/accounting/psi.html), as a
    CPU quota and a slow disk stall processes while CPUs are idle.
    """

    def __init__(self) -> None:
        self._at: list[float] = []
        self._cpu: list[tuple[int, int]] = []
        """Ticks of all CPUs in use, and in all."""
        self._waited: list[tuple[float, ...]] = []
        """Seconds for which some process waited, by resource."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="machine-use", daemon=True)

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
        """Return how busy the machine was between two moments (``time.monotonic``), 0..1; NaN when unknown.

        It is the largest of the share of all CPU time that was used, and the shares of the time in which some
        process waited for a CPU or a disk. Measured from the last reading before the first moment to the
        first one after the second.
        """
        if not self._at:
            return math.nan
        first = max(0, bisect.bisect_right(self._at, began) - 1)
        last = min(len(self._at) - 1, bisect.bisect_left(self._at, ended))
        (busy, total), (busy_then, total_then) = self._cpu[first], self._cpu[last]
        seconds = self._at[last] - self._at[first]
        if total_then <= total or seconds <= 0:
            return math.nan
        waits = zip(self._waited[first], self._waited[last], strict=True)
        return max(
            (busy_then - busy) / (total_then - total),
            *(min(1.0, (after - before) / seconds) for before, after in waits),
        )

    def _follow(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._read()

    def _read(self) -> None:
        at = time.monotonic()
        ticks = cpu_ticks()
        if ticks is None:
            return
        self._at.append(at)
        self._cpu.append(ticks)
        self._waited.append(tuple(map(waited_s, _PRESSURES)))


def cpu_ticks() -> tuple[int, int] | None:
    """Return the ticks of all CPUs in use, and in all, since boot; None where there is no ``/proc/stat``."""
    try:
        ticks = [int(word) for word in _first_line("/proc/stat")[1:9]]
    except (OSError, ValueError):
        return None
    total = sum(ticks)  # user nice system idle iowait irq softirq steal
    return total - sum(ticks[3:5]), total


def waited_s(path: str) -> float:
    """Return the seconds since boot in which some process waited for a resource; 0 where that is unknown."""
    try:
        return int(_first_line(path)[-1].removeprefix(b"total=")) / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0


def _first_line(path: str) -> list[bytes]:
    with open(path, "rb") as file:  # noqa: PTH123 - a hundred times a second
        return file.readline().split()


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
