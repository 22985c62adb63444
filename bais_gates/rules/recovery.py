"""The record of a recovery drill, and what a drill measures: how long it took, and what was lost.

The record is a JSON file that says who held which drill, when, where, and what came out::

    {"held_at": "2026-11-20T09:00:00Z", "environment": "staging", "rehearsal": false, "led_by": "...",
     "scenarios": ["database lost", "API lost", "cache lost"], "recovery_s": 140.0, "data_loss_s": 1800.0,
     "passed": true, "findings": []}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SCENARIOS: Final = ("database lost", "API lost", "cache lost")
"""What a drill must have been about."""
_TEXTS: Final = ("environment", "led_by")


class RecordError(Exception):
    """The record can not be read. The message names the file, and the plain cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One drill, as it was written down."""

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
        """Days since it was held."""
        return (now - self.held_at).total_seconds() / 86400


def record(path: Path) -> Record:
    """Read the record at ``path``. Raises :class:`RecordError` for one that is absent or says too little."""
    try:
        told: Any = json.loads(path.read_bytes())
    except OSError as e:
        raise RecordError(f"the record of the recovery drill, {path}, can't be read: {e.strerror}") from None
    except ValueError as e:
        raise RecordError(f"the record of the recovery drill, {path}, is no JSON: {e}") from None
    try:
        return _record(told)
    except (KeyError, TypeError, ValueError) as e:
        raise RecordError(
            f"the record of the recovery drill, {path}, says too little: {type(e).__name__} {e}"
        ) from None


def written(
    *, environment: str, rehearsal: bool, recovery_s: float, data_loss_s: float, passed: bool
) -> dict[str, Any]:
    """Write a drill that was just held as a record that :func:`record` reads."""
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


def _record(told: Any) -> Record:
    held_at = datetime.fromisoformat(told["held_at"])
    if held_at.tzinfo is None:
        raise ValueError("held_at has no time zone")
    for key in _TEXTS:
        if not isinstance(told[key], str) or not told[key].strip():
            raise ValueError(f"{key} is empty")
    for key in ("passed", "rehearsal"):
        if not isinstance(told.get(key, False), bool):
            raise TypeError(f"{key} is neither true nor false")
    return Record(
        held_at=held_at.astimezone(UTC),
        environment=told["environment"],
        led_by=told["led_by"],
        rehearsal=told.get("rehearsal", False),
        scenarios=tuple(map(str, told["scenarios"])),
        recovery_s=float(told["recovery_s"]),
        data_loss_s=float(told["data_loss_s"]),
        passed=told["passed"],
        findings=tuple(map(str, told["findings"])),
    )


def scenarios_left_out(one: Record) -> list[str]:
    """Name the scenarios that a drill must be about and this one was not."""
    held = {text.strip().lower() for text in one.scenarios}
    return [scenario for scenario in SCENARIOS if scenario.lower() not in held]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Which of the marked rows came back."""

    kept_before: int
    lost_before: tuple[str, ...]
    """Rows written before the backup that are gone: the backup did not hold what it should."""
    kept_after: tuple[str, ...]
    """Rows written after the backup that are there: the database was not really lost."""


def loss(before: Iterable[str], after: Iterable[str], there: Iterable[str]) -> Loss:
    """Compare the marked rows with those that are there now."""
    found = set(there)
    marked = list(before)
    return Loss(
        kept_before=sum(1 for one in marked if one in found),
        lost_before=tuple(one for one in marked if one not in found),
        kept_after=tuple(one for one in after if one in found),
    )


def job_from(cron_job: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Make the Job that a CronJob would make now, as ``kubectl create job --from`` does."""
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


def job_again(job: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Make a Job like one that has run, under another name: without what the API server put into it."""
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
    """Give ``Complete`` or ``Failed: <reason>``; None while a Job is still running."""
    for one in (job.get("status") or {}).get("conditions") or []:
        if one.get("status") == "True" and one.get("type") == "Complete":
            return "Complete"
        if one.get("status") == "True" and one.get("type") == "Failed":
            return f"Failed: {one.get('reason') or one.get('message')}"
    return None
