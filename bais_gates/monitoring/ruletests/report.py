"""Print the results of rule tests: what failed, expected and got side by side, and what no test shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from bais_gates.monitoring import findings
from bais_gates.monitoring.ruletests.evaluation import Assertion, Observation
from bais_gates.monitoring.ruletests.runner import RuleTestResult

FORMATS: Final = ("text", "json")
_WIDTH: Final = 44
_MAX_CELL: Final = 300
_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


def show(result: RuleTestResult, style: str) -> str:
    """Return the results in one of :data:`FORMATS`."""
    if style == "json":
        return json.dumps(_plain(result), indent=2)
    lines = [findings.show(result.errors, "text")] if result.errors else []
    lines += [line for one in result.failed for line in _failure(one)]
    if skipped := sum(bool(one.not_compared) for one in result.assertions):
        names = sorted({name for one in result.assertions for name in one.not_compared})
        lines.append(
            f"not compared in {_count(skipped, 'assertion')}: {findings.line(', '.join(names))} "
            "(their templates use what only a live Prometheus knows, such as query or externalURL)"
        )
    if result.uncovered:
        lines.append(findings.show(result.uncovered, "text"))
    covered = result.alerts - len(result.uncovered)
    lines.append(
        f"{_count(len(result.assertions), 'assertion')} in {_count(result.tests, 'test')} of "
        f"{_count(result.files, 'file')}: {len(result.failed):,} failed; {covered:,} of "
        f"{_count(result.alerts, 'alert')} seen to fire and to stay silent"
    )
    return "\n".join(lines)


def _failure(one: Assertion) -> Iterator[str]:
    name = f" ({one.test})" if one.test else ""
    problem = one.problem or "not what is expected"
    yield findings.line(f"{one.place}: {one.subject} at {_time(one.at_s)}{name}: {problem}")
    for expected, got in _pairs(one) if not one.problem else []:
        yield f"    {'':<20} {'expected':<{_WIDTH}} got"
        ours, theirs = _cells(expected, "nothing"), _cells(got, "nothing")
        for key in dict.fromkeys((*ours, *theirs)):
            if (left := ours.get(key, "-")) != (right := theirs.get(key, "-")):
                yield f"    {findings.line(key):<20} {findings.line(left):<{_WIDTH}} {findings.line(right)}"


def _pairs(one: Assertion) -> list[tuple[Observation | None, Observation | None]]:
    """Return what was expected beside what is most like it, equal ones left out."""
    left = list(one.got)
    missing = []
    for expected in one.expected:
        if expected in left:
            left.remove(expected)
        else:
            missing.append(expected)
    pairs: list[tuple[Observation | None, Observation | None]] = []
    for expected in missing:
        nearest = max(left, key=lambda got: len(set(got.labels) & set(expected.labels)), default=None)
        if nearest is not None:
            left.remove(nearest)
        pairs.append((expected, nearest))
    return pairs + [(None, got) for got in left]


def _cells(one: Observation | None, nothing: str) -> dict[str, str]:
    if one is None:
        return {"": nothing}
    cells = {name: repr(text) for name, text in one.labels}
    cells |= {f"{name}:": repr(text)[:_MAX_CELL] for name, text in one.annotations if text is not None}
    return cells if one.value is None else cells | {"value": f"{one.value!r}"}


def _time(seconds: float) -> str:
    left, parts = round(seconds * 1000), ""
    for unit, size in _UNITS:
        amount, left = divmod(left, size)
        parts += f"{amount}{unit}" if amount else ""
    return parts or "0s"


def _plain(result: RuleTestResult) -> dict[str, object]:
    def rows(observations: tuple[Observation, ...]) -> list[dict[str, object]]:
        return [
            {"labels": dict(one.labels), "annotations": dict(one.annotations)}
            if one.value is None
            else {"labels": dict(one.labels), "value": repr(one.value)}
            for one in observations
        ]

    return {
        "passed": result.passed,
        "files": result.files,
        "tests": result.tests,
        "alerts": result.alerts,
        "errors": json.loads(findings.show(result.errors, "json")),
        "uncovered": json.loads(findings.show(result.uncovered, "json")),
        "assertions": [
            {
                "path": one.place.path,
                "line": one.place.line,
                "test": one.test,
                "subject": one.subject,
                "eval_time": _time(one.at_s),
                "passed": one.passed,
                "problem": one.problem,
                "expected": rows(one.expected),
                "got": rows(one.got),
                "not_compared": list(one.not_compared),
            }
            for one in result.assertions
        ],
    }


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
