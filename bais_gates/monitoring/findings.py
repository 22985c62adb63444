"""What a check found, where, and how it is printed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final, Literal

Level = Literal["error", "warning"]
FORMATS: Final = ("text", "json", "github")
_MAX_MESSAGE: Final = 500


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Place:
    """A place in a file; line and column count from 1."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One violation: the check that found it, where, and what to do."""

    check: str
    """Stable name, as in ``counter-compared``; a suppression names it."""
    place: Place
    message: str
    level: Level = "error"


def show(findings: Iterable[Finding], style: str) -> str:
    """Return the findings in one of :data:`FORMATS`, in the order of their places."""
    ordered = sorted(findings, key=lambda one: (one.place, one.check, one.message))
    if style == "json":
        rows = [
            {"check": one.check, "level": one.level, "message": one.message, **asdict(one.place)}
            for one in ordered
        ]
        return json.dumps(rows, indent=2)
    if style == "github":
        return "\n".join(
            f"::{one.level} file={_escaped(one.place.path, ',:')},line={one.place.line},"
            f"col={one.place.column},title={one.check}::{_escaped(one.message)}"
            for one in ordered
        )
    return "\n".join(
        f"{line(str(one.place))}: {one.level}: {line(one.message)} ({one.check})" for one in ordered
    )


def line(text: str) -> str:
    """Return a text as one line that moves no cursor and fits a terminal; names in it come from the files."""
    if len(text) > _MAX_MESSAGE:
        text = text[:_MAX_MESSAGE] + "..."
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _escaped(text: str, more: str = "") -> str:
    """Return a text as GitHub's workflow commands want it: percent-encoded where it would end the command."""
    text = line(text)
    for character in "%" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
