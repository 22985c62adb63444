"""How numbers, checks, times and durations are said: in one place, so that no two reports differ."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

from bais_gates.reports.text import cap, one_line
from bais_gates.verdict.model import Check, JsonValue, Outcome

VALUE_LIMIT = 400
"""Characters of one observed value or limit that a report shows; decision.json has all of it."""

NAME_LIMIT = 200
"""Characters of the name of a check or a case."""
UNIT_LIMIT = 40
BRIEF_LIMIT = 600
"""Characters of a message in a table or a list."""

OUTCOME_WORDS: dict[Outcome, str] = {
    Outcome.PASS: "passed",
    Outcome.FAIL: "failed",
    Outcome.ERROR: "could not be checked",
    Outcome.NO_DATA: "too little data",
    Outcome.SKIPPED: "skipped",
    Outcome.XFAIL: "expected to fail",
    Outcome.XPASS: "passed against expectation",
    Outcome.FLAKY: "passed only when repeated",
    Outcome.NOT_RUN: "did not run",
    Outcome.NOT_APPLICABLE: "not applicable",
    Outcome.VACUOUS: "proved nothing",
}
"""Each outcome in plain words."""


def value(item: JsonValue) -> str:
    """Say one observed value or limit on one line: numbers short, text in quotes, collections as JSON."""
    if item is None:
        return "no value"
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int | float):
        return number(item)
    return cap(one_line(json.dumps(item, ensure_ascii=False)), VALUE_LIMIT)


def number(item: float) -> str:
    """Say a number with at most four significant decimals and thousands apart."""
    if isinstance(item, int):
        return f"{item:,}" if abs(item) < 10**18 else f"{item:e}"
    if not math.isfinite(item):
        return "not a number" if math.isnan(item) else ("infinite" if item > 0 else "-infinite")
    if item != 0 and not 1e-4 <= abs(item) < 1e15:
        return f"{item:.4g}"
    digits = 4 if item == 0 else max(0, 4 - 1 - math.floor(math.log10(abs(item))))
    text = f"{item:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def comparison(check: Check) -> str:
    """Say ``observed op limit unit`` and the number of samples, e.g. ``212.4 <= 200 ms (n 300)``."""
    observed, limit = value(check.observed), value(check.limit)
    if observed == limit and check.observed != check.limit:
        observed, limit = repr(check.observed), repr(check.limit)  # equal only because they were rounded
    unit = f" {cap(one_line(check.unit), UNIT_LIMIT)}" if check.unit else ""
    return f"{observed} {check.op.value} {limit}{unit}{samples(check)}"


def samples(check: Check) -> str:
    """Say how many samples a check rests on, and how many it needs when they are too few."""
    if check.n is None:
        return f" (needs n {number(check.n_min)})" if check.ok is None and check.n_min is not None else ""
    if check.n_min is not None and check.n < check.n_min:
        return f" (n {number(check.n)}, needs {number(check.n_min)})"
    return f" (n {number(check.n)})"


def check_name(check: Check) -> str:
    """Say which check it is, with its case when the gate has cases."""
    name = cap(one_line(check.name), NAME_LIMIT)
    return f"{name} [{cap(one_line(check.case), NAME_LIMIT)}]" if check.case else name


def check_word(check: Check) -> str:
    """Say what became of a check."""
    return {True: "ok", False: "not ok", None: "NO_DATA"}[check.ok]


def brief(text: str) -> str:
    """Say a message on one line, cut where it becomes too long for a table or a list."""
    return cap(one_line(text), BRIEF_LIMIT)


def moment(at: datetime) -> str:
    """Say a moment in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float) -> str:
    """Say a duration: ``85 ms``, ``3.2 s``, ``4 min 05 s``, ``2 h 03 min``."""
    if not math.isfinite(seconds) or seconds < 0:
        return "unknown"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def count(number_of: int, singular: str, plural: str | None = None) -> str:
    """Say ``1 gate`` or ``3 gates``."""
    return f"{number_of:,} {singular if number_of == 1 else plural or singular + 's'}"
