"""Schemas as nodes that pruning, merging and server-side apply walk along.

A node says what a value is (``shape``) and how its parts merge. Built-in kinds get theirs from
``schemas.json`` (see ``generate``), custom kinds from their CustomResourceDefinition's structural schema.
"""

from __future__ import annotations

import json
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

_DATA = Path(__file__).with_name("schemas.json")


class Node:
    """One schema. ``shape`` is of object, map, list, string, integer, number, boolean, int-or-string,
    quantity, time, any. An object with ``preserve`` keeps fields that it doesn't know.
    """  # noqa: D205  # the shapes are one sentence that does not fit a line

    def __init__(self, source: dict[str, Any], *, custom: bool = False) -> None:
        """Take a schema as published; nested ones are looked at when they are asked for."""
        if "$ref" in source:
            name = source["$ref"]
            source = definitions()[name] | {key: value for key, value in source.items() if key != "$ref"}
            self.name = str(name)
        else:
            self.name = ""
        self.source = source
        self.custom = custom
        self.format: str = source.get("format", "")
        self.required: tuple[str, ...] = tuple(source.get("required", ()))
        self.default: Any = source.get("default")
        self.list_keys: tuple[str, ...] = tuple(source.get("x-kubernetes-list-map-keys", ()))
        self.merge_key: str = source.get("x-kubernetes-patch-merge-key", "")
        strategy = source.get("x-kubernetes-patch-strategy", "")
        self.patch_strategies = frozenset(strategy.split(",")) if strategy else frozenset()
        self.preserve = bool(source.get("x-kubernetes-preserve-unknown-fields"))
        self.nullable = bool(source.get("nullable"))
        self.shape = self._shape()
        self.list_type: str = source.get("x-kubernetes-list-type", "atomic") if self.shape == "list" else ""
        self.atomic = self.list_type == "atomic" or source.get("x-kubernetes-map-type") == "atomic"

    def _shape(self) -> str:  # noqa: PLR0911  # one return for each shape reads as a table
        source, kind = self.source, self.source.get("type")
        if source.get("x-kubernetes-int-or-string"):
            return "int-or-string"
        if kind == "object" or "properties" in source:
            if "properties" in source:
                return "object"
            if isinstance(source.get("additionalProperties"), dict):
                return "map"
            return "object" if self.preserve or self.custom else "any"
        if kind == "array":
            return "list"
        if kind == "string":
            special = {"int-or-string": "int-or-string", "quantity": "quantity", "date-time": "time"}
            return "string" if self.custom else special.get(self.format, "string")
        return str(kind) if kind in {"integer", "number", "boolean"} else "any"

    @cached_property
    def fields(self) -> dict[str, Node]:
        """The named fields of an object."""
        return {
            name: child(part, custom=self.custom) for name, part in self.source.get("properties", {}).items()
        }

    @cached_property
    def element(self) -> Node:
        """What each item of a list, or each value of a map, is."""
        part = self.source.get("items") if self.shape == "list" else self.source.get("additionalProperties")
        return child(part, custom=self.custom) if isinstance(part, dict) else ANY

    def field(self, name: str) -> Node:
        """Return the schema of one entry of an object or a map; ``ANY`` for what isn't described."""
        if self.shape == "map":
            return self.element
        return self.fields.get(name, ANY) if self.shape == "object" else ANY


@lru_cache(maxsize=1)
def definitions() -> dict[str, dict[str, Any]]:
    """Return every definition of the built-in kinds by its published name."""
    loaded: dict[str, dict[str, Any]] = json.loads(_DATA.read_text(encoding="utf-8"))
    return loaded


@cache
def named(name: str) -> Node:
    """Return the node of a published definition."""
    return Node({"$ref": name})


def child(source: dict[str, Any], *, custom: bool) -> Node:
    """Return the node of a nested schema; bare references share one node."""
    if source.keys() == {"$ref"}:
        return named(source["$ref"])
    return Node(source, custom=custom)


ANY = Node({})
"""The node of what no schema describes: a leaf that keeps whatever it holds."""
