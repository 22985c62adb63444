"""The CTRF report: valid, consistent, and never green where the decision blocks."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.reports import ctrf
from bais_gates.verdict.model import Decision, Verdict

SCHEMA = Path(__file__).with_name("ctrf-schema-0.0.json")


@pytest.fixture(scope="session")
def validator() -> jsonschema.Draft7Validator:
    """Return a validator of CTRF's own JSON Schema, formats included."""
    schema = json.loads(SCHEMA.read_text())
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)


def _read(decision: Decision) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(ctrf.render(decision))
    return report


@given(data=st.data())
def test_any_decision_is_valid_ctrf(
    data: st.DataObject, decisions: st.SearchStrategy[Decision], validator: jsonschema.Draft7Validator
) -> None:
    """Every decision gives a document that CTRF's schema accepts, and whose counts are those of its tests."""
    decision = data.draw(decisions)
    report = _read(decision)
    validator.validate(report)
    tests, summary = report["results"]["tests"], report["results"]["summary"]
    statuses = ("passed", "failed", "skipped", "pending", "other")
    assert summary["tests"] == len(tests) == sum(summary[status] for status in statuses)
    for status in statuses:
        assert summary[status] == sum(test["status"] == status for test in tests)
    assert summary["stop"] >= summary["start"]
    failed = {test["name"] for test in tests if test["status"] == "failed"}
    assert {judged.gate.id for judged in decision.gates if judged.blocking} <= failed
    if decision.reasons:
        assert failed


def test_a_gate_carries_its_outcome_phase_and_checks(block: Decision) -> None:
    """A test has labels, the raw outcome, a step a check, and the numbers under the project's namespace."""
    tests = {test["name"]: test for test in _read(block)["results"]["tests"]}
    failed = tests["acceptance.rate_limiting"]
    assert failed["rawStatus"] == "FAIL"
    assert failed["labels"] == {
        "phase": "acceptance",
        "severity": "P2",
        "outcome": "FAIL",
        "standing": "blocking",
    }
    step = failed["steps"][0]
    assert step["name"] == "requests let in at once: 164 requests (limit 100 requests, 200 samples)"
    assert step["status"] == "failed"
    assert step["extra"]["io.bais.gate"]["limit"] == 100


@pytest.mark.parametrize(
    ("gate", "status"),
    [
        ("acceptance.health_endpoint", "passed"),
        ("acceptance.payment_processing", "failed"),
        ("acceptance.webhook_delivery", "failed"),
        ("oncall.test_page", "failed"),
        ("checklist.locales", "other"),
        ("checklist.tax_export", "skipped"),
        ("monitoring.dashboard_polish", "other"),
        ("decision: WAIVER_EXPIRED", "failed"),
    ],
)
def test_what_blocks_is_failed(block: Decision, gate: str, status: str) -> None:
    """What blocks is failed, also a gate that did not run and a reason outside the gates."""
    tests = {test["name"]: test for test in _read(block)["results"]["tests"]}
    assert tests[gate]["status"] == status


def test_the_verdict_is_in_the_environment(block: Decision, deploy: Decision) -> None:
    """``healthy`` is DEPLOY or BLOCK for tools that do not know gates."""
    assert _read(block)["results"]["environment"]["healthy"] is False
    assert _read(deploy)["results"]["environment"]["healthy"] is True
    assert _read(block)["results"]["environment"]["extra"]["io.bais.gate"]["exit_status"] == 20


def test_a_block_without_gates_is_not_green(block: Decision) -> None:
    """A run that never got to its gates shows failed tests, one a reason."""
    empty = dataclasses.replace(block, gates=(), verdict=Verdict.BLOCK)
    summary = _read(empty)["results"]["summary"]
    assert summary["failed"] == summary["tests"] == len(block.reasons)
