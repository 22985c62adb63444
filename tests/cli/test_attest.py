"""`bais-gates attest`, and what `verify` makes of its signatures, as people and pipelines call them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from bais_gates.attest.keys import KEY_VARIABLE, PASSPHRASE_VARIABLE
from bais_gates.cli.validate import check_keys
from bais_gates.errors import GateInputError

if TYPE_CHECKING:
    from tests.bypass.conftest import Project
    from tests.cli.conftest import Cli

VERIFY = ("verify", "--env=staging")
CANARY = "canary-passphrase-4711"


def keygen(project: Project, cli: Cli, *names: str) -> None:
    """Make keys, list them as keygen prints them, and have the policy require one of each."""
    entries = [
        cli("attest", "keygen", "--out", name, "--name", name, "--owner", name.title()).stdout
        for name in names
    ]
    project.write("gates/keys.yaml", "keys:\n" + "".join(entries))
    policy = project.folder / "gates" / "policy.yaml"
    rule = f"signatures:\n  staging: {{required: {len(names)}}}\n"
    policy.write_text(policy.read_text().replace("signatures:\n", rule))


def test_two_people_sign(project: Project, cli: Cli) -> None:
    """Unsigned and half signed it is refused; then it is accepted, and page and command name both."""
    keygen(project, cli, "dana", "alex")
    assert check_keys(project.folder / "gates") == "2 listed"
    assert project.run().status == 0
    refused = cli(*VERIFY)
    assert (refused.returncode, refused.stdout.split(":")[0]) == (1, "ATTESTATION_ABSENT")

    assert cli("attest", "sign", "--key", "dana").returncode == 0
    assert cli(*VERIFY).stdout.startswith("SIGNATURES_TOO_FEW: 1 of 2 people")
    done = cli("attest", "sign", "--key", "alex")
    assert "says DEPLOY" in done.stdout
    accepted = cli(*VERIFY, "--history=gate-report")
    assert accepted.returncode == 0, accepted.stdout
    page = (project.folder / "gate-report" / "signoff.html").read_text()
    for owner, name in (("Dana", "dana"), ("Alex", "alex")):
        assert f"signed by: {owner}, {name} SHA256:" in accepted.stdout
        assert f"<td>{owner}</td><td>{name} <code>SHA256:" in page
    assert cli(*VERIFY, "--key=dana.pub", "--key=alex.pub", "--threshold=2").returncode == 0
    both = cli("attest", "verify", "--key=dana.pub", "--key=alex.pub", "--threshold=2")
    assert both.stdout.count("signed by dana.pub, alex.pub") == 2
    assert "verification_summary/v1: PASSED" in both.stdout
    keys = project.folder / "gates" / "keys.yaml"
    keys.write_text(re.sub("not_after: 2", "not_after: 2001-01-01T00:00:00Z #", keys.read_text(), count=1))
    keys.write_text(re.sub("not_before: 2", "not_before: 2000-01-01T00:00:00Z #", keys.read_text(), count=1))
    assert "verify will refuse it: KEY_EXPIRED" in cli("attest", "sign", "--key", "dana").stdout
    alone = cli("attest", "verify", "--key=dana.pub", "--threshold=2")
    assert (alone.returncode, "1 of 2 signatures" in alone.stdout) == (1, True)


def test_verify_for_machines(project: Project, cli: Cli) -> None:
    """`--json` has codes, what changed, the decision and the signatures, and the same exit status."""
    assert project.run().status == 0
    done = cli(*VERIFY, "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["problems"], report["signatures"]) == (0, True, [], [])
    assert report["decision"]["run_id"] == "this-run"
    policy = project.folder / "gates" / "policy.yaml"
    policy.write_text(policy.read_text().replace("validity_s: 14400", "validity_s: 60"))
    done = cli(*VERIFY, "--json")
    (problem, *_) = json.loads(done.stdout)["problems"]
    assert (done.returncode, problem["code"]) == (1, "POLICY_OTHER")
    assert problem["changes"] == ["validity_s 14400 -> 60"]
    absent = cli("verify", "no.json", "--json")
    assert (absent.returncode, json.loads(absent.stdout)["decision"]) == (1, None)


WRONG = (
    (("attest", "sign"), f"There is no key. Give one with --key FILE, or as PEM in {KEY_VARIABLE}"),
    (("attest", "sign", "--key=no"), "no: there is no such key"),
    (("attest", "sign", "no.json", "--key=kim"), "no.json: no such file"),
    (("attest", "sign", "--key=locked"), f"locked: the key has a passphrase. Set {PASSPHRASE_VARIABLE}"),
    (("attest", "keygen", "--owner=Kim", "--out=kim"), "kim: exists already"),
    (("attest", "keygen", "--owner=Kim", "--out=no/kim"), "can't be written (No such file or directory)"),
    (("attest", "keygen", "--owner=Kim", "--out=new", "--days=0"), "a day at least"),
    (("attest", "keygen", "--owner=Kim", "--out=new", "--days=9999999"), "too many"),
    (("attest", "keygen", "--owner=Kim", "--out=new", "--name=Kim K"), "is not a name"),
    (("attest", "verify", "--key=kim.pub"), "no such file"),
    (("verify", "--key=kim"), "the public one is due"),
    (("verify", "--threshold=0"), "not a number of people"),
)


def test_wrong_input_of_attest(project: Project, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong input ends with 2 and one paragraph that says what to do, and nothing is signed."""
    assert cli("attest", "keygen", "--owner=Kim", "--out=kim").returncode == 0
    monkeypatch.setenv(PASSPHRASE_VARIABLE, CANARY)
    assert cli("attest", "keygen", "--owner=Kim", "--out=locked").returncode == 0
    monkeypatch.delenv(PASSPHRASE_VARIABLE)
    for words, message in WRONG:
        done = cli(*words)
        assert done.returncode == 2, (words, done.stdout)
        assert message in done.stderr, words
        assert "Traceback" not in done.stderr
        assert CANARY not in done.stdout + done.stderr
    assert CANARY not in (project.folder / "locked").read_text()
    assert not (project.folder / "gate-report").exists()


def test_validate_compares_keys_with_the_policy(project: Project) -> None:
    """A key that the policy names and nobody listed is an error; with no key at all, a note says so."""
    assert "can't be" in check_keys(project.folder / "gates")
    policy = project.folder / "gates" / "policy.yaml"
    policy.write_text(policy.read_text().replace("{required: 1}", "{required: 1, keys: [dana]}"))
    with pytest.raises(GateInputError, match="not listed: dana"):
        check_keys(project.folder / "gates")


def test_a_folder_that_is_full(project: Project, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the statements can't be written, signing ends with 2 and says so; the decision stays unsigned."""
    keygen(project, cli, "dana")
    assert project.run().status == 0
    report = project.folder / "gate-report"
    (report / "decision.intoto.jsonl").symlink_to("/dev/full")
    assert "not a regular file" in cli("attest", "sign", "--key=dana").stderr
    (report / "decision.intoto.jsonl").unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bais_gates.cli.attest.write_atomically", full)
    done = cli("attest", "sign", "--key=dana")
    assert (done.returncode, "No space left on device" in done.stderr) == (2, True)
    assert cli(*VERIFY).stdout.startswith("ATTESTATION_ABSENT")
