"""Custom objects against the structural schema of their CustomResourceDefinition."""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import (
    INVALID,
    NOT_SUPPORTED,
    REQUIRED,
    TOO_LONG,
    TOO_MANY,
    TYPE_INVALID,
    Cause,
    duplicate,
    invalid,
    shown,
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
    """Return what is wrong with a custom object: types, required fields, enumerations, bounds, formats."""
    schema = ((kind.definition or {}).get("schema") or {}).get("openAPIV3Schema") or {}
    props = {key: part for key, part in schema.get("properties", {}).items() if key not in _UNCHECKED}
    rest = {key: value for key, value in obj.items() if key not in _UNCHECKED}
    needed = [key for key in schema.get("required", ()) if key not in _UNCHECKED]
    return _check({**schema, "properties": props, "required": needed}, rest, "")


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for name in ("string", "integer", "number", "array", "object"):
        if isinstance(value, _TYPES[name]):
            return name
    return "unknown"


def _fits(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, (object,)))


def _check(schema: Obj, value: Any, field: str) -> list[Cause]:  # noqa: PLR0911  # one return for each type
    name = field or "<nil>"
    if value is None and schema.get("nullable"):
        return []
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, (int, str)) or isinstance(value, bool):
            return [_typed(name, value, "integer,string")]
    elif kind and not _fits(value, kind):
        return [_typed(name, value, kind)]
    found = _enumerated(schema, value, name)
    found += _combined(schema, value, field)
    if isinstance(value, dict):
        return found + _object(schema, value, field)
    if isinstance(value, list):
        return found + _array(schema, value, field)
    if isinstance(value, str):
        return found + _text(schema, value, name)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return found + _number(schema, value, name)
    return found


def _typed(name: str, value: Any, wanted: str) -> Cause:
    got = _kind_of(value)
    message = f'Invalid value: "{got}": {name} in body must be of type {wanted}: "{got}"'
    return Cause(reason=TYPE_INVALID, message=message, field=name)


def _enumerated(schema: Obj, value: Any, name: str) -> list[Cause]:
    choices = schema.get("enum")
    if choices is None or value in choices:
        return []
    said = ", ".join(shown(choice) for choice in choices)
    message = f"Unsupported value: {shown(value)}: supported values: {said}"
    return [Cause(reason=NOT_SUPPORTED, message=message, field=name)]


def _combined(schema: Obj, value: Any, field: str) -> list[Cause]:
    found: list[Cause] = []
    name = field or "<nil>"
    for part in schema.get("allOf") or ():
        found += _check(part, value, field)
    some = schema.get("anyOf")
    if (
        some
        and not schema.get("x-kubernetes-int-or-string")
        and all(_check(part, value, field) for part in some)
    ):
        found.append(
            invalid(name, _brief(value), f"{name} in body must validate at least one schema (anyOf)")
        )
    one = schema.get("oneOf")
    if one and sum(not _check(part, value, field) for part in one) != 1:
        found.append(
            invalid(name, _brief(value), f"{name} in body must validate one and only one schema (oneOf)")
        )
    if schema.get("not") and not _check(schema["not"], value, field):
        found.append(invalid(name, _brief(value), f"{name} in body must not validate the schema (not)"))
    return found


def _brief(value: Any) -> Any:
    return _kind_of(value) if isinstance(value, (dict, list)) else value


def _object(schema: Obj, value: Obj, field: str) -> list[Cause]:
    missing = [key for key in schema.get("required") or () if key not in value]
    found = [Cause(reason=REQUIRED, message="Required value", field=_join(field, key)) for key in missing]
    low, high = schema.get("minProperties"), schema.get("maxProperties")
    if low is not None and len(value) < low:
        found.append(
            invalid(
                field or "<nil>", value, f"{field or '<nil>'} in body should have at least {low} properties"
            )
        )
    if high is not None and len(value) > high:
        message = f"Too many: {len(value)}: must have at most {high} items"
        found.append(Cause(reason=TOO_MANY, message=message, field=field or "<nil>"))
    props, more = schema.get("properties") or {}, schema.get("additionalProperties")
    for key in sorted(value):
        if key in props:
            found += _check(props[key], value[key], _join(field, key))
        elif isinstance(more, dict):
            found += _check(more, value[key], _join(field, key))
    return found


def _join(field: str, key: str) -> str:
    return f"{field}.{key}" if field else key


def _array(schema: Obj, value: list[Any], field: str) -> list[Cause]:
    found: list[Cause] = []
    low, high = schema.get("minItems"), schema.get("maxItems")
    if low is not None and len(value) < low:
        found.append(invalid(field, len(value), f"{field} in body should have at least {low} items"))
    if high is not None and len(value) > high:
        message = f"Too many: {len(value)}: must have at most {high} items"
        found.append(Cause(reason=TOO_MANY, message=message, field=field))
    items = schema.get("items")
    if isinstance(items, dict):
        for index, item in enumerate(value):
            found += _check(items, item, f"{field}[{index}]")
    return found + _uniqueness(schema, value, field)


def _uniqueness(schema: Obj, value: list[Any], field: str) -> list[Cause]:
    kind, found = schema.get("x-kubernetes-list-type"), []
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    seen: list[Any] = []
    for index, item in enumerate(value):
        if kind == "map" and isinstance(item, dict):
            identity: Any = {key: item[key] for key in keys if key in item}
        elif kind == "set":
            identity = item
        else:
            return []
        if identity in seen:
            found.append(duplicate(f"{field}[{index}]", identity))
        seen.append(identity)
    return found


def _text(schema: Obj, value: str, name: str) -> list[Cause]:
    found: list[Cause] = []
    low, high, pattern = schema.get("minLength"), schema.get("maxLength"), schema.get("pattern")
    if low is not None and len(value) < low:
        found.append(invalid(name, value, f"{name} in body should be at least {low} chars long"))
    if high is not None and len(value) > high:
        message = f"Too long: may not be more than {high} bytes"
        found.append(Cause(reason=TOO_LONG, message=message, field=name))
    if pattern is not None and not re.search(pattern, value):
        found.append(invalid(name, value, f"{name} in body should match '{pattern}'"))
    form = schema.get("format")
    if form and not _formatted(form, value):
        message = f"Invalid value: {shown(value)}: {name} in body must be of type {form}: {shown(value)}"
        found.append(
            Cause(reason=INVALID if form not in _FORMATS else TYPE_INVALID, message=message, field=name)
        )
    return found


_DURATION = re.compile(
    r"^[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*$"
)
_FORMATS = frozenset({"date-time", "date", "ipv4", "ipv6", "duration", "uuid", "email", "hostname"})


def _formatted(form: str, value: str) -> bool:
    try:
        if form == "date-time":
            datetime.fromisoformat(value)
            return ("T" in value and value[-1:] == "Z") or "+" in value[10:] or "-" in value[10:]
        if form == "date":
            datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=None)  # noqa: DTZ007  # a date has no zone
        elif form == "ipv4":
            ipaddress.IPv4Address(value)
        elif form == "ipv6":
            ipaddress.IPv6Address(value)
    except ValueError:
        return False
    return bool(_DURATION.match(value) or value == "0") if form == "duration" else True


def _number(schema: Obj, value: float, name: str) -> list[Cause]:
    found: list[Cause] = []
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        than = "than" if schema.get("exclusiveMinimum") else "than or equal to"
        found.append(invalid(name, value, f"{name} in body should be greater {than} {shown(low)}"))
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        than = "than" if schema.get("exclusiveMaximum") else "than or equal to"
        found.append(invalid(name, value, f"{name} in body should be less {than} {shown(high)}"))
    if step and value % step:
        found.append(invalid(name, value, f"{name} in body should be a multiple of {shown(step)}"))
    bounds = {"int32": 2**31, "int64": 2**63}.get(schema.get("format", ""))
    if bounds and not -bounds <= value < bounds:
        found.append(
            invalid(name, value, f"{name} in body must be of type {schema['format']}: {shown(value)}")
        )
    return found
