"""Read the record of a load run, and compute what is judged: rates, latencies, and who was starved.

Latencies count from the time at which a request was due (see :mod:`bais_gates.load.generator`).
"""

from __future__ import annotations

import bisect
import json
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from bais_gates.errors import GateInputError
from bais_gates.load.plan import Plan
from bais_gates.probes.schedule import SATURATED
from bais_gates.probes.statistics import Summary, percentile

RECORD: Final = "requests.jsonl"
USE: Final = "machine.json"
PLAN: Final = "plan.json"
GENERATOR_CPU_MAX: Final = 0.8
"""Share of one core that a generator's process may use; beyond it, it is the bottleneck."""
LAG_MAX_S: Final = 0.02
"""The generator's own delay (p95)."""
FOREIGN_CPU_MAX: Final = 0.5
"""Share of the machine that others than the generator and the platform itself may use."""
TOO_MANY: Final = 429


@dataclass(frozen=True, slots=True)
class Request:
    """One request; times in Unix seconds, ``lag`` and ``took`` in seconds."""

    user: int
    name: str
    due: float
    lag: float
    sent: float
    took: float
    status: int
    """0 without a response."""
    fault: str
    """"" for an expected response; else why it is none."""
    detail: str

    @property
    def ended(self) -> float:
        """When its response was complete."""
        return self.sent + self.took

    @property
    def latency_ms(self) -> float:
        """From the due time."""
        return (self.ended - self.due) * 1000

    @property
    def accepted(self) -> bool:
        """Whether it was served: expected, and no 429."""
        return not self.fault and self.status != TOO_MANY


DUE: Final = operator.attrgetter("due")
ENDED: Final = operator.attrgetter("ended")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Processor time since the sample before, as shares of one core, at a Unix time."""

    at: float
    seconds: float
    generator: float
    platform: float
    foreign: float
    cores: int
    processes: int = 1
    """Of the generator that send requests."""
    disk: float = 0.0
    """Share of the time in which some process of the machine waited for a disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The requests that were due in a part of the measured time, and those that ended in it."""

    start: float
    seconds: float
    due: tuple[Request, ...]
    ended: tuple[Request, ...]
    use: tuple[Use, ...] = ()

    @property
    def accepted_per_s(self) -> float:
        """Accepted requests that ended here, per second."""
        return sum(one.accepted for one in self.ended) / self.seconds

    def latency(self, includes: Callable[[Request], bool] = lambda _one: True) -> Summary:
        """Return latencies in milliseconds from the due times."""
        return Summary.of(one.latency_ms for one in self.due if includes(one))

    def latency_of(self, name: str) -> Summary:
        """Return the latencies of the requests of one name."""
        return self.latency(lambda one: one.name == name)

    def cores(self, who: str) -> float:
        """Return how many cores somebody used on average; 0 where nothing was sampled."""
        seconds = sum(one.seconds for one in self.use)
        return sum(getattr(one, who) * one.seconds for one in self.use) / seconds if seconds else 0.0

    def starved(self) -> str | None:
        """Return why a bad figure proves nothing of the target; None if it does."""
        generator, platform, foreign = (self.cores(name) for name in ("generator", "platform", "foreign"))
        cores = self.use[0].cores if self.use else 1
        busy = (generator + platform + foreign) / cores
        each = generator / (self.use[0].processes if self.use else 1)
        if each > GENERATOR_CPU_MAX:
            return f"the load generator used {each:.0%} of a core"
        if foreign / cores > FOREIGN_CPU_MAX:
            return f"other processes used {foreign / cores:.0%} of this machine"
        if platform and busy > SATURATED:
            return f"the machine that target and generator share was {busy:.0%} busy"
        stalled_s = sum(one.seconds for one in self.use if one.disk > SATURATED)
        if platform and stalled_s:
            return f"the disk that target and generator share kept processes waiting for {stalled_s:.1f} s"
        lag = percentile([one.lag for one in self.due], 95)
        if lag > LAG_MAX_S:
            return f"the load generator sent requests {lag * 1000:.0f} ms late (p95)"
        return None


@dataclass(frozen=True, kw_only=True)
class Result:
    """A whole run."""

    plan: Plan
    began: float
    """When the first users were started, in Unix seconds."""
    requests: tuple[Request, ...]
    """In the order of their due times."""
    use: tuple[Use, ...] = ()
    exceptions: Mapping[str, int] = field(default_factory=dict)
    """Of the script, by text, with their number."""
    lost_workers: tuple[str, ...] = ()

    @property
    def measured_from(self) -> float:
        """Unix time of the first judged moment."""
        return self.began + self.plan.ramp_s + self.plan.warm_up_s

    def faults(self) -> dict[str, int]:
        """Return why requests of the measured time failed, with their number."""
        return dict(Counter(one.fault for one in self.measured.due if one.fault))

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """The judged time in windows of ``plan.window_s`` seconds."""
        step, length = self.plan.window_s, self.plan.measured_s
        starts = [number * step for number in range(self.plan.windows)]
        return tuple(self.window(self.measured_from + at, min(step, length - at)) for at in starts)

    @cached_property
    def measured(self) -> Window:
        """The judged time as one window."""
        return self.window(self.measured_from, self.plan.measured_s)

    @cached_property
    def _by_end(self) -> tuple[Request, ...]:
        return tuple(sorted(self.requests, key=ENDED))

    def window(self, start: float, seconds: float) -> Window:
        """Return a part of the run."""
        end = start + seconds
        return Window(
            start=start,
            seconds=seconds,
            due=_between(self.requests, start, end, DUE),
            ended=_between(self._by_end, start, end, ENDED),
            use=tuple(one for one in self.use if start < one.at <= end),
        )


def _between(
    requests: Sequence[Request], start: float, end: float, moment: Callable[[Request], float]
) -> tuple[Request, ...]:
    """Return the requests from ``start`` up to ``end``, of those in the order of that moment."""
    first, last = (bisect.bisect_left(requests, at, key=moment) for at in (start, end))
    return tuple(requests[first:last])


def read_result(directory: Path) -> Result:
    """Read what a run left. Raises GateInputError where it is not complete."""
    record = directory / RECORD
    began, rows, end = None, [], None
    try:
        plan, _ = Plan.decoded((directory / PLAN).read_text(encoding="utf-8"))
        use = tuple(Use(**one) for one in json.loads((directory / USE).read_text(encoding="utf-8")))
        with record.open(encoding="utf-8") as file:
            for line in file:
                entry: Any = json.loads(line)
                began = entry.get("begin", began)
                rows += [Request(*row) for row in entry.get("rows", ())]
                end = entry if "end" in entry else end
    except OSError as error:
        raise GateInputError(f"{record}: {error.strerror}. The load run left no record.") from None
    except (ValueError, TypeError, AttributeError):
        raise GateInputError(f"{record}: not the record of a load run, or cut off.") from None
    if began is None or end is None:
        raise GateInputError(f"{record}: the load run was broken off: its record has no end.")
    return Result(
        plan=plan,
        began=began,
        requests=tuple(sorted(rows, key=DUE)),
        use=use,
        exceptions=end["exceptions"],
        lost_workers=tuple(end["lost_workers"]),
    )


def names(requests: Sequence[Request]) -> list[str]:
    """Return the names of requests, those without a response left out."""
    return sorted({one.name for one in requests if one.name})
