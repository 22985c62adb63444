"""Which version still works with the schema: a migration that contracts it leaves no way back before one.

Such a migration says so in its Job's log, on a line of its own: ``contracts the schema: no way back before
VERSION``. What it names holds from the moment that it may have begun in the platform, and for every later
release.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bais_gates.rollout.record import Phase, Record

if TYPE_CHECKING:
    from collections.abc import Iterable

_DECLARED: Final = re.compile(r"contracts the schema: no way back before (\S+)")
_VERSION: Final = re.compile(r"v?(\d+(?:\.\d+){0,3})")


def numbers(version: str | None) -> tuple[int, ...]:
    """Return the numbers of a version, without zeros at the end; empty for another kind of version."""
    match = _VERSION.fullmatch(version or "")
    found = [int(one) for one in match[1].split(".")] if match else []
    while len(found) > 1 and not found[-1]:
        found.pop()
    return tuple(found)


def declared(log: str) -> str:
    """Return the oldest version that works after a migration, by its log; empty if it contracts nothing."""
    return _newest(text.rstrip(".,;") for text in _DECLARED.findall(log))


def oldest_version(record: Record | None) -> str:
    """Return the oldest version that works with the schema after a deploy; empty if nothing contracted it."""
    if record is None:
        return ""
    began = any(step.phase is Phase.MIGRATING for step in record.steps)
    return _newest([record.before.oldest_version, record.no_way_back if began else ""])


def is_too_old(version: str | None, oldest: str) -> bool:
    """Return whether a version does not work with a schema; one that can't be compared counts as too old."""
    if not oldest or version == oldest:
        return False
    return not numbers(version) or not numbers(oldest) or numbers(version) < numbers(oldest)


def why_no_way_back(record: Record) -> str:
    """Return why what ran before a deploy can't be applied again; empty if it can.

    Before the rollout it still runs: there is nothing to apply, and a verification says whether it works.
    """
    oldest, before = oldest_version(record), record.before.version
    applied = any(step.phase is Phase.ROLLING_OUT for step in record.steps)
    if not applied or not is_too_old(before, oldest):
        return ""
    return no_way_back(oldest, before)


def no_way_back(oldest: str, version: str | None) -> str:
    """Return the sentence about a version that does not work with the schema."""
    return f"There is no way back before {oldest}: the schema was contracted, and this is {_name(version)}."


def _name(version: str | None) -> str:
    return f"version {version}" if version else "a version that nobody knows"


def _newest(versions: Iterable[str]) -> str:
    return max(versions, key=lambda one: (bool(one), numbers(one)), default="")
