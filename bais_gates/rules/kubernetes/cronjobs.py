"""Compare a CronJob's schedule with what is asked of it, and its last runs with the schedule and template.

Source: the CronJob resource of batch/v1 (schedule, timeZone, startingDeadlineSeconds, lastSuccessfulTime);
Kubernetes documentation, "CronJob" (Modifying a CronJob: a change applies to new Jobs alone) and "Jobs".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bais_gates.extras import optional
from bais_gates.rules.kubernetes.objects import Object, containers_of, dig, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

croniter = optional("croniter", extra="bais")

DEFAULT_DEADLINE: Final = timedelta(hours=1)
"""How long a run may take when its Job has no activeDeadlineSeconds."""


class ScheduleError(ValueError):
    """The schedule, its time zone or a time in the status is not valid. The message quotes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStatus:
    """The last run that must have ended, and the last success."""

    suspended: bool
    due: datetime
    """The last scheduled time whose run must have ended by now."""
    last_success: datetime | None
    """When the last successful run ended; None without one."""
    now: datetime

    @property
    def age_s(self) -> float | None:
        """Seconds since the last success; None without one."""
        return None if self.last_success is None else (self.now - self.last_success).total_seconds()

    @property
    def max_age_s(self) -> float:
        """Seconds since the last run that must have ended: the last success must not be older."""
        return (self.now - self.due).total_seconds()


def schedule_status(cron_job: Mapping[str, Any], now: datetime) -> ScheduleStatus:
    """Compare a CronJob's last success with its schedule at ``now`` (aware); raise :class:`ScheduleError`.

    A run must have ended when its start time, its starting deadline and its active deadline have passed.
    """
    spec, status = cron_job["spec"], cron_job.get("status") or {}
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    deadline = job.get("activeDeadlineSeconds")
    grace = (timedelta(seconds=int(deadline)) if deadline else DEFAULT_DEADLINE) + timedelta(
        seconds=int(spec.get("startingDeadlineSeconds") or 0)
    )
    ended = status.get("lastSuccessfulTime")
    return ScheduleStatus(
        suspended=bool(spec.get("suspend")),
        due=previous_run(str(spec["schedule"]), now - grace, zone=spec.get("timeZone")),
        last_success=None if ended is None else parse_time(str(ended)),
        now=now,
    )


def previous_run(schedule: str, when: datetime, *, zone: str | None = None) -> datetime:
    """Return the last scheduled time, in UTC, at or before ``when``; ``schedule`` is in ``zone`` (or UTC)."""
    try:
        local = when.astimezone(ZoneInfo(zone) if zone else UTC)
        # One second later, as get_prev leaves out the start itself.
        previous: datetime = croniter.croniter(schedule, local + timedelta(seconds=1)).get_prev(datetime)
    except (ValueError, KeyError, AttributeError, ZoneInfoNotFoundError) as e:
        raise ScheduleError(f"invalid schedule {schedule!r} or time zone {zone or 'UTC'}: {e}") from None
    return previous.astimezone(UTC)


def largest_gap(schedule: str, now: datetime, *, zone: str | None = None) -> timedelta:
    """Return the longest time between two scheduled times in the next year; raise :class:`ScheduleError`.

    A gap is over a midnight, or within a day; the hours and minutes of a schedule are those of every day.
    """
    first = previous_run(schedule, now, zone=zone).astimezone(ZoneInfo(zone) if zone else UTC)
    midnight = datetime.combine(first, time(), first.tzinfo)
    day = [midnight]  # the runs of one day; the gap before its first is over a midnight
    while day[-1] < midnight + timedelta(days=1):
        day.append(_following(schedule, day[-1]))
    gaps = [after.astimezone(UTC) - before.astimezone(UTC) for before, after in pairwise(day[1:])]
    until = midnight + timedelta(days=370)
    while midnight < until:
        before: datetime = croniter.croniter(schedule, midnight).get_prev(datetime)
        after = _following(schedule, before)
        gaps.append(after.astimezone(UTC) - before.astimezone(UTC))
        midnight = datetime.combine(max(after, midnight) + timedelta(days=1), time(), first.tzinfo)
    return max(gaps)


def _following(schedule: str, when: datetime) -> datetime:
    following: datetime = croniter.croniter(schedule, when).get_next(datetime)
    return following


_SHORTEST_S: Final = 30.0
_PARTS: Final = ("image", "command", "args", "env", "envFrom", "volumeMounts", "workingDir")


def run_faults(cron_job: Object, jobs: Iterable[Object]) -> list[str]:
    """List what the Jobs of a CronJob say against its next run: the last one failed, or ran something else.

    A change of the template applies to new Jobs alone: until one of them succeeded, the last success proves
    nothing about it. Source: Kubernetes documentation, "CronJob" and "Jobs".
    """
    ended = sorted(
        (end, name_of(job), kind, job)
        for job in jobs
        if _is_owned(job, cron_job) and (end := _ended(job)) and (kind := _outcome(job))
    )
    if not ended:
        return []
    faults = []
    if ended[-1][2] == "Failed":
        faults.append(f"the last Job, {ended[-1][1]}, failed: {_reason(ended[-1][3])}")
    succeeded = [job for _, _, kind, job in ended if kind == "Complete"]
    template = dig(cron_job, "spec", "jobTemplate", "spec") or {}
    if succeeded:
        last = succeeded[-1]
        changed = template_differences(template, last.get("spec") or {})
        faults += [f"{what} changed since {name_of(last)}, the last Job that succeeded" for what in changed]
        took, limit = _took(last), template.get("activeDeadlineSeconds")
        if limit is not None and max(2 * took, _SHORTEST_S) > float(limit):
            detail = f"{name_of(last)} took {took:.0f} s, and a slower run is ended"
            faults.append(f"activeDeadlineSeconds is {limit}: {detail}")
    return faults


def template_differences(template: Mapping[str, Any], ran: Mapping[str, Any]) -> list[str]:
    """List what one Job spec runs differently from another: containers, volumes, service account.

    Source: Kubernetes documentation, "CronJob" (Modifying a CronJob).
    """
    new, old = (dig(spec, "template", "spec") or {} for spec in (template, ran))
    containers = [{str(one.get("name")): one for one in containers_of(spec)} for spec in (new, old)]
    changed = [
        f"container {name}"
        for name in sorted({*containers[0], *containers[1]})
        if name not in containers[0] or name not in containers[1]
    ]
    for name in sorted(containers[0].keys() & containers[1].keys()):
        changed += [
            f"{part} of container {name}"
            for part in _PARTS
            if (containers[0][name].get(part) or None) != (containers[1][name].get(part) or None)
        ]
    if _sources(new) != _sources(old):
        changed.append("the volumes")
    accounts = [spec.get("serviceAccountName") or "default" for spec in (new, old)]
    return changed + (["the service account"] if accounts[0] != accounts[1] else [])


def _sources(spec: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return what each volume is, without the values that the API server fills in."""
    names = ("claimName", "secretName", "name", "path", "driver", "server")
    return {
        str(volume.get("name")): sorted(
            (kind, next((str(found) for key in names if (found := dig(source, key))), ""))
            for kind, source in volume.items()
            if kind != "name"
        )
        for volume in spec.get("volumes") or ()
    }


def _is_owned(job: Object, cron_job: Object) -> bool:
    owners = dig(job, "metadata", "ownerReferences") or ()
    return any(one.get("kind") == "CronJob" and one.get("name") == name_of(cron_job) for one in owners)


def _condition(job: Object, kind: str) -> Mapping[str, Any] | None:
    conditions = dig(job, "status", "conditions") or ()
    return next((one for one in conditions if one.get("type") == kind and one.get("status") == "True"), None)


def _outcome(job: Object) -> str | None:
    return next((kind for kind in ("Complete", "Failed") if _condition(job, kind)), None)


def _reason(job: Object) -> str:
    condition = _condition(job, "Failed") or {}
    return str(condition.get("message") or condition.get("reason") or "no reason given")


def _ended(job: Object) -> str:
    """Return when a Job ended, as the API server's text, which sorts by time."""
    condition = _condition(job, "Failed") or _condition(job, "Complete") or {}
    return str(dig(job, "status", "completionTime") or condition.get("lastTransitionTime") or "")


def _took(job: Object) -> float:
    started, ended = dig(job, "status", "startTime"), dig(job, "status", "completionTime")
    return (parse_time(str(ended)) - parse_time(str(started))).total_seconds() if started and ended else 0.0


def parse_time(text: str) -> datetime:
    """Parse a timestamp of the API server ("2026-11-23T22:15:00Z"); the result is aware, in UTC."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ScheduleError(f"{text!r} is not a timestamp") from None
    if parsed.tzinfo is None:
        raise ScheduleError(f"{text!r} is a timestamp without a time zone")
    return parsed.astimezone(UTC)
