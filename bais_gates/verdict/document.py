"""The decision as JSON: ``decision.json``, by ``schemas/decision.schema.json``, lossless both ways."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from bais_gates.errors import GateInputError
from bais_gates.strict import parse_json
from bais_gates.verdict.codec import (
    format_moment,
    optional_moment_from_json,
    optional_moment_to_json,
    pairs_from_json,
    pairs_to_json,
    parse_moment,
    result_from_json,
    result_to_json,
    target_from_json,
    target_to_json,
    waiver_from_json,
    waiver_to_json,
)
from bais_gates.verdict.criteria import criteria_from_json, criteria_to_json
from bais_gates.verdict.files import digest_of, read_bytes, validate, without_garbage_collection
from bais_gates.verdict.model import (
    Code,
    Decision,
    Digests,
    ExitStatus,
    Gate,
    JsonValue,
    JudgedGate,
    Origin,
    Outcome,
    Phase,
    Previous,
    Reason,
    Run,
    Severity,
    Subject,
    Verdict,
)

SCHEMA_VERSION: Final = "1"
MAX_BYTES: Final = 256 * 1024 * 1024
"""The size limit of a decision file; one of 10,000 gates has some 30 MiB."""

_PHASES = {phase.value: phase for phase in Phase}  # as in codec: quicker than `Phase(...)`, once a gate
_SEVERITIES = {severity.value: severity for severity in Severity}

_Json = dict[str, Any]
_Read = TypeVar("_Read")
_SURROGATE = re.compile("[\ud800-\udfff]")


def to_document(decision: Decision) -> dict[str, JsonValue]:
    """Return a decision as JSON values.

    Values that JSON cannot hold are replaced, so that no report fails on a target's response: a number that
    is not finite by its name as text, half a surrogate pair by U+FFFD.
    """
    document: _Json = {
        "schema_version": SCHEMA_VERSION,
        "verdict": decision.verdict.value,
        "exit_status": int(decision.exit_status),
        "scope": decision.scope,
        "reasons": [_from_reason(reason) for reason in decision.reasons],
        "decided_at": format_moment(decision.decided_at),
        "valid_until": format_moment(decision.valid_until),
        "target": target_to_json(decision.target),
        "subject": _from_subject(decision.subject),
        "subject_required": decision.subject_required,
        "run": _from_run(decision.run),
        "digests": _fields(decision.digests, ("catalog", "policy", "waivers", "contract")),
        "gates": [_from_gate(judged) for judged in decision.gates],
        "waivers": [waiver_to_json(waiver) for waiver in decision.waivers],
        "previous": None if decision.previous is None else _from_previous(decision.previous),
        "imported": list(decision.imported),
        "origins": [_from_origin(origin) for origin in decision.origins],
        "inputs": pairs_to_json(decision.inputs),
        "criteria": criteria_to_json(decision.criteria),
    }
    try:
        content = _canonical(document)
    except ValueError:  # a number that is not finite
        content = None
    if content is None or b"\\ud" in content:  # perhaps half a surrogate pair
        document = cast("_Json", _plain(document))
        content = _canonical(document)
    return {**document, "digest": digest_of(content)}


def document_digest(document: dict[str, JsonValue]) -> str:
    """Return the digest of a document without its key ``digest``; raise ValueError if it is not JSON."""
    return digest_of(_canonical({key: value for key, value in document.items() if key != "digest"}))


def _canonical(document: _Json) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def from_document(document: object, *, name: str = "decision.json") -> Decision:
    """Read a decision back.

    Raises GateInputError, with ``name`` and the key, when it does not match the schema or its ``digest`` does
    not match the content.
    """
    return _read(document, name, _to_decision)


def _read(document: object, name: str, decode: Callable[[_Json], _Read]) -> _Read:
    value = cast("JsonValue", document)
    validate(value, "decision", name=name)
    data = cast("_Json", value)
    try:
        if data["digest"] != document_digest(data):
            text = "does not match the content: the file was damaged or edited. Run the gates again."
            raise GateInputError(f"{name}: digest: {text}")
        return decode(data)
    except (ValueError, OverflowError, RecursionError):
        raise GateInputError(f"{name}: a value is out of range. Run the gates again.") from None


def load_decision(path: Path) -> Decision:
    """Read a decision file. Raises AbsentFileError or GateInputError."""
    return load_with_digest(path)[0]


@without_garbage_collection()
def load_with_digest(path: Path) -> tuple[Decision, str]:
    """Read a decision file once, with the digest of these bytes. Raises as ``load_decision``."""
    raw = read_bytes(path, limit=MAX_BYTES)
    return from_document(_parse(raw, path), name=str(path)), digest_of(raw)


@without_garbage_collection()
def load_previous(path: Path) -> Previous:
    """Read what the next decision keeps of a decision file; of one that judged no gate, what that one kept.

    Raises AbsentFileError or GateInputError.
    """
    return _read(load_json(path), str(path), _previous)


def _previous(data: _Json) -> Previous:
    if not data["gates"] and data["verdict"] == Verdict.BLOCK and data["previous"] is not None:
        return _to_previous(data["previous"])
    return Previous(
        run_id=data["run"]["run_id"],
        verdict=Verdict(data["verdict"]),
        decided_at=parse_moment(data["decided_at"]),
        scope=data["scope"],
        outcomes=tuple((gate["id"], Outcome(gate["outcome"])) for gate in data["gates"]),
    )


def load_json(path: Path) -> JsonValue:
    """Read a JSON file without duplicate keys and with finite numbers only."""
    return _parse(read_bytes(path, limit=MAX_BYTES), path)


def _parse(raw: bytes, path: Path) -> JsonValue:
    try:
        value = parse_json(raw)
    except ValueError as error:
        raise GateInputError(f"{path}: invalid JSON ({error}). Run the gates again.") from None
    return cast("JsonValue", value)


def _plain(value: Any) -> Any:
    """Return a value with everything replaced that JSON text cannot hold."""
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _fields(value: object, names: Iterable[str]) -> _Json:
    return {name: getattr(value, name) for name in names}


def _from_reason(reason: Reason) -> _Json:
    return {
        "code": reason.code.value,
        "gate": reason.gate_id,
        "message": reason.message,
        "remedy": reason.remedy,
        "holds_back": list(reason.holds_back),
    }


def _from_subject(subject: Subject | None) -> _Json | None:
    return None if subject is None else _fields(subject, ("name", "digest"))


def _from_origin(origin: Origin) -> _Json:
    return {
        "run_id": origin.run_id,
        "decided_at": format_moment(origin.decided_at),
        "valid_until": format_moment(origin.valid_until),
        "target": target_to_json(origin.target),
        "subject": _from_subject(origin.subject),
        "contract": origin.contract,
    }


def _from_run(run: Run) -> _Json:
    return {
        "run_id": run.run_id,
        "started_at": format_moment(run.started_at),
        "finished_at": optional_moment_to_json(run.finished_at),
        "command": list(run.command),
        "workers": run.workers,
        "versions": pairs_to_json(run.versions),
        "ledger_digest": run.ledger_digest,
    }


def _from_gate(judged: JudgedGate) -> _Json:
    # Popped in the order of the file, which begins with what people look for.
    gate, result = judged.gate, result_to_json(judged.result)
    return {
        "id": gate.id,
        "title": gate.title,
        "phase": gate.phase.value,
        "severity": gate.severity.value,
        "outcome": result.pop("outcome"),
        "blocking": judged.blocking,
        "advisory": judged.advisory,
        "waived_by": None if judged.waiver is None else waiver_to_json(judged.waiver),
        **{key: result.pop(key) for key in ("message", "summary", "checks")},
        "requirement": gate.requirement,
        "remedy": gate.remedy,
        "scopes": list(gate.scopes),
        "cases": list(gate.cases),
        "needs": list(gate.needs),
        "exclusive": gate.exclusive,
        "mutates": gate.mutates,
        "environments": list(gate.environments),
        "evidence_from": list(gate.evidence_from),
        "sends": gate.sends,
        **result,
    }


def _from_previous(previous: Previous) -> _Json:
    return {
        "run_id": previous.run_id,
        "verdict": previous.verdict.value,
        "decided_at": format_moment(previous.decided_at),
        "scope": previous.scope,
        "outcomes": [{"gate": gate, "outcome": outcome.value} for gate, outcome in previous.outcomes],
    }


def _to_decision(data: _Json) -> Decision:
    return Decision(
        verdict=Verdict(data["verdict"]),
        exit_status=ExitStatus(data["exit_status"]),
        scope=data["scope"],
        reasons=tuple(_to_reason(reason) for reason in data["reasons"]),
        gates=tuple(_to_gate(gate) for gate in data["gates"]),
        run=_to_run(data["run"]),
        target=target_from_json(data["target"]),
        subject=_to_subject(data["subject"]),
        digests=Digests(**data["digests"]),
        waivers=tuple(waiver_from_json(waiver) for waiver in data["waivers"]),
        decided_at=parse_moment(data["decided_at"]),
        valid_until=parse_moment(data["valid_until"]),
        previous=None if data["previous"] is None else _to_previous(data["previous"]),
        imported=tuple(data["imported"]),
        origins=tuple(_to_origin(origin) for origin in data.get("origins", ())),
        subject_required=data.get("subject_required", True),
        inputs=pairs_from_json(data.get("inputs", ())),
        criteria=criteria_from_json(data.get("criteria", ())),
    )


def _to_reason(data: _Json) -> Reason:
    return Reason(
        code=Code(data["code"]),
        message=data["message"],
        gate_id=data["gate"],
        remedy=data["remedy"],
        holds_back=tuple(data["holds_back"]),
    )


def _to_subject(data: _Json | None) -> Subject | None:
    return None if data is None else Subject(**data)


def _to_origin(data: _Json) -> Origin:
    return Origin(
        run_id=data["run_id"],
        decided_at=parse_moment(data["decided_at"]),
        valid_until=parse_moment(data["valid_until"]),
        target=target_from_json(data["target"]),
        subject=_to_subject(data["subject"]),
        contract=data["contract"],
    )


def _to_run(data: _Json) -> Run:
    return Run(
        run_id=data["run_id"],
        started_at=parse_moment(data["started_at"]),
        finished_at=optional_moment_from_json(data["finished_at"]),
        command=tuple(data["command"]),
        workers=data["workers"],
        versions=pairs_from_json(data["versions"]),
        ledger_digest=data["ledger_digest"],
    )


def _to_gate(data: _Json) -> JudgedGate:
    gate = Gate(
        id=data["id"],
        title=data["title"],
        phase=_PHASES[data["phase"]],
        severity=_SEVERITIES[data["severity"]],
        scopes=tuple(data["scopes"]),
        requirement=data["requirement"],
        remedy=data["remedy"],
        cases=tuple(data["cases"]),
        needs=tuple(data["needs"]),
        exclusive=data["exclusive"],
        mutates=data["mutates"],
        environments=tuple(data.get("environments", ())),
        evidence_from=tuple(data.get("evidence_from", ())),
        sends=data.get("sends"),
    )
    waiver = None if data["waived_by"] is None else waiver_from_json(data["waived_by"])
    return JudgedGate(
        gate=gate,
        result=result_from_json(gate.id, data),
        waiver=waiver,
        blocking=data["blocking"],
        advisory=data["advisory"],
    )


def _to_previous(data: _Json) -> Previous:
    return Previous(
        run_id=data["run_id"],
        verdict=Verdict(data["verdict"]),
        decided_at=parse_moment(data["decided_at"]),
        scope=data["scope"],
        outcomes=tuple((entry["gate"], Outcome(entry["outcome"])) for entry in data["outcomes"]),
    )
