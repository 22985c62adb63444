"""Route alerts as Alertmanager's dispatcher does, also where some of an alert's labels are not known.

Source: Alertmanager's ``dispatch`` and ``pkg/labels`` packages, and its documentation ("Route").
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bais_gates.extras import optional
from bais_gates.monitoring import promql
from bais_gates.monitoring.findings import Place

re2 = optional("re2", extra="monitoring")

_CLASSIC: Final = re.compile(
    r"[\t\n\f\r ]*([a-zA-Z_:][a-zA-Z0-9_:]*)[\t\n\f\r ]*(=~|=|!=|!~)[\t\n\f\r ]*(.*?)[\t\n\f\r ]*", re.DOTALL
)
_WORD: Final = r'(?:"(?:[^"\\\n]|\\[abfnrtv\\"]|\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4})*"|[^\s{}!=~,\\"\'`]+)'
_UTF8: Final = re.compile(rf"\s*({_WORD})\s*(=~|=|!=|!~)\s*({_WORD})\s*")
_ALTERNATIVES: Final = re.compile(r"[\w :/-]*(?:\|[\w :/-]*)*")
UTF8_SINCE: Final = (0, 27)


@functools.lru_cache(maxsize=10_000)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options=options)


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on one label; a label that an alert does not have is the empty text."""

    label: str
    op: str
    value: str

    def __str__(self) -> str:
        return f"{self.label}{self.op}{promql.quote(self.value)}"

    def holds(self, value: str) -> bool:
        """Return whether a label's value satisfies the matcher."""
        if "~" not in self.op:
            return (value == self.value) == (self.op == "=")
        return (_compiled(self.value).fullmatch(value) is not None) == (self.op == "=~")

    def follows_from(self, others: Iterable[Matcher]) -> bool:
        """Return whether whatever satisfies all the others satisfies this one."""
        return any(other.label == self.label and self._follows_from(other) for other in others)

    def _follows_from(self, other: Matcher) -> bool:
        if other == self:
            return True
        if other.op == "=":
            return self.holds(other.value)
        alternatives = other.op == "=~" and _ALTERNATIVES.fullmatch(other.value)
        return bool(alternatives) and all(self.holds(one) for one in other.value.split("|"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """A node of the route tree, with what it takes over from the nodes above it."""

    place: Place
    receiver: str
    matchers: tuple[Matcher, ...]
    goes_on: bool
    """Whether its later siblings are asked, too: ``continue``."""
    mutes: tuple[str, ...]
    """Names of the times at which it is silent, or outside which it is."""
    group_interval_s: float
    repeat_interval_s: float
    routes: tuple[Route, ...]


Judge = Callable[[Matcher], "bool | None"]
"""Returns whether a matcher holds; None if that is not known."""


def parse_matchers(text: str, version: tuple[int, int]) -> list[Matcher]:
    """Return the matchers of a text as ``a="b", c=~"d|e"``; raise ValueError."""
    try:
        return _classic(text)
    except ValueError:
        if version < UTF8_SINCE or (found := _utf8(text)) is None:
            raise
        return found


def _classic(text: str) -> list[Matcher]:
    text = text.removeprefix("{").removesuffix("}")
    parts, quoted, escaped, start = [], False, False, 0
    for at, character in enumerate(text):
        if character == "," and not quoted:
            parts.append(text[start:at])
            start = at + 1
            continue  # Go's parser does not end an escape here either
        if character == '"':
            quoted, escaped = quoted != (not escaped), False
        else:
            escaped = character == "\\" and not escaped
    if text[start:].strip():
        parts.append(text[start:].strip())
    return [_matcher(part) for part in parts]


def _matcher(text: str) -> Matcher:
    match = _CLASSIC.fullmatch(text)
    if match is None:
        raise ValueError(f'{text!r} is not a matcher such as label="value"')
    label, op, value = match.groups()
    if (
        value.startswith('"') != value.endswith('"')
        or value == '"'
        or re.search(r'(?<!\\)(?:\\\\)*"', value[1:-1])
    ):
        raise ValueError(f"a lone quote in the matcher {text!r}")
    if value.startswith('"'):
        if re.search(r'(?<!\\)\\(?:\\\\)*"$', value):
            raise ValueError(f"a lone quote in the matcher {text!r}")
        value = value[1:-1]
    value = re.sub(r'\\([n"\\])', lambda found: "\n" if found[1] == "n" else found[1], value)
    return checked_matcher(label, op, value)


def _utf8(text: str) -> list[Matcher] | None:
    text = text.strip()
    if text.startswith("{") != text.endswith("}"):
        return None
    text, found = text.removeprefix("{").removesuffix("}").strip(), []
    while text:
        match = _UTF8.match(text)
        if match is None or (match.end() < len(text) and text[match.end()] != ","):
            return None
        label, op, value = (promql.unquote(one) if one[0] == '"' else one for one in match.groups())
        found.append(checked_matcher(label, op, value))
        text = text[match.end() + 1 :].strip()
    return found


def checked_matcher(label: str, op: str, value: str) -> Matcher:
    """Return a matcher; raise ValueError where its regular expression is wrong."""
    if "~" in op:
        promql.check_pattern(value)
    return Matcher(label, op, value)


def trace(route: Route, judge: Judge, visited: set[Route] | None = None) -> tuple[list[Route], bool]:
    """Return the routes that may notify of an alert, and whether the alert surely matches the first one.

    With a judge that always knows these are exactly those that Alertmanager's dispatcher chooses.
    """
    verdicts = [judge(one) for one in route.matchers]
    if False in verdicts:
        return [], False
    if visited is not None:
        visited.add(route)
    found: list[Route] = []
    taken = False
    for child in route.routes:
        below, sure = trace(child, judge, visited)
        found += below
        taken = taken or sure
        if sure and not child.goes_on:
            break
    return (found if taken else [*found, route]), None not in verdicts


def routes_of(root: Route, labels: Mapping[str, str]) -> list[Route]:
    """Return the routes that notify of an alert with these labels, in their order."""
    return trace(root, lambda matcher: matcher.holds(labels.get(matcher.label, "")))[0]


def receivers_of(root: Route, labels: Mapping[str, str]) -> list[str]:
    """Return the receivers of an alert with these labels, once each, as Alertmanager's dispatcher does."""
    return list(dict.fromkeys(one.receiver for one in routes_of(root, labels)))


def shadowed(route: Route, above: tuple[Matcher, ...] = ()) -> list[tuple[Route, Route]]:
    """Return routes all of whose alerts an earlier sibling takes, each with that sibling."""
    found, earlier = [], _Earlier()
    for one in route.routes:
        known = (*above, *one.matchers)
        if (by := earlier.taking_all(known)) is not None:
            found.append((one, by))
        else:
            found += shadowed(one, known)
        if not one.goes_on:
            earlier.add(one)
    return found


class _Earlier:
    """Siblings that keep what they take, by what their first matcher asks: there may be thousands."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, ...], list[tuple[int, Route]]] = {}
        self._count = 0

    def add(self, route: Route) -> None:
        """Add the next sibling."""
        first = next(iter(route.matchers), None)
        key = () if first is None else (first.label, first.value) if first.op == "=" else (first.label,)
        self._by_key.setdefault(key, []).append((self._count, route))
        self._count += 1

    def taking_all(self, known: tuple[Matcher, ...]) -> Route | None:
        """Return the first sibling that takes whatever satisfies the known matchers."""
        keys: set[tuple[str, ...]] = {()}
        for one in known:
            values = one.value.split("|") if one.op == "=~" else [one.value]
            keys |= {(one.label,), *((one.label, value) for value in values)}
        candidates = sorted(
            (pair for key in keys for pair in self._by_key.get(key, ())), key=lambda pair: pair[0]
        )
        return next(
            (route for _, route in candidates if all(one.follows_from(known) for one in route.matchers)), None
        )
