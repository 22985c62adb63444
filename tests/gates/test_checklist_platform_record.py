"""Test that each fault of the record of the recovery drill fails its gate."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.targets.parts import BackupPart, RecoveryPart
from bais_gates.verdict.model import Outcome
from tests.gates.platform_bench import Result, environment, judge

if TYPE_CHECKING:
    from pathlib import Path


def drill_record(**over: Any) -> dict[str, Any]:
    """Make the record of a drill that was held yesterday and passed."""
    return {
        "held_at": (datetime.now(UTC) - timedelta(days=1)).isoformat(),
        "environment": "staging",
        "rehearsal": False,
        "led_by": "Ada",
        "scenarios": ["database lost", "API lost", "cache lost"],
        "recovery_s": 140.0,
        "data_loss_s": 1800.0,
        "passed": True,
        "findings": [],
        **over,
    }


def run_gate(path: Path, content: str | dict[str, Any], *, rehearsal: bool = False, **part: Any) -> Result:
    """Run the gate on a record, where no drill is allowed."""
    record = path / "drill.json"
    record.write_text(content if isinstance(content, str) else json.dumps(content))
    where = environment(
        rehearsal=rehearsal,
        recovery=RecoveryPart(**{"record": record, **part}),
        backup=BackupPart(directory=path),
    )
    return judge("disaster_recovery", environment=where, request=None)


def test_a_recent_record_passes_where_no_drill_is_allowed(tmp_path: Path) -> None:
    """For production the record of a drill elsewhere is judged."""
    result = run_gate(tmp_path, drill_record())

    assert result.outcome is Outcome.PASS, str(result)


@pytest.mark.parametrize(
    ("over", "name"),
    [
        ({"held_at": "2026-01-01T00:00:00Z"}, "age of the recorded drill"),
        ({"held_at": "2126-01-01T00:00:00Z"}, "age of the recorded drill (not in the future)"),
        ({"scenarios": ["database lost"]}, "scenarios missing from the recorded drill"),
        ({"passed": False}, "result of the recorded drill"),
        ({"recovery_s": 301.0}, "recovery time (recorded drill)"),
        ({"data_loss_s": 10.0**6}, "data loss (recorded drill)"),
        ({"rehearsal": True}, "kind of the recorded drill"),
    ],
)
def test_each_fault_fails_its_check(over: dict[str, Any], name: str, tmp_path: Path) -> None:
    """FAIL, by the fault's own check."""
    result = run_gate(tmp_path, drill_record(**over))

    assert result.outcome is Outcome.FAIL, str(result)
    assert name in result.false


def test_a_rehearsal_may_be_recorded_as_one(tmp_path: Path) -> None:
    """The sandbox's own drill is a rehearsal."""
    assert run_gate(tmp_path, drill_record(rehearsal=True), rehearsal=True).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        drill_record(led_by=" "),
        drill_record(held_at="2026-11-20T09:00:00"),
        drill_record(passed="yes"),
        drill_record(recovery_s=None),
        drill_record(recovery_s=-1.0),
        drill_record(data_loss_s=True),
        drill_record(recovery_s="nan"),
        drill_record(recovery_s=10**400),
        drill_record(held_at="0001-01-01T00:00:00+14:00"),
    ],
    ids=[
        *("empty", "list", "nothing", "nobody", "no zone", "a word", "no time", "negative", "true", "nan"),
        *("too large", "before the calendar"),
    ],
)
def test_an_incomplete_record_fails(content: str | dict[str, Any], tmp_path: Path) -> None:
    """It proves nothing: FAIL, with the file and the reason."""
    result = run_gate(tmp_path, content)

    assert (result.outcome, result.false) == (Outcome.FAIL, ["state of the recorded drill"])


def test_a_record_that_is_absent_fails(tmp_path: Path) -> None:
    """FAIL; where none is named, it is an error that names the key."""
    assert run_gate(tmp_path, drill_record(), record=tmp_path / "other.json").outcome is Outcome.FAIL
    assert "recovery.record" in str(run_gate(tmp_path, drill_record(), record=None).error)
