"""What an expression yields: which labels its series can have, and between which limits its values lie.

Both are over-approximations: a label that may be there is "possible", and a range contains every value that
Prometheus could compute from any samples. What lies outside can't occur, whatever is scraped. Source: the
PromQL documentation ("Operators": vector matching, aggregation; "Functions").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from bais_gates.monitoring import promql


@dataclass(frozen=True, slots=True)
class Labels:
    """A set of label names: ``names`` alone, or, if ``open``, every name but ``names``."""

    names: frozenset[str] = frozenset()
    open: bool = False

    def __contains__(self, name: str) -> bool:
        return (name in self.names) != self.open

    def only(self, names: Iterable[str]) -> Labels:
        """Return the labels of ``names`` that are in this set."""
        return Labels(frozenset(name for name in names if name in self))

    def without(self, names: Iterable[str]) -> Labels:
        """Return this set without ``names``."""
        taken = frozenset(names)
        return Labels(self.names | taken, open=True) if self.open else Labels(self.names - taken)

    def plus(self, names: Iterable[str]) -> Labels:
        """Return this set with ``names``."""
        added = frozenset(names)
        return Labels(self.names - added, open=True) if self.open else Labels(self.names | added)

    def union(self, other: Labels) -> Labels:
        """Return the labels that are in either set."""
        if self.open and other.open:
            return Labels(self.names & other.names, open=True)
        if self.open or other.open:
            wide, narrow = (self, other) if self.open else (other, self)
            return wide.plus(narrow.names)
        return Labels(self.names | other.names)


ANY: Final = Labels(frozenset({"__name__"}), open=True)
NONE: Final = Labels()
LabelsOf = Callable[[str], "Labels | None"]
"""Returns the labels of a metric; None if they are not known."""


def kind(node: Any) -> str:
    """Return the name of a node's type."""
    return type(node).__name__


def possible_labels(node: Any, of_metric: LabelsOf) -> Labels:
    """Return the labels that the result of an expression may have."""
    node = promql.bare(node)
    match kind(node):
        case "VectorSelector" | "MatrixSelector":
            vector = node if kind(node) == "VectorSelector" else node.vector_selector
            selected = promql.selector(vector)
            known = of_metric(selected.metric) or ANY
            absent = [name for name, op, value in selected.matchers if op == "=" and value == ""]
            return known.without(absent)
        case "AggregateExpr":
            return _of_aggregation(node, of_metric)
        case "BinaryExpr":
            return _of_operation(node, of_metric)
        case "Call":
            return _of_call(node, of_metric)
        case "UnaryExpr" | "SubqueryExpr":
            return possible_labels(node.expr, of_metric)
    return NONE


def _of_aggregation(node: Any, of_metric: LabelsOf) -> Labels:
    inner = possible_labels(node.expr, of_metric)
    if str(node.op) in {"topk", "bottomk", "limitk", "limit_ratio"}:
        return inner
    modifier, kept = node.modifier, NONE
    if modifier is not None:
        names = modifier.labels
        kept = inner.only(names) if str(modifier.type).endswith("By") else inner.without(names)
    if str(node.op) == "count_values" and kind(node.param) == "StringLiteral":
        kept = kept.plus([node.param.val])
    return kept


def _of_operation(node: Any, of_metric: LabelsOf) -> Labels:
    ours, theirs = possible_labels(node.lhs, of_metric), possible_labels(node.rhs, of_metric)
    op, modifier = str(node.op), node.modifier
    if op == "or" or is_scalar(node.lhs) or is_scalar(node.rhs):  # a number has no labels
        return ours.union(theirs)
    if op in {"and", "unless"} or modifier is None:
        return ours
    card = str(modifier.card).rpartition(".")[2]
    if card in {"ManyToOne", "OneToMany"}:
        many = ours if card == "ManyToOne" else theirs
        return many.plus(modifier.group_labels or ())
    if modifier.matching is None:
        return ours
    names = modifier.matching.labels
    return ours.only(names) if str(modifier.matching.type).endswith("Include") else ours.without(names)


def _of_call(node: Any, of_metric: LabelsOf) -> Labels:
    name, arguments = node.func.name, [promql.bare(one) for one in node.args]
    if name in {"absent", "absent_over_time"}:
        argument = arguments[0]
        if kind(argument) == "MatrixSelector":
            argument = argument.vector_selector
        if kind(argument) != "VectorSelector":
            return NONE
        matchers = promql.selector(argument).matchers
        return Labels(frozenset(one for one, op, _value in matchers if op == "="))
    if name == "info":  # adds the labels of whatever info metrics there are
        return ANY
    vectors = [one for one in arguments if kind(one) != "StringLiteral" and not is_scalar(one)]
    inner = possible_labels(vectors[0], of_metric) if vectors else NONE
    if (
        name in {"label_replace", "label_join", "histogram_quantiles"}
        and kind(arguments[1]) == "StringLiteral"
    ):
        inner = inner.plus([arguments[1].val])
    if name.startswith("histogram_quantile"):
        return inner.without(["le"])
    return inner


def is_scalar(node: Any) -> bool:
    """Return whether an expression is a number, not a vector."""
    node = promql.bare(node)
    match kind(node):
        case "NumberLiteral":
            return True
        case "UnaryExpr":
            return is_scalar(node.expr)
        case "BinaryExpr":
            return is_scalar(node.lhs) and is_scalar(node.rhs)
        case "Call":
            return str(node.func.return_type).endswith("Scalar")
    return False


@dataclass(frozen=True, slots=True)
class Range:
    """Every value v of an expression has ``low <= v <= high``."""

    low: float = -math.inf
    high: float = math.inf

    def covers(self, value: float) -> bool:
        """Return whether a value lies between the limits."""
        return self.low <= value <= self.high


WIDE: Final = Range()
NOT_NEGATIVE: Final = Range(0.0)
RangeOf = Callable[[str], Range]
"""Returns the range of a metric's samples."""
_KEEPING: Final = frozenset(
    {
        "vector",
        "scalar",
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "last_over_time",
        "first_over_time",
    }
    | {"sort", "sort_desc", "sort_by_label", "sort_by_label_desc", "label_replace", "label_join"}
)
_AGGREGATIONS: Final = {
    "count": Range(1.0),
    "count_values": Range(1.0),
    "group": Range(1.0, 1.0),
    "stddev": NOT_NEGATIVE,
    "stdvar": NOT_NEGATIVE,
}
_FUNCTIONS: Final = {
    **dict.fromkeys(("rate", "irate", "increase", "changes", "resets", "time"), NOT_NEGATIVE),
    **dict.fromkeys(("stddev_over_time", "stdvar_over_time", "abs", "sqrt"), NOT_NEGATIVE),
    **dict.fromkeys(("absent", "absent_over_time", "present_over_time"), Range(1.0, 1.0)),
    "count_over_time": Range(1.0),
    "pi": Range(math.pi, math.pi),
    "hour": Range(0, 23),
    "minute": Range(0, 59),
    "month": Range(1, 12),
    "day_of_month": Range(1, 31),
    "day_of_week": Range(0, 6),
    "day_of_year": Range(1, 366),
    "days_in_month": Range(28, 31),
}


def value_range(node: Any, of_metric: RangeOf) -> Range:
    """Return limits of an expression's values."""
    node = promql.bare(node)
    found = WIDE
    match kind(node):
        case "NumberLiteral":
            found = _range(node.val, node.val)
        case "VectorSelector":
            found = of_metric(promql.selector(node).metric)
        case "MatrixSelector":
            found = of_metric(promql.selector(node.vector_selector).metric)
        case "SubqueryExpr":
            found = value_range(node.expr, of_metric)
        case "UnaryExpr":
            inner = value_range(node.expr, of_metric)
            found = Range(-inner.high, -inner.low)
        case "AggregateExpr":
            found = _range_of_aggregation(node, of_metric)
        case "Call":
            found = _range_of_call(node, of_metric)
        case "BinaryExpr":
            found = _range_of_operation(node, of_metric)
    return found


def _range_of_aggregation(node: Any, of_metric: RangeOf) -> Range:
    op, inner = str(node.op), value_range(node.expr, of_metric)
    if op == "sum":
        return _sum(inner)
    if op == "quantile" and not _is_quantile(node.param):
        return WIDE
    return _AGGREGATIONS.get(op, inner)


def _is_quantile(node: Any) -> bool:
    """Return whether a quantile is between 0 and 1; any other yields an infinity."""
    return 0 <= (math.nan if (q := constant(node)) is None else q) <= 1


def _sum(one: Range) -> Range:
    """Return the range of a sum of one or more values."""
    return Range(one.low if one.low >= 0 else -math.inf, one.high if one.high <= 0 else math.inf)


def _range_of_call(node: Any, of_metric: RangeOf) -> Range:
    name = node.func.name
    if name in _FUNCTIONS:
        return _FUNCTIONS[name]
    if name == "quantile_over_time":
        return value_range(node.args[1], of_metric) if _is_quantile(node.args[0]) else WIDE
    if name in _KEEPING:
        return value_range(node.args[0], of_metric)
    return _sum(value_range(node.args[0], of_metric)) if name == "sum_over_time" else WIDE


def _range_of_operation(node: Any, of_metric: RangeOf) -> Range:
    left, right = value_range(node.lhs, of_metric), value_range(node.rhs, of_metric)
    op = str(node.op)
    if op in COMPARISONS:
        if node.modifier is not None and node.modifier.return_bool:
            return Range(0.0, 1.0)
        return right if is_scalar(node.lhs) else left  # what is compared with a number keeps its values
    if op == "or":
        return Range(min(left.low, right.low), max(left.high, right.high))
    if op in {"and", "unless"}:
        return left
    return _ARITHMETIC[op](left, right) if op in _ARITHMETIC else WIDE


def _multiplied(left: Range, right: Range) -> Range:
    products = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
    return _sign(left, right) if any(map(math.isnan, products)) else Range(min(products), max(products))


def _divided(left: Range, right: Range) -> Range:
    if right.low == right.high and math.isfinite(right.low) and right.low != 0:
        ends = (left.low / right.low, left.high / right.low)
        return _range(min(ends), max(ends))
    return _sign(left, right)


def _sign(left: Range, right: Range) -> Range:
    return NOT_NEGATIVE if left.low >= 0 and right.low >= 0 else WIDE


def _range(low: float, high: float) -> Range:
    return Range(-math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high)


_ARITHMETIC: Final[dict[str, Callable[[Range, Range], Range]]] = {
    "+": lambda left, right: _range(left.low + right.low, left.high + right.high),
    "-": lambda left, right: _range(left.low - right.high, left.high - right.low),
    "*": _multiplied,
    "/": _divided,
}
COMPARISONS: Final = frozenset({"==", "!=", "<", ">", "<=", ">="})
_SWAPPED: Final = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A vector compared with a number that is the same at all times."""

    node: Any
    vector: Any
    op: str
    limit: float
    is_bool: bool


def comparison(node: Any) -> Comparison | None:
    """Return a comparison with a constant, the constant on the right; None for anything else."""
    node = promql.bare(node)
    if kind(node) != "BinaryExpr" or str(node.op) not in COMPARISONS:
        return None
    is_bool = node.modifier is not None and node.modifier.return_bool
    left, right = constant(node.lhs), constant(node.rhs)
    if right is not None and left is None:
        return Comparison(node, node.lhs, str(node.op), right, is_bool)
    if left is not None and right is None:
        return Comparison(node, node.rhs, _SWAPPED[str(node.op)], left, is_bool)
    return None


def constant(node: Any) -> float | None:
    """Return the value of an expression of numbers alone; None for any other."""
    node = promql.bare(node)
    if kind(node) in {"NumberLiteral", "UnaryExpr", "BinaryExpr"} and is_scalar(node):
        if any(kind(one) == "Call" for one in promql.walk(node)):
            return None
        found = value_range(node, lambda _name: WIDE)
        return found.low if found.low == found.high else None
    return None


def always_or_never(range_: Range, op: str, limit: float) -> bool | None:
    """Return True if ``value op limit`` holds for every value of a range, False if for none, else None."""
    low, high = range_.low, range_.high
    cases = {
        ">": (low > limit, high <= limit),
        ">=": (low >= limit, high < limit),
        "<": (high < limit, low >= limit),
        "<=": (high <= limit, low > limit),
        "==": (low == high == limit, not range_.covers(limit)),
        "!=": (not range_.covers(limit), low == high == limit),
    }
    always, never = cases[op]
    return True if always else False if never else None
