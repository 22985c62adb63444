"""Success criteria: met only by a PASS of every gate, and shown so."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.reports import criteria, signoff
from bais_gates.reports.criteria import State
from bais_gates.verdict.catalog import load_catalog
from bais_gates.verdict.criteria import CriteriaList, Criterion
from bais_gates.verdict.model import Decision, Outcome

CATALOG = Path(__file__).parents[2] / "gates" / "catalog.yaml"
PASS, WAIVED = "acceptance.health_endpoint", "checklist.locales"
FAIL, NOT_RUN = "acceptance.rate_limiting", "oncall.test_page"
ADVISORY, NOT_APPLICABLE = "monitoring.dashboard_polish", "checklist.tax_export"
LATER, ELSEWHERE = "postdeploy.version", "load.elsewhere"


def asked(decision: Decision, *gate_ids: str) -> Decision:
    """Return a decision with one criterion, and one beside it that is met."""
    lines = (Criterion(text="It holds.", gate_ids=gate_ids), Criterion(text="Well.", gate_ids=(PASS,)))
    return replace(decision, criteria=(CriteriaList(title="Deployment success", criteria=lines),))


@pytest.mark.parametrize(
    ("gate_ids", "state"),
    [
        ((PASS,), State.MET),
        ((PASS, "monitoring.alerts_fire"), State.MET),
        ((PASS, FAIL), State.NOT_MET),
        ((NOT_RUN,), State.NOT_MET),
        ((ADVISORY, PASS), State.NOT_MET),
        ((WAIVED, PASS), State.WAIVED),
        ((WAIVED, FAIL), State.NOT_MET),
        ((LATER,), State.AFTER_DEPLOY),
        ((PASS, LATER), State.AFTER_DEPLOY),
        ((LATER, ELSEWHERE), State.NOT_JUDGED),
        ((NOT_APPLICABLE,), State.NOT_APPLICABLE),
        ((NOT_APPLICABLE, PASS), State.IN_PART),
        ((NOT_APPLICABLE, LATER), State.AFTER_DEPLOY),
    ],
)
def test_the_state_is_the_gravest_of_its_gates(
    block: Decision, gate_ids: tuple[str, ...], state: State
) -> None:
    """A failure outweighs a waiver, that one a gate which is not judged; nothing is met without a PASS."""
    ((_, (answer, _)),) = criteria.answers(asked(block, *gate_ids))

    assert answer.state is state


@given(data=st.data())
def test_met_is_all_gates_passed(data: st.DataObject, decisions: st.SearchStrategy[Decision]) -> None:
    """Whatever the decision: met, the one green state, is a PASS of every gate, none of which blocks."""
    decision = data.draw(decisions)
    judged = {each.gate.id: each for each in decision.gates}
    for _, lines in criteria.answers(decision):
        for answer in lines:
            gates = [judged.get(gate_id) for gate_id in answer.criterion.gate_ids]
            passed = [each and each.result.outcome is Outcome.PASS and not each.blocking for each in gates]
            assert (answer.state is State.MET) == all(passed)


def test_the_page_links_the_gates_and_names_their_outcomes(block: Decision) -> None:
    """A criterion that is not met shows the outcome of each gate; a gate of another scope has no link."""
    text = signoff.render(asked(block, FAIL, PASS, LATER))

    (row,) = re.findall(r"<tr><th scope=\"row\">It holds\.</th>.*?</tr>", text, re.DOTALL)
    assert "Deployment success: 1 met, 1 not met" in text
    assert 'class="state o-bad"' in row
    assert f'<a href="#gate-{FAIL}"><code>{FAIL}</code></a> <span class="note">FAIL</span>' in row
    assert f'<a href="#gate-{PASS}"><code>{PASS}</code></a> <span class="note">PASS</span>' in row
    assert f'<code>{LATER}</code> <span class="note">judged after the deployment</span>' in row
    assert f"#gate-{LATER}" not in row


def test_lists_of_which_nothing_was_judged_are_left_out(block: Decision) -> None:
    """The page of one phase, and that of a decision without criteria, have no list of nothing."""
    decision = asked(block, FAIL)
    other = CriteriaList(title="Elsewhere", criteria=(Criterion(text="It is.", gate_ids=(ELSEWHERE, LATER)),))

    assert [
        title for title, _ in criteria.answers(replace(decision, criteria=(other, *decision.criteria)))
    ] == ["Deployment success"]
    assert "Success criteria" not in signoff.render(replace(block, criteria=(other,)))


def test_every_line_of_the_suite_can_be_met_on_one_page() -> None:
    """Each line of the shipped lists has gates, all of them judged before the deploy or all after it."""
    catalog = load_catalog(CATALOG)

    assert [each.title for each in catalog.criteria] == [
        "Deployment success",
        "Operational readiness",
        "Business readiness",
    ]
    for each in catalog.criteria:
        for criterion in each.criteria:
            gates = [catalog.by_id[gate_id] for gate_id in criterion.gate_ids]
            assert gates, criterion
            assert len({"golive" in gate.scopes for gate in gates}) == 1, criterion
