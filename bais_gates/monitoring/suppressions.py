"""Suppress a finding in the file where it stands, with a reason and an end.

A comment inside a rule, or above it, suppresses that check for this rule::

    # bais-gates: disable=ratio-without-for until=2027-03-31 reason="a single failed payout must page"

After its date it suppresses nothing, and is a finding itself; so is one without a reason or a date, and one
that suppresses nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from bais_gates.monitoring.findings import Finding, Place

_COMMENT: Final = re.compile(r"(?:^|\s)#\s*bais-gates:(?P<words>.*)$")
_WORD: Final = re.compile(r"(?P<key>\w+)=(?:\"(?P<quoted>[^\"]*)\"|(?P<plain>\S+))")
_EMPTY: Final = re.compile(r"\s*(?:#.*)?")
_BREAK: Final = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
"""What ends a line in YAML."""
_KEYS: Final = {"disable", "until", "reason"}
MIN_REASON: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Suppression:
    """One comment: where it stands, the line that it is about, and the check that it suppresses."""

    place: Place
    about: int
    check: str


def apply(
    findings: Iterable[Finding], text: str, path: str, today: date, starts: Iterable[int]
) -> list[Finding]:
    """Return the findings of a file that no comment suppresses, and those about the comments.

    ``starts`` are the first lines of the file's groups and rules, by which a comment knows its rule. An
    error is never suppressed: the file could not be loaded.
    """
    if "bais-gates:" not in text:
        return list(findings)
    comments, left = _read(text, path, today)
    borders, used = sorted(starts), set()
    for finding in findings:
        rule = bisect_right(borders, finding.place.line)
        by = [
            one
            for one in comments
            if finding.level != "error"
            and one.check == finding.check
            and bisect_right(borders, one.about) == rule
        ]
        used.update(by)
        if not by:
            left.append(finding)
    left += [
        Finding(
            check="suppression",
            place=one.place,
            message=f"no {one.check} to suppress here: remove it",
            level="warning",
        )
        for one in comments
        if one not in used
    ]
    return left


def _read(text: str, path: str, today: date) -> tuple[list[_Suppression], list[Finding]]:
    comments: list[_Suppression] = []
    faults: list[Finding] = []
    lines = _BREAK.split(text)
    for number, line in enumerate(lines, start=1):
        match = _COMMENT.search(line)
        if match is None:
            continue
        place = Place(path=path, line=number, column=line.index("#", match.start()) + 1)
        words = {one["key"]: one["quoted"] or one["plain"] or "" for one in _WORD.finditer(match["words"])}
        problem = _problem(words, today)
        if problem:
            faults.append(Finding(check="suppression", place=place, message=problem))
            continue
        about = number
        while about <= len(lines) and _EMPTY.fullmatch(lines[about - 1]):  # the next line with content
            about += 1
        comments.append(_Suppression(place=place, about=about, check=words["disable"]))
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
