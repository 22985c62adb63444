"""Whether a CronJob does what its schedule promises, from what its status says happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bais_gates.extras import optional

if TYPE_CHECKING:
    from collections.abc import Mapping

croniter = optional("croniter", extra="bais")

RUN_AT_MOST: Final = timedelta(hours=1)
"""How long a run may take where the Job does not say (activeDeadlineSeconds)."""


class ScheduleError(ValueError):
    """The schedule, its time zone or a moment in the status can not be read. The message quotes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Punctuality:
    """What a CronJob was to do, and what it did."""

    suspended: bool
    due: datetime
    """The last scheduled moment whose run must have ended by now."""
    last_success: datetime | None
    """When the last run that succeeded ended, None without one."""
    now: datetime

    @property
    def age_s(self) -> float | None:
        """Seconds since the last success; None without one."""
        return None if self.last_success is None else (self.now - self.last_success).total_seconds()

    @property
    def allowed_age_s(self) -> float:
        """The age in seconds of the last run that was due: the last success may not be older."""
        return (self.now - self.due).total_seconds()


def punctuality(cron_job: Mapping[str, Any], now: datetime) -> Punctuality:
    """Hold a CronJob's last success to its schedule at ``now`` (aware). Raises :class:`ScheduleError`.

    A run is due once its moment, the deadline for starting it, and the time that it may take have passed.
    """
    spec, status = cron_job["spec"], cron_job.get("status") or {}
    job = (spec.get("jobTemplate") or {}).get("spec") or {}
    takes = job.get("activeDeadlineSeconds")
    grace = (timedelta(seconds=int(takes)) if takes else RUN_AT_MOST) + timedelta(
        seconds=int(spec.get("startingDeadlineSeconds") or 0)
    )
    ended = status.get("lastSuccessfulTime")
    return Punctuality(
        suspended=bool(spec.get("suspend")),
        due=last_before(str(spec["schedule"]), now - grace, zone=spec.get("timeZone")),
        last_success=None if ended is None else moment(str(ended)),
        now=now,
    )


def last_before(schedule: str, when: datetime, *, zone: str | None = None) -> datetime:
    """Give the last moment, in UTC, at or before ``when`` that ``schedule`` names in ``zone`` (or UTC)."""
    try:
        local = when.astimezone(ZoneInfo(zone) if zone else UTC)
        # A second later, as the moment itself counts.
        found: datetime = croniter.croniter(schedule, local + timedelta(seconds=1)).get_prev(datetime)
    except (ValueError, KeyError, AttributeError, ZoneInfoNotFoundError) as e:
        raise ScheduleError(
            f"the schedule {schedule!r} in the zone {zone or 'UTC'} can't be read: {e}"
        ) from None
    return found.astimezone(UTC)


def moment(text: str) -> datetime:
    """Read a moment of the API server's ("2026-11-23T22:15:00Z"), aware, in UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ScheduleError(f"{text!r} is no moment") from None
    if found.tzinfo is None:
        raise ScheduleError(f"{text!r} is a moment without a zone")
    return found.astimezone(UTC)
