"""The policy file and its rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.verdict.model import Gate, Phase, Severity
from bais_gates.verdict.policy import ALWAYS_BLOCKING, BUILT_IN, load_policy
from bais_gates.verdict.signatures import SignatureRule

if TYPE_CHECKING:
    from tests.verdict.conftest import Write

TEXT = (
    "blocking: [P1, P2, P3]\ngate_deadline_s: 1\nrun_deadline_s: 2\nvalidity_s: 3\nwaiver_max_days: {P3: 9}\n"
)


def test_policy_is_read(write: Write) -> None:
    """A policy file gives numbers in seconds and days a severity."""
    policy = load_policy(write(TEXT))

    assert policy.blocking == ALWAYS_BLOCKING
    assert (policy.gate_deadline_s, policy.run_deadline_s, policy.validity_s) == (1.0, 2.0, 3.0)
    assert policy.waiver_max_days == {Severity.P3: 9}
    assert (policy.subject_required, policy.not_applicable_max_days) == (True, 30)
    more = load_policy(write(TEXT + "subject: not_required\nnot_applicable_max_days: 7\n"))
    assert (more.subject_required, more.not_applicable_max_days) == (False, 7)


@pytest.mark.parametrize("severity", ["P1", "P2", "P3"])
def test_p1_to_p3_always_block(write: Write, severity: str) -> None:
    """P1, P2 and P3 block under every policy; P4 may."""
    rest = ", ".join(name for name in ("P1", "P2", "P3", "P4") if name != severity)
    with pytest.raises(GateInputError, match=rf":1: blocking: must include {severity}\."):
        load_policy(write(TEXT.replace("P1, P2, P3", rest)))
    with pytest.raises(ValueError, match="always block"):
        replace(BUILT_IN, blocking=frozenset(Severity) - {Severity(severity)})
    assert Severity.P4 in load_policy(write(TEXT.replace("P3]", "P3, P4]"))).blocking


def test_signatures_of_an_environment_that_there_is_not(write: Write) -> None:
    """A misspelt environment, whose signatures nobody would require, is refused where others are known."""
    text = TEXT + "signatures:\n  sandbox: {required: 1}\n  prodution: {required: 1}\n"
    path = write(text)
    assert load_policy(path).signatures.keys() == {"sandbox", "prodution"}
    (path.parent / "environments").mkdir()
    with pytest.raises(
        GateInputError, match=r":8: signatures\.prodution: there is no environments/prodution"
    ):
        load_policy(path)
    (path.parent / "environments" / "prodution.yaml").touch()
    assert load_policy(path)


def test_gate_deadline_is_within_the_run_deadline(write: Write) -> None:
    """A gate that may take longer than the whole run is a mistake."""
    with pytest.raises(GateInputError, match=":2: gate_deadline_s: longer than run_deadline_s"):
        load_policy(write(TEXT.replace("gate_deadline_s: 1", "gate_deadline_s: 9")))


def test_built_in_policy_is_that_of_the_project(tmp_path: Path) -> None:
    """Without a file the built-in policy counts, the project's but for signatures; a named one exists."""
    own = load_policy(Path(__file__).parents[2] / "gates" / "policy.yaml")

    assert load_policy(None) is BUILT_IN
    assert own.signatures == {"production": SignatureRule(required=1)}
    assert replace(own, digest=None, signatures={}) == BUILT_IN
    with pytest.raises(AbsentFileError):
        load_policy(tmp_path / "policy.yaml")


def test_a_gate_may_have_a_deadline_of_its_own() -> None:
    """A gate's deadline is its catalog entry's, and the policy's where that has none."""
    (short, long) = (
        Gate(
            id=f"staging.{name}",
            title=name,
            phase=Phase.STAGING,
            severity=Severity.P1,
            scopes=("staging",),
            requirement=name,
            remedy=name,
            deadline_s=seconds,
        )
        for name, seconds in (("short", None), ("long", 300.0))
    )

    assert BUILT_IN.deadline_of(short) == BUILT_IN.gate_deadline_s
    assert BUILT_IN.deadline_of(long) == 300.0


def test_signatures_are_required_by_environment(write: Write) -> None:
    """A rule names how many, and the keys that count; more than there are keys can't be required."""
    rule = "signatures: {production: {required: 2, keys: [dana, alex]}}\n"
    policy = load_policy(write(TEXT + rule))

    assert policy.signatures == {"production": SignatureRule(required=2, keys=("dana", "alex"))}
    for was, wrong in (("2", "3"), ("2", "0"), ("production", "Production"), ("dana, alex", "")):
        with pytest.raises(GateInputError, match="signatures"):
            load_policy(write(TEXT + rule.replace(was, wrong)))
