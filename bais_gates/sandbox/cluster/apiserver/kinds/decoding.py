"""Reading a body as its kind: unknown fields, wrong types, and what is left out when it is written back.

Built-in kinds are read as the API server's typed decoder does: a wrong type is a 400 in its words, an
unknown field is dropped and reported, empty values that its types leave out are dropped. Custom kinds keep
their JSON, only fields that their schema doesn't know are dropped.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import BadRequest
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj
from bais_gates.sandbox.cluster.apiserver.kinds.omitted import (
    ALWAYS,
    ALWAYS_VALUES,
    DROPPED_WHEN_FALSE,
    DROPPED_WHEN_ZERO,
    KEPT_WHEN_EMPTY,
    ZERO_IS_SAID,
    short,
)
from bais_gates.sandbox.cluster.apiserver.kinds.quantity import QUANTITY, canonical
from bais_gates.sandbox.cluster.apiserver.kinds.schema import Node, named

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "int-or-string": (int, str),
    "quantity": (str, int, float),
    "time": (str,),
    "object": (dict,),
    "map": (dict,),
    "list": (list,),
}
_JSON_NAMES = {str: "string", bool: "bool", int: "number", float: "number", dict: "object", list: "array"}
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
_LIMITS = {"int32": 2**31, "int64": 2**63}


class Decoded:
    """What became of a body: ``obj`` to work on and ``unknown``, the paths of fields that were dropped."""

    __slots__ = ("obj", "unknown")

    def __init__(self, obj: Obj, unknown: list[str]) -> None:
        """Keep both."""
        self.obj = obj
        self.unknown = unknown


def decode(kind: Kind, obj: Obj) -> Decoded:
    """Read a body as its kind, into a new object. Raises BadRequest for types that don't fit."""
    unknown: list[str] = []
    if kind.custom:
        walker = _Custom(unknown)
        made = walker.top(kind.node, obj)
    else:
        made = _Typed(unknown).struct(kind.node, obj, "", "")
        made.pop("apiVersion", None), made.pop("kind", None)
        made = {"apiVersion": kind.api_version, "kind": kind.kind, **made}
    return Decoded(made, unknown)


class _Typed:
    """Walks a body along the schema of a built-in kind."""

    def __init__(self, unknown: list[str]) -> None:
        self.unknown = unknown

    def struct(self, node: Node, obj: Obj, path: str, plain: str) -> Obj:
        """Read an object with named fields. ``plain`` is the path without indexes, as messages have it."""
        made: Obj = {}
        name = short(node.name)
        fields = node.fields
        for key, value in obj.items():
            part = fields.get(key)
            here = f"{path}.{key}" if path else key
            if part is None:
                self.unknown.append(here)
                continue
            if value is None:
                continue
            there = f"{plain}.{key}" if plain else key
            read = self.value(part, value, here, there, name)
            if not self.left_out(name, node, key, part, read):
                made[key] = read
        for key in ALWAYS.get(name, ()):
            if key not in made:
                made[key] = self.struct(fields[key], {}, "", "")
        for key, value in ALWAYS_VALUES.get(name, {}).items():
            made.setdefault(key, value)
        if not path and "metadata" in fields and "metadata" not in made:
            made["metadata"] = {}
        return made

    @staticmethod
    def left_out(name: str, node: Node, key: str, part: Node, value: Any) -> bool:
        """Return whether the type leaves this value out when it is written."""
        if value or key in node.required:
            return False
        if value == "":
            return part.shape == "string" and key not in KEPT_WHEN_EMPTY and name != "HostPathVolumeSource"
        if value is False:
            return key in DROPPED_WHEN_FALSE
        if value == 0 and isinstance(value, int):
            return key in DROPPED_WHEN_ZERO and name not in ZERO_IS_SAID
        return part.shape in {"list", "map"}

    def value(self, node: Node, value: Any, path: str, plain: str, owner: str) -> Any:
        """Read one value as its schema says."""
        shape = node.shape
        if shape == "any":
            return value
        if not _holds(shape, value):
            raise self.wrong(node, value, plain, owner)
        if shape == "object":
            return self.struct(node, value, path, plain)
        if shape == "list":
            element = node.element
            return [
                self.value(element, item, f"{path}[{index}]", plain, owner)
                if item is not None
                else self.nothing(element)
                for index, item in enumerate(value)
            ]
        if shape == "map":
            element = node.element
            return {
                key: self.value(element, item, f"{path}.{key}", plain, owner)
                if item is not None
                else self.nothing(element)
                for key, item in value.items()
            }
        return self.scalar(node, value, plain, owner)

    @staticmethod
    def nothing(node: Node) -> Any:
        """Return what a null becomes where the type can hold none."""
        empty: dict[str, Any] = {"string": "", "integer": 0, "boolean": False, "quantity": "0"}
        return empty.get(node.shape, {})

    def scalar(self, node: Node, value: Any, plain: str, owner: str) -> Any:
        """Read a text, number or truth value."""
        if node.shape == "quantity":
            text = value if isinstance(value, str) else f"{value}"
            made = canonical(text)
            if made is None:
                raise BadRequest(
                    f"quantities must match the regular expression '{QUANTITY.pattern}'"
                    if text
                    else "unable to parse quantity's suffix"
                )
            return made
        if node.shape == "time" and not _is_time(value):
            raise BadRequest(
                f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"'
            )
        if node.format == "byte" and (place := _bad_base64(value)) is not None:
            raise BadRequest(f"illegal base64 data at input byte {place}")
        if node.shape == "integer":
            limit = _LIMITS.get(node.format or "int32", 2**63)
            if not -limit <= value < limit:
                raise self.wrong(node, value, plain, owner, got=f"number {value}")
        return value

    @staticmethod
    def wrong(node: Node, value: Any, plain: str, owner: str, got: str = "") -> BadRequest:
        """Make the error for a JSON value that the field's type can't hold."""
        what = got or _JSON_NAMES.get(type(value), "null")
        if node.shape == "integer" and isinstance(value, float):
            what = f"number {value}"
        return BadRequest(
            f"json: cannot unmarshal {what} into Go struct field {owner}.{plain} of type {go_type(node)}"
        )


def go_type(node: Node) -> str:
    """Return the name of the API server's own type for a schema, as its messages have it."""
    simple = {"string": "string", "boolean": "bool", "number": "float64", "any": "interface {}"}
    if node.shape in simple:
        return "[]uint8" if node.format == "byte" else simple[node.shape]
    if node.shape == "integer":
        return node.format or "int64"
    if node.shape == "list":
        return f"[]{go_type(node.element)}"
    if node.shape == "map":
        return f"map[string]{go_type(node.element)}"
    special = {"int-or-string": "intstr.IntOrString", "quantity": "resource.Quantity", "time": "v1.Time"}
    return special.get(node.shape) or ".".join(node.name.split(".")[-2:])


def _is_time(value: str) -> bool:
    if not _TIME.match(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def _bad_base64(text: str) -> int | None:
    """Return where a text stops being standard base64, or None if it is all of it."""
    plain = text.replace("\n", "").replace("\r", "")
    if _BASE64.fullmatch(plain):
        return None
    odd = re.search(r"[^A-Za-z0-9+/]", plain)
    return odd.start() if odd else len(plain) // 4 * 4


def _holds(shape: str, value: Any) -> bool:
    """Whether a JSON value has the type of a shape; true and false are no numbers."""
    return isinstance(value, _PYTHON_TYPES[shape]) and isinstance(value, bool) is (shape == "boolean")


class _Custom:
    """Walks a body along the structural schema of a custom kind."""

    def __init__(self, unknown: list[str]) -> None:
        self.unknown = unknown

    def top(self, node: Node, obj: Obj) -> Obj:
        """Read a whole object: its metadata as every kind's, the rest by its schema."""
        meta = obj.get("metadata")
        if meta is not None and not isinstance(meta, dict):
            raise BadRequest("metadata: expected an object")
        rest = {key: value for key, value in obj.items() if key not in {"apiVersion", "kind", "metadata"}}
        made = self.value(node, rest, "")
        read = _Typed(self.unknown).struct(named(OBJECT_META), meta or {}, "metadata", "metadata")
        return {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), "metadata": read, **made}

    def value(self, node: Node, value: Any, path: str) -> Any:
        """Read one value: fields that the schema doesn't know are dropped, the rest stays as it is."""
        if isinstance(value, dict) and node.shape in {"object", "map"}:
            if node.shape == "map":
                return {key: self.value(node.element, item, f"{path}.{key}") for key, item in value.items()}
            made = {}
            for key, item in value.items():
                part = node.fields.get(key)
                here = f"{path}.{key}" if path else key
                if part is None and not node.preserve:
                    if not (node.source.get("x-kubernetes-embedded-resource") and key in _EMBEDDED):
                        self.unknown.append(here)
                        continue
                elif part is not None and item is None and not part.nullable:
                    continue
                made[key] = self.value(part, item, here) if part is not None else item
            return made
        if isinstance(value, list) and node.shape == "list":
            return [self.value(node.element, item, f"{path}[{i}]") for i, item in enumerate(value)]
        return value


_EMBEDDED = frozenset({"apiVersion", "kind", "metadata"})


def written(node: Node) -> Obj:
    """Return what a type writes when nothing of it is set."""
    return _Typed([]).struct(node, {}, "-", "-")
