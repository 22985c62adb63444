"""A strict subset of YAML without ambiguous text.

Mappings with distinct string keys, lists, strings, numbers, ``true``, ``false`` and ``null``. Refused are
scalars that YAML 1.1 and 1.2 read differently (``no``, ``0755``, ``12:30``), syntax that hides content
(duplicate keys, merge keys, anchors and aliases, tags, a second document, line ends and directions of writing
that editors do not show) and deep nesting, which could exhaust memory. Dates stay strings; the schemas define
which strings are moments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import yaml
from yaml import events

from bais_gates.errors import GateInputError
from bais_gates.verdict.model import JsonValue

KeyPath = tuple[str | int, ...]
"""The place of a value: mapping keys and list positions from the outside in."""

MAX_DEPTH: Final = 32
"""Levels of nesting; no file of ours needs more than eight."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})\.[0-9]{1,18}")
_AMBIGUOUS_NUMBER = re.compile(
    r"[-+]?("
    r"[0-9][0-9_]*|0o[0-7]+|0x[0-9a-f_]+|0b[01_]+"  # 0755 1_000 0o17 0x1F 0b11
    r"|(?=.*[0-9])[0-9_]*\.[0-9_]*(e[-+]?[0-9]+)?|[0-9]+e[-+]?[0-9]+"  # 1. .5 1.5e3 1e3
    r"|[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?"  # 12:30 is 750 in YAML 1.1
    r"|\.inf|\.nan)",
    re.IGNORECASE,
)
_WORDS: Mapping[str, JsonValue] = {"true": True, "false": False, "null": None, "~": None, "": None}
_HIDING = re.compile("[\x85\u2028\u2029\u202a-\u202e\u2066-\u2069]|\r(?!\n)")
"""Line ends of YAML 1.1 alone, behind which a comment ends unseen, and what turns the order of text round."""
_AMBIGUOUS_WORD = re.compile(r"yes|no|on|off|y|n|true|false|null", re.IGNORECASE)


def show_path(path: KeyPath) -> str:
    """Return a key path as text: ``gates[3].severity``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def parse(text: str, name: str) -> tuple[JsonValue, dict[KeyPath, int]]:
    """Read a text of the strict subset.

    Returns the value and, for every key path in it, its line (from 1). Raises GateInputError with ``name``,
    line and key.
    """
    if (hiding := _HIDING.search(text)) is not None:
        line = text.count("\n", 0, hiding.start()) + 1
        raise GateInputError(
            f"{name}:{line}: the character U+{ord(hiding[0]):04X} hides what editors do not show. Remove it."
        )
    try:
        stream = yaml.parse(text, Loader=_LOADER)
        return _Reader(stream, name).document()
    except yaml.MarkedYAMLError as error:
        raise GateInputError(_syntax_message(error, text, name)) from None
    except yaml.YAMLError:
        remedy = "Remove control characters; only printable text, line ends and spaces are allowed."
        raise GateInputError(f"{name}: invalid YAML. {remedy}") from None


def _syntax_message(error: yaml.MarkedYAMLError, text: str, name: str) -> str:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return f"{name}: invalid YAML ({error.problem})."
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return f"{name}:{mark.line + 1}: indented with a tab. Indent with spaces."
    return (
        f"{name}:{mark.line + 1}: invalid YAML, column {mark.column + 1} ({error.problem}). "
        "Check the indentation, and quote text that has a colon, a '#' or brackets in it."
    )


def _line(event: events.Event) -> int:
    return 1 if event.start_mark is None else event.start_mark.line + 1


class _Reader:
    """Builds a value from the parser's events, refusing what the subset does not have."""

    def __init__(self, stream: Iterator[events.Event], name: str) -> None:
        self._stream = stream
        self._name = name
        self._lines: dict[KeyPath, int] = {}

    def document(self) -> tuple[JsonValue, dict[KeyPath, int]]:
        """Read the one document that the text may hold; an empty text is None."""
        next(self._stream)  # the start of the stream
        event = next(self._stream)
        if isinstance(event, events.StreamEndEvent):
            return None, {(): 1}
        value = self._value(next(self._stream), ())
        next(self._stream)  # the end of the document
        event = next(self._stream)
        if not isinstance(event, events.StreamEndEvent):
            raise self._error(event, (), "a second document begins here. Keep one document per file.")
        return value, self._lines

    def _value(self, event: events.Event, path: KeyPath) -> JsonValue:
        if isinstance(event, events.AliasEvent):
            raise self._error(event, path, "an alias (*name) is not allowed. Write the value out.")
        if getattr(event, "anchor", None) is not None:
            raise self._error(event, path, "an anchor (&name) is not allowed. Write each value out.")
        if getattr(event, "tag", None) is not None:
            raise self._error(event, path, "a tag (!name) is not allowed. Remove it; quote text instead.")
        if len(path) > MAX_DEPTH:
            raise self._error(event, (), f"nested more than {MAX_DEPTH} levels deep. Reduce the nesting.")
        self._lines[path] = _line(event)
        if isinstance(event, events.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, events.SequenceStartEvent):
            return self._list(path)
        if isinstance(event, events.ScalarEvent):
            return self._scalar(event, path)
        raise self._error(event, path, "invalid YAML.")

    def _mapping(self, path: KeyPath) -> JsonValue:
        mapping: dict[str, JsonValue] = {}
        while not isinstance(event := next(self._stream), events.MappingEndEvent):
            key = self._key(event, path)
            if key in mapping:
                first = self._lines[(*path, key)]
                raise self._error(
                    event, (*path, key), f"duplicate key, first in line {first}. Keep one of them."
                )
            mapping[key] = self._value(next(self._stream), (*path, key))
            self._lines[(*path, key)] = _line(event)
        return mapping

    def _key(self, event: events.Event, path: KeyPath) -> str:
        if not isinstance(event, events.ScalarEvent):
            raise self._error(event, path, "a key must be plain text, not a list or a mapping.")
        if event.anchor is not None or event.tag is not None:
            raise self._error(event, path, "an anchor or a tag on a key is not allowed. Remove it.")
        if event.value == "<<":
            raise self._error(event, path, "a merge key (<<) is not allowed. Write the values out.")
        key = self._scalar(event, (*path, event.value))
        if not isinstance(key, str):
            raise self._error(event, path, "a key must be text. Quote it.")
        return key

    def _list(self, path: KeyPath) -> JsonValue:
        items: list[JsonValue] = []
        while not isinstance(event := next(self._stream), events.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _scalar(self, event: events.ScalarEvent, path: KeyPath) -> JsonValue:
        text: str = event.value
        if not event.implicit[0]:  # quoted, or a block of text
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text):
            return float(text)
        if _AMBIGUOUS_WORD.fullmatch(text):
            raise self._error(
                event,
                path,
                f"{text} is ambiguous in YAML. Write true, false or null, or quote it.",
            )
        if _AMBIGUOUS_NUMBER.fullmatch(text):
            raise self._error(
                event,
                path,
                "a number that is ambiguous in YAML. Write a plain decimal number, or quote it.",
            )
        return text

    def _error(self, event: events.Event, path: KeyPath, text: str) -> GateInputError:
        where = show_path(path)
        key = f"{where}: " if where else ""
        return GateInputError(f"{self._name}:{_line(event)}: {key}{text}")
