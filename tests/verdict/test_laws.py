"""Laws of the judgement, over generated worlds.

A waiver that is not needed blocks by itself, so removing it, or a gate getting worse that has one, can cure
that one reason; the laws say so where it matters.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bais_gates.verdict.catalog import Catalog
from bais_gates.verdict.decide import decide
from bais_gates.verdict.model import (
    Check,
    Code,
    Decision,
    Gate,
    GateResult,
    Op,
    Outcome,
    Phase,
    Reason,
    Run,
    Severity,
    Subject,
    TargetIdentity,
    Verdict,
    Waiver,
)
from bais_gates.verdict.outcomes import judge_check
from bais_gates.verdict.policy import BUILT_IN
from bais_gates.verdict.waivers import WaiverFile

T = TypeVar("T")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ("acceptance.a", "acceptance.b", "acceptance.c", "acceptance.d")
WAIVABLE = {Outcome.FAIL, Outcome.ERROR, Outcome.NO_DATA, Outcome.FLAKY}
SUBJECT = Subject(name="bais-api", digest="sha256:" + "a" * 64)


@dataclass(frozen=True)
class Case:
    """Everything that a judgement is made from."""

    gates: tuple[Gate, ...]
    results: tuple[GateResult, ...]
    waivers: tuple[Waiver, ...]
    integrity: tuple[Reason, ...]
    not_applicable: tuple[tuple[str, str], ...]
    subject: Subject | None

    def decide(self) -> Decision:
        """Judge it for the scope golive."""
        return decide(
            catalog=Catalog(gates=self.gates, digest="sha256:" + "c" * 64, path=Path("catalog.yaml")),
            policy=BUILT_IN,
            waivers=WaiverFile(waivers=self.waivers, digest=None),
            scope="golive",
            results=self.results,
            run=Run(run_id="r", started_at=NOW, finished_at=NOW, command=(), workers=0),
            target=TargetIdentity(
                name="staging", rehearsal=False, environment_digest="", not_applicable=self.not_applicable
            ),
            subject=self.subject,
            integrity=self.integrity,
            now=NOW,
        )


def mostly(usual: T, *others: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Draw the usual value about three times out of four, so that worlds that deploy are common."""
    return st.one_of(*[st.just(usual)] * 3, st.one_of(*others).map(lambda value: value))


checks = st.builds(
    Check,
    name=st.just("c"),
    observed=mostly(1, st.sampled_from([3, None, "x", float("nan")])),
    op=st.just(Op.LE),
    limit=st.just(2),
    ok=mostly(True, st.sampled_from([True, False, None])),
    n=mostly(None, st.integers(0, 3)),
    n_min=mostly(None, st.integers(0, 3)),
)


def results_for(gate_id: str) -> st.SearchStrategy[GateResult]:
    """Generate a result, usually a proven pass."""
    return st.builds(
        GateResult,
        gate_id=st.just(gate_id),
        outcome=mostly(Outcome.PASS, st.sampled_from(Outcome)),
        checks=mostly(
            (Check(name="c", observed=1, op=Op.LE, limit=2, ok=True),), st.tuples(checks), st.just(())
        ),
        attempts=mostly(1, st.integers(0, 2)),
        needs_not_passed=mostly((), st.just(("acceptance.zz",))),
    )


waivers = st.builds(
    Waiver,
    gate=mostly("acceptance.a", st.sampled_from((*NAMES, "acceptance.zz"))),
    reason=st.just("A good reason."),
    ticket=st.sampled_from(["T-1", "T-2"]),
    requested_by=mostly("dana", st.just("ALEX")),
    approved_by=st.just("alex"),
    approved_at=mostly(NOW - DAY, st.sampled_from([NOW, NOW + DAY, NOW - 60 * DAY])),
    expires=mostly(NOW + DAY, st.sampled_from([NOW, NOW - DAY / 2, NOW + 2 * DAY])),
    environment=mostly("staging", st.just("production")),
    subject_digest=mostly(None, st.sampled_from([SUBJECT.digest, "sha256:" + "b" * 64])),
)
integrities = st.sampled_from(
    [Reason(code=Code.REFUSED_OPTION, message="m"), Reason(code=Code.INTERNAL_ERROR, message="m")]
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Generate a world."""
    names = NAMES[: draw(st.integers(1, 4))]
    gates = tuple(
        Gate(
            id=name,
            title=name,
            phase=Phase.ACCEPTANCE,
            severity=draw(mostly(Severity.P2, st.sampled_from(Severity))),
            scopes=draw(mostly(("golive",), st.just(("acceptance",)))),
            requirement="r",
            remedy="m",
        )
        for name in names
    )
    results = [draw(results_for(name)) for name in names if draw(mostly(True, st.just(False)))]
    results += draw(
        mostly([], st.lists(st.sampled_from((*names, "acceptance.zz")).flatmap(results_for), max_size=2))
    )
    return Case(
        gates=gates,
        results=tuple(results),
        waivers=tuple(draw(mostly([], st.lists(waivers, max_size=3)))),
        integrity=tuple(draw(mostly([], st.lists(integrities, max_size=2)))),
        not_applicable=tuple(
            (name, draw(mostly("Not here.", st.just(""))))
            for name in names
            if draw(mostly(False, st.just(True)))
        ),
        subject=draw(mostly(SUBJECT, st.none())),
    )


def holds(check: Check) -> bool:
    """Return by the rules alone whether a check is true of enough data."""
    enough = check.n_min is None if check.n is None else check.n >= max(1, check.n_min or 0)
    # Besides integers only NaN, None and text are generated, and all limits are "<= 2".
    return check.ok is True and enough and isinstance(check.observed, int) and check.observed <= 2


def proven(result: GateResult) -> bool:
    """Return by the rules alone whether a result is a pass."""
    clean = result.attempts == 1 and not result.needs_not_passed and result.checks
    return result.outcome is Outcome.PASS and bool(clean) and all(map(holds, result.checks))


def counts(case: Case, waiver: Waiver) -> bool:
    """Return by the rules alone whether a waiver counts here."""
    image = waiver.subject_digest in {None, case.subject.digest if case.subject else None}
    return waiver.environment == "staging" and image and waiver.approved_at <= NOW < waiver.expires


def coverable(result: GateResult) -> bool:
    """Return by the rules alone whether a waiver may cover a result that is not a pass."""
    if result.outcome is not Outcome.PASS:
        return result.outcome in WAIVABLE
    if any(
        check.ok is False or (holds(replace(check, observed=1)) and check.observed == 3)
        for check in result.checks
    ):
        return True  # FAIL
    if result.needs_not_passed:
        return False  # NOT_RUN
    return result.attempts != 1 or bool(result.checks)  # FLAKY or NO_DATA, not VACUOUS


def waivers_right(case: Case) -> bool:
    """Return by the rules alone whether every waiver is right in itself."""
    longest = {gate.id: BUILT_IN.waiver_max_days.get(gate.severity, -1000) for gate in case.gates}
    images: dict[tuple[str, str], list[str | None]] = {}
    for waiver in case.waivers:
        days = longest.get(waiver.gate, -1000)
        right = waiver.approved_at <= NOW < waiver.expires and waiver.requested_by != "ALEX"
        if not right or waiver.expires - waiver.approved_at > days * DAY:
            return False
        images.setdefault((waiver.gate, waiver.environment), []).append(waiver.subject_digest)
    return all(len(set(one)) == len(one) and (None not in one or len(one) == 1) for one in images.values())


def does_not_block(case: Case, gate: Gate) -> bool:
    """Return by the rules alone whether a gate does not block."""
    mine = [result for result in case.results if result.gate_id == gate.id]
    waived = any(waiver.gate == gate.id and counts(case, waiver) for waiver in case.waivers)
    declared = any(gate_id == gate.id and reason for gate_id, reason in case.not_applicable)
    not_applicable = bool(mine) and mine[0].outcome is Outcome.NOT_APPLICABLE
    if len(mine) > 1 or (not_applicable and not declared):
        return False
    if gate.severity is Severity.P4:
        return not waived
    if mine and (proven(mine[0]) or not_applicable):
        return not waived
    return waived and bool(mine) and coverable(mine[0])


def may_deploy(case: Case) -> bool:
    """Return, by the rules written down a second time, whether a world may deploy."""
    gates = [gate for gate in case.gates if "golive" in gate.scopes]
    known = {result.gate_id for result in case.results} <= {gate.id for gate in case.gates}
    passed = [
        result for result in case.results if proven(result) and result.gate_id in {gate.id for gate in gates}
    ]
    unblocked = waivers_right(case) and all(does_not_block(case, gate) for gate in gates)
    undated = {gate.id for gate in case.gates if gate.severity is Severity.P1} & {*dict(case.not_applicable)}
    return bool(known and unblocked and passed and case.subject) and not undated and not case.integrity


def in_scope(case: Case, *, blocking: bool = True) -> list[str]:
    """List the ids of the gates that a decision about golive needs."""
    return [
        gate.id
        for gate in case.gates
        if "golive" in gate.scopes and (gate.severity is not Severity.P4 or not blocking)
    ]


def pick(data: st.DataObject, ids: list[str]) -> str:
    """Draw one of some ids, or give the example up."""
    assume(ids)
    return data.draw(st.sampled_from(ids))


def test_a_check_is_judged_as_the_rules_say() -> None:
    """Any combination of observation, result and sample counts is a pass exactly where the rules allow it."""
    for observed, ok, n, n_min in product(
        [1, 3, None, "x", float("nan")], [True, False, None], [None, 0, 1, 2, 3], [None, 0, 1, 2, 3]
    ):
        check = Check(name="c", observed=observed, op=Op.LE, limit=2, ok=ok, n=n, n_min=n_min)
        assert (judge_check(check) is True) is holds(check), check


@given(case=cases())
def test_deploy_iff_the_rules_say_so(case: Case) -> None:
    """DEPLOY is given exactly when the rules, written down a second time, allow it."""
    decision = case.decide()

    assert (decision.verdict is Verdict.DEPLOY) is may_deploy(case)
    assert (decision.verdict is Verdict.DEPLOY) is (decision.reasons == ()) is (decision.exit_status == 0)


@given(case=cases(), seed=st.integers())
def test_order_never_matters(case: Case, seed: int) -> None:
    """Results, waivers and reasons in another order give the same decision, to the last field."""
    shuffled: dict[str, Any] = {}  # each field has a type of its own
    for name in ("results", "waivers", "integrity"):
        values = list(getattr(case, name))
        random.Random(seed).shuffle(values)
        shuffled[name] = tuple(values)

    assert repr(replace(case, **shuffled).decide()) == repr(case.decide())


@given(case=cases(), data=st.data())
def test_left_out_result_blocks(case: Case, data: st.DataObject) -> None:
    """A gate whose results are left out blocks, waived or not."""
    gate_id = pick(data, in_scope(case))
    rest = tuple(result for result in case.results if result.gate_id != gate_id)

    decision = replace(case, results=rest).decide()
    assert decision.verdict is Verdict.BLOCK
    not_run = [reason for reason in decision.reasons if reason.code is Code.NOT_RUN]
    assert any(gate_id in (reason.gate_id, *reason.holds_back) for reason in not_run)


@given(case=cases(), data=st.data())
def test_result_added_twice_blocks(case: Case, data: st.DataObject) -> None:
    """A gate of the scope with one more result than one blocks, whatever the result is."""
    gate_id = pick(data, in_scope(case, blocking=False))
    one, other = data.draw(results_for(gate_id)), data.draw(results_for(gate_id))

    assert replace(case, results=(*case.results, one, other)).decide().verdict is Verdict.BLOCK


@given(case=cases(), data=st.data())
def test_worse_result_blocks_unless_waived(case: Case, data: st.DataObject) -> None:
    """A result that is not a proven pass blocks, unless a waiver that counts covers that very outcome."""
    gate_id = pick(data, in_scope(case))
    worse = data.draw(results_for(gate_id))
    assume(not proven(worse) and worse.outcome is not Outcome.NOT_APPLICABLE)
    rest = tuple(result for result in case.results if result.gate_id != gate_id)

    decision = replace(case, results=(*rest, worse)).decide()
    judged = next(judged for judged in decision.gates if judged.gate.id == gate_id)
    if decision.verdict is Verdict.DEPLOY:
        assert judged.result.outcome in WAIVABLE
        assert judged.waiver in case.waivers
        assert counts(case, judged.waiver)


@given(case=cases(), data=st.data())
def test_worse_result_never_cures_another_gate(case: Case, data: st.DataObject) -> None:
    """A result made worse takes away no reason but that its own waiver was unused."""
    index = data.draw(st.integers(0, max(0, len(case.results) - 1)))
    assume(case.results and case.results[index].outcome is Outcome.PASS)
    worse = replace(case.results[index], outcome=data.draw(st.sampled_from(sorted(WAIVABLE))))
    changed = (*case.results[:index], worse, *case.results[index + 1 :])

    before, after = case.decide().reasons, replace(case, results=changed).decide().reasons
    gone = {reason for reason in before if reason.gate_id != worse.gate_id} - set(after)
    own = {reason.code for reason in before if reason.gate_id == worse.gate_id} - {
        reason.code for reason in after
    }
    assert gone == set()
    if before and not after:
        assert own == {Code.WAIVER_UNUSED}


@given(case=cases(), data=st.data())
def test_waiver_removed_or_expired_never_deploys(case: Case, data: st.DataObject) -> None:
    """Without the waiver that was applied to a gate, or with any one expired, the decision is BLOCK."""
    assume(case.waivers)
    waiver = data.draw(st.sampled_from(case.waivers))
    rest = tuple(other for other in case.waivers if other is not waiver)
    used = any(judged.waiver == waiver for judged in case.decide().gates)

    expired = replace(waiver, expires=NOW)
    assert replace(case, waivers=(*rest, expired)).decide().verdict is Verdict.BLOCK
    without = replace(case, waivers=rest).decide()
    if used and waiver not in rest and not any(judged.waiver for judged in without.gates):
        assert without.verdict is Verdict.BLOCK
    unchanged = {reason for reason in case.decide().reasons if not reason.code.startswith("WAIVER_")}
    assert unchanged <= set(without.reasons)


@given(case=cases(), reason=st.builds(Reason, code=st.sampled_from(Code), message=st.just("m")))
def test_added_reason_blocks(case: Case, reason: Reason) -> None:
    """Whatever reason the run's integrity adds, the decision is BLOCK and names it."""
    decision = replace(case, integrity=(*case.integrity, reason)).decide()

    assert decision.verdict is Verdict.BLOCK
    assert set(case.decide().reasons) | {reason} == set(decision.reasons)


@given(case=cases(), data=st.data())
def test_anything_unknown_blocks(case: Case, data: st.DataObject) -> None:
    """A result, a waiver or a declaration for a gate that the catalog does not have blocks."""
    waiver = replace(data.draw(waivers), gate="acceptance.zz")

    assert replace(case, results=(*case.results, data.draw(results_for("acceptance.zz")))).decide().reasons
    assert replace(case, waivers=(*case.waivers, waiver)).decide().reasons
    assert replace(case, not_applicable=(*case.not_applicable, ("acceptance.zz", "x"))).decide().reasons


@given(case=cases())
def test_judging_again_changes_nothing(case: Case) -> None:
    """A DEPLOY that is judged again from its own gates and results comes out the same."""
    decision = case.decide()
    again = replace(case, results=tuple(judged.result for judged in decision.gates))

    if decision.verdict is Verdict.DEPLOY:
        assert again.decide() == decision


@pytest.mark.parametrize("severity", ["P1", "P2", "P3"])
def test_worlds_deploy_at_all(severity: str) -> None:
    """The laws are not empty: a world that deploys exists for every severity that blocks."""
    gate = Gate(
        id=NAMES[0],
        title="t",
        phase=Phase.ACCEPTANCE,
        severity=Severity(severity),
        scopes=("golive",),
        requirement="r",
        remedy="m",
    )
    check = Check(name="c", observed=1, op=Op.LE, limit=2, ok=True)
    result = GateResult(gate_id=gate.id, outcome=Outcome.PASS, checks=(check,))
    case = Case((gate,), (result,), (), (), (), SUBJECT)

    assert may_deploy(case)
    assert case.decide().verdict is Verdict.DEPLOY
