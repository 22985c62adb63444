"""A disk that is full, or may not be written to, ends in BLOCK with one clear sentence."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.pytest_plugin.ledger import Ledger

if TYPE_CHECKING:
    from tests.pytest_plugin.conftest import Project


def test_a_report_folder_that_cannot_be_made(project: Project) -> None:
    """No gate runs, the status is 23, and the terminal says what to do."""
    project.catalog(one={})
    project.tests("raise RuntimeError('must not be collected')")
    project.write("gate-report", "a file where the folder should be")

    ran = project.run("-m", "golive", "--gate-out", "gate-report/out")

    assert ran.status == 23, ran.output
    assert "cannot be written" in ran.output
    assert "--gate-out" in ran.output
    assert "Traceback" not in ran.output


def test_a_run_without_standard_input(project: Project) -> None:
    """Where standard input is closed, as by some schedulers, the ledger does not take its place."""
    project.catalog(one={})
    project.passing("one")

    ran = project.run("-m", "golive", before=lambda: os.close(0))

    assert ran.status == 0, ran.output
    assert ran.outcomes == {"one": "PASS"}


def test_a_disk_that_fills_up_during_the_run(project: Project) -> None:
    """What cannot be recorded is not proven: BLOCK, status 23, no traceback."""
    project.catalog(one={})
    project.tests(
        """
        @pytest.mark.gate("acceptance.one")
        def test_one(evidence):
            for number in range(3000):
                evidence.check(f"number {number}", number, ">=", 0)
        """
    )

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    ran = project.run("-m", "golive", before=little_room)

    assert ran.status == 23, ran.output
    assert ran.decision is not None
    assert ran.decision["verdict"] == "BLOCK"
    assert "INTERNALERROR" not in ran.output
    assert "cannot be written" in ran.output


def test_the_ledger_remembers_what_it_could_not_write() -> None:
    """A full device is noted, and nothing is raised into the gate."""
    ledger = Ledger.join(Path("/dev/full"), "gw0")

    ledger.append("check", {"name": "one"})

    assert ledger.problem == "/dev/full: No space left on device"
