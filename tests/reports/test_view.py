"""How a decision is sorted for its reader."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bais_gates.reports import view
from bais_gates.reports.bars import WIDTH, bar_of
from bais_gates.verdict.model import Check, Decision, Op, Outcome, Previous, Verdict


@given(data=st.data())
def test_every_gate_has_one_place(data: st.DataObject, decisions: st.SearchStrategy[Decision]) -> None:
    """Each gate has exactly one standing, and only a PASS that does not block has passed."""
    decision = data.draw(decisions)
    placed = [judged for each in view.Standing for judged in view.standing_in(decision, each)]
    assert sorted(judged.gate.id for judged in placed) == sorted(judged.gate.id for judged in decision.gates)
    for judged in view.standing_in(decision, view.Standing.PASSED):
        assert judged.result.outcome is Outcome.PASS
        assert not judged.blocking


def test_changes_by_kind(block: Decision) -> None:
    """New failures, fixed, still failing and newly not run gates follow from the previous outcomes."""
    changed = view.changes(block)
    assert [judged.gate.id for judged in changed["fixed"]] == ["acceptance.health_endpoint"]
    assert [judged.gate.id for judged in changed["still failing"]] == ["acceptance.payment_processing"]
    assert "acceptance.rate_limiting" in [judged.gate.id for judged in changed["new failures"]]
    assert [judged.gate.id for judged in changed["newly not run"]] == [
        "load.sustained_500_rps",
        "oncall.test_page",
    ]


def test_a_previous_decision_of_another_scope_is_not_compared(block: Decision) -> None:
    """The outcomes of another scope are no changes."""
    previous = Previous(
        run_id="r",
        verdict=Verdict.BLOCK,
        decided_at=datetime(2026, 1, 1, tzinfo=UTC),
        scope="load",
        outcomes=(("acceptance.rate_limiting", Outcome.PASS),),
    )
    assert not view.changes(dataclasses.replace(block, previous=previous))
    assert not view.changes(dataclasses.replace(block, previous=None))


def test_the_decisive_check_is_the_false_one(block: Decision) -> None:
    """A failed gate shows its first false check, a passed one the check nearest to its limit."""
    by_id = {judged.gate.id: judged for judged in block.gates}
    failed = view.decisive_check(by_id["acceptance.rate_limiting"])
    passed = view.decisive_check(by_id["monitoring.alerts_fire"])
    assert failed is not None
    assert failed.name == "requests let in at once"
    assert passed is not None
    assert passed.name == "slowest to fire"


def test_reasons_outside_the_gates_are_not_lost(block: Decision) -> None:
    """A reason that no blocking gate shows is found, and comes first."""
    assert [reason.code.value for reason in view.reasons_beside_gates(block)] == ["WAIVER_EXPIRED"]
    assert view.ordered_reasons(block)[0].code.value == "WAIVER_EXPIRED"


def test_the_sentence_counts(block: Decision, deploy: Decision) -> None:
    """The sentence why counts the gates that block by outcome, or those that passed."""
    assert view.why(block) == (
        "5 of 10 gates block (1 ERROR, 2 NOT_RUN, 1 FAIL, 1 NO_DATA) and 1 other reason (WAIVER_EXPIRED)."
    )
    assert view.why(deploy) == "2 of 5 gates passed, 1 waived, 1 not applicable, 1 advisory."


def _bar_check(observed: object, op: Op, limit: object, ok: bool | None) -> Check:
    return Check(name="x", observed=observed, op=op, limit=limit, ok=ok)  # type: ignore[arg-type]  # any value


def test_a_bar_passes_its_tick_only_when_the_value_passes_the_limit() -> None:
    """The bar of 212 against 200 ends behind the tick, that of 12 before it; text has no bar."""
    over = bar_of(_bar_check(212.0, Op.LE, 200, False))
    under = bar_of(_bar_check(12.0, Op.LE, 200, True))
    assert over is not None
    assert over.start + over.length > over.tick
    assert under is not None
    assert under.start + under.length < under.tick
    at_least = bar_of(_bar_check(0.5, Op.GE, 0.9, False))
    assert at_least is not None
    assert under.allowed_x + under.allowed_width == pytest.approx(under.tick)
    assert at_least.allowed_x == at_least.tick
    assert bar_of(_bar_check("up", Op.LE, 1, False)) is None
    assert bar_of(_bar_check(200, Op.EQ, 200, True)) is None
    assert bar_of(_bar_check(None, Op.LE, 5, None)) is None


@example(0, Op.LE, 1.2e306, False)
@example(1.7e308, Op.LE, -1.7e308, False)
@given(
    st.one_of(st.integers(), st.floats()),
    st.sampled_from((Op.LE, Op.LT, Op.GE, Op.GT)),
    st.one_of(st.integers(), st.floats()),
    st.booleans(),
)
def test_a_bar_stays_in_its_frame(observed: float, op: Op, limit: float, ok: bool) -> None:
    """Whatever the numbers, bar, tick and allowed side lie within the drawing."""
    bar = bar_of(_bar_check(observed, op, limit, ok))
    if bar is not None:
        edges = (
            bar.start,
            bar.start + bar.length,
            bar.tick,
            bar.allowed_x,
            bar.allowed_x + bar.allowed_width,
        )
        assert all(0 <= edge <= WIDTH for edge in edges)
        assert bar.length >= 0
