"""The record of the recovery drill: its gate seen green, and red for each thing that it lacks."""

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


def told(**over: Any) -> dict[str, Any]:
    """Make the record of a drill that was held yesterday and went well."""
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


def drilled(path: Path, content: str | dict[str, Any], *, rehearsal: bool = False, **part: Any) -> Result:
    """Judge the record alone: no drill is allowed here."""
    record = path / "drill.json"
    record.write_text(content if isinstance(content, str) else json.dumps(content))
    where = environment(
        rehearsal=rehearsal,
        recovery=RecoveryPart(**{"record": record, **part}),
        backup=BackupPart(directory=path),
    )
    return judge("disaster_recovery", environment=where, request=None)


def test_a_fresh_record_passes_where_no_drill_may_be_held(tmp_path: Path) -> None:
    """Production is not drilled: the record of a drill elsewhere is judged."""
    result = drilled(tmp_path, told())

    assert result.outcome is Outcome.PASS, str(result)


@pytest.mark.parametrize(
    ("over", "name"),
    [
        ({"held_at": "2026-01-01T00:00:00Z"}, "last recorded drill, age"),
        ({"held_at": "2126-01-01T00:00:00Z"}, "last recorded drill, ahead of now"),
        ({"scenarios": ["database lost"]}, "scenarios it left out"),
        ({"passed": False}, "last recorded drill"),
        ({"recovery_s": 301.0}, "recovery, as recorded"),
        ({"data_loss_s": 10.0**6}, "data loss, as recorded"),
        ({"rehearsal": True}, "what was recorded"),
    ],
)
def test_a_record_fails_for_each_thing_that_is_wrong(over: dict[str, Any], name: str, tmp_path: Path) -> None:
    """FAIL, by the check that is about it."""
    result = drilled(tmp_path, told(**over))

    assert result.outcome is Outcome.FAIL, str(result)
    assert name in result.false


def test_a_rehearsal_may_be_recorded_as_one(tmp_path: Path) -> None:
    """The sandbox's own drill is a rehearsal, and says so."""
    assert drilled(tmp_path, told(rehearsal=True), rehearsal=True).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        told(led_by=" "),
        told(held_at="2026-11-20T09:00:00"),
        told(passed="yes"),
        told(recovery_s=None),
    ],
    ids=["empty", "list", "nothing", "nobody", "no zone", "a word", "no time"],
)
def test_a_record_that_says_too_little_is_an_error(content: str | dict[str, Any], tmp_path: Path) -> None:
    """What can not be read proves nothing, and refutes nothing."""
    assert drilled(tmp_path, content).outcome is Outcome.ERROR


def test_no_record_is_an_error(tmp_path: Path) -> None:
    """The file that is named is not there, or none is named."""
    assert drilled(tmp_path, told(), record=tmp_path / "other.json").outcome is Outcome.ERROR
    assert "recovery.record" in str(drilled(tmp_path, told(), record=None).error)
