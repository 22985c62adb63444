"""Text for numbers, checks, times and durations: in one place, so that no two reports differ."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING

from bais_gates.reports.text import cap, one_line
from bais_gates.verdict.model import Check, JsonValue, Op, Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

VALUE_LIMIT = 400
"""Characters of one observed value or limit that a report shows; decision.json has all of it."""
NAME_LIMIT = 200
"""Characters of the name of a check or a case."""
UNIT_LIMIT = 40
SOURCE_LIMIT = 160
BRIEF_LIMIT = 1000
"""Characters of a message in a table or a list."""
ITEMS_LIMIT = 160
"""Characters of a list's items that one line shows, besides the first."""
GATES_LIMIT = 5
"""Gates that a cause lists by name in a text; the sign-off page and decision.json have all of them."""
LINES_LIMIT = 10
"""Lines of a message in a table or a list."""

OUTCOME_WORDS: dict[Outcome, str] = {
    Outcome.PASS: "passed",
    Outcome.FAIL: "failed",
    Outcome.ERROR: "could not be checked",
    Outcome.NO_DATA: "too little data",
    Outcome.SKIPPED: "skipped",
    Outcome.XFAIL: "failed, and is marked xfail",
    Outcome.XPASS: "passed, but is marked xfail",
    Outcome.FLAKY: "passed only on a retry",
    Outcome.NOT_RUN: "did not run",
    Outcome.NOT_APPLICABLE: "not applicable",
    Outcome.VACUOUS: "passed without a check",
}
"""Each outcome in plain words."""

_LIMIT_TEXTS: dict[Op, str] = {
    Op.LE: "limit {}",
    Op.LT: "must be below {}",
    Op.GE: "minimum {}",
    Op.GT: "must be above {}",
    Op.EQ: "expected {}",
    Op.NE: "must not be {}",
    Op.IN: "expected one of {}",
    Op.NOT_IN: "must not be one of {}",
    Op.MATCHES: "must match {}",
}
_NOT_FINITE = frozenset(
    {"nan", "inf", "-inf"}
)  # a float's text, and what evidence and decision.json keep of it


def check_text(check: Check) -> str:
    """Return a check on one line: ``p95 latency: 250 ms (limit 200 ms, 300 samples)``."""
    return f"{check_name(check)}: {comparison(check)}"


def check_name(check: Check) -> str:
    """Return a check's name, with its case when the gate has cases."""
    name = cap(one_line(check.name), NAME_LIMIT)
    return f"{name} [{cap(one_line(check.case), NAME_LIMIT)}]" if check.case else name


def check_word(check: Check) -> str:
    """Return a check's result as a word: ``ok``, ``failed`` or ``no data``."""
    return {True: "ok", False: "failed", None: "no data"}[check.ok]


def comparison(check: Check) -> str:
    """Return what was observed and what the limit is, numbers first, on one line.

    For example ``75 ms (limit 200 ms)``, ``none of 100``, ``2 of 100 (expected none): orders, payments``,
    ``503 (expected 200)``, ``not measured (limit 200 ms)``.
    """
    text, items = headline(check), list_items(check)
    return f"{text}: {_joined(items)}" if items else text


def headline(check: Check, *, short: bool = False) -> str:
    """Return ``comparison`` without the items of a list; ``short`` also omits samples and the source."""
    if check.ok is None:
        return _without_data(check, short=short)
    items = list_items(check)
    if items:
        number_of = count_of(len(items), check.n)
        return (
            f"{number_of} (expected none)"
            if _expects_none(check)
            else f"{number_of} {'differs' if len(items) == 1 else 'differ'}"
        )
    if _expects_none(check) and _is_count(check.observed):
        number_of = count_of(_size(check.observed), check.n)
        return number_of if check.ok else f"{number_of} (expected none)"
    observed, limit = _with_unit(check.observed, check), _with_unit(check.limit, check)
    if check.ok and check.op in {Op.EQ, Op.MATCHES}:
        notes = []
    else:
        if observed == limit and check.observed != check.limit:  # alike only when rounded or without quotes
            observed, limit = _exact(check.observed), _exact(check.limit)
        if check.op in {Op.IN, Op.NOT_IN} and isinstance(check.limit, str):
            contained = "contained" if check.op is Op.IN else "not contained"
            notes = [f"must be {contained} in {limit}"]
        else:
            notes = [_LIMIT_TEXTS[check.op].format(limit)]
    if check.n is not None and not short:
        notes.append(count(check.n, "sample"))
    return f"{observed} ({', '.join(notes)})" if notes else observed


def list_items(check: Check) -> tuple[str, ...]:
    """Return what should not have been observed, item by item; empty for a check that is not about a list."""
    if check.ok is not False or check.op is not Op.EQ:
        return ()
    observed, limit = check.observed, check.limit
    if isinstance(observed, dict) and isinstance(limit, dict):
        return tuple(
            _difference(key, observed, limit)
            for key in dict.fromkeys([*limit, *observed])
            if key not in observed or key not in limit or observed[key] != limit[key]
        )
    if isinstance(observed, list) and limit == []:
        return tuple(value(item) for item in observed)
    return ()


def most_telling_first(checks: Iterable[Check]) -> list[Check]:
    """Return the false checks first, then those without data, then the rest.

    Of the false ones those come first that found most: a row that is missing six times tells more than one
    field that is too short.
    """
    return sorted(checks, key=lambda check: ((False, None, True).index(check.ok), -len(list_items(check))))


def value(item: JsonValue) -> str:
    """Return one observed value or limit on one line: numbers short, lists by their first items."""
    if item is None:
        return "nothing"
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, int | float):
        return number(item)
    if isinstance(item, str):
        text = one_line(item)
        return cap(text, VALUE_LIMIT) if text else '""'
    parts = (
        tuple(f"{one_line(key)} {_nested(part)}" for key, part in item.items())
        if isinstance(item, dict)
        else tuple(_nested(part) for part in item)
    )
    return cap(_joined(parts), VALUE_LIMIT) if parts else "none"


def number(item: float) -> str:
    """Return a number with at most four significant decimals and thousands apart."""
    if isinstance(item, int):
        return f"{item:,}" if abs(item) < 10**18 else f"{item:e}"
    if not math.isfinite(item):
        return "not a number" if math.isnan(item) else ("infinite" if item > 0 else "-infinite")
    if item != 0 and not 1e-4 <= abs(item) < 1e15:
        return f"{item:.4g}"
    digits = 4 if item == 0 else max(0, 4 - 1 - math.floor(math.log10(abs(item))))
    text = f"{item:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def held_back(reason: Reason) -> str:
    """Return the gates that a cause holds back: ``2 gates: a.x, b.y``, of many their numbers by phase."""
    gates = reason.holds_back
    phases = Counter(gate_id.partition(".")[0] for gate_id in gates)
    many = [f"{number:,} of {one_line(phase)}" for phase, number in phases.items()]
    listed = gates if len(gates) <= GATES_LIMIT else many
    return f"{count(len(gates), 'gate')}: {', '.join(listed)}" if gates else ""


def brief(text: str) -> str:
    """Return a message on one line, cut where it becomes too long for a table or a list."""
    return cap(one_line(text), BRIEF_LIMIT)


def paragraphs(text: str) -> list[str]:
    """Return the lines of a message, each shortened by ``brief``, the last one counting what is left out."""
    lines = [line for line in text.splitlines() if line.strip()]
    more = [f"and {len(lines) - LINES_LIMIT:,} more"] if len(lines) > LINES_LIMIT else []
    return [brief(line) for line in lines[:LINES_LIMIT]] + more


def moment(at: datetime) -> str:
    """Return a moment in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float) -> str:
    """Return a duration: ``85 ms``, ``3.2 s``, ``4 min 05 s``, ``2 h 03 min``."""
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
    """Return ``1 gate`` or ``3 gates``."""
    return f"{number(number_of)} {singular if number_of == 1 else plural or singular + 's'}"


def count_of(number_of: int, total: int | None) -> str:
    """Return ``none of 100``, ``3 of 100``, or without a total ``none`` and ``3``."""
    text = "none" if number_of == 0 else number(number_of)
    return text if total is None or total < max(number_of, 1) else f"{text} of {number(total)}"


def _without_data(check: Check, *, short: bool) -> str:
    """Return why there was too little data, with the reason in the source, if any, last."""
    if check.limit is None and isinstance(check.observed, str):
        return f"not comparable: {value(check.observed)}"
    limit = _LIMIT_TEXTS[check.op].format(_with_unit(check.limit, check))
    measured = check.observed is not None and str(check.observed) not in _NOT_FINITE
    needed = max(1, check.n_min or 1)
    too_few = check.n_min is not None if check.n is None else check.n < needed
    text = "not measured"
    notes = [limit]
    if too_few:
        text = f"{number(check.n or 0)} of {count(needed, 'sample', 'samples')}"
        if measured:
            notes.insert(0, f"observed {_with_unit(check.observed, check)}")
    elif measured:
        text = f"not comparable: {_with_unit(check.observed, check)}"
    source = f": {cap(one_line(check.source), SOURCE_LIMIT)}" if check.source else ""
    return f"{text}{source}" if short and source else f"{text} ({', '.join(notes)}){source}"


def _with_unit(item: JsonValue, check: Check) -> str:
    return f"{value(item)} {cap(one_line(check.unit), UNIT_LIMIT)}" if check.unit else value(item)


def _exact(item: JsonValue) -> str:
    return cap(one_line(json.dumps(item, ensure_ascii=False)), VALUE_LIMIT)


def _expects_none(check: Check) -> bool:
    if type(check.limit) is int and check.unit is None:
        return check.limit == 0 and check.op in {Op.EQ, Op.LE}
    return check.limit in ([], {}) and check.op is Op.EQ


def _is_count(observed: JsonValue) -> bool:
    return isinstance(observed, list | dict) or (type(observed) is int and observed >= 0)


def _size(observed: JsonValue) -> int:
    if isinstance(observed, list | dict):
        return len(observed)
    return observed if isinstance(observed, int) else 0


def _difference(key: str, observed: dict[str, JsonValue], limit: dict[str, JsonValue]) -> str:
    name = cap(one_line(key), NAME_LIMIT)
    if key not in limit:
        return f"{name}: {value(observed[key])}"
    found = value(observed[key]) if key in observed else "absent"
    expected = value(limit[key])
    if found == expected and key in observed:
        found, expected = _exact(observed[key]), _exact(limit[key])
    return f"{name}: {found} (expected {expected})"


def _nested(item: JsonValue) -> str:
    """Return a part of a list or dict; what is nested still deeper stays JSON."""
    if isinstance(item, list):
        return "/".join(_nested(part) if not isinstance(part, list | dict) else _exact(part) for part in item)
    if isinstance(item, dict):
        parts = (
            f"{key} {_exact(part) if isinstance(part, list | dict) else value(part)}"
            for key, part in item.items()
        )
        return one_line(", ".join(parts))
    return value(item)


def _joined(parts: tuple[str, ...]) -> str:
    """Join the first few parts, by semicolons where a part has commas of its own."""
    separator = "; " if any("," in part for part in parts) else ", "
    lengths = accumulate(len(part) + len(separator) for part in parts)
    shown = max(1, sum(length <= ITEMS_LIMIT for length in lengths))
    more = f" and {len(parts) - shown:,} more" if len(parts) > shown else ""
    return cap(separator.join(parts[:shown]), VALUE_LIMIT) + more
