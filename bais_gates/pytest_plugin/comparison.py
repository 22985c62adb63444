"""How a check compares: plain values only, fail closed, no data is never a pass.

Values are first rebuilt of exact built-in types by the built-in type's own methods, so that a subclass with
an ``__eq__`` or ``__le__`` of its own has no say in the answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from bais_gates.verdict.model import JsonValue, Op

_MAX_DEPTH = 40


class NotComparable(TypeError):  # noqa: N818 - it reads as what it says about the value
    """A value that a check cannot hold: not made of None, bool, numbers, text, lists, sets and dicts."""


class UnusableLimit(ValueError):  # noqa: N818 - it reads as what it says about the value
    """A limit that no comparison can be made with: a mistake in the gate, not in what it observed."""


def plain(value: object, depth: int = 0) -> JsonValue:
    """Return ``value`` rebuilt from exact built-in types (tuples as lists, sets as sorted lists).

    Raises NotComparable for anything else, for keys that are not strings and for nesting over 40 deep.
    """
    if depth > _MAX_DEPTH:
        raise NotComparable(f"the value is nested deeper than {_MAX_DEPTH} levels")
    if value is None:
        return None
    for base, rebuild in _REBUILD:
        if issubclass(type(value), base):
            return rebuild(value, depth + 1)
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise NotComparable(f"a value of type {kind} cannot be compared; hand over numbers, text, lists or dicts")


def _rebuild_list(value: Any, depth: int) -> JsonValue:
    return [plain(part, depth) for part in list.__iter__(value)]


def _rebuild_tuple(value: Any, depth: int) -> JsonValue:
    return [plain(part, depth) for part in tuple.__iter__(value)]


def _rebuild_set(value: Any, depth: int) -> JsonValue:
    parts = set.__iter__(value) if isinstance(value, set) else frozenset.__iter__(value)
    return sorted((plain(part, depth) for part in parts), key=repr)


def _rebuild_dict(value: Any, depth: int) -> JsonValue:
    return {_key(key): plain(part, depth) for key, part in dict.items(value)}


# In this order, as bool is an int; each base's own method reads what is really there.
_REBUILD: tuple[tuple[type, Callable[[Any, int], JsonValue]], ...] = (
    (bool, lambda value, _depth: value is True),
    (str, lambda value, _depth: str.__str__(value)),
    (int, lambda value, _depth: int.__int__(value)),
    (float, lambda value, _depth: float.__float__(value)),
    (list, _rebuild_list),
    (tuple, _rebuild_tuple),
    (set, _rebuild_set),
    (frozenset, _rebuild_set),
    (dict, _rebuild_dict),
)


def _key(key: object) -> str:
    if not isinstance(key, str) or not issubclass(type(key), str):
        raise NotComparable(f"a dict key of type {type(key).__qualname__} cannot be compared; use text keys")
    return str.__str__(key)


def operator_of(text: object) -> Op:
    """Return the operator for its spelling; UnusableLimit for one that does not exist."""
    try:
        return Op(str(plain(text)))
    except (NotComparable, ValueError):
        known = " ".join(repr(op.value) for op in Op)
        raise UnusableLimit(f"no such operator; use one of {known}") from None


def has_data(observed: JsonValue, n: int | None, n_min: int | None) -> bool:
    """Return whether there is anything to compare: not None, not NaN or infinite, and enough samples."""
    if observed is None or (isinstance(observed, float) and not math.isfinite(observed)):
        return False
    if n is None:
        return n_min is None
    return n >= max(1, n_min if n_min is not None else 1)


def holds(observed: JsonValue, op: Op, limit: JsonValue) -> bool:
    """Return whether ``observed OP limit``, both plain.

    An observation of the wrong type is false, as the target gave it. Raises UnusableLimit when no observation
    could ever be compared with the limit.
    """
    if op in (Op.LE, Op.LT, Op.GE, Op.GT):
        return _ordered(observed, op, limit)
    if op is Op.EQ:
        return same(observed, limit)
    if op is Op.NE:
        return not same(observed, limit)
    if op is Op.IN:
        return _within(observed, limit)
    if op is Op.NOT_IN:
        return not _within(observed, limit)
    return _matches(observed, limit)


def _ordered(observed: JsonValue, op: Op, limit: JsonValue) -> bool:
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
        raise UnusableLimit(f"the limit of {op.value} must be a finite number")
    if isinstance(observed, bool) or not isinstance(observed, int | float):
        return False
    if op is Op.LE:
        return observed <= limit
    if op is Op.LT:
        return observed < limit
    return observed >= limit if op is Op.GE else observed > limit


def same(left: JsonValue, right: JsonValue) -> bool:
    """Return whether two plain values are equal as JSON is: 1 equals 1.0, but true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and left == right


def _within(observed: JsonValue, limit: JsonValue) -> bool:
    if isinstance(limit, str):
        if not isinstance(observed, str):
            raise UnusableLimit("only text can be looked for in text")
        return observed in limit
    if isinstance(limit, list):
        return any(same(observed, part) for part in limit)
    if isinstance(limit, dict):
        return any(same(observed, key) for key in limit)
    raise UnusableLimit("the limit of 'in' and 'not in' must be text, a list or a dict")


def _matches(observed: JsonValue, limit: JsonValue) -> bool:
    if not isinstance(limit, str):
        raise UnusableLimit("the limit of 'matches' must be a regular expression, as text")
    try:
        pattern = re.compile(limit)
    except re.error as error:
        raise UnusableLimit(f"the limit of 'matches' is not a regular expression: {error}") from None
    return isinstance(observed, str) and pattern.fullmatch(observed) is not None
