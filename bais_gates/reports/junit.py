"""The decision as JUnit XML, for CI servers: a test case a gate, in a suite a phase.

A gate that blocks is a failure (it ran and did not pass) or an error (it could not be checked, or did not
run); a reason without a gate is an error of its own. A gate that neither passed nor blocks - waived,
advisory, not applicable - is skipped, with its standing in the message.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from bais_gates.reports import view, wording
from bais_gates.reports.text import cap, cap_middle, one_line, visible
from bais_gates.verdict.model import JudgedGate, Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bais_gates.verdict.model import Decision

_MESSAGE_LIMIT = 2_000
_LOG_LIMIT = 64_000
_ERRORS = frozenset({Outcome.ERROR, Outcome.NOT_RUN})


def render(decision: Decision) -> str:
    """Return the XML document as text."""
    suites = [_phase_suite(decision, group) for group in view.by_phase(decision.gates)]
    if beside := view.reasons_beside_gates(decision):
        suites.append(_suite("decision", [_reason_case(reason) for reason in beside], decision))
    root = ET.Element("testsuites", name=visible(f"bais-gates {decision.scope}"))
    root.extend(suites)
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    root.set("time", _seconds(judged.result.duration_s for judged in decision.gates))
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _phase_suite(decision: Decision, group: view.PhaseGroup) -> ET.Element:
    suite = _suite(group.phase.value, [_gate_case(judged) for judged in group.gates], decision)
    suite.set("time", _seconds(judged.result.duration_s for judged in group.gates))
    return suite


def _suite(name: str, cases: Sequence[ET.Element], decision: Decision) -> ET.Element:
    suite = ET.Element(
        "testsuite",
        name=name,
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time="0.000",
        timestamp=decision.run.started_at.isoformat(timespec="seconds"),
        hostname=visible(decision.target.name),
    )
    _properties(
        suite,
        [
            ("verdict", decision.verdict.value),
            ("scope", decision.scope),
            ("run_id", decision.run.run_id),
            ("target", decision.target.name),
            ("rehearsal", "true" if decision.target.rehearsal else "false"),
            *(("imported", each) for each in view.imports(decision)),
            *([("subject", str(decision.subject))] if decision.subject is not None else []),
        ],
    )
    suite.extend(cases)
    return suite


def _gate_case(judged: JudgedGate) -> ET.Element:
    gate, result, standing = judged.gate, judged.result, view.standing(judged)
    case = _case(gate.phase.value, gate.id, _seconds([result.duration_s]))
    checks = [
        (
            f"check: {wording.check_name(check)}",
            f"{wording.check_word(check)}: {wording.comparison(check)}",
        )
        for check in result.checks
    ]
    _properties(
        case,
        [
            ("phase", gate.phase.value),
            ("severity", gate.severity.value),
            ("outcome", result.outcome.value),
            ("standing", standing.value),
            *checks,
        ],
    )
    if standing is not view.Standing.PASSED:
        _add_result(case, judged, standing)
    return case


def _add_result(case: ET.Element, judged: JudgedGate, standing: view.Standing) -> None:
    outcome = judged.result.outcome
    message = cap(one_line(judged.result.message), _MESSAGE_LIMIT) or wording.OUTCOME_WORDS[outcome]
    if not judged.blocking:
        note = f"{standing.value}: {message}"
        if judged.waiver is not None:
            until = wording.moment(judged.waiver.expires)
            note = f"waived until {until}, {one_line(judged.waiver.ticket)}: {message}"
        ET.SubElement(case, "skipped", type=outcome.value, message=note)
        return
    kind = "error" if outcome in _ERRORS else "failure"
    element = ET.SubElement(case, kind, type=outcome.value, message=message)
    parts = [judged.result.message, f"What to do: {view.remedy(judged)}", judged.result.log]
    element.text = cap_middle(visible("\n\n".join(part for part in parts if part)), _LOG_LIMIT)


def _reason_case(reason: Reason) -> ET.Element:
    about = f" ({reason.gate_id})" if reason.gate_id else ""
    case = _case("decision", f"{reason.code.value}{about}", "0.000")
    message = cap(one_line(reason.message), _MESSAGE_LIMIT)
    error = ET.SubElement(case, "error", type=reason.code.value, message=message)
    parts = {"What to do:": reason.remedy, "Holds back": wording.held_back(reason)}
    texts = [f"{lead} {cap(visible(text), _MESSAGE_LIMIT)}" for lead, text in parts.items() if text]
    error.text = "\n".join(texts) or None
    return case


def _case(classname: str, name: str, time: str) -> ET.Element:
    return ET.Element("testcase", classname=classname, name=one_line(name), time=time)


def _properties(parent: ET.Element, pairs: Iterable[tuple[str, str]]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in pairs:
        ET.SubElement(properties, "property", name=one_line(name), value=one_line(value))


def _seconds(durations: Iterable[float]) -> str:
    return f"{sum(each for each in durations if math.isfinite(each) and each > 0):.3f}"
