"""Ask at a fixed rate and measure each answer from the moment its question was due.

A loop that sends the next request when the last one has come back stops asking just while the target hangs,
and sees one slow answer where a thousand callers would have seen a thousand ("coordinated omission"). Here
every request has its place on a schedule that nothing moves, ``due += period``, and its latency is
``end - due``: a stall of S seconds is seen in full, by every request that was due in it.

A lane is one stream of requests, sent by so many callers (threads) that an answer within its limit holds up
no other; when all of them wait for the target, what is due waits, too, and that counts. A lane ends at a
deadline whatever the target does. What was due by then and has no answer counts with the time it had waited:
a lower bound, never an omission.

The generator watches itself. How long a request waited for *this* machine (woken late, or runnable without a
processor) and how much processor time everybody else used is measured beside the latencies, so that a slow
answer and a starved generator can be told apart.
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
"""Seconds that a backlog may be worked off in after the last request was due."""
FOREIGN_CPU_MAX: Final = 0.75
"""Share of all processor time that others may use before slow answers prove nothing about the target."""
DELAY_SHARE_MAX: Final = 0.25
"""Share of the limit that the generator's own delays may reach (p95) before they spoil the comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One stream of requests: what is asked, how often, how many times."""

    name: str
    ask: Callable[[], str | None]
    """Sends one request; None for a right answer, else what was wrong. An exception is a wrong answer."""
    rate_per_s: float
    count: int
    """Requests that are measured."""
    warm_up: int = 0
    """Requests before them, sent on the same schedule and left out."""
    callers: int = 1
    """Requests that may be under way at once. Too few, and the time that an answer may take queues up the
    next ones: see :func:`callers_for`."""
    offset_s: float = 0.0
    """Seconds after the common start at which the first one is due; keeps lanes from marching in step."""

    def due(self, slot: int, start: float) -> float:
        """Give the moment at which request ``slot`` (0 is the first of the warm-up) is due."""
        return start + self.offset_s + slot / self.rate_per_s

    @property
    def slots(self) -> int:
        """How many requests there are, the warm-up included."""
        return self.warm_up + self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One request: moments in seconds of the lane's clock."""

    due: float
    sent: float
    end: float
    delayed_s: float = 0.0
    """Of ``end - due``, how long it waited for the generator's own machine."""
    wrong: str | None = None
    answered: bool = True

    @property
    def latency_ms(self) -> float:
        """Milliseconds from when it was due: what a caller who keeps to a schedule waits."""
        return (self.end - self.due) * 1000.0

    @property
    def service_ms(self) -> float:
        """Milliseconds from when it was sent: what a loop that waits for the target would have seen."""
        return (self.end - self.sent) * 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What one lane measured, its warm-up left out."""

    name: str
    asked_per_s: float
    samples: tuple[Sample, ...]
    """In the order they were due."""

    @property
    def latency(self) -> Summary:
        """The latencies in milliseconds, corrected for the schedule."""
        return Summary.of(sample.latency_ms for sample in self.samples)

    @property
    def service(self) -> Summary:
        """The uncorrected times in milliseconds, of what was answered; only for comparison."""
        return Summary.of(sample.service_ms for sample in self.samples if sample.answered)

    @property
    def wrong(self) -> tuple[str, ...]:
        """What was wrong with the answers that were not right, in the order they came."""
        return tuple(sample.wrong for sample in self.samples if sample.wrong is not None)

    @property
    def unanswered(self) -> int:
        """How many were due and had no answer at the deadline."""
        return sum(not sample.answered for sample in self.samples)

    @property
    def delayed_p95_ms(self) -> float:
        """95th percentile of the milliseconds by which the generator itself delayed a request."""
        return percentile([sample.delayed_s * 1000.0 for sample in self.samples], 95)

    @property
    def achieved_per_s(self) -> float:
        """Requests a second that were really sent; NaN for fewer than two."""
        sent = sorted(sample.sent for sample in self.samples if sample.answered)
        if len(sent) < 2 or sent[-1] <= sent[0]:
            return math.nan
        return (len(sent) - 1) / (sent[-1] - sent[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What all lanes measured together, and how the generator fared meanwhile."""

    lanes: Mapping[str, Sampled]
    seconds: float
    foreign_cpu: float
    """Share (0..1) of all processors that was used by others than this process; NaN when unknown."""
    own_cpu: float
    """Share (0..1) of all processors that this process used; NaN when unknown."""

    def starved(self, lane: str, limit_ms: float) -> str | None:
        """Say why ``lane`` can not be held to ``limit_ms``, or None when the generator was well.

        Latency is measured from due time, so a starved generator only ever adds to it: a value within the
        limit stays proven. One beyond it proves nothing when the generator was starved.
        """
        delayed = self.lanes[lane].delayed_p95_ms
        if delayed > DELAY_SHARE_MAX * limit_ms:
            return f"the generator itself delayed requests by {delayed:.0f} ms (p95)"
        if self.foreign_cpu > FOREIGN_CPU_MAX:
            return f"others used {self.foreign_cpu:.0%} of this machine's processors"
        return None


def callers_for(rate_per_s: float, limit_ms: float) -> int:
    """Give how many callers keep to ``rate_per_s`` when each answer takes twice ``limit_ms``."""
    return max(1, math.ceil(rate_per_s * 2 * limit_ms / 1000.0))


def measure(lanes: Iterable[Lane], *, grace_s: float = GRACE_S) -> Measured:
    """Run ``lanes`` side by side to the end of their schedules, at most ``grace_s`` beyond.

    Returns after the deadline even if a target still holds a request; that thread ends with its request.
    """
    runs = [_LaneRun(lane) for lane in lanes]
    names = [run.lane.name for run in runs]
    if len(set(names)) != len(names):
        raise ValueError(f"lanes need names of their own, not {names}")
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
    own, foreign = _CpuTimes.now().shares_since(before)
    return Measured(lanes=sampled, seconds=time.monotonic() - start, foreign_cpu=foreign, own_cpu=own)


@dataclass(slots=True)
class _LaneRun:
    """One lane on its way: filled by its threads, read by whoever waits for it."""

    lane: Lane
    next_slot: int = 0
    done: dict[int, Sample] = field(default_factory=dict)
    """Slot to what was measured."""
    sending: dict[int, float] = field(default_factory=dict)
    """Slot to the moment when it was sent, of the requests that are under way."""
    closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def threaded(self, start: float, deadline: float, stop: threading.Event) -> None:
        """Be one caller on the real clock, in a thread of its own."""
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
        """Send slot after slot: each when it is due, or at once when the lane is behind.

        ``wait(seconds)`` returns True to stop; ``run_delay()`` gives the seconds that this thread was ever
        ready to run and had no processor.
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
            # Late although idle is the generator's doing; late as the last answer was late is the target's.
            late, queued = (max(0.0, sent - due) if left > 0 else 0.0), run_delay()
            wrong = self._ask()
            end = clock()
            delayed = late + max(0.0, run_delay() - queued)
            with self.lock:
                if self.closed:
                    return
                self.done[slot] = Sample(due=due, sent=sent, end=end, delayed_s=delayed, wrong=wrong)
                del self.sending[slot]

    def _take(self) -> int:
        with self.lock:
            self.next_slot += 1
            return self.next_slot - 1

    def _ask(self) -> str | None:
        try:
            return self.lane.ask()
        except Exception as e:  # noqa: BLE001 - whatever the call raises is a request without a right answer
            return f"{type(e).__name__}: {e}"

    def finish(self, start: float, now: float) -> Sampled:
        """Close the lane at ``now``; what was due and has no answer counts with the time it has waited."""
        with self.lock:
            self.closed = True
        samples = []
        for slot in range(self.lane.warm_up, self.lane.slots):
            due = self.lane.due(slot, start)
            if slot in self.done:
                samples.append(self.done[slot])
            elif due < now:
                sent, why = self.sending.get(slot, now), "no answer before the deadline"
                samples.append(Sample(due=due, sent=sent, end=now, wrong=why, answered=False))
        return Sampled(name=self.lane.name, asked_per_s=self.lane.rate_per_s, samples=tuple(samples))


class _RunDelay:
    """How long the calling thread was ready to run and had no processor; 0 where the kernel does not tell."""

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
        """Seconds since the thread began (the second field of its ``schedstat``, in nanoseconds)."""
        if self._file is None:
            return 0.0
        fields = os.pread(self._file, 128, 0).split()
        return int(fields[1]) / 1e9 if len(fields) > 1 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _CpuTimes:
    """Processor seconds so far: of this process, of everything, and as many as there were to use."""

    own: float
    busy: float
    total: float

    @classmethod
    def now(cls) -> Self:
        """Read the clocks; NaN where there is no ``/proc/stat``."""
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
        """Give the shares (own, foreign) of all processor time since ``before``."""
        total = self.total - before.total
        if not total > 0:
            return math.nan, math.nan
        own = (self.own - before.own) / total
        return own, max(0.0, (self.busy - before.busy) / total - own)
