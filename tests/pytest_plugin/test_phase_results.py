"""A roll-up judges the gates of its phase: after them, in this run or imported, or not at all."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pytest_plugin.conftest import SERIAL_AND_PARALLEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.pytest_plugin.conftest import Project

GATE = Path(__file__).parents[2] / "gates" / "checklist" / "test_acceptance_tests.py"
ROLL_UP = {
    "id": "checklist.acceptance_tests",
    "phase": "checklist",
    "scopes": ["golive", "checklist"],
    "rolls_up": "acceptance",
}
TESTS = """
@pytest.mark.gate("acceptance.late")
def test_late(evidence):
    time.sleep(0.3)
    evidence.check("one", 1, "==", 1)

@pytest.mark.gate("acceptance.other")
def test_other(evidence):
    {other}
"""
HOLDS = 'evidence.check("one", 1, "==", 1)'


@pytest.fixture
def rolled_up(project: Project) -> Project:
    """Make a project with two acceptance gates, and the real gate that rolls them up, collected first."""
    project.catalog(roll_up=ROLL_UP, late={"scopes": ["golive", "acceptance"]}, other={"severity": "P2"})
    shutil.copy(GATE, project.folder / "test_a_roll_up.py")
    project.tests(TESTS.format(other=HOLDS))
    return project


def waive(project: Project, **changed: object) -> None:
    """Write a valid waiver of acceptance.other, with changes."""
    now = datetime.now(UTC)
    waiver = {
        "gate": "acceptance.other",
        "reason": "known and bounded",
        "ticket": "OPS-1",
        "requested_by": "ann",
        "approved_by": "bob",
        "approved_at": (now - timedelta(hours=1)).isoformat(),
        "expires": (now + timedelta(days=1)).isoformat(),
        "environment": "stub",
    }
    project.write("gates/waivers.yaml", json.dumps({"waivers": [{**waiver, **changed}]}))


@pytest.mark.parametrize("how", SERIAL_AND_PARALLEL, ids=["serial", "parallel"])
def test_it_runs_after_its_phase_and_passes_with_it(rolled_up: Project, how: Sequence[str]) -> None:
    """Collected first, it still waits for the phase's slowest gate, also in another worker."""
    ran = rolled_up.run("-m", "golive", *how)

    assert ran.outcomes == {"acceptance_tests": "PASS", "late": "PASS", "other": "PASS"}, ran.output
    assert ran.status == 0
    assert "acceptance.late: PASS" in ran.gate("acceptance_tests")["attachments"][0]["text"]


def test_it_fails_with_a_gate_that_failed(rolled_up: Project) -> None:
    """One false check in the phase makes the roll-up FAIL, naming the gate."""
    rolled_up.tests(TESTS.format(other='evidence.check("one", 1, "==", 2)'))

    ran = rolled_up.run("-m", "golive")

    assert ran.outcomes["acceptance_tests"] == "FAIL", ran.output
    assert "acceptance.other" in ran.gate("acceptance_tests")["message"]
    assert ran.status == 20


@pytest.mark.parametrize(
    ("other", "outcome"),
    [
        ('raise OSError("no route to host")', "ERROR"),
        ('evidence.check("p95", float("nan"), "<=", 200)', "NO_DATA"),
    ],
)
def test_it_follows_a_gate_that_could_not_be_judged(rolled_up: Project, other: str, outcome: str) -> None:
    """An ERROR or NO_DATA in the phase is no FAIL of the roll-up: it could not be judged either."""
    rolled_up.tests(TESTS.format(other=other))

    ran = rolled_up.run("-m", "golive")

    assert ran.outcomes["acceptance_tests"] == outcome, ran.output
    assert f"acceptance.other ({outcome})" in ran.gate("acceptance_tests")["message"]


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({}, "PASS"),
        ({"environment": "production"}, "FAIL"),
        ({"requested_by": "bob"}, "FAIL"),
    ],
    ids=["valid", "of another environment", "self-approved"],
)
def test_a_waiver_excuses_only_when_it_is_valid(
    rolled_up: Project, changed: dict[str, object], outcome: str
) -> None:
    """The roll-up takes a waived gate for standing exactly where the decision does."""
    rolled_up.tests(TESTS.format(other='evidence.check("one", 1, "==", 2)'))
    waive(rolled_up, **changed)

    ran = rolled_up.run("-m", "golive")

    assert ran.outcomes["acceptance_tests"] == outcome, ran.output
    assert (ran.status == 0) == (outcome == "PASS")


def test_alone_it_is_not_run(rolled_up: Project) -> None:
    """Without the phase in the run and without an import there is nothing to judge: NOT_RUN, and BLOCK."""
    ran = rolled_up.run("-m", "checklist")

    assert ran.outcomes == {"acceptance_tests": "NOT_RUN"}, ran.output
    assert "--gate-import" in ran.gate("acceptance_tests")["message"]
    assert ran.status == 21


def test_a_gate_of_the_phase_that_was_left_out_is_told(rolled_up: Project) -> None:
    """Half a phase is not judged: the gate without a result is named."""
    ran = rolled_up.run("-m", "golive", "-k", "late or acceptance_tests")

    assert ran.outcomes["acceptance_tests"] == "ERROR", ran.output
    assert "acceptance.other (NOT_RUN)" in ran.gate("acceptance_tests")["message"]


@pytest.mark.parametrize(
    "how", [(), pytest.param(("-n", "2"), marks=pytest.mark.nightly)], ids=["serial", "parallel"]
)
def test_an_imported_decision_is_judged_in_place_of_the_phase(rolled_up: Project, how: Sequence[str]) -> None:
    """A verified decision about the phase lets the roll-up pass without it, for as long as it is valid."""
    rolled_up.tests(TESTS.format(other='evidence.check("one", 1, "==", 2)'))
    waive(rolled_up)
    earlier = rolled_up.run("-m", "acceptance")
    assert earlier.status == 0, earlier.output
    assert earlier.decision is not None
    shutil.copytree(rolled_up.out, rolled_up.folder / "earlier")

    ran = rolled_up.run("-m", "checklist", "--gate-import=earlier/decision.json", *how)

    assert ran.outcomes == {"acceptance_tests": "PASS"}, ran.output
    check = ran.gate("acceptance_tests")["checks"][0]
    assert earlier.decision["run"]["run_id"] in check["source"]
    assert ran.decision is not None
    assert [origin["run_id"] for origin in ran.decision["origins"]] == [earlier.decision["run"]["run_id"]]
    assert ran.decision["valid_until"] <= earlier.decision["valid_until"]


def test_an_import_of_another_subject_does_not_count(rolled_up: Project) -> None:
    """A decision about another image is refused before any gate runs."""
    subject = "--gate-subject=bais-api@sha256:" + "a" * 64
    rolled_up.run("-m", "acceptance", subject)
    shutil.copytree(rolled_up.out, rolled_up.folder / "earlier")

    ran = rolled_up.run("-m", "checklist", "--gate-import=earlier/decision.json")

    assert ran.status == 22
    assert "REFUSED_OPTION" in ran.codes


def test_phases_that_roll_up_each_other_are_refused(project: Project) -> None:
    """A circle of roll-ups, and a gate that rolls up its own phase, are faults of the catalog."""
    project.catalog(roll_up=ROLL_UP, one={"needs": ["checklist.acceptance_tests"]})
    project.passing("one")
    assert "CATALOG_INVALID" in project.run("-m", "golive").codes

    project.catalog(one={"rolls_up": "acceptance"})
    assert "CATALOG_INVALID" in project.run("-m", "golive").codes
