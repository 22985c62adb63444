"""The judgement, rule by rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.verdict.decide import STATUS_OF, undecided
from bais_gates.verdict.model import Code, Decision, ExitStatus, Op, Outcome, Reason, Severity, Verdict
from bais_gates.verdict.outcomes import judge_check
from bais_gates.verdict.policy import BUILT_IN, Policy

if TYPE_CHECKING:
    from tests.verdict.conftest import World

SECOND = timedelta(seconds=1)


def codes(decision: Decision) -> list[Code]:
    """List the codes of a decision's reasons."""
    return [reason.code for reason in decision.reasons]


def test_all_proven_is_deploy(world: World) -> None:
    """A run in which every gate passed is DEPLOY, exit status 0, for as long as the policy sets."""
    decision = world.decide(world.result())

    assert (decision.verdict, decision.exit_status, decision.reasons) == (
        Verdict.DEPLOY,
        ExitStatus.DEPLOY,
        (),
    )
    assert decision.valid_until == world.now + timedelta(seconds=BUILT_IN.validity_s)


@pytest.mark.parametrize(
    ("outcome", "code", "status"),
    [
        ("FAIL", "FAILED", 20),
        ("ERROR", "ERROR", 20),
        ("NO_DATA", "NO_DATA", 20),
        ("VACUOUS", "VACUOUS", 20),
        ("FLAKY", "FLAKY", 20),
        ("XFAIL", "XFAIL", 20),
        ("XPASS", "XPASS", 20),
        ("SKIPPED", "SKIPPED", 21),
        ("NOT_RUN", "NOT_RUN", 21),
        ("NOT_APPLICABLE", "NOT_APPLICABLE_UNDECLARED", 22),
    ],
)
@pytest.mark.parametrize("severity", ["P1", "P2", "P3"])
def test_any_outcome_but_pass_blocks(
    world: World, outcome: str, code: str, status: int, severity: str
) -> None:
    """Every outcome but PASS blocks with its own code, for each severity that blocks."""
    gates = (world.gate("a", severity), world.gate("b"))
    decision = world.decide(world.result("a", outcome), world.result("b"), gates=gates)

    assert decision.verdict is Verdict.BLOCK
    assert [(reason.code, reason.gate_id) for reason in decision.reasons] == [(code, "acceptance.a")]
    assert decision.exit_status == status
    assert [judged.blocking for judged in decision.gates] == [True, False]
    assert all(reason.message and reason.remedy for reason in decision.reasons)


def test_missing_result_is_not_run(world: World) -> None:
    """A gate without a result is shown as NOT_RUN, and blocks."""
    decision = world.decide(world.result("b"), gates=(world.gate("a"), world.gate("b")))

    assert codes(decision) == [Code.NOT_RUN]
    assert [judged.result.outcome for judged in decision.gates] == [Outcome.NOT_RUN, Outcome.PASS]


def test_one_cause_is_one_reason(world: World) -> None:
    """Gates that could not be checked for the same cause share a reason, without a remedy of any."""
    results = [world.result(name, "ERROR", message="The target is gone.", checks=()) for name in "cab"]
    gates = tuple(world.gate(name, remedy=f"Mend {name}.") for name in "abcd")
    decision = world.decide(*results, world.result("d"), gates=gates)

    (reason,) = decision.reasons
    assert (reason.code, reason.gate_id, reason.message) == (Code.ERROR, None, "The target is gone.")
    assert reason.holds_back == ("acceptance.a", "acceptance.b", "acceptance.c")
    assert "Mend" not in reason.remedy


def test_needs_not_passed_has_its_own_code(world: World) -> None:
    """A gate that did not run because another did not pass names it."""
    result = world.result("a", "NOT_RUN", needs_not_passed=("acceptance.b",))
    decision = world.decide(result, world.result("b"), gates=(world.gate("a"), world.gate("b")))

    assert codes(decision) == [Code.NEEDS_NOT_PASSED]
    assert "acceptance.b" in decision.reasons[0].message


def test_duplicate_result_blocks_and_worst_is_shown(world: World) -> None:
    """Two results for one gate block, even two passes, and the worst of them is the one shown."""
    twice = world.decide(world.result(), world.result())
    mixed = world.decide(world.result(), world.result(outcome="FAIL"))

    assert codes(twice) == [Code.DUPLICATE_RESULT]
    assert codes(mixed)[:2] == [Code.DUPLICATE_RESULT, Code.FAILED]
    assert mixed.gates[0].result.outcome is Outcome.FAIL


def test_unknown_gate_blocks(world: World) -> None:
    """A result for a gate that the catalog does not have blocks."""
    assert codes(world.decide(world.result(), world.result("zz"))) == [Code.GATE_UNKNOWN]


def test_gate_of_another_scope_is_left_out(world: World) -> None:
    """A result of a gate outside the scope is neither shown nor judged."""
    other = world.gate("b", scopes=("acceptance",))
    decision = world.decide(world.result(), world.result("b", "FAIL"), gates=(world.gate(), other))

    assert decision.verdict is Verdict.DEPLOY
    assert [judged.gate.id for judged in decision.gates] == ["acceptance.a"]
    assert (
        codes(world.decide(world.result("b", "FAIL"), gates=(other,), scope="acceptance"))[0] is Code.FAILED
    )


def test_nothing_proven_blocks(world: World) -> None:
    """A scope without gates, or without one that passed, blocks."""
    declared = world.target(not_applicable=(("acceptance.a", "No such part here."),))
    assert codes(world.decide(world.result(), scope="load")) == [Code.NOTHING_PROVEN]
    assert codes(world.decide(world.result(), scope="no such scope")) == [Code.NOTHING_PROVEN]
    not_applicable = world.decide(world.result(outcome="NOT_APPLICABLE"), target=declared)
    assert codes(not_applicable) == [Code.NOTHING_PROVEN]


def test_declared_not_applicable_lets_through(world: World) -> None:
    """NOT_APPLICABLE counts when the environment file declares it with a reason, and only then."""
    gates = (world.gate("a"), world.gate("b"))
    results = (world.result("a", "NOT_APPLICABLE", checks=()), world.result("b"))
    declared = world.target(not_applicable=(("acceptance.a", "No such part here."),))
    blank = world.target(not_applicable=(("acceptance.a", " "),))
    unknown = world.target(not_applicable=(("acceptance.zz", "No such gate."),))

    assert world.decide(*results, gates=gates, target=declared).verdict is Verdict.DEPLOY
    assert codes(world.decide(*results, gates=gates, target=blank)) == [Code.NOT_APPLICABLE_UNDECLARED]
    assert codes(world.decide(world.result(), target=unknown)) == [Code.ENVIRONMENT_INVALID]


def test_declared_gate_without_result_is_not_run(world: World) -> None:
    """A declaration does not replace a result: a gate without one is NOT_RUN."""
    declared = world.target(not_applicable=(("acceptance.a", "No such part here."),))
    decision = world.decide(world.result("b"), gates=(world.gate("a"), world.gate("b")), target=declared)
    assert codes(decision) == [Code.NOT_RUN]


def test_advisory_gate_is_shown_and_never_blocks(world: World) -> None:
    """A failed P4 gate is advisory; it blocks under a policy that lists P4."""
    gates = (world.gate("a", "P4"), world.gate("b"))
    results = (world.result("a", "FAIL"), world.result("b"))
    strict = Policy(
        blocking=frozenset(Severity),
        gate_deadline_s=1,
        run_deadline_s=1,
        validity_s=1,
        waiver_max_days={},
        digest=None,
    )
    decision = world.decide(*results, gates=gates)

    assert decision.verdict is Verdict.DEPLOY
    assert (decision.gates[0].advisory, decision.gates[0].blocking) == (True, False)
    assert decision.gates[0].result.outcome is Outcome.FAIL
    assert codes(world.decide(*results, gates=gates, policy=strict)) == [Code.FAILED]


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"checks": ()}, "VACUOUS"),
        ({"attempts": 2}, "FLAKY"),
        ({"attempts": 0}, "FLAKY"),
        ({"needs_not_passed": ("acceptance.b",)}, "NOT_RUN"),
    ],
)
def test_pass_is_derived_from_its_evidence(world: World, fields: dict[str, Any], outcome: str) -> None:
    """A PASS that its own evidence contradicts becomes what the evidence supports, with a message."""
    decision = world.decide(world.result(**fields))

    assert decision.verdict is Verdict.BLOCK
    assert decision.gates[0].result.outcome == outcome
    assert decision.gates[0].result.message


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"ok": False}, False),
        ({"ok": None}, None),
        ({"observed": 21}, False),
        ({"observed": 20}, True),
        ({"observed": 20, "op": Op.LT}, False),
        ({"observed": 20, "op": Op.GE}, True),
        ({"observed": 20, "op": Op.GT}, False),
        ({"observed": 20.0, "op": Op.EQ}, True),
        ({"observed": 20, "op": Op.NE}, False),
        ({"observed": float("nan")}, None),
        ({"observed": float("inf"), "op": Op.GE}, None),
        ({"limit": float("nan")}, None),
        ({"observed": None}, None),
        ({"observed": None, "op": Op.NE, "limit": 500}, None),
        ({"n": 0}, None),
        ({"n": 9, "n_min": 10}, None),
        ({"n": 10, "n_min": 10}, True),
        ({"n_min": 10}, None),
        ({"observed": "b", "op": Op.EQ, "limit": "a"}, False),
        ({"observed": [1, None], "op": Op.EQ, "limit": [1, None]}, None),
        ({"observed": {"a": [float("nan")]}, "op": Op.NE, "limit": {}}, None),
        ({"observed": "a", "op": Op.NE, "limit": 3}, None),
        ({"observed": 3, "op": Op.NOT_IN, "limit": []}, None),
        ({"observed": 3, "op": Op.IN, "limit": [4]}, False),
        ({"observed": "EUR", "op": Op.MATCHES, "limit": "[a-z]+"}, False),
        ({"observed": "a", "op": Op.LE, "limit": 3}, False),
        ({"observed": ["[redacted]"], "op": Op.EQ, "limit": ["a"]}, True),
        ({"observed": "x", "op": Op.IN, "limit": {"[redacted]": 1}}, True),
        ({"observed": "a" * 20_000, "op": Op.EQ, "limit": ["a"]}, True),
        ({"observed": "[card ending 1111]", "op": Op.MATCHES, "limit": "[0-9]+"}, True),
        ({"observed": "[redacted]", "n": 0}, None),
        ({"ok": False, "observed": 1}, False),
    ],
)
def test_check_is_compared_again(world: World, fields: dict[str, Any], expected: bool | None) -> None:
    """Every value is compared again but one that redaction or its size changed; too little data is None."""
    assert judge_check(world.check(**fields)) is expected


@pytest.mark.parametrize(
    ("cases", "checked", "outcome", "code"),
    [
        (("x", "y"), ("x", "y"), "PASS", None),
        (("x",), ("x",), "NOT_RUN", Code.CASES_MISSING),
        ((), (), "NOT_RUN", Code.CASES_MISSING),
        (("x", "y"), ("x",), "VACUOUS", Code.VACUOUS),
        (("x", "y", "z"), ("x", "y"), "PASS", Code.CASES_UNEXPECTED),
        (("x", "y", "y"), ("x", "y"), "PASS", Code.CASES_UNEXPECTED),
    ],
)
def test_cases_are_those_of_the_catalog(
    world: World, cases: tuple[str, ...], checked: tuple[str, ...], outcome: str, code: Code | None
) -> None:
    """Every case that the catalog lists must report with a check of its own, once, and no other may."""
    result = world.result(cases=cases, checks=tuple(world.check(case=case) for case in checked))
    decision = world.decide(result, gates=(world.gate(cases=("x", "y")),))

    assert decision.gates[0].result.outcome == outcome
    assert codes(decision)[:1] == ([code] if code else [])


def test_integrity_reason_blocks(world: World) -> None:
    """One reason from the run's integrity blocks a run in which every gate passed."""
    reason = Reason(code=Code.REFUSED_OPTION, message="Run with -W ignore.")
    decision = world.decide(world.result(), integrity=[reason, reason])

    assert decision.reasons == (reason,)
    assert decision.exit_status is ExitStatus.INTEGRITY


def test_gravest_reason_sets_the_exit_status(world: World) -> None:
    """The exit status is that of the gravest reason, which is listed first."""
    gates = (world.gate("a"), world.gate("b"), world.gate("c"))
    results = [world.result("a", "FAIL"), world.result("c")]
    integrity = Reason(code=Code.TAMPERED, message="x")
    broken = Reason(code=Code.INTERNAL_ERROR, message="x")

    assert world.decide(results[1], gates=gates).exit_status == 21
    assert world.decide(*results, gates=gates).exit_status == 20
    assert world.decide(*results, gates=gates, integrity=[integrity]).exit_status == 22
    worst = world.decide(*results, gates=gates, integrity=[integrity, broken])
    assert worst.exit_status == 23
    assert codes(worst) == [Code.INTERNAL_ERROR, Code.TAMPERED, Code.FAILED, Code.NOT_RUN]


def test_every_code_has_a_status() -> None:
    """Every code asks for an exit status, and none for 0."""
    assert set(STATUS_OF) == set(Code)
    assert ExitStatus.DEPLOY not in STATUS_OF.values()


def test_unfinished_run_and_jumped_clock_block(world: World) -> None:
    """A run without an end, or whose moments are out of order, blocks."""
    late = world.run(finished_at=world.now + timedelta(hours=1))
    backwards = world.run(started_at=world.now + 10 * SECOND)

    assert codes(world.decide(world.result(), run=world.run(finished_at=None))) == [Code.RUN_INCOMPLETE]
    assert codes(world.decide(world.result(), run=late)) == [Code.CLOCK_JUMPED]
    assert codes(world.decide(world.result(), run=backwards)) == [Code.CLOCK_JUMPED]
    assert codes(world.decide(world.result(), run=world.run(finished_at=world.now + SECOND))) == []


def test_result_of_a_run_that_was_not_imported_blocks(world: World) -> None:
    """An imported result counts only when its run is among the imported ones."""
    results = world.result("a", imported_from="run-0"), world.result("b")
    gates = world.gate("a"), world.gate("b")

    assert world.decide(*results, gates=gates, origins=[world.origin()]).verdict is Verdict.DEPLOY
    assert codes(world.decide(*results, gates=gates)) == [Code.TAMPERED]


def test_a_deploy_names_an_image(world: World) -> None:
    """Without an image: BLOCK, but for a rehearsal and where the policy says that there is none."""
    missing = world.decide(world.result(), subject=None)
    unnamed = replace(BUILT_IN, subject_required=False)

    assert codes(missing) == [Code.SUBJECT_MISSING]
    assert missing.exit_status == 21
    assert world.decide(world.result(), subject=None, target=world.target(rehearsal=True)).reasons == ()
    decision = world.decide(world.result(), subject=None, policy=unnamed)
    assert (decision.reasons, decision.subject_required) == ((), False)


def test_naive_now_is_refused(world: World) -> None:
    """A moment without a zone is a mistake of the caller."""
    with pytest.raises(ValueError, match="aware"):
        world.decide(world.result(), now=datetime(2026, 3, 2))  # noqa: DTZ001  # naive on purpose


def test_undecided_needs_only_scope_and_run(world: World) -> None:
    """A decision can be made before anything was read: BLOCK, never valid, with the run's status."""
    reason = Reason(code=Code.RUN_INCOMPLETE, message="The run has not ended.")
    decision = undecided(scope="golive", run=world.run(finished_at=None), reason=reason)

    assert (decision.verdict, decision.exit_status, decision.reasons) == (Verdict.BLOCK, 21, (reason,))
    assert decision.valid_until == decision.decided_at
    assert (decision.gates, decision.digests.catalog, decision.target.name) == ((), None, "unknown")
    broken = Reason(code=Code.INTERNAL_ERROR, message="x")
    assert undecided(scope="golive", run=world.run(), reason=reason, more=[broken]).exit_status == 23
