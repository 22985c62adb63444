"""Sets of field paths as managedFields record them (FieldsV1).

A path element is kept as FieldsV1 writes it: ``f:name`` a field, ``k:{"name":"x"}`` an item by its keys,
``v:"x"`` an item by its value. A set has members and, below elements, further sets; ``.`` marks a member
that also has something below it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]


class FieldSet:
    """A set of field paths; every operation but ``insert`` returns a new one."""

    __slots__ = ("children", "members")

    def __init__(self) -> None:
        """Start empty."""
        self.members: set[str] = set()
        self.children: dict[str, FieldSet] = {}

    def insert(self, path: Path) -> None:
        """Add one path; the empty one is no field."""
        here = self
        for element in path[:-1]:
            here = here.children.setdefault(element, FieldSet())
        if path:
            here.members.add(path[-1])

    def __bool__(self) -> bool:
        """Whether there is a path in it."""
        return bool(self.members) or any(self.children.values())

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same paths."""
        return isinstance(other, FieldSet) and self.to_fields() == other.to_fields()

    __hash__ = None  # type: ignore[assignment]  # a set that can grow is no key

    def below(self, element: str) -> FieldSet:
        """Return what lies below one element."""
        return self.children.get(element) or _EMPTY

    def union(self, other: FieldSet) -> FieldSet:
        """Return the paths of either."""
        made = FieldSet()
        made.members = self.members | other.members
        for key in self.children.keys() | other.children.keys():
            mine, theirs = self.children.get(key), other.children.get(key)
            made.children[key] = mine.union(theirs) if mine and theirs else (mine or theirs or _EMPTY)
        return made

    def intersection(self, other: FieldSet) -> FieldSet:
        """Return the paths of both."""
        made = FieldSet()
        made.members = self.members & other.members
        for key in self.children.keys() & other.children.keys():
            if both := self.children[key].intersection(other.children[key]):
                made.children[key] = both
        return made

    def difference(self, other: FieldSet) -> FieldSet:
        """Return the paths of this one that the other hasn't, path by path."""
        made = FieldSet()
        made.members = self.members - other.members
        for key, mine in self.children.items():
            theirs = other.children.get(key)
            if left := (mine.difference(theirs) if theirs else mine):
                made.children[key] = left
        return made

    def paths(self, prefix: Path = ()) -> Iterator[Path]:
        """Yield the paths: the members of each level in order, then what lies below them."""
        for member in sorted(self.members):
            yield (*prefix, member)
        for key in sorted(self.children):
            yield from self.children[key].paths((*prefix, key))

    def to_fields(self) -> dict[str, Any]:
        """Return the set as FieldsV1."""
        made: dict[str, Any] = {}
        for key in sorted(self.members | self.children.keys()):
            below = self.children[key].to_fields() if key in self.children else {}
            if key in self.members:
                made[key] = {".": {}, **below} if below else {}
            elif below:
                made[key] = below
        return made

    @classmethod
    def from_fields(cls, fields: Any) -> FieldSet:
        """Read FieldsV1; raises ValueError for what is none."""
        made = cls()
        if not isinstance(fields, dict):
            raise ValueError("fieldsV1 is no object")  # noqa: TRY004  # one error for whatever is malformed
        for key, below in fields.items():
            if key == ".":
                continue
            if not isinstance(below, dict) or key[:2] not in {"f:", "k:", "v:", "i:"}:
                raise ValueError(f"no path element: {key}")
            if not below or "." in below:
                made.members.add(key)
            if child := cls.from_fields(below):
                made.children[key] = child
        return made


_EMPTY = FieldSet()


def shown(path: Path) -> str:
    """Return a path as messages have it: ``.spec.containers[name="c"].image``."""
    made = ""
    for element in path:
        rest = element[2:]
        if element.startswith("f:"):
            made += f".{rest}"
        elif element.startswith("k:"):
            keys = json.loads(rest)
            made += "[" + ",".join(f"{key}={_json(keys[key])}" for key in sorted(keys)) + "]"
        elif element.startswith("v:"):
            made += f"[={rest}]"
        else:
            made += f"[{rest}]"
    return made


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
