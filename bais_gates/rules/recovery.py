"""Parse and make the record of a recovery drill, compare its marked rows, and make the Jobs that it runs.

The record is a JSON file::

    {"held_at": "2026-11-20T09:00:00Z", "environment": "staging", "rehearsal": false, "led_by": "...",
     "scenarios": ["database lost", "API lost", "cache lost"], "recovery_s": 140.0, "data_loss_s": 1800.0,
     "passed": true, "findings": []}

Source: NIST SP 800-34 (contingency plans are tested, and the test's results recorded); the seed target of a
recovery within five minutes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from bais_gates.errors import RecordRefused
from bais_gates.strict import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SCENARIOS: Final = ("database lost", "API lost", "cache lost")
"""The failures that a drill must cover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The record of one drill."""

    held_at: datetime
    environment: str
    led_by: str
    rehearsal: bool
    scenarios: tuple[str, ...]
    recovery_s: float
    data_loss_s: float
    passed: bool
    findings: tuple[str, ...]

    def age_d(self, now: datetime) -> float:
        """Return the days since the drill."""
        return (now - self.held_at).total_seconds() / 86400


def parse_record(text: str, path: Path) -> Record:
    """Parse a record read from ``path``; raise RecordRefused if it is not JSON or lacks a key."""
    try:
        return _record(parse_json(text))
    except KeyError as e:
        raise RecordRefused(f"{path}: the record of the recovery drill has no key {e}.") from None
    except (TypeError, ValueError, OverflowError) as e:
        raise RecordRefused(f"{path}: the record of the recovery drill is not valid: {e}") from None


def make_record(
    *, environment: str, rehearsal: bool, recovery_s: float, data_loss_s: float, passed: bool
) -> dict[str, Any]:
    """Return the record of a drill that has just ended, for :func:`parse_record`."""
    return {
        "held_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment,
        "rehearsal": rehearsal,
        "led_by": "bais-gates (checklist.disaster_recovery)",
        "scenarios": list(SCENARIOS),
        "recovery_s": round(recovery_s, 1),
        "data_loss_s": round(data_loss_s, 1),
        "passed": passed,
        "findings": [],
    }


def _record(document: Any) -> Record:
    held_at = datetime.fromisoformat(document["held_at"])
    if held_at.tzinfo is None:
        raise ValueError("held_at has no time zone")
    for key in ("environment", "led_by"):
        if not isinstance(document[key], str) or not document[key].strip():
            raise ValueError(f"{key} is empty")
    for key in ("passed", "rehearsal"):
        if not isinstance(document.get(key, False), bool):
            raise TypeError(f"{key} is neither true nor false")
    return Record(
        held_at=held_at.astimezone(UTC),
        environment=document["environment"],
        led_by=document["led_by"],
        rehearsal=document.get("rehearsal", False),
        scenarios=tuple(map(str, document["scenarios"])),
        recovery_s=_seconds(document, "recovery_s"),
        data_loss_s=_seconds(document, "data_loss_s"),
        passed=document["passed"],
        findings=tuple(map(str, document["findings"])),
    )


def _seconds(document: Any, key: str) -> float:
    seconds = float(document[key])
    if isinstance(document[key], bool) or not 0 <= seconds < math.inf:
        raise ValueError(f"{key} is not a number of seconds")
    return seconds


def missing_scenarios(record: Record) -> list[str]:
    """Return the required scenarios that a drill did not cover."""
    covered = {text.strip().lower() for text in record.scenarios}
    return [scenario for scenario in SCENARIOS if scenario.lower() not in covered]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The marked rows that are missing or unexpectedly present after the restore."""

    lost_before: tuple[str, ...]
    """Missing rows that were written before the backup: the backup is incomplete."""
    kept_after: tuple[str, ...]
    """Present rows that were written after the backup: the database was not really lost."""


def compare_rows(before: Iterable[str], after: Iterable[str], present: Iterable[str]) -> Loss:
    """Compare the rows that were marked before and after the backup with those present now."""
    now = set(present)
    return Loss(
        lost_before=tuple(row for row in before if row not in now),
        kept_after=tuple(row for row in after if row in now),
    )


def make_job(cron_job: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a Job from a CronJob's template, as ``kubectl create job --from`` makes it."""
    template = cron_job["spec"]["jobTemplate"]
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": cron_job["metadata"]["namespace"],
            "labels": dict(metadata.get("labels") or {}),
            "annotations": {
                **(metadata.get("annotations") or {}),
                "cronjob.kubernetes.io/instantiate": "manual",
            },
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "CronJob",
                    "name": cron_job["metadata"]["name"],
                    "uid": cron_job["metadata"]["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": template["spec"],
    }


def copy_job(job: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a copy of a Job under another name, without the selector and labels that the API server set."""
    spec = {key: value for key, value in job["spec"].items() if key not in {"selector", "manualSelector"}}
    template = dict(spec["template"])
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {
        key: value
        for key, value in (metadata.get("labels") or {}).items()
        if key.rpartition("/")[2] not in {"controller-uid", "job-name"}
    }
    template["metadata"] = {"labels": metadata["labels"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": job["metadata"]["namespace"], "labels": metadata["labels"]},
        "spec": {**spec, "template": template},
    }


def job_outcome(job: Mapping[str, Any]) -> str | None:
    """Return ``Complete`` or ``Failed: <reason>``; None while the Job is running."""
    for one in (job.get("status") or {}).get("conditions") or []:
        if one.get("status") == "True" and one.get("type") == "Complete":
            return "Complete"
        if one.get("status") == "True" and one.get("type") == "Failed":
            return f"Failed: {one.get('reason') or one.get('message')}"
    return None
