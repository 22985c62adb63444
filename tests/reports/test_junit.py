"""The JUnit report: well-formed under any text, consistent, and never green where the decision blocks."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.reports import junit
from bais_gates.verdict.model import Decision, Phase


def _cases(decision: Decision) -> dict[str, ET.Element]:
    root = ET.fromstring(junit.render(decision))
    return {case.get("name", ""): case for case in root.iter("testcase")}


@given(data=st.data())
def test_any_decision_is_well_formed_and_consistent(
    data: st.DataObject, decisions: st.SearchStrategy[Decision]
) -> None:
    """Every decision gives XML that parses, with right counts, and blocking gates as failures or errors."""
    decision = data.draw(decisions)
    root = ET.fromstring(junit.render(decision).encode("utf-8"))
    suites = list(root.iter("testsuite"))
    for suite in suites:
        cases = suite.findall("testcase")
        assert suite.get("tests") == str(len(cases))
        for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert suite.get(count) == str(sum(case.find(tag) is not None for case in cases))
    for count in ("tests", "failures", "errors", "skipped"):
        assert int(root.get(count, "-1")) == sum(int(suite.get(count, "0")) for suite in suites)
    failed = {
        case.get("name")
        for case in root.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    }
    assert {judged.gate.id for judged in decision.gates if judged.blocking} <= failed
    if decision.reasons:
        assert failed


@pytest.mark.parametrize(
    ("gate", "tag"),
    [
        ("acceptance.health_endpoint", None),
        ("acceptance.rate_limiting", "failure"),
        ("acceptance.payment_processing", "error"),
        ("acceptance.webhook_delivery", "failure"),
        ("load.sustained_500_rps", "error"),
        ("checklist.locales", "skipped"),
        ("checklist.tax_export", "skipped"),
        ("monitoring.dashboard_polish", "skipped"),
        ("WAIVER_EXPIRED", "error"),
    ],
)
def test_outcomes_are_mapped(block: Decision, gate: str, tag: str | None) -> None:
    """A blocking gate is a failure or an error, a waived one is skipped, a pass has no element."""
    case = _cases(block)[gate]
    assert [child.tag for child in case if child.tag != "properties"] == ([tag] if tag else [])


def test_checks_are_properties(block: Decision) -> None:
    """A test case carries phase, severity, outcome, and each check with observed value and limit."""
    case = _cases(block)["acceptance.rate_limiting"]
    found = {each.get("name"): each.get("value") for each in case.iter("property")}
    assert found["phase"] == "acceptance"
    assert found["severity"] == "P2"
    assert found["outcome"] == "FAIL"
    assert found["check: requests let in at once"] == "failed: 164 requests (limit 100 requests, 200 samples)"


def test_phases_are_suites_in_order(block: Decision) -> None:
    """There is a suite a phase, in the order of a go-live, and one for what is outside the gates."""
    root = ET.fromstring(junit.render(block))
    names = [suite.get("name") for suite in root.iter("testsuite")]
    order = [phase.value for phase in Phase if phase.value in names]
    assert names == [*order, "decision"]


def test_a_megabyte_message_is_cut(block: Decision) -> None:
    """A message of a megabyte does not make a report of megabytes."""
    gates = tuple(
        dataclasses.replace(judged, result=dataclasses.replace(judged.result, message="x" * 1_000_000))
        for judged in block.gates
    )
    assert len(junit.render(dataclasses.replace(block, gates=gates))) < 600_000
