"""The containers as the runtime last listed them, kept up to date by a thread that asks again and again."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.node.runtime_client import (
    RuntimeClient,
    RuntimeGoneError,
    RuntimeRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bais_gates.sandbox.cluster.node.records import Observed

_BUSY_S, _IDLE_S = 0.05, 0.5
_BUSY_FOR_S = 5.0
_MEASURE_EVERY_S = 5.0
_TICKS_PER_S = 100.0


class Containers:
    """Asks the runtime: orders from the loop's thread at once, what became of them from a thread of its own.

    ``known`` is only changed in the loop's thread.
    """

    def __init__(self, socket: Path, post: Callable[[Callable[[], None]], None]) -> None:
        self._orders = RuntimeClient(socket)
        self._asking = RuntimeClient(socket)
        self._post = post
        self._busy_until = 0.0
        self._wake = threading.Event()
        self._ending = False
        self._ordered = 0
        """Counts orders: what was listed before the last one is not taken."""
        self._again = False
        self.known: dict[str, Observed] = {}
        self.stopping: set[str] = set()
        self.cpu: dict[str, float] = {}
        """By container, the cores that its process used lately."""
        self._ticks: dict[str, tuple[int, int, float]] = {}
        self.changed: Callable[[list[str]], None] = lambda _names: None
        self.measured: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Ask once, then go on in a thread that won't keep the process alive. Raise ``RuntimeGoneError``."""
        self.known = {one["id"]: one for one in self._orders.list()}
        threading.Thread(target=self._follow, name="runtime", daemon=True).start()

    def stop_asking(self) -> None:
        """Have the thread end."""
        self._ending = True
        self._wake.set()

    def run(self, name: str, kind: str, config: Mapping[str, object]) -> None:
        """Start a container. Raise ``RuntimeRefusedError``."""
        self._busy()
        self.stopping.discard(name)
        self._ordered += 1
        self.known[name] = self._orders.run(name, kind, config)
        self._ordered += 1

    def stop(self, name: str, *, grace_s: float) -> None:
        """Have a container end; one that is not there is no error."""
        self._busy()
        self.stopping.add(name)
        with suppress(RuntimeRefusedError):
            self._orders.stop(name, grace_s=grace_s)

    def remove(self, name: str) -> None:
        """Have an ended container forgotten."""
        self._busy()
        self._ordered += 1
        self.known.pop(name, None)
        self.stopping.discard(name)
        with suppress(RuntimeRefusedError):
            self._orders.remove(name)
        self._ordered += 1

    def wipe(self, volume: str) -> None:
        """Destroy the data of a volume; one that is not there is no error."""
        with suppress(RuntimeRefusedError):
            self._orders.wipe(volume)

    def _busy(self) -> None:
        self._busy_until = time.monotonic() + _BUSY_FOR_S
        self._wake.set()

    def _follow(self) -> None:
        before: dict[str, Observed] = {}
        measured = 0.0
        while not self._ending:
            with suppress(RuntimeGoneError):
                ordered = self._ordered
                found = {one["id"]: one for one in self._asking.list()}
                if found != before or self._again:
                    self._again = False
                    self._post(lambda now=found, at=ordered: self._take(now, at))  # type: ignore[misc] # a default binds it here
                    before = found
                running = {name for name, one in found.items() if one["state"] == "running"}
                # A new container is measured soon: until then the autoscaler knows nothing of its use.
                if time.monotonic() - measured >= (_MEASURE_EVERY_S if running <= {*self.cpu} else _IDLE_S):
                    measured = time.monotonic()
                    self._measure(found)
            self._wake.wait(_BUSY_S if time.monotonic() < self._busy_until else _IDLE_S)
            if time.monotonic() >= self._busy_until:
                self._wake.clear()
            else:
                time.sleep(_BUSY_S)

    def _take(self, found: dict[str, Observed], ordered: int) -> None:
        if ordered != self._ordered:  # it may lack what was started, or have what was removed, meanwhile
            self._again = True
            return
        changed = [name for name in {*found, *self.known} if found.get(name) != self.known.get(name)]
        if any(one["state"] == "running" and not one.get("up", True) for one in found.values()):
            self._busy()
        self.known = dict(found)  # changed here, while the other thread still reads what it found
        self.stopping &= {name for name, one in found.items() if one["state"] == "running"}
        if changed:
            self.changed(changed)

    def _measure(self, found: Mapping[str, Observed]) -> None:
        """Work out from the kernel's counters what each process used since the last time."""
        now = time.monotonic()
        use: dict[str, float] = {}
        ticks: dict[str, tuple[int, int, float]] = {}
        for name, one in found.items():
            pid = int(one.get("pid") or 0)
            if one["state"] != "running" or not pid or (spent := cpu_ticks(pid)) is None:
                continue
            ticks[name] = (pid, spent, now)
            earlier = self._ticks.get(name)
            if earlier is not None and earlier[0] == pid and now > earlier[2]:
                use[name] = (spent - earlier[1]) / _TICKS_PER_S / (now - earlier[2])
        self._ticks = ticks
        self._post(lambda: self._publish(use))

    def _publish(self, use: dict[str, float]) -> None:
        self.cpu = use
        self.measured()


def cpu_ticks(pid: int) -> int | None:
    """Return the processor time that a process has used, in hundredths of a second; None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
