"""Check the expressions of rules: selectors, rates, counters, vector matching, functions.

Source: Prometheus' documentation ("Rates and counters", "Operators"), and the checks of pint.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from bais_gates.monitoring import promql
from bais_gates.monitoring.analysis import (
    Comparison,
    Range,
    always_or_never,
    comparison,
    constant,
    is_scalar,
    kind,
    possible_labels,
    value_range,
)
from bais_gates.monitoring.context import Context, found
from bais_gates.monitoring.findings import Finding
from bais_gates.monitoring.rulefiles import Rule

_RATES: Final = frozenset({"rate", "irate", "increase"})
_COUNTER_NAME: Final = re.compile(r".*_(total|bucket)")
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ZERO: Final = Range(0.0, 0.0)


def check_selectors(rule: Rule, context: Context) -> Iterator[Finding]:
    """Find metrics and labels that the catalogue does not have."""
    catalogue = context.settings.catalogue
    if catalogue is None:
        return
    for node in promql.walk(rule.tree):
        if kind(node) != "VectorSelector":
            continue
        selected = promql.selector(node)
        labels = context.labels_of(selected.metric)
        if labels is None:
            what = selected.metric or "a selector without a metric's name"
            message = f"{rule.name.value}: {what} is not in {catalogue.path.name}"
            yield found("unknown-metric", rule.expr, message)
            continue
        for name, _op, _value in selected.matchers:
            if name not in labels:
                message = f"{rule.name.value}: {selected.metric} has no label {name}"
                yield found("unknown-label", rule.expr, message)


def check_rates(rule: Rule, context: Context) -> Iterator[Finding]:
    """Find rates of gauges, of windows below two scrapes, and of aggregates."""
    least = 2 * context.settings.scrape_interval_s
    for node in promql.walk(rule.tree):
        if kind(node) != "Call" or node.func.name not in _RATES:
            continue
        argument, name = promql.bare(node.args[0]), node.func.name
        if kind(argument) == "SubqueryExpr":
            if kind(promql.bare(argument.expr)) == "AggregateExpr":
                message = f"{name} of an aggregate sees resets that are none; aggregate the rates"
                yield found("rate-of-aggregate", rule.expr, f"{rule.name.value}: {message}")
            continue
        window = argument.range.total_seconds()
        if window < least:
            message = f"{rule.name.value}: {name} over {window:g} s needs two scrapes, {least:g} s or more"
            yield found("rate-window", rule.expr, message)
        metric = promql.selector(argument.vector_selector).metric
        if context.is_counter(metric) is False:
            message = f"{rule.name.value}: {metric} is a gauge; use delta or deriv instead of {name}"
            yield found("rate-of-gauge", rule.expr, message)


def check_counters(rule: Rule, context: Context) -> Iterator[Finding]:
    """Find counters that are compared as they are: they only grow until the process restarts."""
    for one in comparisons(rule.tree):
        vector = promql.bare(one.vector)
        while kind(vector) == "AggregateExpr" and str(vector.op) in {"sum", "avg", "min", "max"}:
            vector = promql.bare(vector.expr)
        if kind(vector) != "VectorSelector":
            continue
        metric = promql.selector(vector).metric
        counts = context.is_counter(metric)
        if context.settings.catalogue is None:
            counts = metric not in context.recorded and _COUNTER_NAME.fullmatch(metric) is not None
        if counts and not (one.op in {"==", "<="} and one.limit == 0):
            message = f"{rule.name.value}: {metric} is a counter; compare its rate or increase"
            yield found("counter-compared", rule.expr, message)


def check_matching(rule: Rule, context: Context) -> Iterator[Finding]:
    """Find operations between vectors whose labels can't be equal, or that match on a label that is gone."""
    for node in promql.walk(rule.tree):
        if kind(node) != "BinaryExpr" or is_scalar(node.lhs) or is_scalar(node.rhs) or str(node.op) == "or":
            continue
        ours = possible_labels(node.lhs, context.labels_of)
        theirs = possible_labels(node.rhs, context.labels_of)
        modifier = node.modifier
        matching = None if modifier is None else modifier.matching
        if matching is not None and str(matching.type).endswith("Include"):
            lost = [name for name in matching.labels if (name in ours) != (name in theirs)]
            if lost:
                message = f"{rule.name.value}: one side of {node.op} on ({lost[0]}) has no label {lost[0]}"
                yield found("matching-never", rule.expr, message)
            continue
        ignored = () if matching is None else matching.labels
        left, right = ours.without(["__name__", *ignored]), theirs.without(["__name__", *ignored])
        if left.open or right.open or left.names == right.names:
            continue
        odd = ", ".join(sorted(left.names ^ right.names))
        message = f"{rule.name.value}: the sides of {node.op} can't match: only one of them has {odd}"
        yield found("matching-never", rule.expr, message)


def check_functions(rule: Rule, _context: Context) -> Iterator[Finding]:
    """Find what Prometheus loads and can't evaluate, or only behind a feature flag."""
    name = rule.name.value
    if kind(promql.bare(rule.tree)) in {"StringLiteral", "MatrixSelector", "SubqueryExpr"}:
        message = f"{name}: a rule needs an instant vector or a number; this fails at each evaluation"
        yield found("evaluation-fails", rule.expr, message)
    for node in promql.walk(rule.tree):
        if kind(node) != "Call":
            continue
        if node.func.experimental:
            message = f"{name}: {node.func.name} needs --enable-feature=promql-experimental-functions"
            yield found("function-experimental", rule.expr, message)
        if node.func.name == "label_replace" and (problem := _wrong_replacement(node.args)):
            yield found("evaluation-fails", rule.expr, f"{name}: label_replace: {problem}")


def _wrong_replacement(arguments: list[Any]) -> str:
    """Return what makes a label_replace fail at each evaluation; "" for nothing."""
    target, pattern = promql.bare(arguments[1]).val, promql.bare(arguments[4]).val
    if not _LABEL.fullmatch(target):
        return f"{target!r} is not a label name"
    try:
        promql.check_pattern(pattern)
    except promql.PromqlError as error:
        return str(error)
    return ""


def check_nan(rule: Rule, context: Context) -> Iterator[Finding]:
    """Find ratios inside a sum or an average, where one 0/0 makes the whole result NaN."""
    for node in promql.walk(rule.tree):
        if kind(node) != "AggregateExpr" or str(node.op) not in {"sum", "avg"}:
            continue
        inner = promql.bare(node.expr)
        if kind(inner) != "BinaryExpr" or str(inner.op) != "/" or constant(inner.rhs) is not None:
            continue
        if value_range(inner.rhs, context.range_of).covers(0.0) and not _is_guarded(inner.rhs):
            message = (
                f"{rule.name.value}: one 0/0 makes the {node.op} NaN, and a NaN fires no alert; "
                "divide two sums, or let the divisor be > 0"
            )
            yield found("nan-trap", rule.expr, message)


def _is_guarded(node: Any) -> bool:
    """Return whether a comparison leaves no zero, as in ``x > 0``."""
    one = comparison(node)
    return one is not None and not one.is_bool and always_or_never(_ZERO, one.op, one.limit) is False


def comparisons(tree: Any) -> Iterator[Comparison]:
    """Yield the comparisons with constants in an expression."""
    for node in promql.walk(tree):
        one = comparison(node)
        if one is not None:
            yield one


CHECKS: Final = (check_selectors, check_rates, check_counters, check_matching, check_functions, check_nan)
