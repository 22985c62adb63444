"""Compare the last success in a CronJob's status with its schedule.

Source: the CronJob resource of batch/v1 (schedule, timeZone, startingDeadlineSeconds, lastSuccessfulTime).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bais_gates.extras import optional

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def parse_time(text: str) -> datetime:
    """Parse a timestamp of the API server ("2026-11-23T22:15:00Z"); the result is aware, in UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ScheduleError(f"{text!r} is not a timestamp") from None
    if time.tzinfo is None:
        raise ScheduleError(f"{text!r} is a timestamp without a time zone")
    return time.astimezone(UTC)
