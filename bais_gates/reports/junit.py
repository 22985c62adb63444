"""The decision as JUnit XML, for CI servers: a test case a gate, in a suite a phase.

A gate that blocks is a failure (it ran and did not pass) or an error (it could not be checked, or did not
run); a reason without a gate is an error of its own. A gate that neither passed nor blocks - waived,
advisory, not applicable - is skipped, with its standing in the message.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from bais_gates.reports import view, wording
from bais_gates.reports.text import cap, cap_middle, one_line, visible
from bais_gates.verdict.model import JudgedGate, Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bais_gates.verdict.model import Decision

_MESSAGE_LIMIT = 2_000
_LOG_LIMIT = 64_000
_ERRORS = frozenset({Outcome.ERROR, Outcome.NOT_RUN})
_IN_ATTRIBUTES = {'"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#09;"}


class _Case(NamedTuple):
    """A test case as XML, and the name of the element in it that says why it did not pass."""

    kind: str
    xml: str


class _Suite(NamedTuple):
    """A suite as XML, and how many of its cases are of each kind."""

    counts: dict[str, int]
    xml: str


def render(decision: Decision) -> str:
    """Return the XML document as text."""
    suites = [_phase_suite(decision, group) for group in view.by_phase(decision.gates)]
    if beside := view.reasons_beside_gates(decision):
        suites.append(_suite("decision", [_reason_case(reason) for reason in beside], decision, "0.000"))
    counts = {name: sum(suite.counts[name] for suite in suites) for name in _counts([])}
    time = _seconds(judged.result.duration_s for judged in decision.gates)
    attributes: dict[str, str | int] = {
        "name": visible(f"bais-gates {decision.scope}"),
        **counts,
        "time": time,
    }
    root = _element(0, "testsuites", attributes, [suite.xml for suite in suites])
    return f'<?xml version="1.0" encoding="utf-8"?>\n{root}\n'


def _phase_suite(decision: Decision, group: view.PhaseGroup) -> _Suite:
    time = _seconds(judged.result.duration_s for judged in group.gates)
    return _suite(group.phase.value, [_gate_case(judged) for judged in group.gates], decision, time)


def _suite(name: str, cases: Sequence[_Case], decision: Decision, time: str) -> _Suite:
    counts = _counts(cases)
    attributes: dict[str, str | int] = {
        "name": name,
        **counts,
        "time": time,
        "timestamp": decision.run.started_at.isoformat(timespec="seconds"),
        "hostname": visible(decision.target.name),
    }
    properties = [
        ("verdict", decision.verdict.value),
        ("scope", decision.scope),
        ("run_id", decision.run.run_id),
        ("target", decision.target.name),
        ("rehearsal", "true" if decision.target.rehearsal else "false"),
        *(("imported", each) for each in view.imports(decision)),
        *([("subject", str(decision.subject))] if decision.subject is not None else []),
    ]
    children = [_properties(2, properties), *(case.xml for case in cases)]
    return _Suite(counts, _element(1, "testsuite", attributes, children))


def _counts(cases: Sequence[_Case]) -> dict[str, int]:
    of_kind = Counter(case.kind for case in cases)
    return {
        "tests": len(cases),
        "failures": of_kind["failure"],
        "errors": of_kind["error"],
        "skipped": of_kind["skipped"],
    }


def _gate_case(judged: JudgedGate) -> _Case:
    gate, result, standing = judged.gate, judged.result, view.standing(judged)
    properties = [
        ("phase", gate.phase.value),
        ("severity", gate.severity.value),
        ("outcome", result.outcome.value),
        ("standing", standing.value),
        *(
            (
                f"check: {wording.check_name(check)}",
                f"{wording.check_word(check)}: {wording.comparison(check)}",
            )
            for check in result.checks
        ),
    ]
    kind, children = "", [_properties(3, properties)]
    if standing is not view.Standing.PASSED:
        kind, text, message = _result(judged, standing)
        attributes = {"type": result.outcome.value, "message": message}
        children.append(_element(3, kind, attributes, text=text))
    return _case(kind, gate.phase.value, gate.id, _seconds([result.duration_s]), children)


def _result(judged: JudgedGate, standing: view.Standing) -> tuple[str, str, str]:
    """Return what a gate that did not pass is, its text and its message."""
    outcome = judged.result.outcome
    message = cap(one_line(judged.result.message), _MESSAGE_LIMIT) or wording.OUTCOME_WORDS[outcome]
    if not judged.blocking:
        note = f"{standing.value}: {message}"
        if judged.waiver is not None:
            until = wording.moment(judged.waiver.expires)
            note = f"waived until {until}, {one_line(judged.waiver.ticket)}: {message}"
        return "skipped", "", note
    parts = [judged.result.message, f"What to do: {view.remedy(judged)}", judged.result.log]
    text = cap_middle(visible("\n\n".join(part for part in parts if part)), _LOG_LIMIT)
    return "error" if outcome in _ERRORS else "failure", text, message


def _reason_case(reason: Reason) -> _Case:
    about = f" ({reason.gate_id})" if reason.gate_id else ""
    message = cap(one_line(reason.message), _MESSAGE_LIMIT)
    parts = {"What to do:": reason.remedy, "Holds back": wording.held_back(reason)}
    texts = [f"{lead} {cap(visible(text), _MESSAGE_LIMIT)}" for lead, text in parts.items() if text]
    attributes = {"type": reason.code.value, "message": message}
    error = _element(3, "error", attributes, text="\n".join(texts))
    return _case("error", "decision", f"{reason.code.value}{about}", "0.000", [error])


def _case(kind: str, classname: str, name: str, time: str, children: Sequence[str]) -> _Case:
    attributes = {"classname": classname, "name": one_line(name), "time": time}
    return _Case(kind, _element(2, "testcase", attributes, children))


def _properties(depth: int, pairs: Iterable[tuple[str, str]]) -> str:
    return _element(depth, "properties", {}, [_property(depth + 1, name, value) for name, value in pairs])


@functools.lru_cache(maxsize=1024)
def _property(depth: int, name: str, value: str) -> str:
    """Return a property as XML; most recur from gate to gate."""
    return _element(depth, "property", {"name": one_line(name), "value": one_line(value)})


def _element(
    depth: int, tag: str, attributes: Mapping[str, str | int], children: Sequence[str] = (), *, text: str = ""
) -> str:
    """Return an element as XML, indented; a tree of elements would take the time of all the rest."""
    margin = " " * depth
    start = f"{margin}<{tag}"
    for name, value in attributes.items():
        start += f' {name}="{escape(str(value), _IN_ATTRIBUTES)}"'
    if children:
        return "\n".join((f"{start}>", *children, f"{margin}</{tag}>"))
    return f"{start}>{escape(text)}</{tag}>" if text else f"{start} />"


def _seconds(durations: Iterable[float]) -> str:
    return f"{sum(each for each in durations if math.isfinite(each) and each > 0):.3f}"
