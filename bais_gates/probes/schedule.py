"""Send requests at a fixed rate and measure each latency from the time at which the request was due.

A loop that sends the next request after the last response pauses while the target hangs, and measures one
slow response where concurrent callers would have measured many ("coordinated omission"). Here every request
has a fixed due time, ``due += period``, and its latency is ``end - due``: every request that was due during a
stall measures it.

A lane is one stream of requests, sent by several callers (threads), so that a response within its limit
delays no other request. When all callers wait, due requests wait too, and their latency includes that time. A
lane ends at a deadline. A request that was due and has no response by then counts with the time that it has
waited so far, which is a lower bound of its latency.

The generator also measures its own delays (threads woken late or without a CPU) and how busy the machine was
during each request, so that a slow target can be distinguished from a busy machine.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from bais_gates.probes.machine import MachineUse, RunDelay
from bais_gates.probes.statistics import Summary, percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

LEAD_S: Final = 0.05
"""Seconds between the start of the threads and the first request due."""
GRACE_S: Final = 5.0
"""Seconds after the last due time in which a backlog may be sent."""
SATURATED: Final = 0.8
"""Share of the time above which this machine's CPUs or disks were so busy that waiting for them counts.

At 80 % use of two CPUs, random arrivals take 2.8 times as long as on idle ones: 1 / (1 - 0.8 ** 2), the mean
response time of an M/M/2 queue.
"""
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
    machine_use: float = math.nan
    """How busy this machine was from due time to end (0..1); NaN when unknown."""

    @property
    def latency_ms(self) -> float:
        """Milliseconds since the due time."""
        return (self.end - self.due) * 1000.0

    @property
    def starved(self) -> bool:
        """Whether it has no response, and this machine was busy while it waited."""
        return not self.answered and self.machine_use > SATURATED

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
    pause_s: float = 0.0
    """Seconds between two measurements in which no request was due."""

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
        """The faults of the responses that were not correct; of a starved request nothing is known."""
        return tuple(one.fault for one in self.samples if one.fault is not None and not one.starved)

    @property
    def delayed_p95_ms(self) -> float:
        """95th percentile of the generator's own delay in milliseconds."""
        return percentile([sample.delayed_s * 1000.0 for sample in self.samples], 95)

    @property
    def achieved_per_s(self) -> float:
        """The achieved request rate; NaN for fewer than two requests."""
        sent = sorted(sample.sent for sample in self.samples if sample.answered)
        seconds = sent[-1] - sent[0] - self.pause_s if sent else 0.0
        return (len(sent) - 1) / seconds if seconds > 0 else math.nan

    def joined(self, later: Sampled) -> Sampled:
        """Return the samples of this and a later measurement of the same lane."""
        both = (*self.samples, *later.samples)
        pause_s = 0.0
        if self.samples and later.samples:
            pause_s = later.samples[0].due - self.samples[-1].due - 1 / self.target_per_s
        return replace(self, samples=both, pause_s=self.pause_s + pause_s + later.pause_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The samples of all lanes, and how busy this machine was meanwhile."""

    lanes: Mapping[str, Sampled]
    seconds: float
    machine_use: float
    """As :meth:`MachineUse.share` returns it (0..1); NaN when unknown."""

    def starved(self, lane: str, limit_ms: float, *, p: float = 95) -> str | None:
        """Return why the ``p``-th percentile of ``lane`` can't be compared with ``limit_ms``; None if it can.

        A busy machine can only increase latencies, as they are measured from the due time: a percentile
        within the limit is valid. One above it is not if it would be within the limit without the generator's
        own delays, or without the requests during which the machine was busy (:data:`SATURATED`).
        """
        sampled = self.lanes[lane]
        delayed = sampled.delayed_p95_ms
        if delayed > DELAY_SHARE_MAX * limit_ms:
            return f"the load generator delayed requests by {delayed:.0f} ms (p95)"
        slow = [sample for sample in sampled.samples if sample.latency_ms > limit_ms]
        excused = [sample for sample in slow if sample.machine_use > SATURATED]
        latencies = [0.0 if sample in excused else sample.latency_ms for sample in sampled.samples]
        if excused and percentile(latencies, p) <= limit_ms:
            return f"{len(excused)} of {len(slow)} slow responses came while this machine was busy"
        return None

    def joined(self, later: Measured) -> Measured:
        """Return the samples of this and a later measurement of the same lanes."""
        seconds = self.seconds + later.seconds
        return Measured(
            lanes={name: lane.joined(later.lanes[name]) for name, lane in self.lanes.items()},
            seconds=seconds,
            machine_use=(self.machine_use * self.seconds + later.machine_use * later.seconds) / seconds,
        )


def wrong_responses(*lanes: Sampled) -> list[str] | float:
    """Return the distinct faults of some lanes, sorted; NaN where there is none but a starved request."""
    wrong = sorted({fault for lane in lanes for fault in lane.faults})
    unknown = any(sample.starved for lane in lanes for sample in lane.samples)
    return math.nan if unknown and not wrong else wrong


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
    start = time.monotonic() + LEAD_S
    deadline = start + grace_s + max((run.lane.due(run.lane.slots, 0.0) for run in runs), default=0.0)
    threads = [
        threading.Thread(target=run.threaded, args=(start, deadline, stop), name=run.lane.name, daemon=True)
        for run in runs
        for _ in range(run.lane.callers)
    ]
    with MachineUse() as machine:
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        finally:
            stop.set()
    now = time.monotonic()
    sampled = {run.lane.name: run.finish(start, min(deadline, now), machine.share) for run in runs}
    return Measured(lanes=sampled, seconds=now - start, machine_use=machine.share())


def measure_again_if_slow(
    take: Callable[[], Measured], slow: Callable[[Measured], bool], starved: Callable[[Measured], str | None]
) -> tuple[Measured, str | None]:
    """Return the measurement of ``take`` and a note; a slow one is taken twice.

    The second replaces the first if the first proves nothing (``starved`` returns why) and all its responses
    were correct. Otherwise the samples of both count: none is dropped for being slow, but a single stall of a
    machine weighs half as much.
    """
    measured = take()
    if not slow(measured):
        return measured, None
    reason = starved(measured)
    if reason is not None and not any(lane.faults for lane in measured.lanes.values()):
        return take(), f"measured again, as at first {reason}"
    return measured.joined(take()), "measured twice, as the first was slow; the samples of both count"


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
        with RunDelay() as run_delay:
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

    def finish(
        self, start: float, now: float, machine_use: Callable[[float, float], float] = lambda *_: math.nan
    ) -> Sampled:
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
        with_use = tuple(replace(one, machine_use=machine_use(one.due, one.end)) for one in samples)
        return Sampled(name=self.lane.name, target_per_s=self.lane.rate_per_s, samples=with_use)
