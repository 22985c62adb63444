"""Sampling at a fixed rate: stalls are measured in full, deadlines hold, starvation is reported."""

from __future__ import annotations

import itertools
import math
import threading
import time
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.probes import schedule
from bais_gates.probes.schedule import Lane, Measured, Sample, Sampled, measure


@dataclass
class World:
    """A clock that advances only by waiting and by requests, and a target with given response times."""

    takes_s: list[float]
    overslept_s: float = 0.0
    now: float = 0.0
    asked_at: list[float] = field(default_factory=list)

    def clock(self) -> float:
        """Return the time."""
        return self.now

    def wait(self, seconds: float) -> bool:
        """Advance the clock by that time and by ``overslept_s``."""
        self.now += seconds + self.overslept_s
        return False

    def ask(self) -> str | None:
        """Respond after the next time in ``takes_s``."""
        self.asked_at.append(self.now)
        self.now += self.takes_s[len(self.asked_at) - 1]
        return None

    def sampled(self, *, rate: float, warm_up: int = 0, deadline: float = math.inf) -> Sampled:
        """Run one lane on this clock."""
        lane = Lane(
            name="x", ask=self.ask, rate_per_s=rate, count=len(self.takes_s) - warm_up, warm_up=warm_up
        )
        run, start = schedule._LaneRun(lane), self.now
        run.run(start, deadline, clock=self.clock, wait=self.wait)
        return run.finish(start, min(deadline, self.now))


durations = st.lists(st.floats(min_value=0.0, max_value=3.0), min_size=1, max_size=60)


@given(durations, st.floats(min_value=1, max_value=200))
def test_latency_counts_from_due_time(takes_s: list[float], rate: float) -> None:
    """Each latency is that of a queue with the schedule and the service times: end minus due."""
    world = World(takes_s)
    found = world.sampled(rate=rate)

    end = 0.0
    for slot, (took, sample) in enumerate(zip(takes_s, found.samples, strict=True)):
        end = max(end, slot / rate) + took
        assert sample.latency_ms == pytest.approx((end - slot / rate) * 1000, abs=1e-6)
        assert sample.latency_ms >= sample.service_ms - 1e-6


@given(
    st.integers(60, 200),
    st.floats(min_value=0.2, max_value=2.0),
    st.floats(min_value=10, max_value=100),
    st.data(),
)
def test_a_stall_is_measured_by_all_requests_due_in_it(
    count: int, stall_s: float, rate: float, data: st.DataObject
) -> None:
    """A stall of S seconds has S * rate slow samples, where a closed loop would measure one."""
    at = data.draw(st.integers(0, count - 1))
    world = World([stall_s if slot == at else 0.0001 for slot in range(count)])
    found = world.sampled(rate=rate)

    slow = sum(sample.latency_ms > stall_s * 1000 / 2 for sample in found.samples)
    due_in_first_half = math.floor(stall_s / 2 * rate)
    assert slow >= min(due_in_first_half, count - at)
    assert sum(sample.service_ms > stall_s * 1000 / 2 for sample in found.samples) == 1


def test_the_schedule_is_fixed() -> None:
    """After a stall, the lane sends the late requests and is on schedule again: due += period."""
    world = World([0.0, 0.35, 0.0, 0.0, 0.0, 0.0, 0.0])
    world.sampled(rate=10)

    assert world.asked_at == pytest.approx([0.0, 0.1, 0.45, 0.45, 0.45, 0.5, 0.6])


def test_a_stalled_server_fails_p95_where_a_closed_loop_passes() -> None:
    """A stall of 1 s in 10 s affects more than 5 % of the samples; the uncorrected p95 hides it."""
    found = World([1.0 if slot == 100 else 0.005 for slot in range(200)]).sampled(rate=20)

    assert found.latency.p95 > 200
    assert found.service.p95 < 10


@given(durations, st.integers(0, 10))
def test_the_warm_up_is_not_measured(takes_s: list[float], warm_up: int) -> None:
    """Its requests are sent on the schedule."""
    world = World(takes_s)
    warm_up = min(warm_up, len(takes_s))
    found = world.sampled(rate=10, warm_up=warm_up)

    assert len(world.asked_at) == len(takes_s)
    assert len(found.samples) == len(takes_s) - warm_up


@given(durations, st.floats(min_value=0.1, max_value=5))
def test_unanswered_requests_count_with_the_time_they_waited(takes_s: list[float], deadline: float) -> None:
    """Every request that was due has waited at least until the deadline."""
    world = World(takes_s)
    found = world.sampled(rate=10, deadline=deadline)

    due = sum(slot / 10 < min(deadline, world.now) for slot in range(len(takes_s)))
    assert len(found.samples) >= due
    for sample in found.samples:
        if not sample.answered:
            assert sample.end == min(deadline, world.now)
            assert sample.fault


@given(st.integers(1, 50), st.floats(min_value=0.001, max_value=0.04))
def test_waking_late_while_idle_is_the_generators_delay(count: int, overslept_s: float) -> None:
    """It is in the delays and in the latencies."""
    found = World([0.0] * count, overslept_s=overslept_s).sampled(rate=10)

    late = [sample for sample in found.samples if sample.due > 0]
    assert all(sample.delayed_s == pytest.approx(overslept_s) for sample in late)
    assert all(sample.latency_ms == pytest.approx(overslept_s * 1000) for sample in late)


def test_a_late_response_is_the_targets_delay() -> None:
    """A lane that is late after a late response has no delay of its own."""
    found = World([2.0] + [0.0] * 10).sampled(rate=10)

    assert all(sample.delayed_s == 0 for sample in found.samples)


def _measured(*samples: tuple[float, float, float], fault: str | None = None) -> Measured:
    """Return one lane, whose samples are (milliseconds, the generator's delay in seconds, CPU use)."""
    sampled = tuple(
        Sample(due=0.0, sent=0.0, end=ms / 1000, delayed_s=delayed_s, machine_use=machine_use, fault=fault)
        for ms, delayed_s, machine_use in samples
    )
    lane = Sampled(name="x", target_per_s=10, samples=sampled)
    return Measured(lanes={"x": lane}, seconds=2.0, machine_use=0.5)


@pytest.mark.parametrize(
    ("samples", "p", "reason"),
    [
        ([(300, 0.0, 0.1)] * 20, 95, None),
        ([(300, 0.04, 0.7)] * 20, 95, None),
        ([(300, 0.06, 0.1)] * 20, 95, "delayed requests by 60 ms"),
        ([(300, 0.0, math.nan)] * 20, 95, None),
        (
            [(300, 0.0, 0.95)] * 20,
            95,
            "20 of 20 slow responses came while this machine was busy",
        ),
        ([(50, 0.0, 0.5)] * 18 + [(300, 0.0, 1.0)] * 2, 95, "2 of 2 slow responses"),
        ([(50, 0.0, 0.5)] * 17 + [(300, 0.0, 1.0)] * 2 + [(300, 0.0, 0.5)], 95, "2 of 3 slow responses"),
        ([(50, 0.0, 0.5)] * 16 + [(300, 0.0, 1.0)] * 2 + [(300, 0.0, 0.5)] * 2, 95, None),
        ([(300, 0.0, 0.5)] * 10 + [(300, 0.0, 1.0)] * 10, 50, "10 of 20 slow responses"),
        ([(300, 0.0, 0.5)] * 11 + [(300, 0.0, 1.0)] * 9, 50, None),
    ],
)
def test_a_starved_generator_is_reported(
    samples: list[tuple[float, float, float]], p: float, reason: str | None
) -> None:
    """It is starved by its own delays, or if without the time of a busy machine the limit would be met."""
    reported = _measured(*samples).starved("x", 200, p=p)

    assert reported is None if reason is None else reason in str(reported)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([(None, True, 0.99)], []),
        ([("status 500", True, 0.99)], ["status 500"]),
        ([("none", False, 0.5)], ["none"]),
        ([("none", False, math.nan)], ["none"]),
        ([("none", False, 0.99), (None, True, 0.1)], None),
        ([("none", False, 0.99), ("status 500", True, 0.99)], ["status 500"]),
    ],
)
def test_wrong_responses(samples: list[tuple[str | None, bool, float]], expected: list[str] | None) -> None:
    """A missing response is a fault unless this machine was busy: then nothing is known of it."""
    lane = Sampled(
        name="x",
        target_per_s=10,
        samples=tuple(
            Sample(due=0.0, sent=0.0, end=9.0, fault=fault, answered=answered, machine_use=use)
            for fault, answered, use in samples
        ),
    )

    found = schedule.wrong_responses(lane)

    assert found == expected if expected is not None else isinstance(found, float) and math.isnan(found)


@pytest.mark.parametrize(
    ("first", "fault", "p95", "n", "note"),
    [
        ([(50, 0.0, 0.5)] * 20, None, 50, 20, None),
        ([(300, 0.0, 1.0)] * 20, None, 60, 20, "measured again, as at first 20 of 20 slow responses"),
        ([(300, 0.0, 1.0)] * 20, "status 500", 300, 40, "the samples of both count"),
        ([(50, 0.0, 0.5)] * 18 + [(300, 0.0, 0.5)] * 2, None, 60, 40, "the samples of both count"),
        ([(50, 0.0, 0.5)] * 17 + [(300, 0.0, 0.5)] * 3, None, 300, 40, "the samples of both count"),
    ],
)
def test_a_slow_measurement_is_taken_twice(
    first: list[tuple[float, float, float]], fault: str | None, p95: float, n: int, note: str | None
) -> None:
    """The second alone counts if the machine was busy and every response correct; otherwise both count."""
    taken = iter([_measured(*first, fault=fault), _measured(*[(60, 0.0, 0.5)] * 20)])

    found, said = schedule.measure_again_if_slow(
        lambda: next(taken), lambda m: m.lanes["x"].latency.p95 > 200, lambda m: m.starved("x", 200)
    )

    assert found.lanes["x"].latency.p95 == pytest.approx(p95)
    assert found.lanes["x"].latency.n == n
    assert found.lanes["x"].faults == (fault,) * (20 if fault else 0)
    assert said is None if note is None else note in str(said)


def test_the_pause_between_two_measurements_is_not_in_their_rate() -> None:
    """Two measurements at 10 requests/s, minutes apart, have achieved 10 requests/s together."""
    early, late = (World([0.0] * 10, now=start).sampled(rate=10) for start in (0.0, 500.0))

    assert early.joined(late).achieved_per_s == pytest.approx(10)
    assert math.isnan(replace(early, samples=()).joined(replace(late, samples=())).achieved_per_s)


def test_lanes_run_concurrently_at_their_rates() -> None:
    """Each lane keeps its rate, and the run takes as long as the longest schedule."""
    asked: dict[str, list[float]] = {"a": [], "b": []}

    def asking(name: str) -> str | None:
        asked[name].append(time.monotonic())
        time.sleep(0.005)
        return None

    lanes = [
        Lane(name="a", ask=lambda: asking("a"), rate_per_s=100, count=30, warm_up=5),
        Lane(name="b", ask=lambda: asking("b"), rate_per_s=50, count=15, offset_s=0.01),
    ]
    found = measure(lanes)

    assert (len(asked["a"]), len(asked["b"])) == (35, 15)
    assert (found.lanes["a"].latency.n, found.lanes["b"].latency.n) == (30, 15)
    assert found.lanes["a"].latency.p50 >= 5
    assert found.lanes["a"].achieved_per_s == pytest.approx(100, rel=0.3)

    assert found.seconds < 3


@pytest.mark.parametrize(("callers", "most_ms"), [(schedule.callers_for(20, 150), 400), (1, 5000)])
def test_enough_callers_prevent_queueing(callers: int, most_ms: float) -> None:
    """Responses of 150 ms at 20/s are not delayed; with a single caller they queue for seconds."""
    lane = Lane(name="x", ask=lambda: time.sleep(0.15), rate_per_s=20, count=20, callers=callers)
    latency = measure([lane]).lanes["x"].latency

    assert latency.n == 20
    assert 150 <= latency.max < most_ms
    assert (latency.max > 1000) is (callers == 1)


def test_faults_are_kept() -> None:
    """A fault that a request returns or raises is reported, and its latency is measured."""
    answers = itertools.cycle([None, "status 500", ConnectionError("gone")])

    def ask() -> str | None:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    found = measure([Lane(name="x", ask=ask, rate_per_s=500, count=6)]).lanes["x"]

    assert found.faults == ("status 500", "ConnectionError: gone") * 2
    assert found.latency.n == 6


def test_a_target_that_hangs_does_not_hold_the_run() -> None:
    """Its requests end with the deadline and are unanswered."""
    release = threading.Event()
    began = time.monotonic()
    found = measure(
        [Lane(name="x", ask=lambda: str(release.wait(30)), rate_per_s=100, count=20)], grace_s=0.2
    ).lanes["x"]
    release.set()

    assert time.monotonic() - began < 5
    assert [sample.answered for sample in found.samples] == [False] * 20
    assert found.latency.p95 >= 200
    assert math.isnan(found.achieved_per_s)


def test_a_stall_on_the_real_clock() -> None:
    """One stall of 300 ms is in the p95 from due time, and not in the uncorrected times."""
    asked = itertools.count()
    found = measure(
        [
            Lane(
                name="x",
                ask=lambda: time.sleep(0.3 if next(asked) == 20 else 0.0),
                rate_per_s=100,
                count=100,
            )
        ]
    ).lanes["x"]

    assert found.latency.p95 > 150
    assert found.latency.max >= 300
    assert sum(sample.service_ms > 250 for sample in found.samples) < 5


def test_a_stall_with_many_callers() -> None:
    """When the target stalls, all callers wait, and so do the requests due meanwhile."""
    began = time.monotonic()

    def ask() -> None:
        since = time.monotonic() - began
        if 0.4 < since < 0.7:
            time.sleep(0.7 - since)

    found = measure([Lane(name="x", ask=ask, rate_per_s=100, count=100, callers=10)]).lanes["x"]

    assert found.latency.p95 > 150


def test_lanes_with_one_name_are_refused() -> None:
    """They would replace each other."""
    lane = Lane(name="x", ask=lambda: None, rate_per_s=1, count=1)

    with pytest.raises(ValueError, match="must be unique"):
        measure([lane, replace(lane)])


def test_an_interrupted_run_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interruption no request is sent."""
    asked = itertools.count()
    counted = []

    def join(_self: threading.Thread, _timeout: float | None = None) -> None:
        time.sleep(0.15)
        raise KeyboardInterrupt

    def ask() -> None:
        counted.append(next(asked))

    monkeypatch.setattr(threading.Thread, "join", join)
    with pytest.raises(KeyboardInterrupt):
        measure([Lane(name="x", ask=ask, rate_per_s=100, count=1000)])
    time.sleep(0.05)
    so_far = len(counted)
    time.sleep(0.1)

    assert 0 < so_far == len(counted)
