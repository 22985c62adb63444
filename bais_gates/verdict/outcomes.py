"""Outcomes from evidence: a PASS is derived again from its checks, never trusted as reported."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from bais_gates.verdict.model import Check, Gate, GateResult, JsonValue, Op, Outcome

PROVEN: Final = frozenset({Outcome.PASS, Outcome.NOT_APPLICABLE})
"""A gate with one of these outcomes is proven, without a waiver."""
WAIVABLE: Final = frozenset({Outcome.FAIL, Outcome.ERROR, Outcome.NO_DATA, Outcome.FLAKY})
"""Outcomes that a waiver may cover: the gate ran and has evidence.

Not NOT_RUN and SKIPPED, as a waived gate still runs; not VACUOUS, XFAIL and XPASS, as without evidence nobody
knows what the exception is for.
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
    """The differences between the cases that reported and those that the catalog lists."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    """Not in the catalog, or reported more than once."""


def compare_cases(gate: Gate, result: GateResult) -> Cases:
    """Compare a result's cases with the catalog's; a gate of which nothing ran has nothing to compare."""
    if not result.cases and (not gate.cases or result.outcome not in RAN):
        return Cases(missing=(), unexpected=())
    reported = Counter(result.cases)
    missing = tuple(case for case in gate.cases if case not in reported)
    unexpected = tuple(
        sorted(case for case, count in reported.items() if case not in gate.cases or count > 1)
    )
    return Cases(missing=missing, unexpected=unexpected)


def judge_check(check: Check) -> bool | None:
    """Return True, False or None (too little data) for a check, never better than its own ``ok``.

    Numbers are compared again. Too little data is: nothing observed, an observation or a limit that is not
    finite, an empty sample, a sample smaller than ``n_min``.
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
    """Return the result with the outcome that its evidence supports.

    Only a PASS can change: to FAIL for a false check, NOT_RUN for needs that did not pass or cases that did
    not report, FLAKY for any attempt but the first, NO_DATA for a check without data, VACUOUS without a check
    (of every case, for a gate with cases). The message of a changed result begins with the cause.
    """
    if result.outcome is not Outcome.PASS:
        return result
    contradiction = next(_contradictions(gate, result), None)
    if contradiction is None:
        return result
    outcome, text = contradiction
    message = f"{text} {result.message}".rstrip()
    return replace(result, outcome=outcome, message=message)


def _contradictions(gate: Gate, result: GateResult) -> Iterator[tuple[Outcome, str]]:
    """Yield the outcomes that contradict a PASS, the worst first, each with its cause."""
    judged = [(check.name, judge_check(check)) for check in result.checks]
    if false := [name for name, ok in judged if ok is False]:
        yield Outcome.FAIL, f"Reported PASS, but these checks are false: {name_some(false)}."
    if needs := result.needs_not_passed:
        yield Outcome.NOT_RUN, f"Needs that did not pass: {name_some(needs)}."
    if missing := compare_cases(gate, result).missing:
        yield Outcome.NOT_RUN, f"Cases without a result: {name_some(missing)}."
    if result.attempts != 1:
        yield Outcome.FLAKY, f"Passed on attempt {result.attempts}, not on the first."
    if empty := [name for name, ok in judged if ok is None]:
        yield Outcome.NO_DATA, f"Too little data for: {name_some(empty)}."
    if not result.checks:
        yield Outcome.VACUOUS, "Passed without a check."
    checked = {check.case for check in result.checks}
    if without_check := [case for case in gate.cases if case not in checked]:
        yield Outcome.VACUOUS, f"Cases that passed without a check: {name_some(without_check)}."


def worst(results: list[GateResult]) -> GateResult:
    """Return the worst of several results for one gate, whatever their order."""
    if len(results) == 1:
        return results[0]
    return min(results, key=lambda result: (_WORST_FIRST.index(result.outcome), repr(result)))


def name_some(names: list[str] | tuple[str, ...], most: int = 5) -> str:
    """Return the first few names: ``a, b and 3 more``."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
