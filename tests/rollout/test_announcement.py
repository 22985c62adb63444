"""What is told of a deploy: its outcome, who and why, no secret, and whether somebody must look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bais_gates.rollout.announcement import announce
from bais_gates.rollout.errors import RolloutStatus
from bais_gates.rollout.record import Phase, Record, State
from tests.rollout.fake_cluster import NEW, OLD

RECORD = Record(
    id="20260302-120000-0a1b2c",
    kind="deploy",
    environment="production",
    rehearsal=False,
    by="dana@build-7.bais.example, process 7",
    images={"api": NEW, "worker": NEW},
    version="1.1.0",
    before=State(images={"api": OLD, "worker": OLD}, replicas=3),
    decision={"digest": "sha256:0", "run_id": "run-1"},
    reason="OPS-7",
).then(Phase.RECORDED)
BACK = RECORD.then(Phase.ROLLING_BACK, "JOB_FAILED: no such column; alex.kim@bais.example was told")


@pytest.mark.parametrize(
    ("record", "status", "words", "pages"),
    [
        (RECORD.then(Phase.DEPLOYED), RolloutStatus.DEPLOYED, "deployed and verified", False),
        (BACK.then(Phase.ROLLED_BACK), RolloutStatus.ROLLED_BACK, "rolled back, and", False),
        (BACK.then(Phase.ROLLBACK_FAILED), RolloutStatus.ROLLBACK_FAILED, "THE ROLLBACK FAILED", True),
        (RECORD.then(Phase.VERIFYING), RolloutStatus.STUCK, "STUCK", False),
        (RECORD.then(Phase.WATCHING), RolloutStatus.STUCK, "PAUSED", False),
        (BACK, RolloutStatus.STUCK, "STUCK", True),
    ],
)
def test_the_outcome_and_whether_somebody_must_look(
    record: Record, status: RolloutStatus, words: str, pages: bool
) -> None:
    """A rollback that failed or is stuck pages; every status has words of its own."""
    message = announce(record, status)

    assert message.summary.startswith(f"deploy of {NEW} to production: {words}")
    assert message.pages is pages
    assert message.key == "bais-gates/production/20260302-120000-0a1b2c"
    assert message.details["before"] == OLD
    assert message.details["reason"] == "OPS-7"
    if record.phase is not Phase.DEPLOYED and record.steps[1:2] == BACK.steps[1:2]:
        assert message.details["because"].startswith("JOB_FAILED: no such column")
    assert "• version: 1.1.0" in message.text()


def test_an_emergency_and_a_rehearsal_say_so_first() -> None:
    """In the one line that a phone shows."""
    emergency = {"approved_by": "Alex Kim <alex.kim@bais.example>", "reason": "Cards are declined."}
    record = replace(RECORD, rehearsal=True, emergency=emergency).then(Phase.DEPLOYED)

    message = announce(record, RolloutStatus.DEPLOYED)
    assert message.summary.startswith("REHEARSAL: EMERGENCY: deploy of ")
    assert message.details["approved by"] == "Alex Kim"


def test_no_address_and_no_secret_is_told() -> None:
    """What people wrote, or a pod logged, may hold one."""
    why = "alex.kim@bais.example saw postgresql://app:canary-5b1e@db/bais"
    record = replace(RECORD, reason=why, emergency={"approved_by": "alex.kim@bais.example", "reason": why})
    text = announce(record.then(Phase.ROLLING_BACK, why), RolloutStatus.STUCK).text()

    assert "canary-5b1e" not in text
    assert "bais.example saw" not in text
    assert "alex.kim@" not in text
    assert "approved by: alex.kim" in text
