"""Objects seen along their schema: which fields they set, how two differ, merge, and lose fields.

The rules are those of structured merge: a scalar, an atomic list or an atomic map is one field; items of
associative lists are fields by their keys; of an absent container also the container itself is a field.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.fieldsets import FieldSet, Path, shown
from bais_gates.sandbox.cluster.apiserver.kinds.schema import ANY, Node

ABSENT: Any = object()
"""Stands for a value that isn't there at all; None is a null that is."""
DEDUCED = Node({"x-kubernetes-preserve-unknown-fields": True, "type": "object"}, custom=True)
"""The node of what a custom kind keeps without describing it: maps merge, lists are atomic."""


def part_of(node: Node, name: str) -> Node | None:
    """Return the schema of a field; None if the kind has no such field."""
    if node.shape == "map":
        return node.element
    found = node.fields.get(name) if node.shape == "object" else None
    if found is None and (node.preserve or node is DEDUCED):
        return DEDUCED
    return found


def is_map(node: Node, value: Any) -> bool:
    """Whether a value is to be walked into as a map."""
    return not node.atomic and (isinstance(value, dict) or value is None) and node.shape in {"object", "map"}


def is_list(node: Node, value: Any) -> bool:
    """Whether a value is to be walked into as an associative list."""
    return not node.atomic and (isinstance(value, list) or value is None) and node.shape == "list"


def element_of(node: Node, item: Any) -> str:
    """Return the path element of a list's item. Raises ValueError where a key is missing."""
    if node.list_type == "set":
        return "v:" + json.dumps(item, separators=(",", ":"), ensure_ascii=False)
    if not isinstance(item, dict):
        raise ValueError("associative list with keys may not have non-map elements")  # noqa: TRY004  # one error for a bad item
    keys = {}
    for key in node.list_keys:
        value = item.get(key)
        if value is None:
            part = node.element.fields.get(key)
            value = part.default if part is not None else None
        if value is None:
            raise ValueError(
                f'associative list with keys has an element that omits key field "{key}" '
                "(and doesn't have default value)"
            )
        keys[key] = value
    return "k:" + json.dumps(keys, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def indexed(node: Node, items: Any) -> dict[str, Any]:
    """Return the items of an associative list by their path elements; of equal ones the first."""
    made: dict[str, Any] = {}
    for item in items or ():
        try:
            made.setdefault(element_of(node, item), item)
        except ValueError:
            continue
    return made


def field_set(node: Node, value: Any) -> FieldSet:
    """Return the fields that a configuration sets."""
    made = FieldSet()
    _fields(node, value, (), made)
    return made


def _fields(node: Node, value: Any, path: Path, made: FieldSet) -> None:
    if node.shape in {"object", "map"} and not node.atomic and isinstance(value, dict):
        for key, item in value.items():
            part = part_of(node, key)
            here = (*path, f"f:{key}")
            _fields(part or ANY, item, here, made)
            if item is None or item == {} or node.shape == "map" or key not in node.fields:
                made.insert(here)
    elif node.shape == "list" and not node.atomic and isinstance(value, list):
        for element, item in indexed(node, value).items():
            _fields(node.element, item, (*path, element), made)
            made.insert((*path, element))
    elif not (value is None and node.shape in {"object", "map", "list"} and not node.atomic):
        made.insert(path)


@dataclass(slots=True)
class Comparison:
    """How two objects differ, field by field."""

    added: FieldSet = field(default_factory=FieldSet)
    modified: FieldSet = field(default_factory=FieldSet)
    removed: FieldSet = field(default_factory=FieldSet)

    @property
    def same(self) -> bool:
        """Whether they don't differ."""
        return not (self.added or self.modified or self.removed)


def compare(node: Node, old: Any, new: Any) -> Comparison:
    """Return which fields ``new`` adds to, changes in and takes from ``old``."""
    made = Comparison()
    _compare(node, old, new, (), made)
    return made


def _mark(old: Any, new: Any, path: Path, made: Comparison) -> None:
    if old is ABSENT:
        made.added.insert(path)
    elif new is ABSENT:
        made.removed.insert(path)
    elif old != new or type(old) is not type(new):
        made.modified.insert(path)


def _compare(node: Node, old: Any, new: Any, path: Path, made: Comparison) -> None:
    if old is not ABSENT and old is new:
        return
    sides = [side for side in (old, new) if side is not ABSENT]
    maps = node.shape in {"object", "map"} and all(is_map(node, side) for side in sides)
    lists = node.shape == "list" and all(is_list(node, side) for side in sides)
    if not (maps or lists) or not any(sides):
        _mark(old, new, path, made)
        return
    if maps:
        before = {} if old is ABSENT or old is None else old
        after = {} if new is ABSENT or new is None else new
        for key in before.keys() | after.keys():
            part = part_of(node, key) or ANY
            _compare(part, before.get(key, ABSENT), after.get(key, ABSENT), (*path, f"f:{key}"), made)
    else:
        was = indexed(node, None if old is ABSENT else old)
        now = indexed(node, None if new is ABSENT else new)
        for element in was.keys() | now.keys():
            item, other = was.get(element, ABSENT), now.get(element, ABSENT)
            _compare(node.element, item, other, (*path, element), made)
    if old is ABSENT:
        made.added.insert(path)
    elif new is ABSENT:
        made.removed.insert(path)


def merge(node: Node, live: Any, config: Any) -> Any:
    """Return the live value with a configuration merged into it."""
    if config is ABSENT:
        return live
    if live is ABSENT:
        return config
    if is_map(node, live) and is_map(node, config) and (live or config):
        made = dict(live or {})
        for key, value in (config or {}).items():
            made[key] = merge(part_of(node, key) or ANY, made.get(key, ABSENT), value)
        return made
    if is_list(node, live) and is_list(node, config) and (live or config):
        return _merge_lists(node, indexed(node, live), indexed(node, config))
    return config


def _merge_lists(node: Node, live: dict[str, Any], config: dict[str, Any]) -> list[Any]:
    """Merge associative lists: shared items in the configuration's order, others where they stood."""
    left, right = list(live), list(config)
    shared = [element for element in right if element in live]
    following = shared.pop(0) if shared else None
    made: list[Any] = []
    i = j = 0
    while i < len(left) or j < len(right):
        if i < len(left) and j < len(right):
            if left[i] == right[j]:
                made.append(merge(node.element, live[left[i]], config[right[j]]))
                i, j = i + 1, j + 1
                following = shared.pop(0) if shared else None
                continue
            if left[i] in config and following is not None and following != left[i]:
                i += 1
                continue
        if i < len(left) and left[i] not in config:
            made.append(live[left[i]])
            i += 1
        elif j < len(right):
            made.append(merge(node.element, live.get(right[j], ABSENT), config[right[j]]))
            if following == right[j]:
                following = shared.pop(0) if shared else None
            j += 1
        else:
            i += 1
    return made


def remove(node: Node, value: Any, fields: FieldSet) -> Any:
    """Return a value without the given fields; a container that loses all becomes None."""
    if isinstance(value, dict) and value and node.shape in {"object", "map"}:
        if node.atomic:
            return None
        made = {}
        for key, item in value.items():
            element = f"f:{key}"
            if element in fields.members:
                continue
            below = fields.below(element)
            made[key] = remove(part_of(node, key) or ANY, item, below) if below else item
        return made or None
    if isinstance(value, list) and value and node.shape == "list":
        if node.atomic:
            return None
        items = []
        for item in value:
            element = element_of(node, item)
            if element in fields.members:
                continue
            below = fields.below(element)
            items.append(remove(node.element, item, below) if below else item)
        return items or None
    return value


def with_named_fields(node: Node, fields: FieldSet) -> FieldSet:
    """Return the set with the fields of structures above its paths in it as well."""
    made = FieldSet()
    made.members = set(fields.members)
    for element, below in fields.children.items():
        if element.startswith("f:"):
            part = part_of(node, element[2:]) or ANY
            if node.shape == "object" and element[2:] in node.fields:
                made.members.add(element)
        else:
            part = node.element if node.shape == "list" else ANY
        made.children[element] = with_named_fields(part, below)
    return made


_SCALARS = {
    "string": ((str,), "string"),
    "time": ((str,), "string"),
    "integer": ((int, float), "numeric (int or float)"),
    "number": ((int, float), "numeric (int or float)"),
    "boolean": ((bool,), "boolean"),
}


def problems(node: Node, value: Any, path: Path = ()) -> list[str]:
    """Return why a configuration doesn't fit the schema, in the words of server-side apply."""
    if value is None or node is DEDUCED or node.shape == "any":
        return []
    if node.shape in {"object", "map"}:
        if not isinstance(value, dict):
            return [f"{shown(path)}: expected map, got {json.dumps(value)}"]
        found = []
        for key, item in value.items():
            part = part_of(node, key)
            here = (*path, f"f:{key}")
            found += (
                [f"{shown(here)}: field not declared in schema"]
                if part is None
                else problems(part, item, here)
            )
        return found
    if node.shape == "list":
        return _list_problems(node, value, path)
    if node.shape in _SCALARS:
        types, name = _SCALARS[node.shape]
        if not isinstance(value, types) or (isinstance(value, bool) and node.shape != "boolean"):
            return [f"{shown(path)}: expected {name}, got {json.dumps(value)}"]
    return []


def _list_problems(node: Node, value: Any, path: Path) -> list[str]:
    if not isinstance(value, list):
        return [f"{shown(path)}: expected list, got {json.dumps(value)}"]
    found: list[str] = []
    seen: set[str] = set()
    for index, item in enumerate(value):
        element = f"i:{index}"
        if not node.atomic:
            try:
                element = element_of(node, item)
            except ValueError as wrong:
                found.append(f"{shown(path)}: element {index}: {wrong}")
                continue
            if element in seen:
                found.append(f"{shown(path)}: duplicate entries for key {shown((element,))}")
            seen.add(element)
        found += problems(node.element, item, (*path, element))
    return found
