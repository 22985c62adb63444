"""The decision on a terminal, and its explanation."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.errors import GateInputError
from bais_gates.reports import signoff, summary, wording
from bais_gates.reports.explain import explain, next_steps
from bais_gates.reports.terminal import render
from bais_gates.reports.text import columns
from bais_gates.verdict.model import (
    Check,
    Decision,
    GateResult,
    JudgedGate,
    Op,
    Origin,
    Outcome,
    Waiver,
)

LIMITED = "164 requests (limit 100 requests, 200 samples)"
_OUR_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def test_the_last_line_is_the_verdict(block: Decision, deploy: Decision) -> None:
    """The output ends in one line with the verdict, why, and the exit status."""
    assert render(block, colour=False, width=100).splitlines()[-1] == (
        "BLOCK: 5 of 10 gates block (1 ERROR, 2 NOT_RUN, 1 FAIL, 1 NO_DATA) "
        "and 1 other reason (WAIVER_EXPIRED). Exit status 20."
    )
    assert render(deploy, colour=False, width=40).splitlines()[-1].startswith("DEPLOY: 2 of 5 gates passed")


def test_a_rehearsal_says_so(deploy: Decision) -> None:
    """A decision about the sandbox is named a rehearsal in the heading and in the last line."""
    rehearsal = dataclasses.replace(deploy, target=dataclasses.replace(deploy.target, rehearsal=True))
    text = render(rehearsal, colour=False, width=100)
    assert "Rehearsal: " in text
    assert text.splitlines()[-1].startswith("DEPLOY (rehearsal): ")


def test_both_targets_a_dated_exemption_and_a_missing_image_are_named(deploy: Decision) -> None:
    """Terminal, page, explanation and CI reports name where results are from and who exempts what."""
    gate = deploy.gates[0].gate
    exemption = Waiver(
        gate=gate.id,
        reason="No such part here.",
        ticket="BAIS-9",
        requested_by="dana",
        approved_by="alex",
        approved_at=deploy.decided_at,
        expires=deploy.decided_at + timedelta(days=2),
        environment=deploy.target.name,
    )
    test = dataclasses.replace(deploy.target, name="test-env", facts=(("api.url", "https://test.example"),))
    origin = Origin(
        run_id="run-of-test",
        decided_at=deploy.decided_at,
        valid_until=deploy.valid_until,
        target=test,
        subject=None,
    )
    result = GateResult(gate_id=gate.id, outcome=Outcome.NOT_APPLICABLE, message="No such part here.")
    shown = dataclasses.replace(
        deploy,
        gates=(JudgedGate(gate=gate, result=result), *deploy.gates[1:]),
        target=dataclasses.replace(
            deploy.target, exemptions=(exemption,), not_applicable=((gate.id, "No such part here."),)
        ),
        subject=None,
        subject_required=False,
        origins=(origin,),
    )
    until = wording.moment(exemption.expires)
    texts = {
        "terminal": render(shown, colour=False, width=160),
        "page": signoff.render(shown),
        "explain": explain(shown, None, colour=False, width=160),
        "summary": html.unescape(summary.render(shown)),
    }
    for name, text in texts.items():
        assert "run-of-test on test-env" in text, name
        assert until in text, name
    for name in ("terminal", "page"):
        assert "BAIS-9" in texts[name]
        assert "alex" in texts[name]
        assert "subject: not_required" in texts[name]


def test_hundreds_of_passed_gates_are_counted(block: Decision) -> None:
    """Of a phase with very many passed gates those that did not pass have a row, the others a number."""
    passed = next(judged for judged in block.gates if judged.result.outcome is Outcome.PASS)
    many = tuple(
        dataclasses.replace(
            passed, gate=dataclasses.replace(passed.gate, id=f"{passed.gate.phase}.many_{number}")
        )
        for number in range(1000)
    )
    text = render(dataclasses.replace(block, gates=(*block.gates, *many)), colour=False, width=100)

    assert re.search(r"  1,0\d\d passed: signoff.html lists them", text)
    assert "many_7" not in text
    assert all(f" {one.gate.id.partition('.')[2]} " in text for one in block.gates if one.blocking)


def test_the_table_has_each_gate_once(block: Decision) -> None:
    """Each gate is one row below its phase, with severity, outcome and the check that decided."""
    lines = render(block, colour=False, width=110).splitlines()
    assert "acceptance: 1 of 4 passed" in lines
    assert f"  FAIL           P2 rate_limiting       requests let in at...: {LIMITED}" in lines
    for judged in block.gates:
        name = judged.gate.id.partition(".")[2]
        rows = [
            line for line in lines if re.match(rf"  {judged.result.outcome.value} +P\d {name}( |$)", line)
        ]
        assert len(rows) == 1


@given(data=st.data(), width=st.integers(min_value=0, max_value=300), colour=st.booleans())
def test_hostile_text_cannot_steer_the_terminal(
    data: st.DataObject, decisions: st.SearchStrategy[Decision], width: int, colour: bool
) -> None:
    """No control character but our own colours comes out; a plain terminal gets ASCII; rows fit."""
    decision = data.draw(decisions)
    for text in (
        render(decision, colour=colour, width=width),
        explain(decision, None, colour=colour, width=width),
        *(explain(decision, judged.gate.id, colour=colour, width=width) for judged in decision.gates[:1]),
    ):
        bare = _OUR_COLOURS.sub("", text) if colour else text
        assert not re.search(
            r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u200b\ud800-\udfff]", bare.replace("\t", "")
        )
        assert colour or text.isascii()
        assert text.endswith("\n")


def test_rows_fit_the_width(block: Decision) -> None:
    """Nothing but the verdict's line, which logs are searched for, is wider than the terminal."""
    for width in (40, 60, 80, 120):
        lines = render(block, colour=False, width=width).splitlines()[:-1]
        too_wide = [line for line in lines if columns(line) > width]
        assert too_wide == []


def test_a_name_is_shortened_before_a_number(block: Decision) -> None:
    """On a narrow terminal a row keeps the observed value and the limit, and shortens the check's name."""
    for width in range(80, 130, 5):
        row = next(row for row in render(block, colour=False, width=width).splitlines() if "FAIL " in row)
        assert "164 requests (limit 100 requests" in row


def test_each_failed_check_is_a_line_of_its_own(block: Decision) -> None:
    """A reason for several checks lists each of them as a bullet."""
    reason = dataclasses.replace(
        block.reasons[0], message="p95: 250 ms (limit 200 ms)\nerrors: 3 (expected none)"
    )
    lines = render(dataclasses.replace(block, reasons=(reason,)), colour=False, width=100).splitlines()
    at = lines.index("    - p95: 250 ms (limit 200 ms)")
    assert lines[at - 1] == f"  {reason.code.value} {reason.gate_id}:"
    assert lines[at + 1] == "    - errors: 3 (expected none)"


def test_explain_lists_violations_as_bullets(block: Decision) -> None:
    """A check that found several things lists each on a line, and the result does not repeat its checks."""
    check = Check(name="errors", observed=["one", "two"], op=Op.EQ, limit=[], ok=False, n=9)
    judged = next(judged for judged in block.gates if judged.gate.id == "acceptance.rate_limiting")
    result = dataclasses.replace(
        judged.result, checks=(check,), message="errors: 2 of 9 (expected none): one, two"
    )
    changed = dataclasses.replace(block, gates=(dataclasses.replace(judged, result=result),))
    text = explain(changed, "rate_limiting", width=100, colour=False)
    assert "    failed: errors: 2 of 9 (expected none)\n      - one\n      - two\n" in text
    assert "Result:" not in text


def test_colour_only_adds_colour(block: Decision) -> None:
    """With its colours taken out, the coloured text is the plain one."""
    coloured = render(block, colour=True, width=100)
    assert "\x1b[" in coloured
    assert _OUR_COLOURS.sub("", coloured) == render(block, colour=False, width=100)


def test_a_thousand_reasons_are_not_scrolled(many: Callable[[int], Decision]) -> None:
    """Of very many reasons the first are shown and the rest is counted."""
    text = render(many(2500), colour=False, width=100)
    assert "100 reasons to block" in text
    assert "and 50 more" in text


def test_explain_says_what_to_do_in_order(block: Decision) -> None:
    """The next steps begin with reasons about the run, then the gate that others need."""
    steps = next_steps(block)
    assert steps[0].startswith("Resolve the other reasons")
    assert steps[1] == "Fix acceptance.payment_processing: other gates need it."
    assert steps[-1].startswith("Run again: bais-gates run golive")


def test_explain_shows_every_gate_that_is_not_proven(block: Decision) -> None:
    """Without a gate, all blocking, waived and advisory gates are explained, with their checks."""
    text = explain(block, None, width=100, colour=False)
    for judged in block.gates:
        assert judged.gate.id in text
    assert f"failed: requests let in at once: {LIMITED}" in text
    assert "Not run because of it: load.sustained_500_rps" in text
    assert "Waiver: BAIS-4127, approved by Maria Lindqvist" in text


def test_explain_finds_a_gate_by_its_short_name(block: Decision) -> None:
    """One gate can be named without its phase, and shows its log."""
    text = explain(block, "rate_limiting", width=100, colour=False)
    assert text.startswith("FAIL acceptance.rate_limiting (P2, blocking)\n")
    assert "E   2 checks are false" in text


def test_explain_of_an_unknown_gate_offers_near_ones(block: Decision) -> None:
    """A mistyped gate is answered with the ones that were probably meant."""
    with pytest.raises(GateInputError, match=r"Did you mean acceptance\.rate_limiting"):
        explain(block, "acceptance.rate_limitng", width=100, colour=False)


def test_a_deploy_is_explained_by_the_next_step(deploy: Decision) -> None:
    """After a DEPLOY the pipeline verifies; after a rehearsal the real environment follows."""
    assert "bais-gates verify" in explain(deploy, None, width=100, colour=False)
    rehearsal = dataclasses.replace(deploy, target=dataclasses.replace(deploy.target, rehearsal=True))
    assert "--env NAME" in explain(rehearsal, None, width=100, colour=False)
