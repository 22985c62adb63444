"""The runbooks that the suite ships."""

from __future__ import annotations

from pathlib import Path

from tests.launch import run_command

ROOT = Path(__file__).parents[2]


def test_every_shipped_alert_has_a_runbook_that_can_be_pasted() -> None:
    """The check finds nothing, whatever the day: how old a review may be is a matter for the gate."""
    done = run_command("oncall", "check", "gates/oncall", "--max-age", "99999", folder=ROOT)

    assert (done.returncode, done.stdout) == (0, "84 runbooks: 0 findings\n")
