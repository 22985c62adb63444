"""Checks, results, targets, waivers and moments as JSON: in the ledger, between processes, in decision.json.

Moments are RFC 3339 with a zone when read, RFC 3339 in UTC when written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from bais_gates.verdict.model import (
    Attachment,
    Check,
    GateResult,
    JsonValue,
    Op,
    Outcome,
    TargetIdentity,
    Waiver,
)

# Looked up thrice as quickly as `Op("<=")`, once a check.
_OPS = {op.value: op for op in Op}
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
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
    return Check(**{**data, "op": _OPS[data["op"]]})


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
        outcome=_OUTCOMES[data["outcome"]],
        message=data["message"],
        checks=tuple(map(check_from_json, data["checks"])),
        attachments=tuple([Attachment(**attachment) for attachment in data["attachments"]]),
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


def target_to_json(target: TargetIdentity) -> dict[str, Any]:
    """Return a target's identity as a JSON object."""
    return {
        "name": target.name,
        "rehearsal": target.rehearsal,
        "provisioned": target.provisioned,
        "environment_digest": target.environment_digest,
        "addresses": pairs_to_json(target.addresses),
        "facts": pairs_to_json(target.facts),
        "not_applicable": [{"gate": gate, "reason": reason} for gate, reason in target.not_applicable],
        "exemptions": [waiver_to_json(exemption) for exemption in target.exemptions],
        "without_tenant": target.without_tenant,
        "allow": list(target.allow),
    }


def target_from_json(data: dict[str, Any]) -> TargetIdentity:
    """Read a target's identity back; raise KeyError, TypeError or ValueError for anything else."""
    return TargetIdentity(
        name=data["name"],
        rehearsal=data["rehearsal"],
        provisioned=data.get("provisioned", False),
        environment_digest=data["environment_digest"],
        addresses=pairs_from_json(data.get("addresses", ())),
        facts=pairs_from_json(data["facts"]),
        not_applicable=tuple((entry["gate"], entry["reason"]) for entry in data["not_applicable"]),
        exemptions=tuple(waiver_from_json(exemption) for exemption in data.get("exemptions", ())),
        without_tenant=data.get("without_tenant", False),
        allow=tuple(data.get("allow", ())),
    )


def waiver_to_json(waiver: Waiver) -> dict[str, Any]:
    """Return a waiver as a JSON object."""
    return {
        "gate": waiver.gate,
        "reason": waiver.reason,
        "ticket": waiver.ticket,
        "requested_by": waiver.requested_by,
        "approved_by": waiver.approved_by,
        "approved_at": format_moment(waiver.approved_at),
        "expires": format_moment(waiver.expires),
        "environment": waiver.environment,
        "subject_digest": waiver.subject_digest,
    }


def waiver_from_json(data: dict[str, Any]) -> Waiver:
    """Read a waiver back; raise KeyError, TypeError or ValueError for anything else."""
    moments = {name: parse_moment(data[name]) for name in ("approved_at", "expires")}
    return Waiver(**{**data, **moments})


def pairs_to_json(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Return pairs of name and value as JSON objects."""
    return [{"name": name, "value": value} for name, value in pairs]


def pairs_from_json(data: Iterable[dict[str, str]]) -> tuple[tuple[str, str], ...]:
    """Read pairs back; raise KeyError or TypeError for anything else."""
    return tuple((pair["name"], pair["value"]) for pair in data)


def parse_moment(text: str) -> datetime:
    """Read an RFC 3339 date and time with its zone as UTC; raise ValueError for everything else."""
    if not _MOMENT.fullmatch(text):
        raise ValueError("not an RFC 3339 date and time with a zone")
    try:
        moment = datetime.fromisoformat(text.upper())
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
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
