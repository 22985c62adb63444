"""The judgement of windows as laws, the loop that adds them, and what a sample makes of what it reads."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.errors import GateInputError
from bais_gates.probes.kubernetes.access import ClusterUnreachable
from bais_gates.probes.prometheus import Alert, Point, Prometheus, PrometheusError
from bais_gates.rollout.errors import Paused
from bais_gates.rollout.figures import Figures
from bais_gates.rollout.record import Phase, Record, State, read_record
from bais_gates.rollout.watch import Samples, Watch
from bais_gates.rollout.windows import Window, judge, require_bounded, with_window
from bais_gates.staging.server import Clock
from bais_gates.targets.rollout import WatchPart
from tests.rollout.fake_cluster import BROKEN, NEW, FakeCluster

if TYPE_CHECKING:
    from collections.abc import Iterable

FIGURES = Figures(requests=100, errors=0, p95_ms=50.04, payments=20, payments_succeeded=20)
AT = "2026-03-02T12:00:00Z"
GOOD = Window(at=AT, seconds=10, figures=FIGURES)
BAD = replace(GOOD, problems=("p95 latency is 900 ms",))
NONE = Window(at=AT, seconds=10, no_data="Prometheus does not respond")
LIMITS = WatchPart(for_s=50, window_s=10, bad_windows=3, pause_s=30)
WINDOWS = st.lists(st.sampled_from([GOOD, BAD, NONE])).map(tuple)
RECORD = Record(
    id="1",
    kind="deploy",
    environment="test",
    rehearsal=True,
    by="dana",
    images={"api": NEW},
    version="2.0.0",
    before=State(images={"api": NEW}, replicas=2),
).then(Phase.WATCHING)


@given(WINDOWS)
def test_without_enough_good_windows_nothing_passes(windows: tuple[Window, ...]) -> None:
    """It needs all of them, the last one that is known among them, and is never passed and failed at once."""
    standing = judge(windows, LIMITS)

    if standing.passed:
        assert windows.count(GOOD) >= 5
        assert [one for one in windows if one != NONE][-1] == GOOD
        assert not standing.failed
    assert judge((NONE,) * 100, LIMITS).passed is False


@given(WINDOWS, WINDOWS)
def test_a_failed_watch_stays_failed(before: tuple[Window, ...], after: tuple[Window, ...]) -> None:
    """Good windows later on mend nothing, and the first bad one is still named."""
    early, late = judge(before, LIMITS), judge(before + after, LIMITS)

    assert late.failed >= early.failed
    assert late.bad[: len(early.bad)] == early.bad
    assert (early.summary == "") == (not early.bad)


@given(WINDOWS)
def test_no_data_changes_nothing(windows: tuple[Window, ...]) -> None:
    """It neither counts nor breaks a row of bad windows."""
    known = tuple(one for one in windows if one != NONE)

    assert judge(windows, LIMITS) == judge(known, LIMITS)


@given(WINDOWS, WINDOWS)
def test_bad_windows_in_a_row_fail(before: tuple[Window, ...], between: tuple[Window, ...]) -> None:
    """As many as the limit, whatever was before; one fewer fails nothing by itself."""
    silent = (NONE,) * len(between)

    assert judge((*before, BAD, *silent, BAD, BAD), LIMITS).failed
    assert not judge((GOOD, BAD, *silent, BAD, GOOD), LIMITS).failed


def test_many_bad_windows_fail_without_a_row() -> None:
    """More than half as many as it needs good ones: so that every watch ends, and fits into its record."""
    limits = replace(LIMITS, for_s=100)

    assert not judge((GOOD, BAD) * 5, limits).failed
    assert judge((GOOD, BAD) * 6, limits).failed


@given(WINDOWS)
def test_windows_are_kept(windows: tuple[Window, ...]) -> None:
    """One after another they say the same; only silence becomes one window, as long as it was."""
    kept: tuple[Window, ...] = ()
    for window in windows:
        kept = with_window(kept, window)

    assert judge(kept, LIMITS) == judge(windows, LIMITS)
    assert sum(one.seconds for one in kept) == sum(one.seconds for one in windows)
    assert not any(a.no_data and b.no_data for a, b in itertools.pairwise(kept))
    record = replace(RECORD, windows=kept)
    assert read_record(record.text(), "here") == record


def test_the_longest_watch_fits_into_an_annotation() -> None:
    """Kubernetes takes 256 KiB of annotations; a watch of more windows is refused."""
    longest = WatchPart(for_s=1000, window_s=10)
    require_bounded(longest, "env.yaml")
    with pytest.raises(GateInputError, match=r"env\.yaml.*more than 100 windows.*rollout\.watch\.window_s"):
        require_bounded(replace(longest, for_s=1001), "env.yaml")
    silent = replace(NONE, no_data="x" * 300)
    worst = (silent, replace(BAD, problems=("x" * 300,)), silent, GOOD) * 50 + (silent, GOOD) * 50

    assert judge(worst, longest).passed
    assert len(replace(RECORD, windows=worst).text()) < 200 * 1024


class Seen:
    """A sampler that shows windows one after another, the last one for ever, and a clock that it moves."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self.windows = list(windows)
        self.began = 0
        self.clock = Clock(ends_at=float("inf"), now=lambda: self._now, sleep=self._sleep)
        self._now = 0.0

    def _sleep(self, seconds: float) -> None:
        self._now += seconds

    def begin(self, _record: Record) -> None:
        """Count the beginnings."""
        self.began += 1

    def window(self, _record: Record, seconds: float) -> Window:
        """Return the next window."""
        window = self.windows.pop(0) if len(self.windows) > 1 else self.windows[0]
        return replace(window, seconds=seconds)


@dataclass
class Watching:
    """One watch: what it showed, and what it kept."""

    seen: Seen
    lines: list[str] = field(default_factory=list)
    kept: list[Record] = field(default_factory=list)

    def watch(self) -> Watch:
        """Return the watch."""
        return Watch(limits=LIMITS, sampler=self.seen, progress=self.lines.append, clock=self.seen.clock)


def test_a_line_a_window() -> None:
    """With the time left, the figures, and what was bad or unknown."""
    watching = Watching(Seen([GOOD, BAD, NONE, GOOD]))

    record, standing = watching.watch().run(RECORD, watching.kept.append)

    figures = "10.0 requests/s, 0.00% errors, p95 50 ms, 20 of 20 payments"
    assert watching.lines[:3] == [
        f"watch: 0:40 left, {figures}",
        f"watch: 0:40 left, {figures}; BAD (1 in a row, 3 fail): p95 latency is 900 ms",
        "watch: 0:40 left, no figures; NO DATA: Prometheus does not respond",
    ]
    assert (standing.passed, len(record.windows), watching.kept[-1]) == (True, 7, record)
    assert standing.summary == f"1 window was bad, the first one at {AT}: p95 latency is 900 ms"
    assert watching.seen.clock.now() == 70


def test_a_watch_goes_on_where_it_was() -> None:
    """With four good windows in the record, the fifth passes it; two bad ones need one more."""
    done = Watching(Seen([GOOD])).watch().run(replace(RECORD, windows=(GOOD,) * 4), lambda _record: None)
    bad = Watching(Seen([BAD])).watch().run(replace(RECORD, windows=(BAD,) * 2), lambda _record: None)

    assert (len(done[0].windows), done[1].passed) == (5, True)
    assert (len(bad[0].windows), bad[1].failed) == (3, True)


def test_silence_pauses_it() -> None:
    """After the time in a row that the limits name; a window with data begins it anew."""
    watching = Watching(Seen([GOOD, NONE, NONE, GOOD, NONE]))

    with pytest.raises(
        Paused, match=r"paused after 0:30 without data \(Prometheus does not respond\)\. .*--re"
    ):
        watching.watch().run(RECORD, watching.kept.append)

    assert [one.no_data != "" for one in watching.kept[-1].windows] == [False, True, False, True]
    assert [one.seconds for one in watching.kept[-1].windows] == [10, 20, 10, 30]


def test_a_record_that_can_t_be_written_is_kept_in_mind() -> None:
    """The next one that can has all windows."""
    watching = Watching(Seen([GOOD]))

    def keep(record: Record) -> None:
        watching.kept.append(record)
        if len(watching.kept) < 4:
            raise ClusterUnreachable("the connection was cut")

    record, standing = watching.watch().run(RECORD, keep)

    assert (standing.passed, len(record.windows)) == (True, 5)
    assert "watch: not recorded on the Deployment yet: the connection was cut" in watching.lines


class Metrics:
    """A Prometheus with one value for everything, and alerts; or none."""

    def __init__(self, value: float, *alerts: Alert) -> None:
        self.value, self._alerts, self.gone = value, alerts, False

    def query(self, expression: str) -> tuple[Point, ...]:
        """Return the time, 0.05 s for a quantile, no error, and the value for the rest."""
        if self.gone:
            raise PrometheusError("Prometheus does not respond")
        found = 1e9 if expression == "time()" else 0.05 if "quantile" in expression else self.value
        return (Point(labels={}, value=0.0 if "5.." in expression else found),)

    def alerts(self) -> tuple[Alert, ...]:
        """Return the alerts."""
        return self._alerts


class Bench:
    """A cluster, a Prometheus, and samples of both."""

    def __init__(self, metrics: Metrics) -> None:
        self.cluster, self.metrics = FakeCluster(), metrics
        self.cluster.workload().apply({"api": NEW})
        self.samples = Samples(
            prometheus=cast("Prometheus", metrics), workload=self.cluster.workload(), limits=LIMITS
        )
        self.samples.begin(RECORD)

    def window(self) -> Window:
        """Return the next window."""
        return self.samples.window(RECORD, 10)


def test_a_sample_of_a_good_release() -> None:
    """Its figures are kept with what a person can read."""
    window = Bench(Metrics(100)).window()

    assert window.good
    assert window.figures == replace(FIGURES, p95_ms=50.0, payments=100, payments_succeeded=100)


def test_too_few_requests_are_no_data() -> None:
    """By so few, chance would decide; the figures are kept."""
    window = Bench(Metrics(49)).window()

    assert window.no_data == "49 requests, of 50 that are needed"
    assert window.figures is not None


@pytest.mark.parametrize("requests", [0, 100])
def test_pods_and_alerts_are_bad_with_any_traffic(requests: float) -> None:
    """A release that lets no request through would never have a window with data otherwise."""
    alert = Alert(labels={"alertname": "ApiDown", "severity": "critical"}, firing=True, active_at=2e9)
    bench = Bench(Metrics(requests, alert))
    bench.cluster.workload().apply({"api": BROKEN})
    bench.cluster.broken_status = {"name": "api", "imageID": BROKEN, "restartCount": 3}

    (problem,) = bench.window().problems

    assert "0 of 2 replicas are ready; pod bais-api-1-0 runs sha256:cccc" in problem
    assert len(problem) == 300  # of the rest, the evidence of a rollback has the whole
    bench.cluster.workload().apply({"api": NEW})
    bench.cluster.broken_status = None
    assert bench.window().problems == ("the alert ApiDown (critical) fires, and began after the rollout",)


def test_a_restart_is_bad_once() -> None:
    """Those before the watch are no news."""
    bench = Bench(Metrics(100))
    status = {"name": "api", "imageID": NEW}
    bench.cluster.broken_status = {**status, "restartCount": 1}
    bench.samples.begin(RECORD)
    assert bench.window().good
    bench.cluster.broken_status = {**status, "restartCount": 2}

    (problem,) = bench.window().problems
    assert problem == (
        "pod bais-api-1-0 restarted (2 times in all); pod bais-api-1-1 restarted (2 times in all)"
    )
    assert bench.window().good


def test_what_does_not_respond_is_no_data() -> None:
    """Neither Prometheus nor the cluster; a pod that is not ready is bad without Prometheus, too."""
    bench = Bench(Metrics(100))
    bench.metrics.gone = True
    assert bench.window().no_data == "Prometheus does not respond"
    bench.metrics.gone = False
    bench.cluster.cut_at = 0
    assert "the connection was cut" in bench.window().no_data
    bench.cluster.cut_at = None
    bench.metrics.gone = True
    bench.cluster.workload().apply({"api": BROKEN})
    assert bench.window().bad
