"""Show a load run: its figures, as plots, as a table in text, and as Prometheus text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from bais_gates.load.drive import PAGE
from bais_gates.load.result import Request, Result, Window, names
from bais_gates.probes.statistics import Summary, percentile

__all__ = [
    "PAGE",
    "baseline_of",
    "plots",
    "prometheus_text",
    "summary",
    "table",
    "worst_allowed",
]

_STEP_S: Final = 0.5
_RANKS: Final = tuple(round(100 - 50 * 500 ** (-step / 40), 3) for step in range(41))
"""The percentiles of the curve, from 50 to 99.9: each leaves the same share of what the one before leaves."""


def summary(result: Result) -> dict[str, Any]:
    """Return all figures; latencies in milliseconds from due times and, as ``plain``, from sending."""
    measured = result.measured
    by_name = {
        name: _latencies(measured, lambda one, name=name: one.name == name)  # type: ignore[misc]
        for name in names(measured.due)
    }
    return {
        "asked per s": round(result.plan.asked_per_s, 1),
        "users": result.plan.users,
        "windows": [_window(one) for one in result.windows],
        "all": _latencies(measured, lambda _one: True),
        "by name": by_name,
    }


def _window(window: Window) -> dict[str, Any]:
    return {
        "accepted per s": round(window.accepted_per_s, 1),
        "faults": sum(bool(one.fault) for one in window.due),
        **_latencies(window, lambda _one: True),
        "generator's lag p95": _ms(percentile([one.lag * 1000 for one in window.due], 95)),
        "cores of the generator": round(window.cores("generator"), 3),
        "cores of the platform": round(window.cores("platform"), 3),
        "cores of others": round(window.cores("foreign"), 3),
    }


def _latencies(window: Window, includes: Callable[[Request], bool]) -> dict[str, Any]:
    due, plain = window.latency(includes), Summary.of(one.took * 1000 for one in window.due if includes(one))
    return {
        "n": due.n,
        "p50": _ms(due.p50),
        "p95": _ms(due.p95),
        "p99": _ms(due.p99),
        "max": _ms(due.max),
        "plain p95": _ms(plain.p95),
        "plain p99": _ms(plain.p99),
    }


def _ms(value: float) -> float:
    return round(value, 2)


def plots(result: Result, limit_ms: float) -> list[dict[str, Any]]:
    """Return latency and rate over time, and the curve of percentiles, with their limits."""
    end = result.measured_from + result.plan.measured_s + result.plan.tail_s
    steps = [result.began + index * _STEP_S for index in range(int((end - result.began) / _STEP_S))]
    due: dict[int, list[Request]] = {}
    ended: dict[int, list[Request]] = {}
    for one in result.requests:
        due.setdefault(int((one.due - result.began) / _STEP_S), []).append(one)
        ended.setdefault(int((one.ended - result.began) / _STEP_S), []).append(one)

    def series(name: str, value: Callable[[int], float]) -> dict[str, Any]:
        points = [[round(at, 1), _or_gap(value(index))] for index, at in enumerate(steps)]
        return {"name": name, "points": points}

    def latency(rank: float) -> Callable[[int], float]:
        return lambda index: percentile([one.latency_ms for one in due.get(index, ())], rank)

    def rate(includes: Callable[[Request], bool]) -> Callable[[int], float]:
        return lambda index: sum(map(includes, ended.get(index, ()))) / _STEP_S

    return [
        {
            "title": "Latency from the due time",
            "unit": "ms",
            "series": [series(f"p{rank}", latency(rank)) for rank in (50, 95, 99)],
            "alert": limit_ms,
        },
        {
            "title": "Requests",
            "unit": "requests/s",
            "series": [
                series("accepted", rate(lambda one: one.accepted)),
                series("not accepted", rate(lambda one: not one.accepted)),
            ],
            "target": result.plan.rate_per_s,
        },
        _curve(result, limit_ms),
    ]


def _curve(result: Result, limit_ms: float) -> dict[str, Any]:
    """Return latency by percentile, of those that a request of the measured time is above."""
    due = result.measured.due
    ranks = [rank for rank in _RANKS if (100 - rank) / 100 * len(due) >= 1 - 1e-9]

    def series(name: str, values: list[float]) -> dict[str, Any]:
        values.sort()
        return {"name": name, "points": [[rank, _or_gap(percentile(values, rank))] for rank in ranks]}

    return {
        "title": "Latency by percentile",
        "unit": "ms",
        "x": "percentile",
        "series": [
            series("from the due time", [one.latency_ms for one in due]),
            series("plain, from sending", [one.took * 1000 for one in due]),
        ],
        "alert": limit_ms,
    }


def _or_gap(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None


def table(result: Result) -> str:
    """Return the windows and the names as text of fixed width."""
    head = f"{'':34}{'n':>8}{'per s':>9}{'p50':>8}{'p95':>8}{'p99':>8}{'plain p95':>11}  ms"
    rows = [head]
    for number, window in enumerate(result.windows, 1):
        rows.append(_row(f"window {number}", _latencies(window, lambda _one: True), window.accepted_per_s))
    measured = result.measured
    rows.append(_row("all", _latencies(measured, lambda _one: True), measured.accepted_per_s))
    for name in names(measured.due):
        row = _latencies(measured, lambda one, name=name: one.name == name)  # type: ignore[misc]
        rows.append(_row(f"  {name}", row, row["n"] / measured.seconds))
    return "\n".join(rows)


def _row(name: str, row: dict[str, Any], per_s: float) -> str:
    figures = "".join(f"{row[key]:>8.1f}" for key in ("p50", "p95", "p99"))
    return f"{name:34}{row['n']:>8,}{per_s:>9.1f}{figures}{row['plain p95']:>11.1f}"


def baseline_of(result: Result) -> dict[str, dict[str, float]]:
    """Return p95 (milliseconds) and number of the requests of each name, to compare later runs with."""
    rows = summary(result)["by name"]
    return {name: {"p95": row["p95"], "n": row["n"]} for name, row in rows.items()}


def worst_allowed(baseline_ms: float) -> float:
    """Return the highest p95 (milliseconds) that is not worse than a baseline: by 20 %, and by 10 ms."""
    return max(1.2 * baseline_ms, baseline_ms + 10.0)


def prometheus_text(result: Result) -> str:
    """Return the run's figures, a second each, in Prometheus' text format with time stamps."""
    lines = [
        "# HELP bais_load_requests Requests that ended in a second, by whether they were accepted.",
        "# TYPE bais_load_requests gauge",
    ]
    latencies = [
        "# HELP bais_load_latency_seconds Latency from the due time, of the requests due in a second.",
        "# TYPE bais_load_latency_seconds gauge",
    ]
    for second in range(math.ceil(result.plan.seconds)):
        at = result.began + second
        stamp = int((at + 1) * 1000)
        window = result.window(at, 1.0)
        ended, due = window.ended, [one.latency_ms / 1000 for one in window.due]
        for accepted in (True, False):
            count = sum(one.accepted is accepted for one in ended)
            lines.append(f'bais_load_requests{{accepted="{str(accepted).lower()}"}} {count} {stamp}')
        if due:
            latencies += [
                f'bais_load_latency_seconds{{quantile="{rank / 100:g}"}} {percentile(due, rank):.5f} {stamp}'
                for rank in (50, 95, 99)
            ]
    return "\n".join([*lines, *latencies, ""])
