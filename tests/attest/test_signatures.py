"""Who must have signed a decision, and everything that is refused however well it is signed."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature

from bais_gates.attest import dsse
from bais_gates.attest.keys import public_key
from bais_gates.attest.signing import parse_envelopes
from bais_gates.attest.statements import VERIFIER_ID
from bais_gates.verdict.model import Subject
from tests.attest import independent
from tests.attest.conftest import NOW, SUBJECT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.attest.conftest import Project

OTHER = Subject(name="bais-api", digest="sha256:" + "b" * 64)


@pytest.fixture
def signed(project: Project) -> Project:
    """Return a project whose policy requires two of three keys, and whose decision two people signed."""
    project.list_keys(dana={}, alex={}, kim={})
    project.require(2)
    project.sign("dana", "alex")
    return project


def publics(project: Project, *names: str) -> list[Path]:
    """Return the files of public keys."""
    return [project.folder / f"{name}.pub" for name in names]


def test_a_signed_decision_is_accepted_and_names_who_signed(signed: Project) -> None:
    """With the signatures that the policy requires it is accepted, and each is named with key and time."""
    report = signed.verify()

    assert report.problems == ()
    assert [(each.name, each.owner) for each in report.signatures] == [("dana", "Dana"), ("alex", "Alex")]
    assert [each.signed_at for each in report.signatures] == [
        NOW + timedelta(seconds=20),
        NOW + timedelta(seconds=40),
    ]
    assert signed.codes(keys=[public_key(path) for path in publics(signed, "alex")]) == []


def test_an_independent_verifier_accepts(signed: Project) -> None:
    """By the published procedures the VSA says PASSED of this image, and lists what it was made from."""
    vsa, result = (
        independent.verify_dsse(line, publics(signed, "dana", "alex"), 2)
        for line in signed.statements.read_bytes().splitlines()
    )
    expected = {
        "verifier": VERIFIER_ID,
        "resource": "bais-gates:target/production/bais-api",
        "level": "BAIS_GOLIVE_V1",
    }
    independent.verify_vsa(vsa, digest=SUBJECT.digest, **expected)
    with pytest.raises(AssertionError):
        independent.verify_vsa(vsa, digest=OTHER.digest, **expected)
    uris = [descriptor["uri"] for descriptor in vsa["predicate"]["inputAttestations"]]
    assert uris == [
        f"bais-gates:{name}" for name in ("decision", "catalog", "policy", "waivers", "environment", "ledger")
    ]
    tests = independent.verify_test_result(result)
    assert tests == {
        "passed": ["acceptance.a"],
        "warned": ["acceptance.b"],
        "failed": ["acceptance.c", "acceptance.d"],
    }
    with pytest.raises(AssertionError, match="1 of 2"):
        independent.verify_dsse(
            signed.statements.read_bytes().splitlines()[0], publics(signed, "dana", "kim"), 2
        )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_openssl_accepts_the_bytes_that_were_signed(signed: Project) -> None:
    """The signature is plain Ed25519 over DSSE's encoding of the payload."""
    envelope = parse_envelopes(signed.statements)[0]
    (signed.folder / "sig").write_bytes(envelope.signatures[0].sig)
    (signed.folder / "pae").write_bytes(dsse.pae(dsse.PAYLOAD_TYPE, envelope.payload))
    words = ["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey", "dana.pub", "-sigfile", "sig", "-in", "pae"]
    done = subprocess.run(
        ["openssl", *words], cwd=signed.folder, capture_output=True, text=True, timeout=20, check=False
    )

    assert "Verified Successfully" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("outcomes", "judged", "level", "result"),
    [
        ({"a": "NOT_RUN"}, {}, "FAILED", "FAILED"),
        (
            {"c": "PASS", "d": "PASS"},
            {"target": "sandbox", "rehearsal": True},
            "BAIS_GOLIVE_REHEARSAL_V1",
            "WARNED",
        ),
    ],
)
def test_a_block_and_a_rehearsal_say_so(
    project: Project, outcomes: dict[str, str], judged: dict[str, Any], level: str, result: str
) -> None:
    """A BLOCK passes no level, and lists a gate that did not run as failed; a rehearsal has its own."""
    if judged:
        (project.catalog.parent / "waivers.yaml").write_text("waivers: []\n")
    project.outcomes |= outcomes
    project.judge(**judged)
    project.sign("dana")
    vsa, tests = (json.loads(each.payload) for each in parse_envelopes(project.statements))

    assert vsa["predicate"]["verifiedLevels"] == [level]
    assert tests["predicate"]["result"] == result
    assert ("acceptance.a" in tests["predicate"]["failedTests"]) is (level == "FAILED")


@pytest.mark.parametrize("file", ["statements", "decision", "ledger"])
def test_no_byte_of_a_signed_file_may_change(signed: Project, file: str) -> None:
    """Each of 200 single-byte changes, wherever it is, is refused."""
    path = {"ledger": signed.folder / "ledger.jsonl"}.get(file) or getattr(signed, file)
    content = path.read_bytes()
    chosen = random.Random(7)
    dana, alex = (public_key(path) for path in publics(signed, "dana", "alex"))
    for _ in range(200):
        at, bit = chosen.randrange(len(content)), 1 << chosen.randrange(8)
        path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        assert not signed.verify(catalog=None, keys=[dana, alex], threshold=2).ok, (at, bit)
    path.write_bytes(content)
    assert signed.codes() == []


def test_spellings_of_the_same_signature_are_refused(signed: Project) -> None:
    """Spaces, an unused bit of base64, a line end, a third line or another order of keys do not pass."""
    content = signed.statements.read_bytes()
    first, second = content.splitlines()
    envelope = json.loads(first)
    loose = envelope["signatures"][0]["sig"]
    unused = loose[:-3] + chr(ord(loose[-3]) + 1) + "=="
    for wrong in (
        content + b"\n",
        content[:-1],
        content.replace(b'","', b'", "', 1),
        content.replace(loose.encode(), unused.encode(), 1),
        json.dumps(dict(reversed(envelope.items())), separators=(",", ":")).encode() + b"\n" + second + b"\n",
        second + b"\n" + first + b"\n",
    ):
        signed.statements.write_bytes(wrong)
        assert signed.codes()[0] in {"ATTESTATION_UNPARSABLE", "ATTESTATION_OTHER"}


def test_a_decision_that_is_not_signed(signed: Project) -> None:
    """Without a statement, or with fewer people than required, it is refused, with what to do."""
    signed.statements.unlink()
    assert signed.codes() == ["ATTESTATION_ABSENT"]
    assert "bais-gates attest sign" in signed.verify().problems[0].remedy
    signed.sign("dana")
    assert signed.codes() == ["SIGNATURES_TOO_FEW"]
    signed.sign("dana", "dana")
    assert signed.codes() == ["SIGNATURES_TOO_FEW"]
    assert signed.codes(env="staging")[0] == "ENVIRONMENT_OTHER"  # and staging asks for no signature


def test_two_keys_of_one_person_count_once(signed: Project) -> None:
    """The policy requires people: a second key of the same owner adds nothing."""
    signed.list_keys(dana={}, alex={"owner": " dana "})
    assert signed.codes() == ["SIGNATURES_TOO_FEW"]
    signed.list_keys(dana={}, alex={})
    assert signed.codes() == []


def test_a_key_that_is_not_listed(signed: Project) -> None:
    """A signature by an unknown key is refused, whoever else signed; one that the policy omits adds none."""
    signed.list_keys(dana={}, kim={})
    assert signed.codes() == ["SIGNATURE_UNLISTED", "SIGNATURES_TOO_FEW"]
    signed.list_keys(dana={}, alex={}, kim={})
    signed.require(1, keys="kim")
    signed.statements.unlink()
    signed.sign("dana")
    assert signed.codes() == ["SIGNATURES_TOO_FEW"]
    assert "keys that count: kim" in signed.verify().problems[0].message
    (signed.catalog.parent / "keys.yaml").unlink()
    assert signed.codes() == ["KEYS_INVALID", "SIGNATURE_UNLISTED", "SIGNATURES_TOO_FEW"]


@pytest.mark.parametrize(
    ("moments", "code"),
    [
        ({"not_after": "2026-03-02T12:00:30Z"}, "KEY_EXPIRED"),
        ({"not_after": "2026-03-02T11:00:00Z"}, "KEY_EXPIRED"),
        ({"not_before": "2026-03-02T12:00:10Z"}, "KEY_NOT_YET_VALID"),
    ],
)
def test_a_key_out_of_its_time(signed: Project, moments: dict[str, str], code: str) -> None:
    """A key must be valid when the decision was made, when it signed, and when the decision is verified."""
    signed.list_keys(dana=moments, alex={}, kim={})

    assert signed.codes() == [code, "SIGNATURES_TOO_FEW"]
    assert signed.codes(keys=[public_key(path) for path in publics(signed, "dana")]) == [
        code,
        *["SIGNATURES_TOO_FEW"] * 2,
    ]


def test_keys_of_the_command_line(project: Project) -> None:
    """Where the policy asks for none, ``threshold`` of the keys given must have signed, and no one else."""
    project.key("kim")
    project.sign("dana", "alex")
    dana, alex, kim = (public_key(path) for path in publics(project, "dana", "alex", "kim"))

    assert project.codes() == ["SIGNATURE_UNLISTED"] * 2
    assert project.codes(keys=[dana, alex], threshold=2) == []
    assert project.codes(keys=[dana, alex, kim], threshold=3) == ["SIGNATURES_TOO_FEW"]
    assert project.codes(keys=[dana], threshold=1) == ["SIGNATURE_UNLISTED"]
    assert project.codes(threshold=1) == ["SIGNATURE_UNLISTED"] * 2 + ["SIGNATURES_TOO_FEW"]


@pytest.mark.parametrize(
    ("judged", "asked", "code"),
    [
        ({}, {"run_id": "run-2"}, "RUN_ID_OTHER"),
        ({}, {"subject": OTHER}, "SUBJECT_OTHER"),
        ({}, {"env": "staging", "subject": SUBJECT}, "ENVIRONMENT_OTHER"),
        ({}, {"scope": "acceptance"}, "SCOPE_OTHER"),
        ({"now": NOW + timedelta(seconds=1)}, {}, "ATTESTATION_OTHER"),
        ({"subject": OTHER}, {"subject": OTHER}, "ATTESTATION_OTHER"),
    ],
)
def test_a_signature_of_another_decision(
    signed: Project, judged: dict[str, Any], asked: dict[str, Any], code: str
) -> None:
    """A signed decision is no other run's, image's, target's or scope's; its statement is no other's."""
    if judged:
        signed.judge(**judged)

    assert code in signed.codes(**asked)


def test_a_rehearsal_brings_the_key_of_its_sandbox(project: Project) -> None:
    """The key beside a rehearsal is known, so that no byte changes unnoticed; nowhere else is it known."""
    (project.catalog.parent / "waivers.yaml").write_text("waivers: []\n")
    project.outcomes |= {"c": "PASS", "d": "PASS"}
    project.judge(target="sandbox", rehearsal=True)
    project.sign("sandbox")  # whose public half is sandbox.pub
    assert project.codes(env="sandbox") == []
    assert [each.owner for each in project.verify(env="sandbox").signatures] == ["the sandbox itself"]
    line = project.statements.read_text()
    keyid = json.loads(line.splitlines()[0])["signatures"][0]["keyid"]
    project.statements.write_text(line.replace(keyid, keyid.swapcase()))
    assert project.codes(env="sandbox") == ["SIGNATURE_UNLISTED"]
    project.judge()
    project.statements.unlink()
    project.sign("sandbox")
    assert project.codes() == ["SIGNATURE_UNLISTED"]


def test_a_signed_decision_beside_another_catalog(signed: Project) -> None:
    """A signature does not carry a decision over to other files than it was made from; each has its code."""
    for file, code in (
        ("catalog.yaml", "CATALOG_OTHER"),
        ("policy.yaml", "POLICY_OTHER"),
        ("waivers.yaml", "WAIVERS_OTHER"),
        ("environments/production.yaml", "ENVIRONMENT_OTHER"),
    ):
        path = signed.catalog.parent / file
        before = path.read_text()
        path.write_text(before + "# later\n")
        assert signed.codes() == [code]
        path.write_text(before)


def test_a_decision_that_was_forged_as_a_whole(signed: Project) -> None:
    """A BLOCK that is judged again as DEPLOY agrees with itself, but not with its signatures."""
    signed.outcomes["a"] = "FAIL"
    signed.judge()
    signed.statements.unlink()
    signed.sign("dana", "alex")
    assert signed.codes() == ["DECISION_BLOCK"]
    signed.outcomes["a"] = "PASS"
    signed.judge()
    assert signed.codes() == ["ATTESTATION_OTHER"]
    assert "verificationResult" in signed.verify().problems[0].message
    with pytest.raises(Exception, match="another decision"):
        signed.sign("dana")


def test_an_envelope_verifies_by_threshold(signed: Project) -> None:
    """Distinct people count, other keys do not, and a signature that is wrong is an error."""
    envelope = parse_envelopes(signed.statements)[0]
    dana, alex = (signed.key(name).public() for name in ("dana", "alex"))

    assert len(dsse.verify(envelope, [dana, alex], 2)) == 2
    with pytest.raises(ValueError, match="1 of 2"):
        dsse.verify(envelope, [dana, dana], 2)
    forged = dsse.Envelope(payload=envelope.payload + b" ", signatures=envelope.signatures)
    with pytest.raises(ValueError, match="not valid"):
        dsse.verify(forged, [dana], 1)
    with pytest.raises(InvalidSignature):
        independent.verify_dsse(forged.encode(), publics(signed, "dana"), 1)


def test_an_older_decision_after_a_newer_one(signed: Project, tmp_path: Path) -> None:
    """A DEPLOY is refused once a newer run on its subject and target says BLOCK, or decides its scope."""
    history = tmp_path / "history"
    first, newer = history / "one", history / "two"
    for folder in (first, newer):
        folder.mkdir(parents=True)
    shutil.copy(signed.decision, first / "decision.json")
    assert signed.codes(history=history) == []
    content = signed.decision.read_bytes()

    def judge_newer(**fields: Any) -> None:
        signed.judge(**{"now": NOW + timedelta(seconds=30)} | fields)
        document = json.loads(signed.decision.read_text())
        document["run"]["run_id"] = "run-2"
        signed.forge(document)
        shutil.move(signed.decision, newer / "decision.json")
        signed.decision.write_bytes(content)

    judge_newer()
    assert signed.codes(history=history) == ["OVERTAKEN"]
    judge_newer(scope="acceptance")
    assert signed.codes(history=history) == []
    signed.outcomes["a"] = "FAIL"
    judge_newer(scope="acceptance")
    assert signed.codes(history=history) == ["OVERTAKEN"]
    assert "its acceptance is BLOCK" in signed.verify(history=history).problems[0].message
    judge_newer(subject=OTHER)
    assert signed.codes(history=history) == []
    (newer / "decision.json").write_text("{")
    assert signed.codes(history=history) == ["HISTORY_UNREADABLE"]
    assert signed.codes(history=tmp_path / "nowhere") == ["HISTORY_UNREADABLE"]
