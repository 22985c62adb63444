"""A release that failed revokes its decision, wherever the next deploy comes from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.attest.history import past
from bais_gates.rollout.decision import decision_in_record
from bais_gates.rollout.errors import RefusalCode, Refused
from bais_gates.rollout.record import Folder, Phase, Record
from bais_gates.rollout.revocation import carried, require_not_revoked, revoked_by
from bais_gates.verdict.document import load_decision
from tests.rollout.decisions import Suite
from tests.rollout.fake_cluster import NEW, record_of

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.verdict.model import Decision

ID = "20260302-120000-0a1b2c"
RECORD = record_of(
    id=ID,
    decision={"digest": "sha256:0", "run_id": "run-1", "valid_until": "2026-03-03T12:00:00Z"},
).then(Phase.RECORDED)
VALID, EXPIRED = datetime(2026, 3, 2, 13, tzinfo=UTC), datetime(2026, 3, 3, 12, tzinfo=UTC)
FAILED = RECORD.then(Phase.ROLLING_BACK, "JOB_FAILED: no such column")


@pytest.fixture
def decision(tmp_path: Path) -> Decision:
    """Return a decision of a run."""
    suite = Suite(tmp_path / "suite")
    suite.write()
    return load_decision(suite.decide(NEW))


def failed_on(decision: Decision) -> Record:
    """Return the record of a deploy on a decision that failed."""
    return replace(FAILED, decision=decision_in_record(decision)).then(Phase.ROLLED_BACK)


def why(decision: Decision, last: Record | None, folder: Path) -> str:
    """Return why a decision is refused; empty if it is not."""
    try:
        require_not_revoked(decision, last, folder)
    except Refused as refused:
        return f"{refused.code}: {refused}"
    return ""


@pytest.mark.parametrize(
    ("record", "revokes"),
    [
        (RECORD.then(Phase.DEPLOYED), False),
        (FAILED, True),
        (FAILED.then(Phase.ROLLED_BACK), True),
        (FAILED.then(Phase.ROLLBACK_FAILED), True),
        (RECORD.then(Phase.VERIFYING).then(Phase.ROLLBACK_FAILED, "JOB_FAILED: no such column"), True),
        (replace(FAILED, aborted=True).then(Phase.ROLLED_BACK), False),
        (replace(FAILED, kind="rollback").then(Phase.ROLLED_BACK), False),
        (replace(FAILED, decision={}).then(Phase.ROLLED_BACK), False),
    ],
)
def test_what_revokes(record: Record, revokes: bool) -> None:
    """A failed release does; somebody's abort or rollback by name is no judgement of it."""
    found = revoked_by(record, VALID)

    assert [one["digest"] for one in found] == (["sha256:0"] if revokes else [])
    if revokes:
        assert found[0]["deploy"] == ID
        assert found[0]["reason"] == "JOB_FAILED: no such column"


@given(st.integers(min_value=1, max_value=5))
def test_a_revocation_goes_from_record_to_record_until_the_decision_expires(records: int) -> None:
    """However many deploys are between; then it is refused as expired anyway."""
    last: Record = FAILED.then(Phase.ROLLED_BACK)
    assert last.decision["valid_until"] < "2099"
    last = replace(last, decision={**last.decision, "valid_until": "2099-01-01T00:00:00Z"})
    for number in range(records):
        last = replace(RECORD, id=str(number), decision={}, **carried(last)).then(Phase.DEPLOYED)

    assert [one["deploy"] for one in revoked_by(last)] == [ID]
    assert revoked_by(last, datetime(2099, 1, 1, tzinfo=UTC)) == ()
    assert revoked_by(FAILED, EXPIRED) == ()
    assert revoked_by(None) == ()


def test_the_record_on_the_deployment_is_enough(decision: Decision, tmp_path: Path) -> None:
    """A deploy from another machine has no folder of records."""
    last = failed_on(decision)

    assert why(decision, None, tmp_path / "absent") == ""
    refusal = why(decision, last, tmp_path / "absent")
    assert refusal.startswith(RefusalCode.REVOKED)
    assert f"The deploy {ID} on this decision failed at {last.steps[1].at}: JOB_FAILED" in refusal
    later = replace(RECORD, id="2", decision={}, **carried(last)).then(Phase.DEPLOYED)
    assert why(decision, later, tmp_path / "absent") == refusal


def test_the_folder_is_enough(decision: Decision, tmp_path: Path) -> None:
    """For a deploy and for `verify --history`, of this folder and of one above; another decision counts."""
    folder = Folder(tmp_path / "records")
    folder.write(failed_on(decision))
    other = replace(decision, decided_at=decision.decided_at + timedelta(seconds=1))

    assert "JOB_FAILED" in why(decision, None, folder.path / "test")
    assert why(other, None, folder.path / "test") == ""
    for path in (folder.path / "test", folder.path):
        (problem,) = past(decision, path)
        assert problem.code == "REVOKED"
        assert ID in problem.message
        assert list(past(other, path)) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"steps": []}', '{"id": 1, "id": 2}', "\0"])
def test_a_record_that_can_t_be_read_is_a_problem(decision: Decision, tmp_path: Path, content: str) -> None:
    """It may be the one that revokes, and is never taken for none."""
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / f"{ID}.json").write_text(content)

    assert [one.code for one in past(decision, tmp_path)] == ["RECORD_UNREADABLE"]
    assert "is not the record of a deploy" in why(decision, None, tmp_path / "test")


def test_a_folder_that_can_t_be_listed_is_a_problem(decision: Decision, tmp_path: Path) -> None:
    """Nor is a file in its place taken for an empty folder."""
    (tmp_path / "test").write_text("")

    assert "whether the decision is revoked is not known" in why(decision, None, tmp_path / "test")
    assert [one.code for one in past(decision, tmp_path / "test")] == ["HISTORY_UNREADABLE"]
