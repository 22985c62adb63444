"""The runbooks that the suite ships."""

from __future__ import annotations

from pathlib import Path

from tests.launch import run_command

GATES = Path(__file__).parents[2] / "gates"
ROTATION = """\
teams: {payments: {}, platform: {}, database: {}, security: {}}
severities:
  P1: {acknowledge_within: 5m, recover_within: 5m}
  P2: {acknowledge_within: 15m, recover_within: 30m}
  P3: {acknowledge_within: 8h, recover_within: 3d}
  P4: {acknowledge_within: 5d, recover_within: 30d}
"""


def test_every_shipped_alert_has_a_runbook_that_can_be_pasted(tmp_path: Path) -> None:
    """The check finds nothing, whatever the day: how old a review may be is a matter for the gate."""
    (tmp_path / "runbooks").symlink_to(GATES / "oncall" / "runbooks")
    (tmp_path / "rotation.yaml").write_text(ROTATION)
    manifests = GATES / "staging" / "manifests" / "overlays" / "production"
    options = ("--monitoring", str(GATES / "monitoring"), "--manifests", str(manifests), "--max-age", "99999")

    done = run_command("oncall", "check", str(tmp_path), *options, folder=GATES)

    assert (done.returncode, done.stdout) == (0, "84 runbooks: 0 findings\n")
