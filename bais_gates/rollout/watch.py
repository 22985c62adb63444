"""The watch of a release after its rollout: one sample a window, until the windows pass, fail or pause it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.probes.prometheus import Prometheus, PrometheusError
from bais_gates.redaction import redact
from bais_gates.rollout.errors import Paused, Refused, Stuck
from bais_gates.rollout.figures import Figures, alerts_since, problems, read_figures
from bais_gates.rollout.windows import Standing, Window, judge, with_window
from bais_gates.staging.errors import StageError
from bais_gates.staging.server import Clock, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.rollout.record import Record
    from bais_gates.rollout.workload import Workload
    from bais_gates.targets.rollout import WatchPart

_TEXT: Final = 300
"""Characters of what a window's record says was wrong."""


class Sampler(Protocol):
    """What looks at the release; tests bring their own."""

    def begin(self, record: Record) -> None:
        """Remember how the pods are, so that a change is noticed."""

    def window(self, record: Record, seconds: float) -> Window:
        """Return what the last seconds showed; what can't be asked is no data, never an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The watch of one release."""

    limits: WatchPart
    sampler: Sampler
    progress: Callable[[str], None]
    clock: Clock = field(default_factory=lambda: Clock(ends_at=float("inf")))

    def run(self, record: Record, keep: Callable[[Record], None]) -> tuple[Record, Standing]:
        """Add windows to the record until they pass or fail; ``keep`` writes it after each.

        Raises ``Paused`` after ``limits.pause_s`` without data, and what ``keep`` raises but for an
        unreachable cluster.
        """
        self.sampler.begin(record)
        began = known_at = self.clock.now()
        while True:
            standing = judge(record.windows, self.limits)
            if standing.failed or standing.passed:
                return record, standing
            if self.clock.now() - known_at >= self.limits.pause_s:
                raise Paused(
                    f"The watch is paused after {clock_text(self.limits.pause_s)} without data "
                    f"({record.windows[-1].no_data})."
                )
            self.clock.sleep(max(0.0, began + self.limits.window_s - self.clock.now()))
            began = self.clock.now()  # before the sample: no second is in two windows
            window = self.sampler.window(record, self.limits.window_s)
            if window.bad or window.good:
                known_at = self.clock.now()
            record = replace(record, windows=with_window(record.windows, window))
            self.progress(self._line(window, judge(record.windows, self.limits)))
            try:
                keep(record)
            except (ClusterError, StageError) as error:
                self.progress(f"watch: not recorded on the Deployment yet: {error}")

    def _line(self, window: Window, standing: Standing) -> str:
        left = clock_text(max(0.0, self.limits.for_s - standing.good_s))
        line = f"watch: {left} left, {figures_text(window.figures, window.seconds)}"
        if window.bad:
            return f"{line}; BAD ({standing.row} in a row, {self.limits.bad_windows} fail): " + "; ".join(
                window.problems
            )
        return line if window.good else f"{line}; NO DATA: {window.no_data}"


@dataclass(slots=True, kw_only=True)
class Samples:
    """Samples of what runs: the metrics and alerts of Prometheus, and the pods."""

    prometheus: Prometheus
    workload: Workload
    limits: WatchPart
    _restarts: dict[str, int] | None = None

    def begin(self, record: Record) -> None:
        """Count each pod's restarts so far; if the cluster can't be reached, the next sample does."""
        self._restarts = None
        try:
            self._pods(record)
        except (ClusterError, StageError):
            return

    def window(self, record: Record, seconds: float) -> Window:
        """Return what the last seconds showed. Raises ``Stuck`` if the Deployment does not exist any more.

        Pods and alerts need no requests to be bad: a release that takes none down to 0 would never be.
        """
        at = datetime.now(UTC) - timedelta(seconds=seconds)
        found: list[str] = []
        no_data = ""
        figures = None
        try:
            found += self._pods(record)
        except (ClusterError, StageError) as error:
            no_data = str(error)
        try:
            rolled_out_at = record.applied_at or datetime.fromisoformat(record.steps[0].at)
            began = alerts_since(self.prometheus, rolled_out_at)
            figures = read_figures(self.prometheus, over_s=seconds)
        except PrometheusError as error:
            no_data = str(error)
        else:
            found += [f"the alert {alert} fires, and began after the rollout" for alert in began]
            if figures.requests >= self.limits.requests_min:
                found += problems(figures, self.limits)
            else:
                no_data = f"{figures.requests:.0f} requests, of {self.limits.requests_min} that are needed"
        return Window(
            at=f"{at:%Y-%m-%dT%H:%M:%SZ}",
            seconds=seconds,
            figures=figures and rounded(figures),
            problems=(redact("; ".join(found))[:_TEXT],) if found else (),
            no_data="" if found else redact(no_data)[:_TEXT],
        )

    def _pods(self, record: Record) -> list[str]:
        """Return what is wrong with the pods, and which of them restarted since the last look."""
        try:
            live = self.workload.read()
        except Refused as error:
            raise Stuck(str(error)) from None
        name = f"the pods of {self.workload.name}"
        found = request(f"Reading {name}", partial(self.workload.findings, live, record.images))
        pods = request(f"Reading {name}", partial(self.workload.pods, live))
        now = {str(pod["metadata"]["name"]): _restarts(pod) for pod in pods}
        before, self._restarts = self._restarts, now
        if before is not None:
            again = [name for name, count in now.items() if count > before.get(name, 0)]
            found = [*found, *(f"pod {name} restarted ({now[name]} times in all)" for name in again)]
        return found


def figures_text(figures: Figures | None, seconds: float) -> str:
    """Return the figures of a window for people."""
    if figures is None:
        return "no figures"
    share = figures.errors / figures.requests if figures.requests else 0.0
    p95 = "no p95" if figures.p95_ms is None else f"p95 {figures.p95_ms:.0f} ms"
    paid = f"{figures.payments_succeeded:.0f} of {figures.payments:.0f} payments"
    return f"{figures.requests / seconds:.1f} requests/s, {share:.2%} errors, {p95}, {paid}"


def rounded(figures: Figures) -> Figures:
    """Return the figures as a record keeps them."""
    p95_ms = None if figures.p95_ms is None else round(figures.p95_ms, 1)
    return replace(figures, p95_ms=p95_ms)


def clock_text(seconds: float) -> str:
    """Return seconds as a clock shows them, such as ``14:30``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _restarts(pod: dict[str, Any]) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return sum(int(one.get("restartCount") or 0) for one in statuses)
