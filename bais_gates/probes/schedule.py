"""Send requests at a fixed rate and measure each latency from the time at which the request was due.

A loop that sends the next request after the last response pauses while the target hangs, and measures one
slow response where concurrent callers would have measured many ("coordinated omission"). Here every request
has a fixed due time, ``due += period``, and its latency is ``end - due``: every request that was due during a
stall measures it.

A lane is one stream of requests, sent by several callers (threads), so that a response within its limit
delays no other request. When all callers wait, due requests wait too, and their latency includes that time. A
lane ends at a deadline. A request that was due and has no response by then counts with the time that it has
waited so far, which is a lower bound of its latency.

The generator also measures its own delays (threads woken late or without a CPU) and the CPU time used by
other processes, so that a slow target can be distinguished from a busy machine.
"""

from __future__ import annotations

import math
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from bais_gates.probes.statistics import Summary, percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

LEAD_S: Final = 0.05
"""Seconds between the start of the threads and the first request due."""
GRACE_S: Final = 5.0
"""Seconds after the last due time in which a backlog may be sent."""
OTHER_CPU_MAX: Final = 0.75
"""Share of all CPU time used by other processes above which slow responses are not measured."""
DELAY_SHARE_MAX: Final = 0.25
"""Share of the limit that the generator's own delay (p95) may reach before the latency is not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One stream of requests at a fixed rate."""

    name: str
    ask: Callable[[], str | None]
    """Sends one request; returns None for a correct response, else the fault. An exception is a fault."""
    rate_per_s: float
    count: int
    """Number of measured requests."""
    warm_up: int = 0
    """Number of requests before them on the same schedule, which are not measured."""
    callers: int = 1
    """Maximum number of concurrent requests. With too few, requests queue: see :func:`callers_for`."""
    offset_s: float = 0.0
    """Seconds after the common start at which the first request is due, so that lanes do not coincide."""

    def due(self, slot: int, start: float) -> float:
        """Return the due time of request ``slot`` (0 is the first of the warm-up)."""
        return start + self.offset_s + slot / self.rate_per_s

    @property
    def slots(self) -> int:
        """Number of requests, including the warm-up."""
        return self.warm_up + self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One request; times in seconds of the lane's clock."""

    due: float
    sent: float
    end: float
    delayed_s: float = 0.0
    """The part of ``end - due`` that is the generator's own delay."""
    fault: str | None = None
    """What is wrong with the response; None if it is correct."""
    answered: bool = True

    @property
    def latency_ms(self) -> float:
        """Milliseconds since the due time."""
        return (self.end - self.due) * 1000.0

    @property
    def service_ms(self) -> float:
        """Milliseconds since the request was sent (uncorrected latency)."""
        return (self.end - self.sent) * 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """The samples of one lane, without its warm-up."""

    name: str
    target_per_s: float
    """The target request rate."""
    samples: tuple[Sample, ...]
    """In the order of their due times."""

    @property
    def latency(self) -> Summary:
        """Latencies in milliseconds, measured from the due times."""
        return Summary.of(sample.latency_ms for sample in self.samples)

    @property
    def service(self) -> Summary:
        """Uncorrected latencies in milliseconds of the answered requests, for comparison."""
        return Summary.of(sample.service_ms for sample in self.samples if sample.answered)

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults of the responses that were not correct."""
        return tuple(sample.fault for sample in self.samples if sample.fault is not None)

    @property
    def delayed_p95_ms(self) -> float:
        """95th percentile of the generator's own delay in milliseconds."""
        return percentile([sample.delayed_s * 1000.0 for sample in self.samples], 95)

    @property
    def achieved_per_s(self) -> float:
        """The achieved request rate; NaN for fewer than two requests."""
        sent = sorted(sample.sent for sample in self.samples if sample.answered)
        if len(sent) < 2 or sent[-1] <= sent[0]:
            return math.nan
        return (len(sent) - 1) / (sent[-1] - sent[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The samples of all lanes, and the CPU usage meanwhile."""

    lanes: Mapping[str, Sampled]
    seconds: float
    other_cpu: float
    """Share (0..1) of all CPU time used by other processes; NaN when unknown."""
    own_cpu: float
    """Share (0..1) of all CPU time used by this process; NaN when unknown."""

    def starved(self, lane: str, limit_ms: float) -> str | None:
        """Return why the latency of ``lane`` cannot be compared with ``limit_ms``; None if it can.

        A starved generator can only increase latencies, as they are measured from the due time: a latency
        within the limit is valid, one above the limit is not.
        """
        delayed = self.lanes[lane].delayed_p95_ms
        if delayed > DELAY_SHARE_MAX * limit_ms:
            return f"the load generator delayed requests by {delayed:.0f} ms (p95)"
        if self.other_cpu > OTHER_CPU_MAX:
            return f"{self.other_cpu:.0%} of this machine's CPU was used by others"
        return None


def callers_for(rate_per_s: float, limit_ms: float) -> int:
    """Return how many callers sustain ``rate_per_s`` when each response takes twice ``limit_ms``."""
    return max(1, math.ceil(rate_per_s * 2 * limit_ms / 1000.0))


def measure(lanes: Iterable[Lane], *, grace_s: float = GRACE_S) -> Measured:
    """Run ``lanes`` concurrently to the end of their schedules, and at most ``grace_s`` longer.

    Returns at the deadline even if a request has no response; its thread ends with the request.
    """
    runs = [_LaneRun(lane) for lane in lanes]
    names = [run.lane.name for run in runs]
    if len(set(names)) != len(names):
        raise ValueError(f"the names of lanes must be unique: {names}")
    stop = threading.Event()
    before = _CpuTimes.now()
    start = time.monotonic() + LEAD_S
    deadline = start + grace_s + max((run.lane.due(run.lane.slots, 0.0) for run in runs), default=0.0)
    threads = [
        threading.Thread(target=run.threaded, args=(start, deadline, stop), name=run.lane.name, daemon=True)
        for run in runs
        for _ in range(run.lane.callers)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    finally:
        stop.set()
    sampled = {run.lane.name: run.finish(start, min(deadline, time.monotonic())) for run in runs}
    own, other = _CpuTimes.now().shares_since(before)
    return Measured(lanes=sampled, seconds=time.monotonic() - start, other_cpu=other, own_cpu=own)


@dataclass(slots=True)
class _LaneRun:
    """The state of a running lane, shared by its threads."""

    lane: Lane
    next_slot: int = 0
    done: dict[int, Sample] = field(default_factory=dict)
    """Samples by slot."""
    sending: dict[int, float] = field(default_factory=dict)
    """The times at which the requests without a response were sent, by slot."""
    closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def threaded(self, start: float, deadline: float, stop: threading.Event) -> None:
        """Run one caller on the real clock; the target of a thread."""
        with _RunDelay() as run_delay:
            self.run(start, deadline, clock=time.monotonic, wait=stop.wait, run_delay=run_delay.seconds)

    def run(
        self,
        start: float,
        deadline: float,
        *,
        clock: Callable[[], float],
        wait: Callable[[float], bool],
        run_delay: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Send one slot after another: each when it is due, or immediately when the lane is late.

        ``wait(seconds)`` returns True to stop; ``run_delay()`` returns the total seconds for which this
        thread was runnable but had no CPU.
        """
        while (slot := self._take()) < self.lane.slots:
            due = self.lane.due(slot, start)
            left = due - clock()
            if left > 0 and wait(left):
                return
            sent = clock()
            if sent >= deadline:
                return
            with self.lock:
                self.sending[slot] = sent
            # A late start after idling is the generator's delay; after a late response it is the target's.
            late, queued = (max(0.0, sent - due) if left > 0 else 0.0), run_delay()
            fault = self._ask()
            end = clock()
            delayed = late + max(0.0, run_delay() - queued)
            with self.lock:
                if self.closed:
                    return
                self.done[slot] = Sample(due=due, sent=sent, end=end, delayed_s=delayed, fault=fault)
                del self.sending[slot]

    def _take(self) -> int:
        with self.lock:
            self.next_slot += 1
            return self.next_slot - 1

    def _ask(self) -> str | None:
        try:
            return self.lane.ask()
        except Exception as e:  # noqa: BLE001 - any exception is a fault of the request
            return f"{type(e).__name__}: {e}"

    def finish(self, start: float, now: float) -> Sampled:
        """Close the lane at ``now``; a due request without a response counts with the time it has waited."""
        with self.lock:
            self.closed = True
        samples = []
        for slot in range(self.lane.warm_up, self.lane.slots):
            due = self.lane.due(slot, start)
            if slot in self.done:
                samples.append(self.done[slot])
            elif due < now:
                sent, fault = self.sending.get(slot, now), "no response before the deadline"
                samples.append(Sample(due=due, sent=sent, end=now, fault=fault, answered=False))
        return Sampled(name=self.lane.name, target_per_s=self.lane.rate_per_s, samples=tuple(samples))


class _RunDelay:
    """The time for which the calling thread was runnable but had no CPU; 0 without schedstat."""

    def __init__(self) -> None:
        self._file: int | None = None

    def __enter__(self) -> Self:
        try:
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)

    def seconds(self) -> float:
        """Return the seconds since the thread's start (the second field of ``schedstat``, in nanoseconds)."""
        if self._file is None:
            return 0.0
        fields = os.pread(self._file, 128, 0).split()
        return int(fields[1]) / 1e9 if len(fields) > 1 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _CpuTimes:
    """CPU seconds so far: of this process, of all processes, and in total (idle time included)."""

    own: float
    busy: float
    total: float

    @classmethod
    def now(cls) -> Self:
        """Read the CPU times; NaN without ``/proc/stat``."""
        used = os.times()
        try:
            line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
            ticks = [int(word) for word in line[1:9]]  # user nice system idle iowait irq softirq steal
        except (OSError, ValueError, IndexError):
            return cls(own=math.nan, busy=math.nan, total=math.nan)
        per_s = float(os.sysconf("SC_CLK_TCK"))
        idle = sum(ticks[3:5])
        return cls(own=used.user + used.system, busy=(sum(ticks) - idle) / per_s, total=sum(ticks) / per_s)

    def shares_since(self, before: _CpuTimes) -> tuple[float, float]:
        """Return the shares (own, other) of all CPU time since ``before``."""
        total = self.total - before.total
        if not total > 0:
            return math.nan, math.nan
        own = (self.own - before.own) / total
        return own, max(0.0, (self.busy - before.busy) / total - own)
