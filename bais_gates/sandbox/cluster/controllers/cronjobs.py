"""CronJobs: a Job whenever the schedule is due, and what became of the last ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bais_gates.sandbox.cluster.controllers.jobs import is_over
from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    created_of,
    format_time,
    has_condition,
    is_terminating,
    name_of,
    namespace_of,
    number_of,
    owner_reference,
    spec_of,
    status_of,
    uid_of,
)
from bais_gates.sandbox.cluster.controllers.world import Create, Delete, Plan

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.controllers.world import World


def reconcile(world: World, cron_job: Object, now: datetime) -> Plan:
    """Start a Job if one is due, keep the status and the history."""
    plan = Plan()
    if is_terminating(cron_job):
        return plan
    jobs = world.owned("Job", cron_job)
    active = [job for job in jobs if not is_over(job)]
    status = {key: value for key, value in status_of(cron_job).items() if key != "active"}
    ends = [str(status_of(job)["completionTime"]) for job in jobs if has_condition(job, "Complete")]
    if last := max([*ends, str(status.get("lastSuccessfulTime") or "")]):
        status["lastSuccessfulTime"] = last
    for outcome, limit, default in (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    ):
        ended = [job for job in jobs if has_condition(job, outcome) and not is_terminating(job)]
        ended.sort(key=created_of)
        surplus = len(ended) - number_of(spec_of(cron_job), limit, default)
        plan.add(*(Delete(obj=job) for job in ended[: max(surplus, 0)]))
    if (due := _start(plan, cron_job, active, now)) is not None:
        status["lastScheduleTime"] = format_time(due)
    if active:
        status["active"] = [_pointer(job) for job in active]
    plan.set_status(cron_job, status)
    return plan


def _pointer(job: Object) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": name_of(job),
        "namespace": namespace_of(job),
        "uid": uid_of(job),
    }


def _start(plan: Plan, cron_job: Object, active: list[Object], now: datetime) -> datetime | None:
    """Create the Job that is due; return the time it was due at."""
    spec = spec_of(cron_job)
    if spec.get("suspend"):
        return None
    try:
        due, following = due_times(str(spec["schedule"]), str(spec.get("timeZone") or "UTC"), now)
    except (ValueError, ZoneInfoNotFoundError) as error:
        plan.warn(cron_job, "UnparseableSchedule", f"unparseable schedule: {error}")
        return None
    plan.look_again((following - now).total_seconds() + 0.1)
    since = datetime.fromisoformat(status_of(cron_job).get("lastScheduleTime") or created_of(cron_job))
    late_s = (now - due).total_seconds()
    if due <= since or late_s > number_of(spec, "startingDeadlineSeconds", int(late_s) + 1):
        return None
    policy = spec.get("concurrencyPolicy") or "Allow"
    if active and policy == "Forbid":
        message = "Not starting job because prior execution is running and concurrency policy is Forbid"
        plan.event(cron_job, "JobAlreadyActive", message)
        return None
    if policy == "Replace":
        plan.add(*(Delete(obj=job) for job in active))
    plan.add(Create(new_job(cron_job, due), owner=cron_job))
    return due


def due_times(schedule: str, zone: str, now: datetime) -> tuple[datetime, datetime]:
    """Return the latest time at which a schedule was due, and the next to come, in UTC.

    Raise ``ValueError`` for a schedule that can't be read, ``ZoneInfoNotFoundError`` for an unknown zone.
    """
    from croniter import croniter  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to import, and has no types

    following = croniter(schedule, now.astimezone(ZoneInfo(zone))).get_next(datetime)
    due = croniter(schedule, following).get_prev(datetime)
    return due.astimezone(UTC), following.astimezone(UTC)


def new_job(cron_job: Object, due: datetime) -> Object:
    """Return the Job for the time it was due at; its name is that time's, so that it is made once."""
    template = spec_of(cron_job)["jobTemplate"]
    metadata = template.get("metadata") or {}
    timestamp = {"batch.kubernetes.io/cronjob-scheduled-timestamp": format_time(due)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{name_of(cron_job)}-{int(due.timestamp()) // 60}",
            "namespace": namespace_of(cron_job),
            "labels": dict(metadata.get("labels") or {}),
            "annotations": {**(metadata.get("annotations") or {}), **timestamp},
            "ownerReferences": [owner_reference(cron_job)],
        },
        "spec": template["spec"],
    }
