"""What a gate's result really amounts to: a PASS is re-derived from its checks, never believed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from bais_gates.verdict.model import Check, Gate, GateResult, JsonValue, Op, Outcome

WAIVABLE: Final = frozenset({Outcome.FAIL, Outcome.ERROR, Outcome.NO_DATA, Outcome.FLAKY})
"""Outcomes that a waiver may cover: the gate ran, and said what it saw.

Not NOT_RUN and SKIPPED, as a waived gate still runs; not VACUOUS, XFAIL and XPASS, as nobody can tell what
was seen and so what the exception is for.
"""
RAN: Final = frozenset(Outcome) - {Outcome.NOT_RUN, Outcome.SKIPPED, Outcome.NOT_APPLICABLE}
"""Outcomes of a gate that ran, so that its cases can be counted."""

_WORST_FIRST: Final = (
    Outcome.ERROR,
    Outcome.FAIL,
    Outcome.NOT_RUN,
    Outcome.SKIPPED,
    Outcome.XFAIL,
    Outcome.XPASS,
    Outcome.FLAKY,
    Outcome.NO_DATA,
    Outcome.VACUOUS,
    Outcome.NOT_APPLICABLE,
    Outcome.PASS,
)
_ORDERINGS: Mapping[Op, Callable[[float, float], bool]] = {
    Op.LE: lambda observed, limit: observed <= limit,
    Op.LT: lambda observed, limit: observed < limit,
    Op.GE: lambda observed, limit: observed >= limit,
    Op.GT: lambda observed, limit: observed > limit,
    Op.EQ: lambda observed, limit: observed == limit,
    Op.NE: lambda observed, limit: observed != limit,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """How the cases that reported differ from those that the catalog lists."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    """Not in the catalog, or reported more than once."""


def compare_cases(gate: Gate, result: GateResult) -> Cases:
    """Compare a result's cases with the catalog's; a gate of which nothing ran has nothing to compare."""
    if result.outcome not in RAN and not result.cases:
        return Cases(missing=(), unexpected=())
    reported = Counter(result.cases)
    missing = tuple(case for case in gate.cases if case not in reported)
    unexpected = tuple(
        sorted(case for case, count in reported.items() if case not in gate.cases or count > 1)
    )
    return Cases(missing=missing, unexpected=unexpected)


def judge_check(check: Check) -> bool | None:
    """Tell what a check amounts to: False, None (too little data) or True; its own claim is the best case.

    Numbers are compared again. No data is: nothing observed, an observation or a limit that is not
    finite, an empty sample, a sample smaller than the check wants.
    """
    if check.ok is not True:
        return check.ok
    too_few = check.n is not None and check.n <= 0
    too_few = too_few or (check.n_min is not None and (check.n is None or check.n < check.n_min))
    if too_few or check.observed is None or not (_finite(check.observed) and _finite(check.limit)):
        return None
    compare = _ORDERINGS.get(check.op)
    if compare is not None and _is_number(check.observed) and _is_number(check.limit):
        return compare(check.observed, check.limit)  # type: ignore[arg-type]  # both are numbers: the line above
    return True


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: JsonValue) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def rederive(gate: Gate, result: GateResult) -> GateResult:
    """Give the result with the outcome that its evidence supports.

    Only a PASS can change: to FAIL for a false check, NOT_RUN for needs that did not pass or cases that did
    not report, FLAKY for any attempt but the first, NO_DATA for a check without data, VACUOUS without a check
    (of every case, for a gate with cases). A changed result says so in its message.
    """
    if result.outcome is not Outcome.PASS:
        return result
    found = _contradiction(gate, result)
    if found is None:
        return result
    outcome, text = found
    message = f"{text} {result.message}".rstrip()
    return replace(result, outcome=outcome, message=message)


def _contradiction(gate: Gate, result: GateResult) -> tuple[Outcome, str] | None:
    """Say what the evidence of a PASS amounts to instead, the worst first; None if it is one."""
    judged = [(check.name, judge_check(check)) for check in result.checks]
    false = [name for name, ok in judged if ok is False]
    empty = [name for name, ok in judged if ok is None]
    needs = result.needs_not_passed
    missing = compare_cases(gate, result).missing
    silent = [case for case in gate.cases if not any(check.case == case for check in result.checks)]
    contradictions = (
        (false, Outcome.FAIL, f"Said to have passed, but not true: {name_some(false)}."),
        (needs, Outcome.NOT_RUN, f"Needed first and not passed: {name_some(needs)}."),
        (missing, Outcome.NOT_RUN, f"Cases that did not report: {name_some(missing)}."),
        (result.attempts != 1, Outcome.FLAKY, f"Passed in attempt {result.attempts}, not in the first."),
        (empty, Outcome.NO_DATA, f"Too little data for: {name_some(empty)}."),
        (not result.checks, Outcome.VACUOUS, "Passed without a single check."),
        (silent, Outcome.VACUOUS, f"Cases that passed without a check: {name_some(silent)}."),
    )
    return next(((outcome, text) for found, outcome, text in contradictions if found), None)


def worst(results: list[GateResult]) -> GateResult:
    """Pick the worst of several results for one gate, the same one in whatever order they come."""
    return min(results, key=lambda result: (_WORST_FIRST.index(result.outcome), repr(result)))


def name_some(names: list[str] | tuple[str, ...], most: int = 5) -> str:
    """Name the first few of a list: ``a, b and 3 more``."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
