"""How much of this machine the generator, the platform beside it, and others use (Linux, ``/proc``)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bais_gates.load.result import Use
from bais_gates.probes.machine import DISK_WAITS, cpu_ticks, waited_s

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_EVERY_S: Final = 0.5
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_CORES: Final = os.cpu_count() or 1


class Watch:
    """Samples the use of the machine while it is open.

    ``generator`` and ``platform`` are ids of processes; their descendants count, too. What is neither is
    foreign. ``disk`` is the share of the time in which some process waited for a disk. Nothing is sampled
    where there is no ``/proc``.
    """

    def __init__(self, generator: Iterable[int], platform: Iterable[int]) -> None:
        self._generator, self._platform = frozenset(generator), frozenset(platform)
        self.samples: list[Use] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="machine", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        at, before, waited = time.time(), self._read(), waited_s(DISK_WAITS)
        while not self._ended.wait(_EVERY_S):
            now, after, waited_then = time.time(), self._read(), waited_s(DISK_WAITS)
            seconds = now - at
            if before is not None and after is not None and seconds > 0:
                busy, generator, platform = (
                    max(0.0, (b - a) / _TICKS_PER_S / seconds) for a, b in zip(before, after, strict=True)
                )
                self.samples.append(
                    Use(
                        at=now,
                        seconds=seconds,
                        generator=generator,
                        platform=platform,
                        foreign=max(0.0, busy - generator - platform),
                        disk=min(1.0, (waited_then - waited) / seconds),
                        cores=_CORES,
                        processes=max(1, len(self._generator) - 1),  # a master of several sends nothing
                    )
                )
            at, before, waited = now, after, waited_then

    def _read(self) -> tuple[int, int, int] | None:
        """Return the ticks of the whole machine, the generator and the platform."""
        ticks = cpu_ticks()
        if ticks is None:
            return None
        processes = ticks_of_processes()
        return (
            ticks[0],
            _ticks_below(self._generator, processes),
            _ticks_below(self._platform, processes),
        )


def ticks_of_processes() -> dict[int, tuple[int, int]]:
    """Return parent and ticks of every process; those of children that ended count for the parent."""
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - twice a second, hundreds of entries
        if name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                text = Path(f"/proc/{name}/stat").read_text(encoding="utf-8", errors="replace")
                words = text[text.rindex(")") + 2 :].split()
                found[int(name)] = (int(words[1]), sum(map(int, words[11:15])))
    return found


def _ticks_below(roots: frozenset[int], processes: dict[int, tuple[int, int]]) -> int:
    """Return the ticks of some processes and their descendants."""
    inside = set(roots)
    grown = True
    while grown:
        more = {pid for pid, (parent, _) in processes.items() if parent in inside} - inside
        inside |= more
        grown = bool(more)
    return sum(processes[pid][1] for pid in inside if pid in processes)
