"""Laws of the analysis, held against a small evaluator: what it says can't be never is."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bais_gates.monitoring import promql
from bais_gates.monitoring.analysis import (
    ANY,
    COMPARISONS,
    NONE,
    WIDE,
    Labels,
    Range,
    always_or_never,
    kind,
    possible_labels,
    value_range,
)

METRICS = {"a": frozenset({"x", "y"}), "b": frozenset({"y", "z"}), "c": frozenset()}
RANGES = {"a": Range(0.0, 5.0), "b": Range(-2.0, 2.0), "c": Range(1.0)}
SAMPLES = {"a": (0.0, 0.5, 5.0), "b": (-2.0, 0.0, 2.0), "c": (1.0, 1e9)}
Vector = list[tuple[dict[str, str], float]]

_leaf = st.sampled_from(["a", "b", "c", 'a{x="1"}'])
_numbers = st.sampled_from(["2", "-0.5", "0"])
_labels = st.sampled_from(["", "x", "y", "x, y", "y, z"])
_arithmetic = st.sampled_from(["+", "-", "*", "/"])
_comparisons = st.sampled_from([">", "<=", "!=", "== bool"])
_sets = st.sampled_from(["and", "or", "unless"])
_aggregations = st.sampled_from(["sum", "max", "min", "avg", "count", "stddev"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, _arithmetic, inner | _numbers),
        st.builds("({} {} {})".format, _numbers, _arithmetic | _comparisons, inner),
        st.builds("({} {} {})".format, inner, _comparisons, inner | _numbers),
        st.builds("({} {} on ({}) {})".format, inner, _sets | _arithmetic, _labels, inner),
        st.builds(
            "{} {} ({}) ({})".format, _aggregations, st.sampled_from(["by", "without"]), _labels, inner
        ),
        st.builds("{}{})".format, st.sampled_from(["abs(", "-(", "topk(1, "]), inner),
        st.builds('label_replace({}, "w", "v", "", "")'.format, inner),
    )


expressions = st.recursive(_leaf, _grown, max_leaves=4)


def evaluate(node: Any, world: dict[str, Vector]) -> Vector | float:
    """Return what Prometheus would: a number, or series; of series that fall together, any."""
    node = promql.bare(node)
    match kind(node):
        case "NumberLiteral":
            return float(node.val)
        case "VectorSelector":
            return _select(promql.selector(node), world)
        case "AggregateExpr":
            return _aggregate(node, world)
        case "BinaryExpr":
            return _operate(node, evaluate(node.lhs, world), evaluate(node.rhs, world))
    return _call(node, world)


def _call(node: Any, world: dict[str, Vector]) -> Vector:
    if kind(node) == "UnaryExpr":
        return [(labels, -value) for labels, value in _vector(node.expr, world)]
    inner = _vector(node.args[0], world)
    if node.func.name == "abs":
        return [(labels, abs(value)) for labels, value in inner]
    return [(labels | {"w": "v"}, value) for labels, value in inner]


def _select(selected: promql.Selector, world: dict[str, Vector]) -> Vector:
    wanted = {name: value for name, _, value in selected.matchers}
    return [one for one in world[selected.metric] if wanted.items() <= one[0].items()]


def _vector(node: Any, world: dict[str, Vector]) -> Vector:
    found = evaluate(node, world)
    return [({}, found)] if isinstance(found, float) else found


def _aggregate(node: Any, world: dict[str, Vector]) -> Vector:
    series, op = _vector(node.expr, world), str(node.op)
    if op == "topk":
        return sorted(series, key=lambda one: -one[1])[:1]
    names, by = set(node.modifier.labels), str(node.modifier.type).endswith("By")
    groups: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for labels, value in series:
        key = tuple(sorted(one for one in labels.items() if (one[0] in names) == by))
        groups.setdefault(key, []).append(value)
    functions: dict[str, Callable[[list[float]], float]] = {
        "sum": sum, "max": max, "min": min, "count": lambda values: float(len(values)),
        "avg": lambda values: sum(values) / len(values), "stddev": lambda values: max(values) - min(values),
    }  # fmt: skip
    return [(dict(key), functions[op](values)) for key, values in groups.items()]


def _divide(left: float, right: float) -> float:
    if right:
        return left / right
    return (
        math.nan if not left or math.isnan(left) else math.copysign(math.inf, left) * math.copysign(1, right)
    )


_OPERATORS: dict[str, Callable[[float, float], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": _divide,
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
    "!=": operator.ne, "==": operator.eq,
}  # fmt: skip


def _operate(node: Any, left: Vector | float, right: Vector | float) -> Vector | float:
    op = str(node.op)
    if isinstance(left, float) and isinstance(right, float):
        return float(_OPERATORS[op](left, right))
    pairs: Vector = []
    if isinstance(left, float) or isinstance(right, float):
        number, series = (left, right) if isinstance(left, float) else (right, left)
        for labels, value in series if isinstance(series, list) else []:
            sides = (number, value) if number is left else (value, number)
            pairs += _paired(node, labels, value, _OPERATORS[op](*sides))
        return pairs
    on = set(node.modifier.matching.labels) if node.modifier and node.modifier.matching else None

    def key(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
        return tuple(sorted(one for one in labels.items() if on is None or one[0] in on))

    ours, theirs = {key(labels) for labels, _ in left}, {key(labels) for labels, _ in right}
    if op == "or":
        return left + [one for one in right if key(one[0]) not in ours]
    if op in {"and", "unless"}:
        return [one for one in left if (key(one[0]) in theirs) == (op == "and")]
    for (labels, value), (others, other) in itertools.product(left, right):
        if key(labels) == key(others):
            kept = labels if on is None else {name: labels[name] for name in on if name in labels}
            pairs += _paired(node, kept, value, _OPERATORS[op](value, other))
    return pairs


def _paired(node: Any, labels: dict[str, str], value: float, found: Any) -> Vector:
    if not isinstance(found, bool):
        return [(labels, found)]
    if node.modifier is not None and node.modifier.return_bool:
        return [(labels, float(found))]
    return [(labels, value)] if found else []


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, Vector]:
    """Return some series of each metric: each with some of its labels, and values of its range."""
    world: dict[str, Vector] = {}
    for name, labels in METRICS.items():
        series = st.fixed_dictionaries({}, optional=dict.fromkeys(sorted(labels), st.sampled_from("12")))
        world[name] = draw(st.lists(st.tuples(series, st.sampled_from(SAMPLES[name])), max_size=3))
    return world


@settings(max_examples=150)
@given(text=expressions, world=worlds())
def test_what_is_evaluated_lies_within_what_is_possible(text: str, world: dict[str, Vector]) -> None:
    """Each value lies in the range, and each label is a possible one, whatever the samples."""
    tree = promql.parse(text)
    limits = value_range(tree, RANGES.__getitem__)
    labels = possible_labels(tree, lambda name: Labels(METRICS[name]))

    for found, value in _vector(tree, world):
        assert math.isnan(value) or limits.low - 1e-6 <= value <= limits.high + 1e-6, (text, limits)
        assert [name for name in found if name not in labels] == [], text


@given(
    low=st.floats(-9, 9),
    size=st.floats(0, 9),
    share=st.floats(0, 1),
    limit=st.integers(-9, 9),
    op=st.sampled_from(sorted(COMPARISONS)),
)
def test_always_and_never_hold_for_every_value(
    low: float, size: float, share: float, limit: float, op: str
) -> None:
    """What always holds is true of each value of the range, what never holds of none."""
    holds = always_or_never(Range(low, low + size), op, limit)

    for value in (low, low + size, min(low + share * size, low + size)):
        assert holds is None or _OPERATORS[op](value, limit) is holds


@given(
    names=st.tuples(*[st.frozensets(st.sampled_from("abc"))] * 3),
    is_open=st.tuples(st.booleans(), st.booleans()),
)
def test_labels_are_sets(names: tuple[frozenset[str], ...], is_open: tuple[bool, bool]) -> None:
    """A set of labels, also one of all but some, is joined, cut and grown as sets are."""
    one, other, some = Labels(names[0], open=is_open[0]), Labels(names[1], open=is_open[1]), names[2]
    for name in "abcd":
        assert (name in one.union(other)) == (name in one or name in other)
        assert (name in one.only(some)) == (name in one and name in some)
        assert (name in one.without(some)) == (name in one and name not in some)
        assert (name in one.plus(some)) == (name in one or name in some)


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("m", "job", "__name__"),
        ('m{job=""}', "pod", "job"),
        ("count_values by (a) ('b', m)", "a b", "job"),
        ("m * on (a) group_left (b) n", "a b job", ""),
        ("sum by (a) (m) * on (a) group_right (b) sum by (c) (m)", "b c", "d"),
        ("m / ignoring (a) n", "b", "a"),
        ("absent(up{a='b', c=~'d'})", "a", "c job"),
        ("absent(sum by (a) (m))", "", "a"),
        ("absent_over_time(up{a='b'}[5m])", "a", "job"),
        ("label_join(sum(m), ('d'), '-', 'a')", "d", "a"),
        ("histogram_quantile(scalar(q), sum by (a, le) (m))", "a", "le"),
        ("round(m, scalar(sum(n)))", "job", ""),
        ("topk(3, sum by (a) (m))", "a", "b"),
        ("vector(1) or sum by (a) (m)", "a", "b"),
        ("hour()", "", "job"),
        ("max_over_time(sum by (a) (m)[1h:1m])", "a", "b"),
        ("quantile_over_time(0.5, m[5m])", "job", ""),
    ],
)
def test_labels_by_example(text: str, yes: str, no: str) -> None:
    """The labels that an expression keeps are possible, those that it removes are not."""
    labels = possible_labels(promql.parse(text), lambda _name: None)

    assert [name for name in yes.split() if name not in labels] == []
    assert [name for name in no.split() if name in labels] == []
    assert "job" in ANY
    assert "job" not in NONE


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("1 - clamped", 0, 1),
        ("sum(clamped)", 0, math.inf),
        ("rate(m[5m]) * 8", 0, math.inf),
        ("quantile(0.9, clamped)", 0, 1),
        ("quantile(1.5, clamped)", -math.inf, math.inf),
        ("quantile_over_time(0.9, clamped[5m])", 0, 1),
        ("quantile_over_time(-1, clamped[5m])", -math.inf, math.inf),
        ("absent(m)", 1, 1),
        ("m > bool 1", 0, 1),
        ("0.5 < clamped", 0, 1),
        ("sum_over_time(clamped[5m])", 0, math.inf),
        ("clamped / m", -math.inf, math.inf),
        ("clamped / abs(m)", 0, math.inf),
        ("clamped / -2", -0.5, 0),
        ("-clamped", -1, 0),
        ("0 * m", -math.inf, math.inf),
        ("hour() + 1", 1, 24),
        ("time()", 0, math.inf),
        ("count(m)", 1, math.inf),
        ("avg_over_time(clamped[5m:1m])", 0, 1),
        ("Inf - m", -math.inf, math.inf),
        ("NaN", -math.inf, math.inf),
        ("m ^ 2", -math.inf, math.inf),
    ],
)
def test_ranges_by_example(text: str, low: float, high: float) -> None:
    """The range of an expression follows from its functions and from the ranges of its metrics."""
    found = value_range(promql.parse(text), lambda name: Range(0, 1) if name == "clamped" else WIDE)

    assert (found.low, found.high) == (low, high)
