"""Read YAML as Prometheus and Alertmanager read it, and keep the place of every value.

Both are written in Go: text stays text (``yes``, ``00:05:00`` and ``5`` are strings where a string is
wanted), a duplicate or unknown key is an error, merge keys work, and of several documents in one file only
the first is read. PyYAML's own values would differ in each of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import yaml

from bais_gates.monitoring.findings import Finding, Place

MAX_BYTES: Final = 5 * 1024 * 1024
MAX_DEPTH: Final = 100
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_STRING: Final = "tag:yaml.org,2002:str"
_MERGE: Final = "<<"
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


class Refused(Exception):
    """A file, or a part of it, that Prometheus or Alertmanager would not load."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a document, and where it stands."""

    node: yaml.Node
    path: str

    @property
    def place(self) -> Place:
        """File, line and column, from 1."""
        mark = self.node.start_mark
        return Place(path=self.path, line=mark.line + 1, column=mark.column + 1)

    @property
    def is_null(self) -> bool:
        """Whether nothing is given: an empty plain scalar, ``~`` or ``null``."""
        return (
            isinstance(self.node, yaml.ScalarNode) and not self.node.style and self.node.value in _NULLS
        )

    def refuse(self, message: str, *, check: str = "load") -> Refused:
        """Return the exception that refuses the file for this value."""
        return Refused(Finding(check=check, place=self.place, message=message))

    def text(self, what: str) -> str:
        """Return the scalar's text, "" for null; raise :class:`Refused` for a list or a mapping."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.refuse(f"{what} must be text, not a {self.kind}")
        return "" if self.is_null else str(self.node.value)

    def plain(self) -> object:
        """Return the value as Python's dict, list and str."""
        if isinstance(self.node, yaml.MappingNode):
            return {key: value.plain() for key, value in self.mapping("value").items()}
        if isinstance(self.node, yaml.SequenceNode):
            return [value.plain() for value in self.items("value")]
        return self.text("value")

    @property
    def kind(self) -> str:
        """What the value is: text, list or mapping."""
        return {yaml.SequenceNode: "list", yaml.MappingNode: "mapping"}.get(type(self.node), "text")

    def items(self, what: str) -> list[Value]:
        """Return the list's values, [] for null; raise :class:`Refused` for anything else."""
        if self.is_null:
            return []
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.refuse(f"{what} must be a list, not a {self.kind}")
        return [Value(node, self.path) for node in self.node.value]

    def mapping(self, what: str, allowed: frozenset[str] | None = None) -> dict[str, Value]:
        """Return the mapping's values, {} for null.

        Raises :class:`Refused` for anything else, for a duplicate key, and for a key that is not ``allowed``.
        """
        if self.is_null:
            return {}
        if not isinstance(self.node, yaml.MappingNode):
            raise self.refuse(f"{what} must be a mapping, not a {self.kind}")
        found: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        for key, node in self.node.value:
            at = Value(key, self.path)
            name = at.text("a key")
            value = Value(node, self.path)
            if name == _MERGE and not key.style:
                for source in value.items(_MERGE) if value.kind == "list" else [value]:
                    merged = source.mapping(_MERGE) | merged
                continue
            if name in found:
                raise at.refuse(f"duplicate key {name}")
            if allowed is not None and name not in allowed:
                raise at.refuse(f"unknown key {name} in {what}; allowed: {', '.join(sorted(allowed))}")
            found[name] = value
        unknown = [name for name in merged if allowed is not None and name not in allowed]
        if unknown:
            raise merged[unknown[0]].refuse(f"unknown key {unknown[0]} in {what}")
        return merged | found


def read_documents(text: str, path: str) -> Iterator[Value]:
    """Yield the documents of a YAML text; raise :class:`Refused` where it is not YAML."""
    if len(text) > MAX_BYTES:
        message = f"{len(text)} characters; at most {MAX_BYTES} are read"
        raise Refused(Finding(check="load", place=Place(path=path, line=1, column=1), message=message))
    try:
        _check_depth(text, path)
        for node in yaml.compose_all(text, Loader=_LOADER):
            yield Value(node, path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(path=path, line=mark.line + 1 if mark else 1, column=mark.column + 1 if mark else 1)
        message = f"not YAML: {error.problem or error.context}"
        raise Refused(Finding(check="load", place=place, message=message)) from None
    except yaml.YAMLError:
        message = "not YAML: a character that is not printable"
        raise Refused(
            Finding(check="load", place=Place(path=path, line=1, column=1), message=message)
        ) from None


def _check_depth(text: str, path: str) -> None:
    """Refuse nesting that would exhaust the composer's stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                mark = event.start_mark
                place = Place(path=path, line=mark.line + 1, column=mark.column + 1)
                message = f"nested more than {MAX_DEPTH} levels deep"
                raise Refused(Finding(check="load", place=place, message=message))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def texts(value: Value | None, what: str) -> Mapping[str, Value]:
    """Return a mapping of which every value is text, as labels and annotations are."""
    found = {} if value is None else value.mapping(what)
    for name, one in found.items():
        one.text(f"{what}.{name}")
    return found
