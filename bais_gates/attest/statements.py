"""The two in-toto statements about a decision: a SLSA verification summary, and a test result.

Sources: SLSA 1.2 "Verification Summary Attestation (VSA)", in-toto Statement v1 and test-result v0.1. Both
are functions of the decision and of its file's digest, so that ``verify`` writes them again and compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from bais_gates.verdict.codec import format_moment
from bais_gates.verdict.model import Outcome, Verdict
from bais_gates.verdict.target import on_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bais_gates.verdict.model import Decision, JsonValue

STATEMENT: Final = "https://in-toto.io/Statement/v1"
VSA: Final = "https://slsa.dev/verification_summary/v1"
TEST_RESULT: Final = "https://in-toto.io/attestation/test-result/v0.1"
VERIFIER_ID: Final = "https://bais-gates.invalid/verifier/v1"
"""What consumers pin, together with the key."""
SLSA_VERSION: Final = "1.2"
_SCHEME: Final = "bais-gates:"

_Json = dict[str, "JsonValue"]


def statements(decision: Decision, file_digest: str) -> tuple[_Json, _Json]:
    """Return the VSA and the test result; ``file_digest`` is that of decision.json, ``sha256:<hex>``."""
    inputs = dict(_inputs(decision, file_digest))
    subject = _subject(decision, file_digest)
    return (
        _statement(VSA, subject, _vsa(decision, inputs)),
        _statement(TEST_RESULT, subject, _test_result(decision, inputs)),
    )


def level(decision: Decision) -> str:
    """Return the level that a DEPLOY reaches: ``BAIS_GOLIVE_V1``; a rehearsal reaches one of its own."""
    target = decision.target
    rehearsal = target.rehearsal or target.provisioned or on_loopback(target)
    return f"BAIS_{decision.scope.upper()}_{'REHEARSAL_' if rehearsal else ''}V1"


def resource_uri(decision: Decision) -> str:
    """Return the environment and the image that are judged: ``bais-gates:target/production/bais-api``.

    slsa-verifier compares it, so that a decision about staging is none about production.
    """
    image = f"/{quote(decision.subject.name, safe='/:')}" if decision.subject else ""
    return f"{_SCHEME}target/{quote(decision.target.name, safe='')}{image}"


def _statement(kind: str, subject: _Json, predicate: _Json) -> _Json:
    return {"_type": STATEMENT, "subject": [subject], "predicateType": kind, "predicate": predicate}


def _subject(decision: Decision, file_digest: str) -> _Json:
    """Return the image; where there is none, a statement needs one all the same: the decision's file."""
    if decision.subject is None:
        return {"name": "decision.json", "digest": _digest(file_digest)}
    return {"name": decision.subject.name, "digest": _digest(decision.subject.digest)}


def _digest(text: str) -> _Json:
    algorithm, _, digits = text.partition(":")
    return {algorithm: digits}


def _inputs(decision: Decision, file_digest: str) -> Iterator[tuple[str, _Json]]:
    """Yield name and resource descriptor of everything that the decision was made from."""
    digests = {
        "decision": file_digest,
        "catalog": decision.digests.catalog,
        "policy": decision.digests.policy,
        "waivers": decision.digests.waivers,
        "contract": decision.digests.contract,
        "environment": decision.target.environment_digest,
        "ledger": decision.run.ledger_digest,
    }
    for name, digest in digests.items():
        if digest:
            yield name, {"uri": _SCHEME + name, "digest": _digest(digest)}


def _vsa(decision: Decision, inputs: dict[str, _Json]) -> _Json:
    passed = decision.verdict is Verdict.DEPLOY
    versions: _Json = dict(decision.run.versions)
    return {
        "verifier": {"id": VERIFIER_ID, "version": versions},
        "timeVerified": format_moment(decision.decided_at),
        "resourceUri": resource_uri(decision),
        "policy": inputs.get("policy", {"uri": f"{_SCHEME}policy/built-in"}),
        "inputAttestations": list(inputs.values()),
        "verificationResult": "PASSED" if passed else "FAILED",
        "verifiedLevels": [level(decision) if passed else "FAILED"],
        "slsaVersion": SLSA_VERSION,
    }


def _test_result(decision: Decision, inputs: dict[str, _Json]) -> _Json:
    """Return every gate once: only a PASS has passed, and nothing that is not proven is left to a silence.

    NOT_APPLICABLE was declared, not seen, and is a warning; so is the result of a DEPLOY with waived gates.
    """
    of_outcome: dict[str, list[str]] = {"passed": [], "warned": [], "failed": []}
    for judged in decision.gates:
        outcome = judged.result.outcome
        kind = {Outcome.PASS: "passed", Outcome.NOT_APPLICABLE: "warned"}.get(outcome, "failed")
        of_outcome["failed" if judged.blocking else kind].append(judged.gate.id)
    warned = of_outcome["warned"] or of_outcome["failed"]
    result = "FAILED" if decision.verdict is Verdict.BLOCK else "WARNED" if warned else "PASSED"
    configuration = [part for name, part in inputs.items() if name not in {"decision", "ledger"}]
    return {
        "result": result,
        "configuration": list(configuration),
        "passedTests": list(of_outcome["passed"]),
        "warnedTests": list(of_outcome["warned"]),
        "failedTests": list(of_outcome["failed"]),
    }
