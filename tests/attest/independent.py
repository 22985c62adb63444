"""A verifier of the statements by the published procedures alone: it imports nothing of bais_gates.

Sources: DSSE protocol v1 (secure-systems-lab/dsse), in-toto Statement v1, SLSA 1.2 "Verifying VSAs", and what
slsa-verifier 2.7 checks of a VSA: key id, every subject digest, verifier, resource, result, levels.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

PAYLOAD_TYPE = b"application/vnd.in-toto+json"
RESULTS = {"PASSED", "WARNED", "FAILED"}


def verify_dsse(line: bytes, keys: list[Path], threshold: int) -> Any:
    """Return the statement in an envelope that ``threshold`` of the keys have signed; raise otherwise."""
    envelope = json.loads(line)
    assert envelope["payloadType"].encode() == PAYLOAD_TYPE
    payload = base64.b64decode(envelope["payload"], validate=True)
    pae = b" ".join([b"DSSEv1", b"28", PAYLOAD_TYPE, str(len(payload)).encode(), payload])
    accepted = set()
    for path in keys:
        key = load_pem_public_key(path.read_bytes())
        assert isinstance(key, Ed25519PublicKey)
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        keyid = "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
        for signature in envelope["signatures"]:
            if signature["keyid"] in {"", keyid}:
                key.verify(base64.b64decode(signature["sig"], validate=True), pae)  # raises InvalidSignature
                accepted.add(keyid)
    assert len(accepted) >= threshold, f"{len(accepted)} of {threshold} signatures"
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert all(re.fullmatch("[0-9a-f]{64}", each["digest"]["sha256"]) for each in statement["subject"])
    return statement


def verify_vsa(statement: Any, *, digest: str, verifier: str, resource: str, level: str) -> None:
    """Raise unless the statement is a VSA that says PASSED of this artefact, by this verifier."""
    assert statement["predicateType"] == "https://slsa.dev/verification_summary/v1"
    assert digest in {f"sha256:{each['digest']['sha256']}" for each in statement["subject"]}
    predicate = statement["predicate"]
    assert predicate["verifier"]["id"] == verifier
    assert all(isinstance(version, str) for version in predicate["verifier"]["version"].values())
    assert predicate["resourceUri"] == resource != ""
    assert predicate["verificationResult"] == "PASSED"
    assert level in predicate["verifiedLevels"]
    assert not any(each.startswith("SLSA_") for each in predicate["verifiedLevels"])
    assert datetime.fromisoformat(predicate["timeVerified"]).tzinfo is not None
    assert re.fullmatch(r"\d+\.\d+", predicate["slsaVersion"])
    for descriptor in (predicate["policy"], *predicate["inputAttestations"]):
        assert re.match("[a-z-]+:", descriptor["uri"])


def verify_test_result(statement: Any) -> dict[str, list[str]]:
    """Return the tests by result; raise unless the statement is a test result with each test once."""
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    predicate = statement["predicate"]
    assert predicate["result"] in RESULTS
    assert all(descriptor["digest"] for descriptor in predicate["configuration"])
    tests = {name: predicate[f"{name}Tests"] for name in ("passed", "warned", "failed")}
    every = [test for names in tests.values() for test in names]
    assert len(every) == len(set(every)) > 0
    return tests
