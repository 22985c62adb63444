"""pytest-html's page of a deciding run: the project's columns, the verdict, and hostile test ids."""

from __future__ import annotations

import dataclasses
import html
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from bais_gates.pytest_plugin import html_columns
from bais_gates.verdict.model import Decision

CATALOG = """
gates:
  - {id: acceptance.limits, title: Limits, phase: acceptance, severity: P2, scopes: [acceptance],
     requirement: Limits hold., remedy: Look.}
  - {id: acceptance.broken, title: Broken, phase: acceptance, severity: P1, scopes: [acceptance],
     requirement: It is sound., remedy: Look.}
  - {id: acceptance.absent, title: "<script>alert(1)</script>", phase: acceptance, severity: P1,
     scopes: [acceptance], requirement: It is there., remedy: Write it.}
  - {id: acceptance.evil, title: Evil, phase: acceptance, severity: P3, scopes: [acceptance],
     requirement: Ids are text., remedy: Look., cases: ["<img src=x onerror=document.title=1>"]}
"""
TESTS = """
import pytest

@pytest.mark.gate("acceptance.limits")
def test_limits(evidence):
    print("\\x1b[2Jcaptured \\u202e <b>")
    evidence.check("let in <img src=x>", 164, "<=", 100)

@pytest.fixture
def broken():
    raise RuntimeError("<script>")

@pytest.mark.gate("acceptance.broken")
def test_broken(broken):
    pass

@pytest.mark.gate("acceptance.evil")
@pytest.mark.parametrize("evil", ["<img src=x onerror=document.title=1>"], ids=str)
def test_evil(evil, evidence):
    evidence.check("text", 1, "==", 1)
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Run a small project of gates with pytest-html and return its page."""
    root = tmp_path_factory.mktemp("project")
    gates = root / "gates"
    (gates / "environments").mkdir(parents=True)
    (gates / "environments" / "sandbox.yaml").write_text("name: sandbox\n")
    (gates / "catalog.yaml").write_text(CATALOG)
    (gates / "test_gates.py").write_text(TESTS)
    (root / "pytest.ini").write_text("[pytest]\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment.pop("GITHUB_STEP_SUMMARY", None)
    plugins = [part for name in ("valkey", "locust", "schemathesis") for part in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", "-q", *plugins, "--gate-scope", "acceptance", "gates"]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 20, done.stdout + done.stderr
    return (root / "gate-report" / "report.html").read_text(encoding="utf-8")


def _tests(page: str) -> dict[str, Any]:
    blob = re.search(r'data-jsonblob="([^"]*)"', page)
    assert blob is not None
    found: dict[str, Any] = json.loads(html.unescape(blob.group(1)))["tests"]
    return found


def _row(page: str, name: str) -> dict[str, Any]:
    row: dict[str, Any] = next(rows[0] for nodeid, rows in _tests(page).items() if name in nodeid)
    return row


def test_the_verdict_stands_above_the_results(page: str) -> None:
    """The page has the verdict, the reasons, and each gate of the scope, also one that did not run."""
    assert '<title id="head-title">bais-gates: raw test log</title>' in page
    assert re.search(r"<h2>BLOCK( \(rehearsal\))?: acceptance on sandbox</h2>", page)
    assert '<th scope="row">acceptance.absent</th><td>acceptance</td><td>P1</td><td>NOT_RUN</td>' in page


def test_rows_have_phase_severity_and_outcome(page: str) -> None:
    """A gate's row has its phase, severity and outcome, in columns that can be sorted."""
    assert '<th class="sortable" data-column-type="severity">Severity</th>' in page
    row = _row(page, "test_limits")
    assert (row["phase"], row["severity"], row["outcome"]) == ("acceptance", "P2", "FAIL")
    assert '<td class="col-outcome">FAIL</td>' in row["resultsTableRow"]


def test_a_gate_that_broke_in_its_set_up_has_its_row(page: str) -> None:
    """A gate whose fixture raised is a row with its own id, severity and ERROR."""
    row = _row(page, "test_broken")
    assert any("test_broken::setup" in cell for cell in row["resultsTableRow"])
    assert (row["severity"], row["outcome"]) == ("P1", "ERROR")


def test_hostile_ids_and_logs_are_text(page: str) -> None:
    """A test id that is HTML, and a log with control characters, are shown and do nothing."""
    for rows in _tests(page).values():
        for row in rows:
            for cell in row["resultsTableRow"]:
                assert "<img" not in cell
                assert "<script" not in cell
            assert "\x1b" not in row["log"]
            assert "\u202e" not in row["log"]
    assert "&lt;img src=x" in _row(page, "test_evil")["resultsTableRow"][1]
    assert "\\u202e" in _row(page, "test_limits")["log"]
    assert "<script>alert(1)" not in page


def test_the_summary_escapes_everything(block: Decision, hostile_texts: tuple[str, ...]) -> None:
    """Hostile messages in the decision are text above the results, too."""
    reasons = tuple(
        dataclasses.replace(block.reasons[0], message=text, gate_id=text) for text in hostile_texts
    )
    shown = html_columns.summary(dataclasses.replace(block, reasons=reasons))
    for canary in ("<script", "<img", "</style", "\x1b", "\u202e", "\x00"):
        assert canary not in shown
