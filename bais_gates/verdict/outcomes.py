"""Outcomes from evidence: a PASS is derived again from its checks, never trusted as reported."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from bais_gates.verdict.comparison import UnusableLimit, compare, has_data
from bais_gates.verdict.model import MAX_VALUE_CHARACTERS, Check, Gate, GateResult, JsonValue, Outcome

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
_ABRIDGED: Final = re.compile(r"\[redacted\]|\[card ending [0-9]{4}\]|\ufffd")
"""What stands where a secret was, or half a character that JSON cannot hold."""


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

    What was observed is compared again, whatever its type. Only a value of which redaction or its size took
    a part can't be: its check stays what it was. Too little data is also a check that proves nothing.
    """
    if check.ok is not True:
        return check.ok
    try:
        if not has_data(check.observed, check.n, check.n_min):
            return None
        if _is_abridged(check.observed) or _is_abridged(check.limit):
            return True
        return compare(check.observed, check.op, check.limit, n=check.n, n_min=check.n_min)
    except (UnusableLimit, RecursionError):
        return None


def _is_abridged(value: JsonValue) -> bool:
    if isinstance(value, str):
        return len(value) > MAX_VALUE_CHARACTERS or _ABRIDGED.search(value) is not None
    if isinstance(value, dict):
        return any(_is_abridged(key) or _is_abridged(part) for key, part in value.items())
    return isinstance(value, list) and any(map(_is_abridged, value))


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
