"""Read YAML as Prometheus and Alertmanager read it, and keep the place of every value.

Both are written in Go: text stays text (``yes``, ``00:05:00`` and ``5`` are strings where a string is
wanted), a duplicate or unknown key is an error, merge keys work, and of several documents in one file only
the first is read. PyYAML's own values would differ in each of these, so its events alone are used.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import yaml
from yaml.reader import Reader

from bais_gates.monitoring.findings import Finding, Place

MAX_BYTES: Final = 5 * 1024 * 1024
MAX_DEPTH: Final = 50
MAX_VALUES: Final = 1_000_000
"""In one file, aliases counted as often as they are used."""
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_MERGE: Final = "<<"
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


class RefusedError(Exception):
    """A file, or a part of it, that Prometheus or Alertmanager would not load."""

    def __init__(self, message: str, place: Place, *, check: str = "load") -> None:
        super().__init__(message)
        self.finding = Finding(check=check, place=place, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value of a document, and where it stands."""

    kind: Literal["text", "list", "mapping"]
    place: Place
    raw: str = ""
    """The text as it is written, without quotes."""
    is_plain: bool = False
    """Whether it is a scalar without quotes, so that it may be more than a text."""
    is_null: bool = False
    """Whether nothing is given: an empty plain scalar, ``~`` or ``null``."""
    is_merge: bool = False
    """Whether it is the key ``<<``, without quotes."""
    parts: list[Value]
    """A list's values; a mapping's keys and values by turns."""

    def refuse(self, message: str) -> RefusedError:
        """Return the exception that refuses the file for this value."""
        return RefusedError(message, self.place)

    def text(self, what: str) -> str:
        """Return the scalar's text, "" for null; raise :class:`RefusedError` for a list or a mapping."""
        if self.kind != "text":
            raise self.refuse(f"{what} must be text, not a {self.kind}")
        return "" if self.is_null else self.raw

    def items(self, what: str) -> list[Value]:
        """Return the list's values, [] for null; raise :class:`RefusedError` for anything else."""
        if not self.is_null and self.kind != "list":
            raise self.refuse(f"{what} must be a list, not {_article(self.kind)}")
        return self.parts

    def peek(self) -> dict[str, Value]:
        """Return the values of a mapping without a check of its keys, {} for anything else."""
        parts = self.parts if self.kind == "mapping" else []
        return {key.raw: value for key, value in zip(parts[::2], parts[1::2], strict=True)}

    def mapping(self, what: str, allowed: frozenset[str] | None = None) -> dict[str, Value]:
        """Return the mapping's values, {} for null.

        Raises :class:`RefusedError` for anything else, for a duplicate key and one that is not ``allowed``.
        """
        if not self.is_null and self.kind != "mapping":
            raise self.refuse(f"{what} must be a mapping, not {_article(self.kind)}")
        found: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        for key, value in zip(self.parts[::2], self.parts[1::2], strict=True):
            name = key.text("a key")
            if key.is_merge:
                for source in value.parts if value.kind == "list" else [value]:
                    merged = source.mapping(_MERGE) | merged
                continue
            if name in found:
                raise key.refuse(f"duplicate key {name}")
            _check_allowed(name, key, what, allowed)
            found[name] = value
        for name, value in merged.items():
            _check_allowed(name, value, what, allowed)
        return merged | found


def _check_allowed(name: str, at: Value, what: str, allowed: frozenset[str] | None) -> None:
    if allowed is not None and name not in allowed:
        raise at.refuse(f"unknown key {name} in {what}; allowed: {', '.join(sorted(allowed))}")


def _article(kind: str) -> str:
    return kind if kind == "text" else f"a {kind}"


def read_documents(text: str, path: str) -> list[Value]:
    """Return the documents of a YAML text; raise :class:`RefusedError` where it is not YAML, or too large."""
    if len(text) > MAX_BYTES:
        raise RefusedError(
            f"{len(text):,} characters; at most {MAX_BYTES:,} are read", Place(path=path, line=1, column=1)
        )
    if found := Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        place = Place(path=path, line=line, column=column)
        raise RefusedError(f"not YAML: the character {found.group()!a}", place)
    composer = _Composer(path)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        place = Place(path=path, line=line, column=column)
        raise RefusedError(f"not YAML: {error.problem or error.context}", place) from None
    return composer.documents


class _Composer:
    """Makes values from the events of a parser, without recursion and within the limits.

    PyYAML's own composer takes a stack frame a level, and follows an alias into what contains it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.documents: list[Value] = []
        self._open: list[tuple[Value, str | None, int]] = []
        """The collections that are not closed: value, anchor, and number of values before it."""
        self._anchors: dict[str, tuple[Value, int]] = {}
        """Each anchor's value, and how many values it is."""
        self._count = 0

    def take(self, event: yaml.Event) -> None:
        """Add what an event tells."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._anchors.clear()
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            kind: Literal["mapping", "list"] = (
                "mapping" if isinstance(event, yaml.MappingStartEvent) else "list"
            )
            value = Value(kind=kind, place=self._place(event), parts=[])
            self._add(value, 1)
            self._open.append((value, event.anchor, self._count - 1))
            if event.anchor:
                self._anchors[event.anchor] = (value, 0)
            if len(self._open) > MAX_DEPTH:
                raise value.refuse(f"nested more than {MAX_DEPTH} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            value, anchor, before = self._open.pop()
            if anchor:
                self._anchors[anchor] = (value, self._count - before)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        is_plain = not event.style and event.tag is None
        value = Value(
            kind="text",
            place=self._place(event),
            raw=sys.intern(event.value) if len(event.value) < 20 else event.value,
            is_plain=is_plain,
            is_null=is_plain and event.value in _NULLS,
            is_merge=is_plain and event.value == _MERGE,
            parts=[],
        )
        self._add(value, 1)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)

    def _alias(self, event: yaml.AliasEvent) -> None:
        place, name = self._place(event), event.anchor
        if name not in self._anchors:
            raise RefusedError(f"not YAML: unknown anchor {name}", place)
        value, size = self._anchors[name]
        if any(value is one for one, _, _ in self._open):
            raise RefusedError(f"not YAML: the value of the anchor {name} contains itself", place)
        self._add(value, size)

    def _add(self, value: Value, size: int) -> None:
        """Put a value where it belongs."""
        self._count += size
        if self._count > MAX_VALUES:
            raise value.refuse(f"more than {MAX_VALUES:,} values, those of aliases included")
        (self._open[-1][0].parts if self._open else self.documents).append(value)

    def _place(self, event: yaml.Event) -> Place:
        mark: Any = event.start_mark  # each event of a parser has one
        return Place(path=self._path, line=mark.line + 1, column=mark.column + 1)


def texts(value: Value | None, what: str) -> Mapping[str, Value]:
    """Return a mapping of which every value is text, as labels and annotations are."""
    found = {} if value is None else value.mapping(what)
    for name, one in found.items():
        one.text(f"{what}.{name}")
    return found
