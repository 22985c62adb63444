"""What the observer sends with a test's reports, as one JSON text: it survives the way through xdist."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from bais_gates.pytest_plugin.evidence import check_record
from bais_gates.verdict.model import Attachment, Check, GateResult, JsonValue, Op, Outcome

ATTRIBUTE = "bais_gates"
"""The attribute of a report that carries the observation."""


class Truth(StrEnum):
    """What really happened in one phase of a test, whatever its report says."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    XFAILED = "xfailed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One phase of a gate's test as seen where it ran."""

    gate_id: str
    case: str | None
    when: str
    truth: Truth
    attempt: int
    subtest: bool = False
    result: GateResult | None = None
    """The whole result, with the report of the tear-down."""
    ledger_problem: str | None = None


def to_text(observation: Observation) -> str:
    """Return an observation as JSON text."""
    result = observation.result
    return json.dumps(
        {
            "gate": observation.gate_id,
            "case": observation.case,
            "when": observation.when,
            "truth": observation.truth.value,
            "attempt": observation.attempt,
            "subtest": observation.subtest,
            "result": None if result is None else _from_result(result),
            "ledger_problem": observation.ledger_problem,
        }
    )


def from_text(text: object) -> Observation | None:
    """Return the observation that a report carries; None when there is none or it is not one."""
    if not isinstance(text, str):
        return None
    try:
        data = json.loads(text)
        return Observation(
            gate_id=str(data["gate"]),
            case=data["case"],
            when=str(data["when"]),
            truth=Truth(data["truth"]),
            attempt=int(data["attempt"]),
            subtest=bool(data["subtest"]),
            result=None if data["result"] is None else _to_result(data["result"]),
            ledger_problem=data["ledger_problem"],
        )
    except (ValueError, KeyError, TypeError):
        return None


def _from_result(result: GateResult) -> dict[str, JsonValue]:
    return {
        "gate": result.gate_id,
        "outcome": result.outcome.value,
        "message": result.message,
        "checks": [check_record(check) for check in result.checks],
        "attachments": [
            {
                "name": attachment.name,
                "content_type": attachment.content_type,
                "text": attachment.text,
                "truncated": attachment.truncated,
            }
            for attachment in result.attachments
        ],
        "cases": list(result.cases),
        "needs_not_passed": list(result.needs_not_passed),
        "nodeid": result.nodeid,
        "summary": result.summary,
        "started_at": None if result.started_at is None else result.started_at.isoformat(),
        "duration_s": result.duration_s,
        "worker": result.worker,
        "attempts": result.attempts,
        "log": result.log,
    }


def _to_result(data: dict[str, Any]) -> GateResult:
    return GateResult(
        gate_id=data["gate"],
        outcome=Outcome(data["outcome"]),
        message=data["message"],
        checks=tuple(to_check(check) for check in data["checks"]),
        attachments=tuple(Attachment(**attachment) for attachment in data["attachments"]),
        cases=tuple(data["cases"]),
        needs_not_passed=tuple(data["needs_not_passed"]),
        nodeid=data["nodeid"],
        summary=data["summary"],
        started_at=None if data["started_at"] is None else datetime.fromisoformat(data["started_at"]),
        duration_s=data["duration_s"],
        worker=data["worker"],
        attempts=data["attempts"],
        log=data["log"],
    )


def to_check(data: dict[str, Any]) -> Check:
    """Return a check from its record. Raises KeyError, TypeError or ValueError for what is not one."""
    return Check(**(data | {"op": Op(data["op"])}))
