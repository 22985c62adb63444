"""What the platform's metrics show over a stretch of time, and which limits of the environment that breaks.

A rollout makes new series: new replicas, and the first error of each of their routes. ``increase`` ignores
what a counter had when it was first scraped, so that the few errors of a new release would hardly count.
Here a series that was not there before, or has started again, counts from 0. Samples that lie between the
last scrape and the end are in the next stretch: stretches that follow one another lose nothing and count
nothing twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from bais_gates.probes.prometheus import PrometheusError

if TYPE_CHECKING:
    from bais_gates.probes.prometheus import Prometheus
    from bais_gates.targets.rollout import WatchPart

_ROUTES: Final = 'job="bais-api", route!~"/health|/ready|/metrics"'
_DURATIONS: Final = "http_request_duration_seconds"
_REQUESTS: Final = f"{_DURATIONS}_count{{{_ROUTES}}}"
_ERRORS: Final = f'{_DURATIONS}_count{{{_ROUTES}, status=~"5.."}}'
_BUCKETS: Final = f"{_DURATIONS}_bucket{{{_ROUTES}}}"
_PAYMENTS: Final = 'payments_total{job="bais-api", status=~"completed|declined|failed"}'
_SUCCEEDED: Final = 'payments_total{job="bais-api", status="completed"}'
_BEFORE: Final = "1h"
"""How long a replica may have gone without a scrape and still not count as new."""
_SILENT: Final = frozenset({"info", "none"})
"""Severities of alerts that page nobody and judge nothing, such as the Watchdog that fires always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What all replicas did over one stretch of time, by Prometheus."""

    requests: float
    """API requests, without /health, /ready and /metrics."""
    errors: float
    """Those of them that ended in a 5xx."""
    p95_ms: float | None
    """Their p95 latency, by ``histogram_quantile``; None without requests."""
    payments: float
    """Payments with an outcome: completed, declined or failed."""
    payments_succeeded: float


def read_figures(prometheus: Prometheus, *, over_s: float, ends_at: float | None = None) -> Figures:
    """Return the figures of the ``over_s`` seconds before ``ends_at`` (Unix seconds; by default now).

    Now is Prometheus' own: clocks that differ would show another release's figures. Without any sample all
    figures are 0. Raises ``PrometheusError``.
    """
    at = _one(prometheus, "time()") if ends_at is None else ends_at

    def count(selector: str) -> float:
        return _one(prometheus, f"sum({_counted(selector, over_s, at)})")

    requests = count(_REQUESTS)
    p95_s = None
    if requests:
        expression = f"histogram_quantile(0.95, sum by (le) ({_counted(_BUCKETS, over_s, at)}))"
        p95_s = _one(prometheus, expression)
    return Figures(
        requests=requests,
        errors=count(_ERRORS),
        p95_ms=None if p95_s is None else p95_s * 1000,
        payments=count(_PAYMENTS),
        payments_succeeded=count(_SUCCEEDED),
    )


def alerts_since(prometheus: Prometheus, since: datetime) -> tuple[str, ...]:
    """Return the alerts that fire and began after ``since``, such as ``ApiDown (critical)``.

    One that was pending before began before. Alerts of severity info or none are left out. Raises
    ``PrometheusError``.
    """
    began = _one(prometheus, "time()") - (datetime.now(UTC) - since).total_seconds()
    return tuple(
        sorted(
            {
                f"{alert.labels.get('alertname', 'an alert')} ({alert.labels.get('severity', 'no severity')})"
                for alert in prometheus.alerts()
                if alert.firing and alert.active_at > began and alert.labels.get("severity") not in _SILENT
            }
        )
    )


def problems(figures: Figures, limits: WatchPart) -> tuple[str, ...]:
    """Return which limits the figures break, a sentence each.

    Payments are judged from the number on of which one failure is within the limit: below, chance decides.
    """
    found = []
    if figures.requests and figures.errors / figures.requests > limits.errors_max:
        found.append(
            f"{figures.errors:.0f} of {figures.requests:.0f} requests ended in a 5xx "
            f"({figures.errors / figures.requests:.2%}); the limit is {limits.errors_max:.2%}"
        )
    if figures.p95_ms is not None and figures.p95_ms > limits.p95_ms:
        found.append(f"p95 latency is {figures.p95_ms:.0f} ms; the limit is {limits.p95_ms:g} ms")
    enough = figures.payments * (1 - limits.payments_min) >= 1 - 1e-9 or limits.payments_min == 1
    if figures.payments and enough:
        share = figures.payments_succeeded / figures.payments
        if share < limits.payments_min:
            found.append(
                f"{figures.payments_succeeded:.0f} of {figures.payments:.0f} payments succeeded "
                f"({share:.1%}); the limit is {limits.payments_min:.1%}"
            )
    return tuple(found)


def _counted(counter: str, over_s: float, at: float) -> str:
    """Return the expression for how much each series of a counter grew, from 0 if it is new."""
    over = f"{round(over_s * 1000)}ms"
    now = f"last_over_time({counter}[{over}] @ {at:.3f})"
    before = f"last_over_time({counter}[{_BEFORE}] @ {at:.3f} offset {over})"
    return f"({now} - {before} >= 0 or {now})"


def _one(prometheus: Prometheus, expression: str) -> float:
    """Return the one value of an expression, 0 without a series; raise ``PrometheusError`` for no number."""
    value = math.fsum(point.value for point in prometheus.query(expression))
    if not math.isfinite(value):
        raise PrometheusError(
            f"{expression} has the value {value}, not a number. Check that monitoring.prometheus_url is the "
            "address of Prometheus itself."
        )
    return value
