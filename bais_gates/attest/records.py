"""What is said of a deploy by its record: which decision it revokes, and the signature beside it.

A record is ``ENVIRONMENT/ID.json`` in the folder of records that ``bais-gates deploy`` keeps. The signature
is ``ID.intoto.jsonl`` beside it, one DSSE envelope around an in-toto statement: its subject is the image (of
a rollback to one without a digest the file), its predicate holds the digest of the record's file. The
statement is a function of that file, so that it can be written again and compared.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bais_gates.attest import dsse
from bais_gates.attest.problems import Problem
from bais_gates.attest.statements import STATEMENT
from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.strict import parse_json
from bais_gates.verdict.files import digest_of, read_bytes

if TYPE_CHECKING:
    from bais_gates.attest.keys import SigningKey

RECORD: Final = "https://bais-gates.invalid/deploy-record/v1"
"""The predicate's type."""
FILE_NAME: Final = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}\.json")
"""How the file of a record is named: a file of such a name that can't be read may be the one that revokes."""
_FAILED: Final = frozenset({"ROLLING_BACK", "ROLLBACK_FAILED"})
"""The phases of a deploy that its release did not reach: it is rolled back, or there is no way back."""
_MOST_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """What a record says of a deploy or rollback, as far as it matters here."""

    id: str
    kind: str
    environment: str
    images: tuple[str, ...]
    """Those that are to run, sorted, each once."""
    decision: str
    """The digest of the decision that allowed it; empty for a rollback and for an emergency."""
    outcome: str
    """Its last phase."""
    ended_at: str
    failed_at: str = ""
    """When the release failed; empty if it did not, or the deploy was aborted."""
    why: str = ""
    digest: str
    """``sha256:...`` of its file."""


def read_deploy(path: Path) -> Deploy:
    """Read the file of a record; raise GateInputError for anything else."""
    return parse_deploy(read_bytes(path, limit=_MOST_BYTES), str(path))


def parse_deploy(content: bytes, where: str) -> Deploy:
    """Return what the JSON of a record says; raise GateInputError, naming ``where``, for anything else."""
    try:
        return _parse(parse_json(content), digest_of(content))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise GateInputError(
            f"{where}: is not the record of a deploy, or not of this version of bais-gates. Restore the file."
        ) from None


def _parse(data: Any, digest: str) -> Deploy:
    steps = [(str(one["phase"]), str(one["at"]), str(one["note"])) for one in data["steps"]]
    failures = [one for one in steps if one[0] in _FAILED]
    failed = data["kind"] == "deploy" and bool(failures) and data.get("aborted") is not True
    return Deploy(
        id=str(data["id"]),
        kind=str(data["kind"]),
        environment=str(data["environment"]),
        images=tuple(sorted(set(map(str, data["images"].values())))),
        decision=str(data["decision"].get("digest", "")),
        outcome=steps[-1][0],
        ended_at=steps[-1][1],
        failed_at=failures[0][1] if failed else "",
        why=failures[0][2] if failed else "",
        digest=digest,
    )


# -- revocation --


def files_below(folder: Path) -> list[Path]:
    """Return every file in a folder and below it, sorted. Raises ``OSError`` if a part can't be listed."""

    def fail(error: OSError) -> None:
        raise error

    return sorted(Path(parent, name) for parent, _, names in os.walk(folder, onerror=fail) for name in names)


def revoked(digest: str, files: list[Path]) -> Iterator[Problem]:
    """Yield why a decision of this digest counts no more, by the records among these files.

    A release that failed after it was deployed on a decision revokes it: what the gates saw was not enough.
    """
    for file in files:
        if not FILE_NAME.fullmatch(file.name):
            continue
        try:
            deploy = read_deploy(file)
        except GateInputError as error:
            remedy = "Restore it, or remove it if that deploy is known not to have failed."
            yield Problem(code="RECORD_UNREADABLE", message=str(error), remedy=remedy)
            continue
        if deploy.failed_at and deploy.decision == digest:
            yield revocation(deploy.id, deploy.failed_at, deploy.why)


def revocation(deploy: str, at: str, why: str) -> Problem:
    """Return the refusal of a decision whose release failed."""
    return Problem(
        code="REVOKED",
        message=f"The deploy {deploy} on this decision failed at {at}: {why.rstrip('.')}.",
        remedy="Mend the release, then run the gates again: a new decision is a new judgement.",
    )


# -- signature --


def signature_of(record: Path) -> Path:
    """Return the file of the signature of a record."""
    return record.with_suffix(".intoto.jsonl")


def payload_of(record: Path) -> bytes:
    """Return the statement about the record in a file. Raises GateInputError."""
    deploy = read_deploy(record)
    file = {"name": record.name, "digest": {"sha256": deploy.digest.removeprefix("sha256:")}}
    pairs = [image.partition("@sha256:") for image in deploy.images]
    images = [{"name": name, "digest": {"sha256": digest}} for name, _, digest in pairs if digest]
    predicate = {
        "record": file,
        "id": deploy.id,
        "kind": deploy.kind,
        "environment": deploy.environment,
        "result": deploy.outcome,
        "decision": deploy.decision,
        "endedAt": deploy.ended_at,
    }
    statement: dict[str, Any] = {"_type": STATEMENT, "predicateType": RECORD}
    return dsse.statement_bytes(statement | {"subject": images or [file], "predicate": predicate})


def sign(record: Path, key: SigningKey) -> str:
    """Return the content of the signature's file: this key's envelope around the statement."""
    moment = datetime.now(UTC).replace(microsecond=0)
    return dsse.Envelope(payload=payload_of(record)).signed(key, moment).encode().decode() + "\n"


def read_signature(record: Path) -> dsse.Envelope:
    """Read the envelope beside a record, signatures not verified; GateInputError if it is of another."""
    beside = signature_of(record)
    expected = payload_of(record)
    try:
        content = read_bytes(beside, limit=_MOST_BYTES)
    except AbsentFileError:
        raise AbsentFileError(f"{record}: is not signed: there is no {beside.name} beside it.") from None
    try:
        envelope = dsse.parse(content.removesuffix(b"\n"))
    except ValueError as error:
        raise GateInputError(f"{beside}: {error}. It was changed, or another program wrote it.") from None
    if envelope.payload != expected:
        raise GateInputError(
            f"{beside}: is about another record than {record}, or one of them was changed after signing."
        )
    return envelope
