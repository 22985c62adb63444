"""What the observer sends with a test's reports, as one JSON text: it survives the way through xdist."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

from bais_gates.verdict.codec import result_from_json, result_to_json
from bais_gates.verdict.model import GateResult

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
            "result": None if result is None else result_to_json(result),
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
            result=None if data["result"] is None else result_from_json(str(data["gate"]), data["result"]),
            ledger_problem=data["ledger_problem"],
        )
    except (ValueError, KeyError, TypeError):
        return None
