"""How a check compares: plain values only, fail closed, no data is never a pass.

Values are first reduced to exact built-in types by the built-in type's own methods, so that a subclass with an
``__eq__`` or ``__le__`` of its own has no say in the answer.
"""

from __future__ import annotations

import math
import re

from bais_gates.verdict.model import JsonValue, Op

_MAX_DEPTH = 40


class NotComparable(TypeError):  # noqa: N818 - it reads as what it says about the value
    """A value that a check cannot hold: not made of None, bool, int, float, str, list, tuple, set and dict."""


class UnusableLimit(ValueError):  # noqa: N818 - it reads as what it says about the value
    """A limit that no comparison can be made with: a mistake in the gate, not in what it observed."""


def plain(value: object, depth: int = 0) -> JsonValue:
    """Return ``value`` rebuilt from exact built-in types (tuples as lists, sets as sorted lists).

    Raises NotComparable for anything else, for keys that are not strings and for nesting over 40 deep.
    """
    if depth > _MAX_DEPTH:
        raise NotComparable(f"the value is nested deeper than {_MAX_DEPTH} levels")
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value  # type: ignore[return-value] # these four exact types and None are all in JsonValue
    if issubclass(kind, str):
        return str.__str__(value)  # type: ignore[arg-type] # kind is a subclass of str
    if issubclass(kind, int):
        return int.__int__(value)  # type: ignore[arg-type] # kind is a subclass of int
    if issubclass(kind, float):
        return float.__float__(value)  # type: ignore[arg-type] # kind is a subclass of float
    if issubclass(kind, list):
        return [plain(part, depth + 1) for part in list.__iter__(value)]  # type: ignore[arg-type] # a list
    if issubclass(kind, tuple):
        return [plain(part, depth + 1) for part in tuple.__iter__(value)]  # type: ignore[arg-type] # a tuple
    if kind in (set, frozenset):
        return sorted((plain(part, depth + 1) for part in value), key=repr)  # type: ignore[attr-defined] # a set
    if issubclass(kind, dict):
        return {_key(key): plain(part, depth + 1) for key, part in dict.items(value)}  # type: ignore[call-overload] # a dict
    raise NotComparable(
        f"a value of type {kind.__module__}.{kind.__qualname__} cannot be compared; hand over numbers, text, lists or dicts"
    )


def _key(key: object) -> str:
    if not issubclass(type(key), str):
        raise NotComparable(f"a dict key of type {type(key).__qualname__} cannot be compared; use text keys")
    return str.__str__(key)  # type: ignore[arg-type] # checked above


def operator_of(text: object) -> Op:
    """Return the operator for its spelling; UnusableLimit for one that does not exist."""
    try:
        return Op(str.__str__(text))  # type: ignore[arg-type] # a non-string ends in the error below
    except (TypeError, ValueError):
        known = " ".join(repr(op.value) for op in Op)
        raise UnusableLimit(f"no such operator; use one of {known}") from None


def has_data(observed: JsonValue, n: int | None, n_min: int | None) -> bool:
    """Tell whether there is anything to compare: not None, not NaN or infinite, and enough samples."""
    if observed is None or (isinstance(observed, float) and not math.isfinite(observed)):
        return False
    if n is None:
        return n_min is None
    return n >= max(1, n_min if n_min is not None else 1)


def holds(observed: JsonValue, op: Op, limit: JsonValue) -> bool:
    """Tell whether ``observed OP limit``, both plain.

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
    """Tell whether two plain values are equal as JSON is: 1 equals 1.0, but true is not 1."""
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
