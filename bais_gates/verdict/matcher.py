"""A JSON Schema compiled to a quick yes or no.

Nearly every value that is read matches its schema, so that the question "does it?" should cost little;
``schema`` finds out where the others do not, and has the last word.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, Final

from bais_gates.verdict.codec import parse_moment

_Check = Callable[[Any], bool]
_Compiler = Callable[[Mapping[str, Any]], _Check]
Matcher = Mapping[type, _Check | None]
"""By the exact type of a value: what else must hold of it, None for nothing. Other types do not match."""

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (NoneType,),
}
_ANNOTATIONS: Final = frozenset({"$schema", "$id", "$defs", "title", "description", "default", "type"})


def compile_schema(schema: Mapping[str, Any]) -> Matcher:
    """Return the matcher of a schema without references; raise ValueError for a keyword it does not know."""
    unknown = schema.keys() - _ANNOTATIONS - {keyword for checks in _KEYWORDS.values() for keyword in checks}
    if unknown:
        raise ValueError(f"no matcher for {', '.join(sorted(unknown))}")
    wanted = schema.get("type", list(_TYPES))
    kinds = {kind for name in ([wanted] if isinstance(wanted, str) else wanted) for kind in _TYPES[name]}
    return {kind: _check_of(kind, schema) for kind in kinds}


def matches(matcher: Matcher, value: object) -> bool:
    """Return whether a value surely matches; False for what only a full validation can tell."""
    check = matcher.get(type(value), _never)
    return check is None or check(value)


def _never(_value: object) -> bool:
    return False


def _check_of(kind: type, schema: Mapping[str, Any]) -> _Check | None:
    known = {**_KEYWORDS[kind], **_KEYWORDS[object]}
    compilers = dict.fromkeys(known[keyword] for keyword in schema if keyword in known)
    checks = [compiler(schema) for compiler in compilers]
    return functools.reduce(_both, checks) if checks else None


def _both(first: _Check, second: _Check) -> _Check:
    return lambda value: first(value) and second(value)


def _properties(schema: Mapping[str, Any]) -> _Check:
    parts = {name: compile_schema(part) for name, part in schema.get("properties", {}).items()}
    more = schema.get("additionalProperties", True)
    others = {} if more is False else compile_schema({} if more is True else more)

    def check(value: dict[str, object]) -> bool:
        for name, part in value.items():  # `matches`, written out where most of the time is spent
            of_part = parts.get(name, others).get(type(part), _never)
            if of_part is not None and not of_part(part):
                return False
        return True

    return check


def _required(schema: Mapping[str, Any]) -> _Check:
    names = frozenset(schema["required"])
    return lambda value: names <= value.keys()


def _property_names(schema: Mapping[str, Any]) -> _Check:
    matcher = compile_schema(schema["propertyNames"])
    return lambda value: all(matches(matcher, name) for name in value)


def _items(schema: Mapping[str, Any]) -> _Check:
    matcher = compile_schema(schema["items"])

    def check(value: list[object]) -> bool:
        for item in value:  # noqa: SIM110 - as in _properties; most lists are empty, and cost no generator
            if not matches(matcher, item):
                return False
        return True

    return check


def _contains(schema: Mapping[str, Any]) -> _Check:
    matcher = compile_schema(schema["contains"])
    return lambda value: any(matches(matcher, item) for item in value)


def _unique(schema: Mapping[str, Any]) -> _Check:
    if schema["uniqueItems"] is not True:
        return _never
    return lambda value: all(type(item) is str for item in value) and len(set(value)) == len(value)


def _all_of(schema: Mapping[str, Any]) -> _Check:
    matchers = [compile_schema(part) for part in schema["allOf"]]
    return lambda value: all(matches(matcher, value) for matcher in matchers)


def _one_of(schema: Mapping[str, Any]) -> _Check:
    by_type: dict[type, _Check | None] = {}
    for part in map(compile_schema, schema["oneOf"]):
        if by_type.keys() & part.keys():
            raise ValueError("no matcher for alternatives of the same type")
        by_type |= part
    return lambda value: matches(by_type, value)


def _enum(schema: Mapping[str, Any]) -> _Check:
    by_type = {kind: frozenset(each for each in schema["enum"] if type(each) is kind) for kind in (str, int)}
    return lambda value: value in by_type.get(type(value), ())


def _const(schema: Mapping[str, Any]) -> _Check:
    return _enum({"enum": [schema["const"]]})


def _pattern(schema: Mapping[str, Any]) -> _Check:
    search = re.compile(schema["pattern"]).search
    return lambda value: search(value) is not None


def _moment(schema: Mapping[str, Any]) -> _Check:
    if schema["format"] != "date-time":
        return _never

    def check(value: str) -> bool:
        try:
            parse_moment(value)
        except ValueError:
            return False
        return True

    return check


def _size(keyword: str, holds: Callable[[int, int], bool]) -> _Compiler:
    def compile_size(schema: Mapping[str, Any]) -> _Check:
        bound = schema[keyword]
        return lambda value: holds(len(value), bound)

    return compile_size


def _bound(keyword: str, holds: Callable[[float, float], bool]) -> _Compiler:
    def compile_bound(schema: Mapping[str, Any]) -> _Check:
        bound = schema[keyword]
        return lambda value: holds(value, bound)

    return compile_bound


_BOUNDS: Final[Mapping[str, _Compiler]] = {
    "minimum": _bound("minimum", operator.ge),
    "maximum": _bound("maximum", operator.le),
    "exclusiveMinimum": _bound("exclusiveMinimum", operator.gt),
}
_KEYWORDS: Final[Mapping[type, Mapping[str, _Compiler]]] = {
    object: {"enum": _enum, "const": _const, "oneOf": _one_of, "allOf": _all_of},
    dict: {
        "properties": _properties,
        "additionalProperties": _properties,
        "required": _required,
        "propertyNames": _property_names,
        "minProperties": _size("minProperties", operator.ge),
        "maxProperties": _size("maxProperties", operator.le),
    },
    list: {
        "items": _items,
        "contains": _contains,
        "uniqueItems": _unique,
        "minItems": _size("minItems", operator.ge),
        "maxItems": _size("maxItems", operator.le),
    },
    str: {
        "pattern": _pattern,
        "format": _moment,
        "minLength": _size("minLength", operator.ge),
        "maxLength": _size("maxLength", operator.le),
    },
    int: _BOUNDS,
    float: _BOUNDS,
    bool: {},
    NoneType: {},
}
"""What compiles each keyword, by the type of the values that it is about; ``object``: about all."""
