"""What a comparison proves, and what is refused as it would prove nothing."""

from __future__ import annotations

import json
import re
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.verdict.comparison import NotComparable, UnusableLimit, compare, plain, same
from bais_gates.verdict.model import JsonValue, Op

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
PATTERNS = st.text(alphabet="ab.*+?|()^$\\d", max_size=6)


def others(observed: JsonValue, limit: JsonValue) -> Iterator[JsonValue]:
    """Yield observations of the same type as ``observed`` that may break a limit."""
    known = [limit, *(limit if isinstance(limit, list | dict) else ())]
    if isinstance(observed, bool):
        yield from (True, False)
    elif isinstance(observed, int | float):
        sizes = [abs(one) for one in known if isinstance(one, int | float)]
        yield from (0, *(one for one in known if isinstance(one, int | float)))
        yield from (int(max(sizes, default=0)) + 1, -int(max(sizes, default=0)) - 1)
    elif isinstance(observed, str):
        texts = [one for one in known if isinstance(one, str)]
        yield from ("", *texts, max(texts, key=len, default="") + "x")
    elif isinstance(observed, list):
        yield from (*(one for one in known if isinstance(one, list)), [], [limit, 1])
    elif isinstance(observed, dict):
        yield from (*(one for one in known if isinstance(one, dict)), {}, {"a": 1, "b": 2}, {"c": 1})


@given(JSON, st.sampled_from(sorted(set(Op) - {Op.MATCHES})), JSON | st.lists(st.booleans()))
def test_a_check_that_holds_could_have_failed(observed: JsonValue, op: Op, limit: JsonValue) -> None:
    """For each check that holds there is an observation of the same type for which it is false."""
    try:
        held = compare(observed, op, limit)
    except UnusableLimit:
        return
    if held:
        assert not all(_holds(other, op, limit) for other in others(observed, limit))


def _holds(observed: JsonValue, op: Op, limit: JsonValue) -> bool:
    try:
        return compare(observed, op, limit) is not False
    except UnusableLimit:  # what is refused holds for every observation
        return True


@given(st.text(), PATTERNS)
def test_a_pattern_that_holds_demands_something(observed: str, pattern: str) -> None:
    """A pattern that is accepted is not met by nothing at all."""
    try:
        held = compare(observed, Op.MATCHES, pattern)
    except UnusableLimit:
        return
    assert held is (re.fullmatch(pattern, observed) is not None)
    assert compare("", Op.MATCHES, pattern) is False


@pytest.mark.parametrize(
    ("observed", "op", "limit"),
    [
        ("", "in", "text"),
        ("", "in", ""),
        ("x", "not in", ""),
        ("x", "not in", []),
        (3, "not in", {}),
        (3, "not in", {"a": 1}),
        (3, "not in", ["a", None]),
        (True, "not in", [1, 0]),
        ([], "not in", ["a"]),
        (3, "!=", None),
        (3, "!=", float("nan")),
        (3, "!=", "3"),
        (0, "!=", False),
        ([1], "!=", [None]),
        ({"a": 1}, "!=", []),
        (True, "in", [True, False]),
        ("x", "matches", ".*"),
        ("x", "matches", r"(?s)[\s\S]*"),
        ("x", "matches", "|.+"),
    ],
)
def test_what_holds_for_everything(observed: JsonValue, op: str, limit: JsonValue) -> None:
    """A check that no observation of its type could make false is refused."""
    with pytest.raises(UnusableLimit, match="proves nothing"):
        compare(observed, Op(op), limit)


@pytest.mark.parametrize(
    ("observed", "op", "limit", "expected"),
    [
        ([], "==", [], True),
        ([], "!=", [1], True),
        ([1], "in", [[1], [None]], True),
        ("a", "in", ["a", None], True),
        (3, "not in", [None, 4], True),
        (True, "in", [True], True),
        (-1, ">=", 0, False),
        (0, ">=", 0, True),
        ("x", "in", [], False),
        ([None], "==", [None], None),
        ({"a": [{"b": float("inf")}]}, "!=", {}, None),
    ],
)
def test_what_proves_something(observed: JsonValue, op: str, limit: JsonValue, expected: bool | None) -> None:
    """What some observation would break is compared; what holds None, NaN or infinity is no data."""
    assert compare(observed, Op(op), limit) is expected


def test_scalars_of_numpy_are_plain_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An integer or truth value of numpy is what its item() is, at any depth; a moment is no number."""

    class Scalar:
        def __init__(self, value: object) -> None:
            self._value = value

        def item(self) -> object:
            return self._value

    with pytest.raises(NotComparable):
        plain(Scalar(5))
    numpy = SimpleNamespace(
        generic=Scalar, dtype=lambda kind: SimpleNamespace(kind="i" if kind is Scalar else "M")
    )
    monkeypatch.setitem(sys.modules, "numpy", numpy)

    assert plain([Scalar(5), {"a": Scalar(value=True)}]) == [5, {"a": True}]
    with pytest.raises(NotComparable):
        plain(type("Moment", (Scalar,), {})(5))
    with pytest.raises(NotComparable):
        plain(Scalar(1j))


@pytest.mark.parametrize("number", [10**308, 10**309, -(10**309), [10**5000]])
def test_a_number_that_no_float_holds(number: JsonValue) -> None:
    """What a float could hold is compared; a larger number is refused, also one without a text in JSON."""
    if number == 10**308:
        assert compare(plain(number), Op.LE, plain(number)) is True
    else:
        with pytest.raises(NotComparable, match=r"beyond 1\.8e\+308"):
            plain(number)


@given(JSON)
def test_plain_values_are_what_they_were(value: object) -> None:
    """What is plain already stays equal to itself, and only to itself."""
    assert same(plain(value), plain(value))
    assert json.dumps(plain(value)) == json.dumps(value)


@given(JSON, JSON)
def test_equality_is_symmetric(left: object, right: object) -> None:
    """Neither side of a comparison has more of a say."""
    assert same(plain(left), plain(right)) == same(plain(right), plain(left))
