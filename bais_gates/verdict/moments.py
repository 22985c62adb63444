"""Moments as text: RFC 3339 with a zone in, RFC 3339 in UTC out."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"([Zz]|[-+]([01][0-9]|2[0-3]):[0-5][0-9])"
)


def parse_moment(text: str) -> datetime:
    """Read an RFC 3339 date and time with its zone as UTC; raise ValueError for everything else."""
    if not _MOMENT.fullmatch(text):
        raise ValueError("not an RFC 3339 date and time with a zone")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("out of range") from error


def format_moment(moment: datetime) -> str:
    """Write an aware moment as RFC 3339 in UTC, to the microsecond where it has one."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
