"""Results of an earlier decision count where it was verified and is about the same thing."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.pytest_plugin.conftest import Project

SUBJECT = "api@sha256:" + "a" * 64


def test_an_imported_gate_counts_and_satisfies_needs(project: Project) -> None:
    """A verified decision stands in for gates that are not selected here; one of another subject does not."""
    project.catalog(
        one={}, two={"id": "load.two", "phase": "load", "needs": ["acceptance.one"]}, three={"scopes": []}
    )
    project.passing("one", "three")
    project.tests(
        """
        @pytest.mark.gate("load.two")
        def test_two(evidence):
            evidence.check("one", 1, "==", 1)
        """,
        "test_load.py",
    )
    earlier = project.run("-m", "acceptance", "--gate-subject", SUBJECT, "--gate-run-id", "earlier")
    shutil.copytree(project.out, project.folder / "earlier")
    imported = ("-m", "golive and load", "--gate-scope", "golive", "--gate-import", "earlier/decision.json")

    without = project.run(*imported[:4], "--gate-subject", SUBJECT)
    ran = project.run(*imported, "--gate-subject", SUBJECT)
    parallel = project.run(*imported, "--gate-subject", SUBJECT, "-n", "1")
    other = project.run(*imported, "--gate-subject", SUBJECT.replace("a" * 64, "b" * 64))

    assert earlier.status == 0, earlier.output
    assert without.status == 21, without.output
    assert ran.status == parallel.status == 0, ran.output
    assert ran.outcomes == parallel.outcomes == {"one": "PASS", "two": "PASS"}
    assert ran.gate("one")["imported_from"] == "earlier"
    assert ran.decision is not None
    assert ran.decision["imported"] == ["earlier"]
    assert other.status == 22
    assert "another" in other.output or "subject" in other.output
