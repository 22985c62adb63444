"""The geometry of a check's bar: the length of the observed value and the place of the limit's tick."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bais_gates.verdict.model import Check, Op

WIDTH = 160.0
"""Units of the drawing; it is scaled to the page."""
_MARGIN = 4.0
_FURTHEST = 3.0
"""The scale's end in multiples of the limit; a longer bar is cut, so that the tick stays readable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar in drawing units. ``allowed_x`` and ``allowed_width``: the allowed side of the limit."""

    start: float
    length: float
    tick: float
    allowed_x: float
    allowed_width: float
    ok: bool
    cut: bool


def bar_of(check: Check) -> Bar | None:
    """Return the bar of a numeric check with an upper or lower limit, None for every other check."""
    observed, limit = _finite(check.observed), _finite(check.limit)
    if observed is None or limit is None or check.ok is None or check.op not in _UPPER | _LOWER:
        return None
    low = min(0.0, observed, limit)
    high = max(0.0, observed, limit)
    cut = limit > 0 and observed > _FURTHEST * limit
    if cut:
        high = _FURTHEST * limit
    span = (high - low) * 1.08 or 1.0
    if not math.isfinite(span):
        return None

    def at(value: float) -> float:
        return round(_MARGIN + (WIDTH - 2 * _MARGIN) * ((min(value, high) - low) / span), 1)

    zero, end, tick = at(0.0), at(observed), at(limit)
    upper = check.op in _UPPER
    return Bar(
        start=min(zero, end),
        length=round(abs(end - zero), 1),
        tick=tick,
        allowed_x=_MARGIN if upper else tick,
        allowed_width=round(max(tick - _MARGIN if upper else WIDTH - _MARGIN - tick, 0.0), 1),
        ok=check.ok,
        cut=cut,
    )


_UPPER = frozenset({Op.LE, Op.LT})
_LOWER = frozenset({Op.GE, Op.GT})


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
