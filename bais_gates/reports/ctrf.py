"""The decision in the Common Test Report Format (CTRF), for tools that show test results.

A gate that blocks is ``failed`` whatever its outcome was, and a reason without a gate is a failed test of its
own: nothing that blocks can look passed. The exact outcome is in ``rawStatus`` and the labels.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from bais_gates import __version__
from bais_gates.reports import view, wording
from bais_gates.reports.text import cap, cap_middle, one_line, visible, visible_value
from bais_gates.verdict.model import Check, JsonValue, JudgedGate, Outcome, Reason, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from bais_gates.verdict.model import Decision

EXTRA = "io.bais.gate"
"""The namespace of everything that CTRF has no field for."""
_SPEC_VERSION = "0.0.0"
_TEXT_LIMIT = 20_000
_STATUS_OF = {
    view.Standing.PASSED: "passed",
    view.Standing.NOT_APPLICABLE: "skipped",
    view.Standing.WAIVED: "other",
    view.Standing.ADVISORY: "other",
}
_STATUSES = ("passed", "failed", "skipped", "pending", "other")


def render(decision: Decision) -> str:
    """Return the CTRF document as text."""
    return json.dumps(document(decision), allow_nan=False) + "\n"


def document(decision: Decision) -> dict[str, JsonValue]:
    """Return the CTRF document as JSON-able values."""
    tests = [_gate_test(judged) for judged in decision.gates]
    tests += [_reason_test(reason) for reason in view.reasons_beside_gates(decision)]
    run = decision.run
    report: dict[str, JsonValue] = {
        "reportFormat": "CTRF",
        "specVersion": _SPEC_VERSION,
        "reportId": _report_id(run.run_id),
        "runId": visible(run.run_id),
        "timestamp": _timestamp(decision.decided_at),
        "generatedBy": f"bais-gates {__version__}",
        "results": {
            "tool": {"name": "bais-gates", "version": __version__},
            "summary": _summary(decision, tests),
            "tests": list(tests),
            "environment": _environment(decision),
        },
    }
    if decision.previous is not None:
        before = decision.previous
        report["baseline"] = {
            "reportId": _report_id(before.run_id),
            "timestamp": _timestamp(before.decided_at),
            "extra": {EXTRA: {"run_id": visible(before.run_id), "verdict": before.verdict.value}},
        }
    return report


def _summary(decision: Decision, tests: list[dict[str, JsonValue]]) -> dict[str, JsonValue]:
    start = _milliseconds(decision.run.started_at)
    stop = max(start, _milliseconds(decision.run.finished_at or decision.decided_at))
    counts: dict[str, JsonValue] = {
        status: sum(test["status"] == status for test in tests) for status in _STATUSES
    }
    flaky = sum(judged.result.outcome is Outcome.FLAKY for judged in decision.gates)
    return {
        "tests": len(tests), **counts, "flaky": flaky,
        "start": start, "stop": stop, "duration": stop - start,
    }  # fmt: skip


def _environment(decision: Decision) -> dict[str, JsonValue]:
    facts: dict[str, JsonValue] = {visible(key): visible(fact) for key, fact in decision.target.facts}
    environment: dict[str, JsonValue] = {
        "reportName": f"{visible(decision.scope)}: {decision.verdict.value}",
        "testEnvironment": visible(decision.target.name),
        "healthy": decision.verdict is Verdict.DEPLOY,
    }
    if decision.subject is not None:
        environment["appName"] = visible(decision.subject.name)
        environment["appVersion"] = visible(decision.subject.digest)
    environment["extra"] = {
        EXTRA: {
            "verdict": decision.verdict.value,
            "exit_status": decision.exit_status.value,
            "scope": visible(decision.scope),
            "rehearsal": decision.target.rehearsal,
            "valid_until": _timestamp(decision.valid_until),
            "reasons": [_reason(reason) for reason in view.ordered_reasons(decision)],
            "target": facts,
            "imported": [visible(each) for each in view.imports(decision)],
        }
    }
    return environment


def _gate_test(judged: JudgedGate) -> dict[str, JsonValue]:
    gate, result, standing = judged.gate, judged.result, view.standing(judged)
    phase, severity, outcome = gate.phase.value, gate.severity.value, result.outcome.value
    gate_id, duration = visible(gate.id), _duration(result.duration_s)
    test: dict[str, JsonValue] = {
        "name": gate_id,
        "status": _STATUS_OF.get(standing, "failed"),
        "rawStatus": outcome,
        "duration": duration,
        "testId": gate_id,
        "suite": [phase],
        "type": "gate",
        "flaky": result.outcome is Outcome.FLAKY,
        "tags": [phase, severity],
        "labels": {"phase": phase, "severity": severity, "outcome": outcome, "standing": standing.value},
        "steps": [_step(check) for check in result.checks],
        "extra": {EXTRA: _gate_extra(judged)},
    }
    if result.message:
        test["message"] = cap(visible(result.message), _TEXT_LIMIT)
    if result.log:
        test["trace"] = cap_middle(visible(result.log), _TEXT_LIMIT)
    if result.started_at is not None:
        start = _milliseconds(result.started_at)
        test["start"], test["stop"] = start, start + duration
    return test


def _gate_extra(judged: JudgedGate) -> dict[str, JsonValue]:
    extra: dict[str, JsonValue] = {
        "title": visible(judged.gate.title),
        "requirement": visible(judged.gate.requirement),
        "remedy": visible(view.remedy(judged)),
        "blocking": judged.blocking,
        "advisory": judged.advisory,
    }
    if (waiver := judged.waiver) is not None:
        extra["waiver"] = {
            "ticket": visible(waiver.ticket),
            "approved_by": visible(waiver.approved_by),
            "expires": _timestamp(waiver.expires),
        }
    return extra


def _step(check: Check) -> dict[str, JsonValue]:
    details: dict[str, JsonValue] = {
        "observed": visible_value(check.observed),
        "op": check.op.value,
        "limit": visible_value(check.limit),
        "ok": check.ok,
        "unit": visible(check.unit) if check.unit is not None else None,
        "n": check.n,
    }
    return {
        "name": wording.check_text(check),
        "status": {True: "passed", False: "failed", None: "other"}[check.ok],
        "extra": {EXTRA: details},
    }


def _reason_test(reason: Reason) -> dict[str, JsonValue]:
    about = f" ({one_line(reason.gate_id)})" if reason.gate_id else ""
    return {
        "name": f"decision: {reason.code.value}{about}",
        "status": "failed",
        "rawStatus": reason.code.value,
        "duration": 0,
        "suite": ["decision"],
        "type": "decision",
        "message": cap(visible(reason.message), _TEXT_LIMIT),
        "extra": {EXTRA: _reason(reason)},
    }


def _reason(reason: Reason) -> dict[str, JsonValue]:
    return {
        "code": reason.code.value,
        "gate": visible(reason.gate_id) if reason.gate_id is not None else None,
        "message": cap(visible(reason.message), _TEXT_LIMIT),
        "remedy": visible(reason.remedy),
        "holdsBack": [visible(gate_id) for gate_id in reason.holds_back],
    }


def _report_id(run_id: str) -> str:
    """Return the UUID that CTRF requires, derived so that one decision always gives the same report."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"bais-gates:{visible(run_id)}"))


def _timestamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _duration(seconds: float) -> int:
    return round(seconds * 1000) if 0 <= seconds < 1e12 else 0
