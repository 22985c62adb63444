"""Line plots of evidence: an attachment of JSON becomes geometry, which the templates draw as inline SVG.

The JSON is a list of ``{"title", "unit", "series": [{"name", "points": [[t, value], ...]}], "alert",
"target", "x"}``: ``t`` in Unix seconds, ``value`` in the unit, or null or NaN for a gap; ``alert`` and
``target`` are numbers, null or absent. With ``"x": "percentile"`` each ``t`` is one, from 0 to below 100, on
an axis on which 90, 99 and 99.9 are equally far apart, so that the tail is seen; otherwise it is absent.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bais_gates.reports.text import shorten, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bais_gates.verdict.model import Attachment

CONTENT_TYPE = "application/vnd.bais-gates.plots+json"
PLOTS_LIMIT = 20
SERIES_LIMIT = 12
POINTS_LIMIT = 160
"""Points of one series on the page, an even number; of more, each stretch's least and greatest are drawn."""
LEFT, RIGHT, TOP, BOTTOM = 70.0, 620.0, 12.0, 190.0
"""Edges of the drawing area, in units of the drawing."""
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_LABEL_HEIGHT = 14.0
_PERCENTILES = (0, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99)
_LAST_MOMENT = 253_402_300_800.0

_Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark of an axis: its place, and its text."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series: its SVG path, and its least, greatest and last value as text, empty without a value."""

    name: str
    path: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The line of the alert or the target, which ``kind`` names; its label may stand a little below it."""

    kind: str
    at: float
    label_at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One plot in drawing units, ready for the template."""

    title: str
    unit: str
    description: str
    lines: tuple[Line, ...]
    levels: tuple[Level, ...]
    x_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    more_series: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plots:
    """The plots of one attachment, and how many more it has than are drawn."""

    drawn: tuple[Plot, ...]
    more: int


def plots_of(attachment: Attachment) -> Plots | None:
    """Return an attachment's plots; None when it is of another type or malformed, to be shown as text."""
    if attachment.content_type.partition(";")[0].strip().lower() != CONTENT_TYPE or attachment.truncated:
        return None
    try:
        items = json.loads(attachment.text, parse_constant=float)
        if not isinstance(items, list) or not items:
            return None
        drawn = tuple(map(_plot, items[:PLOTS_LIMIT]))
    except (ValueError, OverflowError, RecursionError):
        return None
    return Plots(drawn=drawn, more=len(items) - len(drawn))


def _plot(item: Any) -> Plot:
    """Return the plot of one item. Raises ``ValueError`` when the item is malformed."""
    fields = _fields(item, required={"title", "unit", "series"}, optional={"alert", "target", "x"})
    axis = _PercentileAxis() if fields.get("x") == "percentile" else _TimeAxis()
    if "x" in fields and isinstance(axis, _TimeAxis):
        raise ValueError("not an axis that can be drawn")
    title, unit = _text(fields["title"]), _text(fields["unit"])
    everything = [_series(each, axis) for each in _list(fields["series"])]
    series = everything[:SERIES_LIMIT]
    limits = {kind: _number(fields[kind]) for kind in ("alert", "target") if fields.get(kind) is not None}
    times = [t for _, points in series for t, _ in points]
    values = [value for _, points in series for _, value in points if value is not None]
    start, end = (min(times), max(times)) if times else (0.0, 0.0)  # as the axis places them
    to_x = _scale(start, end if end > start else start + 1, LEFT, RIGHT)
    low, high, step = _value_range([*values, *limits.values()])
    to_y = _scale(low, high, BOTTOM, TOP)
    lines = tuple(
        Line(name=name, path=_path(points, to_x, to_y, gap=axis.gap), summary=_summary(points, unit))
        for name, points in series
    )
    return Plot(
        title=title,
        unit=unit,
        description=_description(lines, limits, unit, axis.span(start, end) if times else "No data."),
        lines=lines,
        levels=_levels(limits, to_y),
        x_label=axis.label,
        x_ticks=tuple(Tick(at=to_x(t), text=text) for t, text in axis.ticks(start, end)) if times else (),
        y_ticks=tuple(
            Tick(at=to_y(value), text=_amount(value))
            for value in (low + index * step for index in range(round((high - low) / step) + 1))
        ),
        more_series=len(everything) - len(series),
    )


class _TimeAxis:
    """Places moments, in Unix seconds."""

    label = "time (UTC)"
    gap = 2.5
    """A longer distance than this many usual ones between two points is a gap."""

    def place(self, t: float) -> float:
        """Return where a moment lies. Raises ``ValueError`` outside of the calendar."""
        if not 0 <= t < _LAST_MOMENT:
            raise ValueError("not a time of the years 1970 to 9999")
        return t

    def ticks(self, start: float, end: float) -> list[tuple[float, str]]:
        """Return round moments, with their texts."""
        return _time_ticks(start, end)

    def span(self, start: float, end: float) -> str:
        """Return the range in words."""
        first, last = (datetime.fromtimestamp(t, UTC) for t in (start, end))
        return f"From {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC."


class _PercentileAxis:
    """Places percentiles by how rare what lies above them is: one of ten, of a hundred, of a thousand."""

    label = "percentile"
    gap = math.inf

    def place(self, rank: float) -> float:
        """Return where a percentile lies. Raises ``ValueError`` for what is none, or 100."""
        if not 0 <= rank < 100:
            raise ValueError("not a percentile from 0 to below 100")
        return -math.log10(1 - rank / 100)

    def ticks(self, start: float, end: float) -> list[tuple[float, str]]:
        """Return the usual percentiles of the range, with their texts; at least its start."""
        usual = [(self.place(rank), f"p{rank:g}") for rank in _PERCENTILES]
        shown = [(at, text) for at, text in usual if start - 1e-6 <= at <= end + 1e-6]
        return shown or [(start, self._text(start))]

    def span(self, start: float, end: float) -> str:
        """Return the range in words."""
        return f"From {self._text(start)} to {self._text(end)}."

    def _text(self, at: float) -> str:
        return f"p{100 * (1 - 10**-at):.5g}"


_Axis = _TimeAxis | _PercentileAxis


def _series(item: Any, axis: _Axis) -> tuple[str, list[_Point]]:
    fields = _fields(item, required={"name", "points"}, optional=set())
    points: list[_Point] = []
    for pair in _list(fields["points"]):
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError("a point is not [t, value]")
        at = axis.place(_number(pair[0]))
        points.append((at, None if _is_gap(pair[1]) else _number(pair[1])))
    return _text(fields["name"]), sorted(points, key=lambda point: point[0])


def _is_gap(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _path(
    points: list[_Point], to_x: Callable[[float], float], to_y: Callable[[float], float], *, gap: float
) -> str:
    """Return an SVG path with a stretch for all that has no gap in it; a lone point becomes a dot."""
    stretches: list[list[str]] = []
    for t, value, after_gap in _decimated(_with_gaps(points, gap)):
        if after_gap or not stretches:
            stretches.append([])
        stretches[-1].append(f"{to_x(t):g} {to_y(value):g}")
    return "".join("M" + "L".join(stretch) + ("h.1" if len(stretch) == 1 else "") for stretch in stretches)


def _with_gaps(points: list[_Point], far: float) -> list[tuple[float, float, bool]]:
    """Return the points that have a value, each with whether a gap lies before it."""
    steps = [later - t for (t, _), (later, _) in itertools.pairwise(points) if later > t]
    longest = far * statistics.median(steps) if steps else math.inf
    found: list[tuple[float, float, bool]] = []
    gap = False
    for t, value in points:
        if value is None:
            gap = True
            continue
        found.append((t, value, gap or bool(found and t - found[-1][0] > longest)))
        gap = False
    return found


def _decimated(points: list[tuple[float, float, bool]]) -> list[tuple[float, float, bool]]:
    """Return at most ``POINTS_LIMIT`` points, so that no peak and no gap wider than a stretch is lost."""
    if len(points) <= POINTS_LIMIT:
        return points
    start, span = points[0][0], (points[-1][0] - points[0][0]) or 1.0
    stretches = POINTS_LIMIT // 2
    kept = []
    for _, group in itertools.groupby(
        points, key=lambda point: min(int((point[0] - start) / span * stretches), stretches - 1)
    ):
        members = list(group)
        ends = {min(members, key=lambda point: point[1]), max(members, key=lambda point: point[1])}
        (t, value, _), *others = sorted(ends)
        kept += [(t, value, members[0][2]), *((t, value, False) for t, value, _ in others)]
    return kept


def _value_range(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the value axis: its ends, which are multiples of the third, the distance between its marks."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if 0 < low < high / 2 or low == high > 0:
        low = 0.0
    if high - low <= 1e-6 * max(abs(low), abs(high), 1e-200):
        room = 0.1 * max(abs(low), abs(high)) or 1.0
        low, high = low - room, high + room
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= rough * 0.999)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def _time_ticks(start: float, end: float) -> list[tuple[float, str]]:
    """Return five or so round moments of the range, in UTC; at least its start."""
    span = end - start
    days = 86_400 * max(math.ceil(span / 5 / 86_400), 1)
    step = next((step for step in _TIME_STEPS if span / step <= 5), days)
    form = "%H:%M:%S" if step < 60 else "%H:%M"
    if step >= 86_400:
        form = "%Y-%m-%d"
    elif datetime.fromtimestamp(start, UTC).date() != datetime.fromtimestamp(end, UTC).date():
        form = "%m-%d " + form
    first, last = math.ceil(start / step), math.floor(end / step)
    moments = [float(index * step) for index in range(first, last + 1)] or [start]
    return [(t, datetime.fromtimestamp(t, UTC).strftime(form)) for t in moments]


def _levels(limits: dict[str, float], to_y: Callable[[float], float]) -> tuple[Level, ...]:
    """Return the lines of alert and target, the upper first, with labels that don't cover each other."""
    levels: list[Level] = []
    for kind, limit in sorted(limits.items(), key=lambda item: to_y(item[1])):
        at = to_y(limit)
        label_at = max(at, levels[-1].label_at + _LABEL_HEIGHT) if levels else at
        levels.append(Level(kind=kind, at=at, label_at=label_at, text=f"{kind} {_amount(limit)}"))
    return tuple(levels)


def _description(lines: Sequence[Line], limits: dict[str, float], unit: str, span: str) -> str:
    """Return what the plot shows in words, for those who can't see it."""
    parts = [span]
    parts += [f"{shorten(visible(line.name), 80)}: {line.summary or 'no data'}." for line in lines]
    parts += [f"{kind.capitalize()} line at {_with_unit(limit, unit)}." for kind, limit in limits.items()]
    return " ".join(parts)


def _summary(points: list[_Point], unit: str) -> str:
    values = [value for _, value in points if value is not None]
    if not values:
        return ""
    least, greatest, last = (_amount(value) for value in (min(values), max(values), values[-1]))
    return f"{least} to {greatest}, last {last}" + (f" {unit}" if unit else "")


def _with_unit(value: float, unit: str) -> str:
    return f"{_amount(value)} {unit}".rstrip()


def _amount(value: float) -> str:
    """Return a number in four digits at most, with k, M, G or T when it is great."""
    value = 0.0 if abs(value) < 1e-12 else value
    for power, letter in ((12, "T"), (9, "G"), (6, "M"), (4, "k")):
        if 10**power <= abs(value) < 1e15:
            return f"{value / 10 ** (power - power % 3):.4g}{letter}"
    return f"{value:.4g}"


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: round(start + (end - start) * ((value - low) / (high - low)), 1)


def _fields(item: Any, *, required: set[str], optional: set[str]) -> dict[str, Any]:
    if not isinstance(item, dict) or not required <= item.keys() <= required | optional:
        raise ValueError("not an object of these keys")
    return item


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("not a list")  # noqa: TRY004 - one kind of error for all that is malformed
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")  # noqa: TRY004 - as above
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")  # noqa: TRY004 - as above
    number = float(value)
    if not abs(number) < 1e300:
        raise ValueError("too great a number")
    return number
