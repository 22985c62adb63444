"""Checks, attachments, results and moments as JSON: in the ledger, between workers, in decision.json.

Moments are RFC 3339 with a zone when read, RFC 3339 in UTC when written.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from bais_gates.verdict.model import Attachment, Check, GateResult, JsonValue, Op, Outcome

_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"([Zz]|[-+]([01][0-9]|2[0-3]):[0-5][0-9])"
)


def check_to_json(check: Check) -> dict[str, JsonValue]:
    """Return a check as a JSON object."""
    return {
        "name": check.name,
        "observed": check.observed,
        "op": check.op.value,
        "limit": check.limit,
        "ok": check.ok,
        "unit": check.unit,
        "n": check.n,
        "n_min": check.n_min,
        "source": check.source,
        "case": check.case,
    }


def check_from_json(data: dict[str, Any]) -> Check:
    """Read a check back; raise KeyError, TypeError or ValueError for anything else."""
    return Check(**(data | {"op": Op(data["op"])}))


def result_to_json(result: GateResult) -> dict[str, Any]:
    """Return a result as a JSON object, without the id of its gate."""
    return {
        "outcome": result.outcome.value,
        "message": result.message,
        "summary": result.summary,
        "checks": [check_to_json(check) for check in result.checks],
        "attachments": [
            {
                "name": attachment.name,
                "content_type": attachment.content_type,
                "text": attachment.text,
                "truncated": attachment.truncated,
            }
            for attachment in result.attachments
        ],
        "cases_reported": list(result.cases),
        "needs_not_passed": list(result.needs_not_passed),
        "nodeid": result.nodeid,
        "started_at": optional_moment_to_json(result.started_at),
        "duration_s": result.duration_s,
        "worker": result.worker,
        "attempts": result.attempts,
        "log": result.log,
        "imported_from": result.imported_from,
    }


def result_from_json(gate_id: str, data: dict[str, Any]) -> GateResult:
    """Read a gate's result back; other keys are ignored.

    Raises KeyError, TypeError or ValueError for what is not a result.
    """
    return GateResult(
        gate_id=gate_id,
        outcome=Outcome(data["outcome"]),
        message=data["message"],
        checks=tuple(check_from_json(check) for check in data["checks"]),
        attachments=tuple(Attachment(**attachment) for attachment in data["attachments"]),
        cases=tuple(data["cases_reported"]),
        needs_not_passed=tuple(data["needs_not_passed"]),
        nodeid=data["nodeid"],
        summary=data["summary"],
        started_at=optional_moment_from_json(data["started_at"]),
        duration_s=float(data["duration_s"]),
        worker=data["worker"],
        attempts=data["attempts"],
        log=data["log"],
        imported_from=data["imported_from"],
    )


def parse_moment(text: str) -> datetime:
    """Read an RFC 3339 date and time with its zone as UTC; raise ValueError for everything else."""
    if not _MOMENT.fullmatch(text):
        raise ValueError("not an RFC 3339 date and time with a zone")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("out of range") from error


def format_moment(moment: datetime) -> str:
    """Return an aware moment as RFC 3339 in UTC, to the microsecond where it has one."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def optional_moment_to_json(moment: datetime | None) -> str | None:
    """Return a moment as text, None for none."""
    return None if moment is None else format_moment(moment)


def optional_moment_from_json(text: str | None) -> datetime | None:
    """Read a moment, None for none."""
    return None if text is None else parse_moment(text)
