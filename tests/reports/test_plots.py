"""Plots on the sign-off page: what is drawn, what stays small, and what is shown as text instead."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.reports import plots, signoff
from bais_gates.verdict.model import Attachment, Decision

START = 1_795_000_000


def _item(*points: list[Any], **more: object) -> dict[str, Any]:
    return {"title": "p95", "unit": "ms", "series": [{"name": "GET /route", "points": list(points)}]} | more


def _attachment(data: object, **more: Any) -> Attachment:
    text = data if isinstance(data, str) else json.dumps(data)
    return Attachment(name="run", content_type=plots.CONTENT_TYPE, text=text, **more)


def _plot(*points: list[Any], **more: object) -> plots.Plot:
    found = plots.plots_of(_attachment([_item(*points, **more)]))
    assert found is not None
    return found.drawn[0]


def _page(block: Decision, attachment: Attachment) -> str:
    failed = block.gates[1]
    shown = dataclasses.replace(failed, result=dataclasses.replace(failed.result, attachments=(attachment,)))
    return signoff.render(dataclasses.replace(block, gates=(block.gates[0], shown, *block.gates[2:])))


def _drawings(page: str) -> list[ET.Element]:
    return [
        ET.fromstring(found) for found in re.findall(r'<svg viewBox="0 0 720 230".*?</svg>', page, re.DOTALL)
    ]


def test_the_page_draws_the_series_and_both_lines(block: Decision) -> None:
    """The drawing has a name, a description, axes with units, the series, and labelled alert and target."""
    item = _item([START, 40], [START + 1, 90.5], [START + 2, 60], alert=250, target=200)
    page = _page(block, _attachment([item]))
    (drawing,) = _drawings(page)
    texts = ["".join(each.itertext()) for each in drawing]
    assert drawing.attrib["role"] == "img"
    assert {"p95", "ms", "time (UTC)", "alert 250", "target 200"} <= set(texts)
    described = drawing.findtext("desc", "")
    assert "GET /route: 40 to 90.5, last 60 ms." in described
    assert "Alert line at 250 ms." in described
    assert "Target line at 200 ms." in described
    assert len(drawing.findall("path[@class='line k0 d0']")) == 1
    assert page.count("GET /route") == 2, "in the description and in the legend"
    assert "Plots: run" in page
    assert "&#34;points&#34;" not in page


def test_lines_lie_where_their_values_are() -> None:
    """A greater value lies higher, and the alert's line at the height of a point of the same value."""
    plot = _plot([START, 0], [START + 10, 100], alert=100, target=99)
    assert plot.lines[0].path == f"M70 {plots.BOTTOM:g}L620 {plot.levels[0].at:g}"
    assert [level.kind for level in plot.levels] == ["alert", "target"]
    assert plot.levels[1].label_at - plot.levels[0].label_at >= 14
    assert all(plots.TOP <= tick.at <= plots.BOTTOM for tick in plot.y_ticks)


@pytest.mark.parametrize(
    "gap", [[[START + 3, None]], [[START + 3, math.nan]], []], ids=["null", "NaN", "absent"]
)
def test_a_gap_is_no_line(gap: list[list[Any]]) -> None:
    """Where values are absent the line is interrupted, and a lone point is still drawn."""
    points = [[START, 1], [START + 1, 1], [START + 2, 1], *gap, [START + 9, 1]]
    path = _plot(*points).lines[0].path
    assert path.count("M") == 2
    assert path.endswith("h.1")


def test_many_points_stay_few_and_keep_their_peak() -> None:
    """A day of seconds becomes a small path that still has the one second's peak and the long gap."""
    points = [[START + t, 5 + (t == 40_000) * 95] for t in range(86_400) if not 60_000 < t < 70_000]
    sparse = _plot(*points, alert=100).lines[0]
    assert len(re.findall("[ML]", sparse.path)) <= plots.POINTS_LIMIT
    assert sparse.path.count("M") == 2
    assert f" {_plot([START, 0], [START + 1, 100]).lines[0].path.split()[-1]}" in sparse.path
    assert sparse.summary == "5 to 100, last 5 ms"


def test_what_is_not_drawn_is_counted(block: Decision) -> None:
    """Beyond their limits plots and series are left out, and the page says how many."""
    series = [{"name": f"route {n}", "points": [[START, n], [START + 1, n]]} for n in range(30)]
    page = _page(block, _attachment([_item(series=series)] * 23))
    assert len(_drawings(page)) == plots.PLOTS_LIMIT
    assert "18 more series in decision.json" in page
    assert "3 more plots and all points in decision.json." in page
    assert len(page) < 400_000


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        [1],
        [{"title": "p95"}],
        [_item(alerts=3)],
        [_item(alert="3")],
        [_item(alert=True)],
        [_item(alert=math.nan)],
        [_item(title=None)],
        [_item(series={})],
        [_item(series=[[]])],
        [_item([START])],
        [_item([START, "1"])],
        [_item([START, math.inf])],
        [_item([START, 10**400])],
        [_item([None, 1])],
        [_item([1e18, 1])],
        [_item([-1e300, 1])],
        [_item(5)],  # type: ignore[arg-type]  # not a point at all
    ],
)
def test_a_malformed_attachment_is_shown_as_text(data: object, block: Decision) -> None:
    """What is not exactly the format is no plot; the page shows it as any other attachment."""
    attachment = _attachment(data)
    assert plots.plots_of(attachment) is None
    assert "Attachment: run" in _page(block, attachment)


def test_other_and_cut_attachments_are_no_plots() -> None:
    """The content type decides, and what was cut when it was recorded is not drawn."""
    attachment = _attachment([_item([START, 1])])
    assert plots.plots_of(dataclasses.replace(attachment, content_type="application/json")) is None
    assert plots.plots_of(dataclasses.replace(attachment, truncated=True)) is None


def test_no_data_says_so(block: Decision) -> None:
    """A plot without points is drawn with its lines and the words that there is no data."""
    (drawing,) = _drawings(_page(block, _attachment([_item(alert=1)])))
    assert "no data" in "".join(drawing.itertext())
    assert "alert 1" in "".join(drawing.itertext())


def test_hostile_texts_stay_text(block: Decision, hostile_texts: tuple[str, ...]) -> None:
    """Titles, units and names from outside never become markup or steer the page."""
    items = [
        _item(title=text, unit=text, series=[{"name": text, "points": [[START, 1]]}])
        for text in hostile_texts
    ]
    page = _page(block, _attachment(items[: plots.PLOTS_LIMIT]))
    assert len(_drawings(page)) == min(len(items), plots.PLOTS_LIMIT)
    assert "<script" not in page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u200b\ud800-\udfff]", page)


_VALUES = st.none() | st.floats(-1e299, 1e299, allow_nan=False) | st.integers(-(10**20), 10**20)


@given(
    points=st.lists(st.tuples(st.floats(0, 4e9), _VALUES), max_size=20),
    levels=st.fixed_dictionaries({"alert": _VALUES, "target": _VALUES}),
)
def test_any_numbers_are_drawn_inside_the_edges(
    points: list[tuple[float, Any]], levels: dict[str, Any]
) -> None:
    """Whatever the numbers, all of the drawing is inside its edges and the axes have few marks."""
    plot = _plot(*map(list, points), **levels)
    coordinates = [float(each) for each in re.findall(r"[ML ](-?[\d.e+-]+)(?=[ LMh]|$)", plot.lines[0].path)]
    assert all(plots.TOP <= each <= plots.RIGHT for each in coordinates)
    assert all(plots.TOP <= level.at <= plots.BOTTOM for level in plot.levels)
    assert all(plots.LEFT <= tick.at <= plots.RIGHT for tick in plot.x_ticks)
    assert 2 <= len(plot.y_ticks) <= 9


def test_percentiles_are_drawn_by_how_rare_they_are(block: Decision) -> None:
    """p90, p99 and p99.9 are equally far apart, no stretch is a gap, and the axis says what it is."""
    points = [[50, 1.0], [90, 2.0], [99, 3.0], [99.9, 9.0]]
    (plot,) = _drawn(_item(*points, x="percentile", alert=5))
    at = {tick.text: tick.at for tick in plot.x_ticks}
    assert at["p99"] - at["p90"] == pytest.approx(at["p99.9"] - at["p99"], abs=0.2)
    assert list(at) == ["p50", "p75", "p90", "p95", "p99", "p99.5", "p99.9"]
    assert plot.lines[0].path.count("M") == 1
    assert plot.description.startswith("From p50 to p99.9. GET /route: 1 to 9, last 9 ms.")
    (drawing,) = _drawings(_page(block, _attachment([_item(*points, x="percentile")])))
    assert "percentile" in {"".join(each.itertext()) for each in drawing}


@pytest.mark.parametrize(
    ("rank", "axis"), [(100, "percentile"), (-1, "percentile"), (math.nan, "percentile"), (50, "rank")]
)
def test_what_is_no_percentile_is_shown_as_text(rank: float, axis: str) -> None:
    """So is an axis that nobody can draw."""
    assert plots.plots_of(_attachment([_item([rank, 1.0], x=axis)])) is None


def _drawn(item: dict[str, Any]) -> tuple[plots.Plot, ...]:
    found = plots.plots_of(_attachment([item]))
    assert found is not None
    return found.drawn
