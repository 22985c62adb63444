"""A run signs its decision after it is written, with a key that no gate sees, or leaves it unsigned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bais_gates.attest.keys import KEY_VARIABLE, PASSPHRASE_VARIABLE, generate
from bais_gates.attest.signing import PREDICATE_FILES, SANDBOX_KEY_FILE, STATEMENTS_FILE
from bais_gates.reports import voiding
from bais_gates.reports.files import STATEMENTS
from tests.attest import independent

if TYPE_CHECKING:
    from pathlib import Path

    from tests.pytest_plugin.conftest import Project

CANARY = "canary-passphrase-4711"
LOOK = f"""
@pytest.mark.gate("acceptance.one")
def test_one(evidence):
    names = [name for name in ({KEY_VARIABLE!r}, {PASSPHRASE_VARIABLE!r}) if name in os.environ]
    evidence.check("names of variables with a key", names, "==", [])
"""
RULE = "signatures: {stub: {required: 1}}\n"


@pytest.fixture
def keyed(project: Project) -> Project:
    """Return a project with one gate, a key of its own and a policy that requires it."""
    project.catalog(one={})
    project.tests(LOOK)
    generate(project.folder / "key", CANARY)
    policy = project.folder / "gates" / "policy.yaml"
    policy.write_text(policy.read_text() + RULE)
    return project


def statements(project: Project) -> list[bytes]:
    """Return the lines of the signed statements."""
    return (project.out / STATEMENTS_FILE).read_bytes().splitlines()


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_run_signs_with_the_key_that_it_is_given(keyed: Project, by: str) -> None:
    """The statement says PASSED, terminal and page name the key and the time, and no secret is anywhere."""
    pem = (keyed.folder / "key").read_text()
    env = {PASSPHRASE_VARIABLE: CANARY} | ({KEY_VARIABLE: pem} if by == "variable" else {})
    words = ("--gate-sign-key=key",) if by == "option" else ()
    ran = keyed.run("-m", "golive", *words, env=env)

    assert ran.status == 0, ran.output
    vsa, result = (independent.verify_dsse(line, [keyed.folder / "key.pub"], 1) for line in statements(keyed))
    assert vsa["predicate"]["verificationResult"] == "PASSED"
    assert independent.verify_test_result(result)["passed"] == ["acceptance.one"]
    assert [json.loads((keyed.out / name).read_text()) for name in PREDICATE_FILES] == [
        vsa["predicate"],
        result["predicate"],
    ]
    page = (keyed.out / "signoff.html").read_text()
    assert "Signed by a key that is not listed in keys.yaml" in ran.output
    assert "not recorded" not in ran.output + page
    assert "a key that is not listed in keys.yaml" in page
    assert json.loads(statements(keyed)[0])["signatures"][0]["keyid"][:20] in page
    left = "".join(path.read_text() for path in keyed.out.iterdir()) + ran.output
    for secret in (CANARY, *pem.splitlines()[1:-1]):
        assert secret not in left


@pytest.mark.parametrize(
    ("words", "env", "message"),
    [
        (("--gate-sign-key=key",), {PASSPHRASE_VARIABLE: f"no-{CANARY}"}, "is wrong"),
        ((), {KEY_VARIABLE: f"-----BEGIN {CANARY}"}, f"{KEY_VARIABLE}: holds no private key"),
    ],
    ids=["wrong passphrase", "no key"],
)
def test_a_key_that_cannot_be_used(
    keyed: Project, words: tuple[str, ...], env: dict[str, str], message: str
) -> None:
    """The run ends before its first gate, BLOCK with the reason, and the older statement is gone."""
    keyed.out.mkdir()
    (keyed.out / STATEMENTS_FILE).write_text("older")
    ran = keyed.run("-m", "golive", *words, env=env)

    assert ran.status == 22, ran.output
    assert ran.codes == {"REFUSED_OPTION"}
    assert message in " ".join(ran.output.split())
    assert CANARY not in ran.output + (keyed.out / "decision.json").read_text()
    assert not (keyed.out / STATEMENTS_FILE).exists()


def test_a_run_without_a_key(keyed: Project) -> None:
    """It decides unsigned, says what the policy still requires, and writes the predicates for other tools."""
    keyed.passing("one")
    ran = keyed.run("-m", "golive")

    assert ran.status == 0, ran.output
    assert "The policy requires 1 signature more" in ran.output
    assert not (keyed.out / STATEMENTS_FILE).exists()
    assert all((keyed.out / name).exists() for name in PREDICATE_FILES)


def test_a_signature_that_cannot_be_written(keyed: Project) -> None:
    """A disk that is full for the statement alone leaves the decision, unsigned, and says so."""
    keyed.write(
        "conftest.py",
        f"""
        import errno
        from bais_gates.pytest_plugin import signing

        def write(path, text, real=signing.write_atomically):
            if path.name == {STATEMENTS_FILE!r}:
                path.write_text(text[:9])
                raise OSError(errno.ENOSPC, "No space left on device")
            real(path, text)

        signing.write_atomically = write
        """,
    )
    ran = keyed.run("-m", "golive", "--gate-sign-key=key", env={PASSPHRASE_VARIABLE: CANARY})

    assert ran.status == 0, ran.output
    assert "The decision is not signed: [Errno 28] No space left on device" in ran.output
    assert not (keyed.out / STATEMENTS_FILE).exists()


def test_a_decision_that_is_blocked_after_it_was_signed(keyed: Project) -> None:
    """What another plugin breaks afterwards turns into a BLOCK, and the statement says FAILED."""
    keyed.write(
        "conftest.py",
        """
        def pytest_sessionfinish():
            raise RuntimeError("broken")
        """,
    )
    ran = keyed.run("-m", "golive", "--gate-sign-key=key", env={PASSPHRASE_VARIABLE: CANARY})

    assert ran.status == 23, ran.output
    vsa = independent.verify_dsse(statements(keyed)[0], [keyed.folder / "key.pub"], 1)
    assert vsa["predicate"]["verificationResult"] == "FAILED"
    assert vsa["predicate"]["verifiedLevels"] == ["FAILED"]


def test_the_key_of_an_environment(project: Project) -> None:
    """Without a key of its own a run signs with the one that the environment file names."""
    project.catalog(one={})
    project.passing("one")
    generate(project.folder / "gates" / "environments" / "stub.key", None)
    project.write("gates/environments/stub.yaml", "name: stub\nsigning: {key_file: stub.key}\n")

    assert project.run("-m", "golive").status == 0
    public = project.folder / "gates" / "environments" / "stub.key.pub"
    assert independent.verify_dsse(statements(project)[0], [public], 1)


def test_everything_that_a_signature_leaves_is_taken_away(tmp_path: Path) -> None:
    """Whatever a run writes for other tools is removed before the next one can fail."""
    assert set(STATEMENTS) == {STATEMENTS_FILE, *PREDICATE_FILES, SANDBOX_KEY_FILE}
    for name in STATEMENTS:
        (tmp_path / name).write_text("older")
    voiding.remove_stale(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
