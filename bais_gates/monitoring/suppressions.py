"""Suppress a finding in the file where it stands, with a reason and an end.

A comment on a line of a rule, or on the line above it, suppresses that check there::

    # bais-gates: disable=ratio-without-for until=2027-03-31 reason="a single failed payout must page"

After its date it suppresses nothing, and is a finding itself. Without a reason or a date it never does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from bais_gates.monitoring.findings import Finding, Place

_COMMENT: Final = re.compile(r"(?:^|\s)#\s*bais-gates:(?P<words>.*)$")
_WORD: Final = re.compile(r"(?P<key>\w+)=(?:\"(?P<quoted>[^\"]*)\"|(?P<plain>\S+))")
_KEYS: Final = {"disable", "until", "reason"}
MIN_REASON: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """One comment: what it suppresses, and on which line it stands."""

    line: int
    check: str
    until: date


def apply(
    findings: Iterable[Finding], text: str, path: str, today: date, ends: Iterable[int]
) -> list[Finding]:
    """Return the findings of a file that no comment suppresses, and those about the comments.

    ``ends`` are the last lines of the file's rules, by which a comment knows where its rule ends. A finding of
    level error is never suppressed: the file could not be loaded.
    """
    comments, faults = _read(text, path, today)
    borders = sorted(ends)
    left = [
        one
        for one in findings
        if one.level == "error" or not any(_covers(comment, one, borders) for comment in comments)
    ]
    return [*left, *faults]


def _covers(comment: Suppression, finding: Finding, borders: list[int]) -> bool:
    """Return whether a comment stands in the rule of a finding, or right above it."""
    if comment.check != finding.check:
        return False

    def rule(line: int) -> int:
        return sum(border < line for border in borders)

    return rule(finding.place.line) in {rule(comment.line), rule(comment.line + 1)}


def _read(text: str, path: str, today: date) -> tuple[list[Suppression], list[Finding]]:
    comments: list[Suppression] = []
    faults: list[Finding] = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = _COMMENT.search(line)
        if match is None:
            continue
        place = Place(path=path, line=number, column=match.start() + 1)
        words = {one["key"]: one["quoted"] or one["plain"] or "" for one in _WORD.finditer(match["words"])}
        problem = _problem(words, today)
        if problem:
            faults.append(Finding(check="suppression", place=place, message=problem))
        else:
            until = date.fromisoformat(words["until"])
            comments.append(Suppression(line=number, check=words["disable"], until=until))
    return comments, faults


def _problem(words: dict[str, str], today: date) -> str:
    """Return why a comment suppresses nothing; "" if it does."""
    example = 'write disable=CHECK until=2027-03-31 reason="..."'
    if words.keys() != _KEYS:
        return f"a suppression needs a check, an end and a reason: {example}"
    if len(words["reason"]) < MIN_REASON:
        return f"the reason of a suppression must have {MIN_REASON} characters or more"
    try:
        until = date.fromisoformat(words["until"])
    except ValueError:
        return f"until must be a date: {example}"
    if until < today:
        return f"the suppression of {words['disable']} ended on {until}: remove it, or the finding"
    return ""
