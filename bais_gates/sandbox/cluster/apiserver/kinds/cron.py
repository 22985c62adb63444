"""Cron schedules as the API server reads them: five fields, or a descriptor like ``@hourly``."""

from __future__ import annotations

import re

_DESCRIPTORS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_EVERY = re.compile(r"^@every (\d+(\.\d+)?(ns|us|ms|s|m|h))+$")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: index for index, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: index for index, name in enumerate(_DAYS)}),
)


def schedule_error(schedule: str) -> str | None:
    """Return what is wrong with a schedule in the API server's words, or None."""
    text = schedule
    if text.startswith(("TZ=", "CRON_TZ=")):
        text = text.partition(" ")[2].strip()
    if text.startswith("@"):
        if text in _DESCRIPTORS or _EVERY.match(text):
            return None
        if text.startswith("@every "):
            return f'failed to parse duration {text}: time: invalid duration "{text.removeprefix("@every ")}"'
        return f"unrecognized descriptor: {text}"
    fields = text.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    for field, (low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            if wrong := _range_error(part, low, high, names):
                return wrong
    return None


def _range_error(  # noqa: C901, PLR0911, PLR0912  # the rules in the order in which the first broken one is told
    part: str, low: int, high: int, names: dict[str, int]
) -> str | None:
    ranges, *steps = part.split("/")
    if len(steps) > 1:
        return f"too many slashes: {part}"
    ends = ranges.split("-")
    if ends[0] in {"*", "?"}:
        start, end = low, high
        if len(ends) > 1:
            return f"too many hyphens: {part}"
    else:
        if len(ends) > 2:
            return f"too many hyphens: {part}"
        numbers = []
        for text in ends:
            number = names.get(text.lower())
            if number is None:
                if not re.fullmatch(r"[+-]?\d+", text):
                    said = f'strconv.Atoi: parsing "{text}": invalid syntax'
                    return f"failed to parse int from {text}: {said}"
                number = int(text)
                if number < 0:
                    return f"negative number ({number}) not allowed: {text}"
            numbers.append(number)
        start, end = numbers[0], numbers[-1]
        if len(ends) == 1 and steps:
            end = high
    if steps:
        if not re.fullmatch(r"\d+", steps[0]):
            said = f'strconv.Atoi: parsing "{steps[0]}": invalid syntax'
            return f"failed to parse int from {steps[0]}: {said}"
        if int(steps[0]) == 0:
            return f"step of range should be a positive number: {part}"
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {part}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {part}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {part}"
    return None
