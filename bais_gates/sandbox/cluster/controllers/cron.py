"""Cron schedules as Kubernetes reads them: five fields, names, steps, ``@hourly`` and the like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo

_MONTHS = {
    name: i
    for i, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
_DAYS = {name: i for i, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_LONGEST_WAIT_DAYS = 5 * 366


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The minutes, hours, days of the month, months and weekdays (0 is Sunday) at which a schedule is due.

    ``either_day`` is cron's odd rule: if both day fields are restricted, one of them is enough.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def after(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """Give the first time later than ``moment`` at which it is due in ``zone``; None in five years."""
        day = moment.astimezone(zone)
        start = (day + timedelta(minutes=1)).replace(second=0, microsecond=0)
        for offset in range(_LONGEST_WAIT_DAYS):
            date = (start + timedelta(days=offset)).date()
            if date.month not in self.months or not self._on_day(date.day, date.isoweekday() % 7):
                continue
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    due = datetime(date.year, date.month, date.day, hour, minute, tzinfo=zone)
                    if due >= start and due.timestamp() > moment.timestamp():
                        return due
        return None

    def _on_day(self, day: int, weekday: int) -> bool:
        if self.either_day:
            return day in self.days or weekday in self.weekdays
        return day in self.days and weekday in self.weekdays


def parse(text: str) -> Schedule:
    """Read a schedule. Raises ``ValueError`` saying which field is wrong."""
    fields = _WORDS.get(text.strip().lower(), text).split()
    if len(fields) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: {text!r}")
    weekdays = _field(fields[4], 0, 7, _DAYS)
    return Schedule(
        minutes=_field(fields[0], 0, 59, {}),
        hours=_field(fields[1], 0, 23, {}),
        days=_field(fields[2], 1, 31, {}),
        months=_field(fields[3], 1, 12, _MONTHS),
        weekdays=frozenset(day % 7 for day in weekdays),
        either_day=fields[2][0] not in "*?" and fields[4][0] not in "*?",
    )


def _field(text: str, least: int, most: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step_text = part.partition("/")
        try:
            step = int(step_text) if step_text else 1
            if span in {"*", "?"}:
                first, last = least, most
            else:
                low, _, high = span.partition("-")
                first = names.get(low.lower(), -1) if low.lower() in names else int(low)
                last = first
                if high:
                    last = names[high.lower()] if high.lower() in names else int(high)
                elif step_text:
                    last = most
        except ValueError:
            raise ValueError(f"failed to parse {part!r} in a cron field") from None
        if step < 1 or not least <= first <= last <= most:
            raise ValueError(f"{part!r} is outside {least}-{most}")
        found.update(range(first, last + 1, step))
    return frozenset(found)
