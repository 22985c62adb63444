"""CronJobs: a Job whenever the schedule is due, and what became of the last ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bais_gates.sandbox.cluster.controllers import cron, jobs
from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    age_s,
    changed,
    has_condition,
    is_going,
    moment,
    name_of,
    namespace_of,
    reference,
    spec_of,
    stamp,
    status_of,
    uid_of,
)
from bais_gates.sandbox.cluster.controllers.world import Create, Delete, Plan, Say, SetStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from bais_gates.sandbox.cluster.controllers.world import World

_MOST_MISSED = 100


def reconcile(world: World, cron_job: Object, now: datetime) -> Plan:
    """Start a Job if one is due, keep the status and the history."""
    plan = Plan()
    if is_going(cron_job):
        return plan
    children = world.owned("Job", cron_job)
    status = {key: value for key, value in status_of(cron_job).items() if key != "active"}
    active = _active(plan, cron_job, children)
    last_success = max((moment(end) for job in children if (end := _succeeded(job))), default=None)
    if last_success is not None:
        known = status.get("lastSuccessfulTime")
        if known is None or moment(known) < last_success:
            status["lastSuccessfulTime"] = stamp(last_success)
    _forget_history(plan, cron_job, children)
    new = _start(plan, cron_job, active, now)
    if new is not None:
        status["lastScheduleTime"] = stamp(new)
    if active:
        status["active"] = [_pointer(job) for job in active]
    if (update := changed(cron_job, status=status)) is not None:
        plan.add(SetStatus(obj=update))
    return plan


def _succeeded(job: Object) -> str | None:
    return status_of(job).get("completionTime") if has_condition(job, "Complete") else None


def _active(plan: Plan, cron_job: Object, children: Sequence[Object]) -> list[Object]:
    running = [job for job in children if not jobs.finished(job)]
    listed = {one.get("uid") for one in status_of(cron_job).get("active") or ()}
    for job in children:
        if jobs.finished(job) and uid_of(job) in listed:
            told = f"Saw completed job: {jobs.outcome_name(job)}"
            plan.add(Say(about=cron_job, reason="SawCompletedJob", message=told))
    return running


def _pointer(job: Object) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": name_of(job),
        "namespace": namespace_of(job),
        "uid": uid_of(job),
        "resourceVersion": str(job["metadata"].get("resourceVersion", "")),
    }


def _start(plan: Plan, cron_job: Object, active: list[Object], now: datetime) -> datetime | None:
    """Make the Job that is due; gives the time it was due at."""
    spec = spec_of(cron_job)
    if spec.get("suspend"):
        return None
    try:
        schedule = cron.parse(str(spec["schedule"]))
        zone: tzinfo = ZoneInfo(spec["timeZone"]) if spec.get("timeZone") else UTC
    except (ValueError, ZoneInfoNotFoundError) as error:
        plan.add(
            Say(
                about=cron_job,
                reason="UnparseableSchedule",
                message=f"unparseable schedule: {error}",
                kind="Warning",
            )
        )
        return None
    due, following = last_due(cron_job, schedule, zone, now)
    if following is not None:
        plan.look_again((following - now).total_seconds() + 0.1)
    if due is None:
        return None
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None and (now - due).total_seconds() > float(deadline):
        told = f"Missed scheduled time to start a job: {due:%a, %d %b %Y %H:%M:%S %z}"
        plan.add(Say(about=cron_job, reason="MissSchedule", message=told, kind="Warning"))
        return None
    policy = spec.get("concurrencyPolicy") or "Allow"
    if active and policy == "Forbid":
        told = "Not starting job because prior execution is running and concurrency policy is Forbid"
        plan.add(Say(about=cron_job, reason="JobAlreadyActive", message=told))
        return None
    if policy == "Replace":
        plan.add(*(Delete(obj=job) for job in active))
    plan.add(Create(obj=new_job(cron_job, due), owner=cron_job))
    return due


def last_due(
    cron_job: Object, schedule: cron.Schedule, zone: tzinfo, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """Give the latest time it was due at and has not been started for, and the next to come."""
    since = moment(
        str(status_of(cron_job).get("lastScheduleTime") or cron_job["metadata"]["creationTimestamp"])
    )
    deadline = spec_of(cron_job).get("startingDeadlineSeconds")
    if deadline is not None and (now - since).total_seconds() > float(deadline):
        since = datetime.fromtimestamp(now.timestamp() - float(deadline), UTC)
    due = None
    following = schedule.after(since, zone)
    missed = 0
    while following is not None and following <= now:
        due = following
        missed += 1
        if missed > _MOST_MISSED:  # long asleep: what matters is the last one
            following = schedule.after(datetime.fromtimestamp(now.timestamp() - 3600, UTC), zone)
            missed = 0
            if following is None or following > now:
                following = schedule.after(now, zone)
                break
            continue
        following = schedule.after(due, zone)
    return (due.astimezone(UTC) if due else None), following


def new_job(cron_job: Object, due: datetime) -> Object:
    """Make the Job for the time it was due at; its name is that time's, so it is made once."""
    template = spec_of(cron_job)["jobTemplate"]
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{name_of(cron_job)}-{int(due.timestamp()) // 60}",
            "namespace": namespace_of(cron_job),
            "labels": dict(metadata.get("labels") or {}),
            "annotations": {
                **(metadata.get("annotations") or {}),
                "batch.kubernetes.io/cronjob-scheduled-timestamp": stamp(due),
            },
            "ownerReferences": [reference(cron_job)],
        },
        "spec": template["spec"],
    }


def _forget_history(plan: Plan, cron_job: Object, children: list[Object]) -> None:
    for over, key, default in (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    ):
        limit = spec_of(cron_job).get(key)
        keep = default if limit is None else int(limit)
        ended = [job for job in children if has_condition(job, over) and not is_going(job)]
        ended.sort(key=lambda job: -age_s(str(job["metadata"].get("creationTimestamp")), datetime.now(UTC)))
        for job in ended[: max(len(ended) - keep, 0)]:
            plan.add(Delete(obj=job))
