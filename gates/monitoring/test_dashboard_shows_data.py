"""Check the dashboard: every panel's query returns data from the Prometheus that people look at."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import Final

import pytest

from bais_gates import Environment, Evidence
from bais_gates.monitoring import Panel, live, load_shipped
from bais_gates.probes import Line, Prometheus

SHIPPED: Final = Path(__file__).parent
SHOWN_WITHIN_S: Final = 20.0
"""Seconds within which a Prometheus that was just started must have two samples of everything."""
SHOWN_S: Final = 300.0
POINTS: Final = 150
SERIES: Final = 5
UNITS: Final = {
    "percentunit": ("%", 100.0),
    "reqps": ("requests/s", 1.0),
    "cps": ("per second", 1.0),
    "short": ("", 1.0),
}
"""Grafana's units in words, and by what values are multiplied to be in them."""


@pytest.mark.gate("monitoring.dashboard_shows_data")
def test_dashboard_shows_data(prometheus: Prometheus, environment: Environment, evidence: Evidence) -> None:
    """Every query of every panel returns data; a ratio without traffic (NaN) is data, too."""
    shipped = load_shipped(SHIPPED)
    panels = [panel for dashboard in shipped.dashboards for panel in dashboard.panels]
    absent = dict(environment.monitoring.absent)
    ends_at = time.monotonic() + SHOWN_WITHIN_S
    while True:
        empty = live.empty_queries(
            shipped, lambda expression: bool(prometheus.query(expression)), environment.name, absent
        )
        if not empty or time.monotonic() > ends_at:
            break
        time.sleep(1)

    plots = [plot(prometheus, panel) for panel in panels]
    evidence.attach_plots("dashboard of the last minutes", plots)
    count = sum(len(panel.queries) for panel in panels)
    evidence.check("queries of the dashboard that return no data", empty, "==", [], n=count, n_min=1)


def plot(prometheus: Prometheus, panel: Panel) -> dict[str, object]:
    """Return a panel as a plot with both of its lines; of many series those with the greatest values."""
    now = time.time()
    unit, factor = UNITS.get(panel.unit, (panel.unit, 1.0))
    series = []
    for query in panel.queries:
        found = prometheus.query_range(
            query.expr.value, start=now - SHOWN_S, end=now, step_s=SHOWN_S / POINTS
        )
        for line in sorted(found, key=greatest, reverse=True)[:SERIES]:
            points = [
                [int(at), float(f"{factor * value:.4g}") if math.isfinite(value) else None]
                for at, value in line.points
            ]
            series.append({"name": name(query.legend, line), "points": points})
    lines = {"alert": panel.alert, "target": panel.target}
    return {
        "title": panel.title.value,
        "unit": unit,
        "series": series,
        **{kind: factor * value for kind, value in lines.items() if value is not None},
    }


def greatest(line: Line) -> float:
    """Return the greatest value of a series that is a number."""
    return max((value for _, value in line.points if math.isfinite(value)), default=-math.inf)


def name(legend: str, line: Line) -> str:
    """Return a series' name as Grafana writes it."""
    named = re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: line.labels.get(match[1], ""), legend)
    return named.strip() or ", ".join(line.labels.values()) or "all"
