"""Holds the reports of a run against its ledger: what was written at once cannot be taken back later."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bais_gates.pytest_plugin.ledger import LedgerContent
from bais_gates.redaction import redact_value
from bais_gates.verdict.codec import check_from_json, check_to_json
from bais_gates.verdict.model import Check, Code, GateResult, Outcome, Reason

_REMEDY = "Nothing but `evidence` may write gate-report/ledger.jsonl. Run the whole scope again."


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerView:
    """The checks and ends of gates' tests that a ledger tells, by nodeid."""

    checks: Mapping[str, tuple[Check, ...]]
    outcomes: Mapping[str, tuple[str, ...]]
    problem: str | None


def view(content: LedgerContent) -> LedgerView:
    """Read the lines of a ledger."""
    checks: dict[str, list[Check]] = defaultdict(list)
    outcomes: dict[str, list[str]] = defaultdict(list)
    problem = content.problem
    for line in content.lines:
        record: Any = line["record"]
        nodeid = str(record.get("nodeid", ""))
        try:
            if line.get("kind") == "check":
                checks[nodeid].append(check_from_json(record["check"]))
            elif line.get("kind") == "gate_finished":
                outcomes[nodeid].append(str(record["outcome"]))
        except (KeyError, TypeError, ValueError):
            problem = "a line of the ledger is not a record"
    return LedgerView(
        checks={nodeid: tuple(found) for nodeid, found in checks.items()},
        outcomes={nodeid: tuple(found) for nodeid, found in outcomes.items()},
        problem=problem,
    )


def reconcile(
    results: Sequence[tuple[str, GateResult]], ledger: LedgerView
) -> tuple[list[tuple[str, GateResult]], list[Reason]]:
    """Compare (nodeid, result) pairs with the ledger; a PASS with a false check there becomes FAIL."""
    reasons: list[Reason] = []
    if ledger.problem is not None:
        reasons.append(_mismatch(f"The ledger cannot be believed: {ledger.problem}."))
    kept: list[tuple[str, GateResult]] = []
    for nodeid, result in results:
        told = ledger.checks.get(_key(nodeid), ())
        ended = ledger.outcomes.get(_key(nodeid), ())
        if _same(told, result.checks) and ended[-1:] == (result.outcome.value,):
            kept.append((nodeid, result))
            continue
        reasons.append(
            _mismatch(
                f"{nodeid} reports {result.outcome.value} with {len(result.checks)} checks, the ledger has "
                f"{ended[-1] if ended else 'no outcome'} with {len(told)}.",
                result.gate_id,
            )
        )
        if result.outcome is Outcome.PASS and any(check.ok is False for check in told):
            result = replace(result, outcome=Outcome.FAIL, checks=told)  # noqa: PLW2901 - what it is kept as
        kept.append((nodeid, result))
    return kept, reasons


def _key(nodeid: str) -> str:
    return str(redact_value(nodeid))


def _same(told: Sequence[Check], reported: Sequence[Check]) -> bool:
    return len(told) == len(reported) and all(
        check_to_json(one) == redact_value(check_to_json(other))
        for one, other in zip(told, reported, strict=True)
    )


def _mismatch(message: str, gate_id: str | None = None) -> Reason:
    return Reason(code=Code.LEDGER_MISMATCH, message=message, gate_id=gate_id, remedy=_REMEDY)
