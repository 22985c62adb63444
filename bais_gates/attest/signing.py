"""Signing of a decision's file: the content of ``decision.intoto.jsonl``, and the predicates, unsigned.

The file holds two lines, a DSSE envelope each: the VSA, then the test result. Who signs later is added to
both.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bais_gates.attest import dsse
from bais_gates.attest.keys import SigningKey
from bais_gates.attest.statements import statements
from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.verdict.files import read_bytes
from bais_gates.verdict.model import Decision

STATEMENTS_FILE: Final = "decision.intoto.jsonl"
PREDICATE_FILES: Final = ("vsa.predicate.json", "test-result.predicate.json")
"""For ``cosign attest --predicate`` and GitHub's attestations, which sign and attach them."""
SANDBOX_KEY_FILE: Final = "sandbox.pub"
"""The public half of a sandbox's own key, which would be gone with it."""
_KINDS = ("the VSA", "the test result")


def expected(decision: Decision, file_digest: str) -> tuple[bytes, ...]:
    """Return the payloads of the statements about a decision whose file has this digest."""
    return tuple(dsse.statement_bytes(one) for one in statements(decision, file_digest))


def parse_envelopes(path: Path) -> tuple[dsse.Envelope, ...]:
    """Read the envelopes of a statements file, signatures not verified.

    Raises AbsentFileError, or GateInputError with file and line.
    """
    raw = read_bytes(path)
    lines = raw.split(b"\n")
    if len(lines) != len(_KINDS) + 1 or lines[-1]:
        raise GateInputError(f"{path}: must hold two lines, {' and '.join(_KINDS)}. Sign the decision again.")
    envelopes = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            envelopes.append(dsse.parse(line))
        except ValueError as error:
            raise GateInputError(f"{path}:{number}: {error}. Sign the decision again.") from None
    if len({tuple(each.keyid for each in envelope.signatures) for envelope in envelopes}) != 1:
        raise GateInputError(f"{path}: its two lines are signed by different keys. Sign the decision again.")
    return tuple(envelopes)


def signed(
    path: Path, decision: Decision, file_digest: str, key: SigningKey, now: datetime | None = None
) -> str:
    """Return the content of the statements' file: the signatures that it has, and this one.

    ``decision`` is what the file ``path`` with this digest holds. Raises GateInputError for older statements
    about another decision.
    """
    payloads = expected(decision, file_digest)
    beside = path.with_name(STATEMENTS_FILE)
    try:
        envelopes = parse_envelopes(beside)
    except AbsentFileError:
        envelopes = tuple(dsse.Envelope(payload=payload) for payload in payloads)
    if tuple(envelope.payload for envelope in envelopes) != payloads:
        raise GateInputError(f"{beside}: is about another decision than {path}. Remove it, then sign again.")
    moment = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    return "".join(f"{envelope.signed(key, moment).encode().decode()}\n" for envelope in envelopes)


def predicates(decision: Decision, file_digest: str) -> dict[str, str]:
    """Return name and content of the files that hold the predicates alone, unsigned."""
    return {
        name: json.dumps(statement["predicate"], indent=2) + "\n"
        for name, statement in zip(PREDICATE_FILES, statements(decision, file_digest), strict=True)
    }
