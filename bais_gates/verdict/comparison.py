"""How a check compares: plain values only, fail closed, no data is never a pass.

Values are first rebuilt of exact built-in types by the built-in type's own methods, so that a subclass with
an ``__eq__`` or ``__le__`` of its own has no say in the answer.

A check that no observation could make false proves nothing, so it is refused. Possible observations are all
values of the observed one's type (number, text, truth value, list or dict) that hold data. For each operator
there must be one among them for which the check is false:

======================  ==================================  ================================================
operator                false for                           refused, as nothing makes it false
======================  ==================================  ================================================
``< <= > >=``           a number beyond the limit           nothing
``==``                  any other value                     nothing
``!=``                  the limit                           a limit of another type, or with a None in it
``in`` a list or dict   a value that is not in it           true and false both in the list
``in`` a text           a text that is not part of it       an empty text, which is part of every text
``not in``              a value that is in it               none of the observed one's type in it
``matches``             the empty text                      a pattern that the empty text matches
======================  ==================================  ================================================

A number does not show that it is a size, so ``len(rows) >= 0`` is not refused: a balance may be negative.
Whether a pattern matches every text can't be computed; the empty text is the one that says nothing.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from typing import Any, cast

from bais_gates.verdict.model import JsonValue, Op

_MAX_DEPTH = 40
_LARGEST = sys.float_info.max  # few readers of JSON take a larger number
_SCALARS = "biuf"
"""The kinds of numpy's scalars that are truth values and numbers; its moments are none, NaT least of all."""


class NotComparable(TypeError):  # noqa: N818 - it reads as what it says about the value
    """A value that a check cannot hold: not made of None, bool, numbers, text, lists, sets and dicts."""


class UnusableLimit(ValueError):  # noqa: N818 - it reads as what it says about the value
    """A limit that no comparison can be made with, or one that every observation would meet."""


def plain(value: object, depth: int = 0) -> JsonValue:
    """Return ``value`` rebuilt from exact built-in types (tuples as lists, sets as sorted lists).

    Raises NotComparable for anything else, for keys that are not strings and for nesting over 40 deep.
    """
    if depth > _MAX_DEPTH:
        raise NotComparable(f"the value is nested deeper than {_MAX_DEPTH} levels")
    kind: Any = type(value)  # compared by identity, which asks no class of a gate
    if kind is str or kind is float or kind is bool or value is None:
        return cast("JsonValue", value)
    if kind is int:
        return _rebuild_int(value, depth)
    for base, rebuild in _REBUILD:
        if issubclass(type(value), base):
            return rebuild(value, depth + 1)
    numpy = sys.modules.get("numpy")  # whose integers and truth values are none of Python's
    if (
        numpy is not None
        and issubclass(type(value), numpy.generic)
        and numpy.dtype(type(value)).kind in _SCALARS
    ):
        return plain(numpy.generic.item(value), depth + 1)
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    raise NotComparable(f"a value of type {name} cannot be compared; hand over numbers, text, lists or dicts")


def _rebuild_int(value: Any, _depth: int) -> JsonValue:
    number = int.__int__(value)
    if -_LARGEST <= number <= _LARGEST:
        return number
    raise NotComparable(f"a number beyond {_LARGEST:.1e} cannot be compared; hand over text")


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
    (int, _rebuild_int),
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


def compare(
    observed: JsonValue, op: Op, limit: JsonValue, *, n: int | None = None, n_min: int | None = None
) -> bool | None:
    """Return whether ``observed OP limit``, both plain; None when there is too little data.

    An observation of a type that cannot be ordered or matched is false, as the target gave it. Raises
    UnusableLimit when no observation could be compared with the limit, or every one would meet it.
    """
    test = _TESTS[op](limit)
    if not has_data(observed, n, n_min):
        return None
    _require_falsifiable(observed, op, limit)
    return test(observed)


def has_data(observed: JsonValue, n: int | None, n_min: int | None) -> bool:
    """Return whether there is anything to compare: nothing missing in the value, and enough samples."""
    if not _is_whole(observed):
        return False
    if n is None:
        return n_min is None
    return n >= max(1, n_min if n_min is not None else 1)


def _is_whole(value: JsonValue, depth: int = 0) -> bool:
    """Return whether a value is free of None, NaN and infinity, at any depth."""
    if isinstance(value, list | dict):
        parts = value.values() if isinstance(value, dict) else value
        return depth <= _MAX_DEPTH and all(_is_whole(part, depth + 1) for part in parts)
    return value is not None and (not isinstance(value, float) or math.isfinite(value))


def _require_falsifiable(observed: JsonValue, op: Op, limit: JsonValue) -> None:
    """Raise UnusableLimit for a check that holds for every possible observation of this type."""
    if op is not Op.NE and op is not Op.NOT_IN and op is not Op.IN:
        return
    kind = _kind(observed)
    if op is Op.NE:
        proves = _kind(limit) == kind and _is_whole(limit)
    elif op is Op.NOT_IN:
        parts = [limit] if isinstance(limit, str) else list(limit)  # type: ignore[arg-type]  # _within looked
        proves = any(_kind(part) == kind and _is_whole(part) for part in parts) and limit != ""
    elif op is Op.IN and isinstance(limit, str):
        proves = observed != ""
    elif op is Op.IN and isinstance(limit, list):
        proves = kind != _kind(True) or not (_within(limit)(True) and _within(limit)(False))  # noqa: FBT003
    else:
        return
    if not proves:
        every = (
            "the empty text is part of every text"
            if op is Op.IN and observed == ""
            else (f"every {kind} is {op.value} this limit")
        )
        raise UnusableLimit(
            f"{every}, so the check proves nothing; compare with what some {kind} does not meet"
        )


def _kind(value: JsonValue) -> str:
    return next(name for base, name in _KINDS if isinstance(value, base))


_KINDS: tuple[tuple[type, str], ...] = (
    (type(None), "None"),
    (bool, "truth value"),
    (int, "number"),
    (float, "number"),
    (str, "text"),
    (list, "list"),
    (dict, "dict"),
)


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


_Test = Callable[[JsonValue], bool]


def _ordered(op: Op, order: Callable[[float, float], bool]) -> Callable[[JsonValue], _Test]:
    def with_limit(limit: JsonValue) -> _Test:
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
            raise UnusableLimit(f"the limit of {op.value} must be a finite number")
        return lambda observed: (
            isinstance(observed, int | float) and not isinstance(observed, bool) and order(observed, limit)
        )

    return with_limit


def _within(limit: JsonValue) -> _Test:
    if isinstance(limit, str):
        return lambda observed: _text(observed) in limit
    if isinstance(limit, list | dict):
        return lambda observed: any(same(observed, part) for part in limit)
    raise UnusableLimit("the limit of 'in' and 'not in' must be text, a list or a dict")


def _text(observed: JsonValue) -> str:
    if not isinstance(observed, str):
        raise UnusableLimit("only text can be looked for in text")
    return observed


def _matches(limit: JsonValue) -> _Test:
    if not isinstance(limit, str):
        raise UnusableLimit("the limit of 'matches' must be a regular expression, as text")
    try:
        pattern = re.compile(limit)
    except re.error as error:
        raise UnusableLimit(f"the limit of 'matches' is not a regular expression: {error}") from None
    if pattern.fullmatch(""):
        text = "the pattern of 'matches' holds for the empty text, so the check proves nothing"
        raise UnusableLimit(f"{text}; demand at least one character, e.g. by + instead of *")
    return lambda observed: isinstance(observed, str) and pattern.fullmatch(observed) is not None


def _negated(test: Callable[[JsonValue], _Test]) -> Callable[[JsonValue], _Test]:
    def with_limit(limit: JsonValue) -> _Test:
        holds = test(limit)
        return lambda observed: not holds(observed)

    return with_limit


def _equal(limit: JsonValue) -> _Test:
    return lambda observed: same(observed, limit)


# By operator: what takes a limit, refuses it if nothing can be compared with it, and tests observations.
_TESTS: dict[Op, Callable[[JsonValue], _Test]] = {
    Op.LE: _ordered(Op.LE, lambda observed, limit: observed <= limit),
    Op.LT: _ordered(Op.LT, lambda observed, limit: observed < limit),
    Op.GE: _ordered(Op.GE, lambda observed, limit: observed >= limit),
    Op.GT: _ordered(Op.GT, lambda observed, limit: observed > limit),
    Op.EQ: _equal,
    Op.NE: _negated(_equal),
    Op.IN: _within,
    Op.NOT_IN: _negated(_within),
    Op.MATCHES: _matches,
}
