"""Custom objects against the schema of their CustomResourceDefinition.

Judged are types, required fields, enumerations, bounds, lengths, patterns, moments and the keys of lists.
Other keywords (``anyOf``, ``x-kubernetes-validations``, ...) are kept and not judged.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import (
    REQUIRED,
    TYPE_INVALID,
    Cause,
    duplicate,
    invalid,
    not_supported,
    too_long,
)
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_UNCHECKED = frozenset({"apiVersion", "kind", "metadata"})


def causes(kind: Kind, obj: Obj) -> list[Cause]:
    """Return what is wrong with a custom object."""
    schema = ((kind.definition or {}).get("schema") or {}).get("openAPIV3Schema") or {}
    rest = {key: value for key, value in obj.items() if key not in _UNCHECKED}
    wanted = [key for key in schema.get("required", ()) if key not in _UNCHECKED]
    return _check({**schema, "required": wanted}, rest, "")


def _check(schema: Obj, value: Any, field: str) -> list[Cause]:
    if value is None and schema.get("nullable"):
        return []
    kind = "integer,string" if schema.get("x-kubernetes-int-or-string") else schema.get("type") or ""
    if kind and not any(_fits(value, each) for each in kind.split(",")):
        got = next((name for name in _TYPES if _fits(value, name)), "null")
        message = f'Invalid value: "{got}": {field} in body must be of type {kind}: "{got}"'
        return [Cause(reason=TYPE_INVALID, message=message, field=field)]
    choices = schema.get("enum")
    violations = [] if choices is None or value in choices else [not_supported(field, value, choices)]
    if isinstance(value, dict):
        return violations + _object(schema, value, field)
    if isinstance(value, list):
        return violations + _array(schema, value, field)
    if isinstance(value, str):
        return violations + _text(schema, value, field)
    return violations + _number(schema, value, field)


def _fits(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and isinstance(value, bool) is (kind == "boolean")


def _object(schema: Obj, value: Obj, field: str) -> list[Cause]:
    inside = f"{field}." if field else ""
    violations = [
        Cause(reason=REQUIRED, message="Required value", field=inside + key)
        for key in schema.get("required") or ()
        if key not in value
    ]
    props, more = schema.get("properties") or {}, schema.get("additionalProperties")
    for key in sorted(value):
        part = props.get(key, more)
        if isinstance(part, dict):
            violations += _check(part, value[key], inside + key)
    return violations


def _array(schema: Obj, value: list[Any], field: str) -> list[Cause]:
    violations: list[Cause] = []
    least = schema.get("minItems")
    if least is not None and len(value) < least:
        violations.append(invalid(field, len(value), f"{field} in body should have at least {least} items"))
    for index, item in enumerate(value):
        violations += _check(schema.get("items") or {}, item, f"{field}[{index}]")
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or ()
    seen: list[Any] = []
    for index, item in enumerate(value if list_type in {"map", "set"} else ()):
        keyed = list_type == "map" and isinstance(item, dict)
        identity = {key: item[key] for key in keys if key in item} if keyed else item
        if identity in seen:
            violations.append(duplicate(f"{field}[{index}]", identity))
        seen.append(identity)
    return violations


def _text(schema: Obj, value: str, field: str) -> list[Cause]:
    violations: list[Cause] = []
    low, high, pattern = schema.get("minLength"), schema.get("maxLength"), schema.get("pattern")
    if low is not None and len(value) < low:
        violations.append(invalid(field, value, f"{field} in body should be at least {low} chars long"))
    if high is not None and len(value) > high:
        violations.append(too_long(field, high))
    if pattern is not None and not re.search(pattern, value):
        violations.append(invalid(field, value, f"{field} in body should match '{pattern}'"))
    if schema.get("format") == "date-time" and not _is_moment(value):
        message = f'{field} in body must be of type date-time: "{value}"'
        violations.append(invalid(field, value, message))
    return violations


def _is_moment(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _number(schema: Obj, value: Any, field: str) -> list[Cause]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and value < low:
        return [invalid(field, value, f"{field} in body should be greater than or equal to {low}")]
    if high is not None and value > high:
        return [invalid(field, value, f"{field} in body should be less than or equal to {high}")]
    return []
