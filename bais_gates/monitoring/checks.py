"""Check rules beyond what Prometheus checks when it loads them: alerts that can't fire, or tell nothing.

What Prometheus itself refuses is an error; what it loads and a person would not want is a warning, as a
valid file of somebody else may do it on purpose. Source: Prometheus' documentation ("Alerting" practices,
"Rates and counters"), the checks of pint and promtool, and the mixins' guide for annotations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from bais_gates.monitoring import promql, templates
from bais_gates.monitoring.analysis import (
    COMPARISONS,
    WIDE,
    Comparison,
    Labels,
    Range,
    always_or_never,
    comparison,
    constant,
    is_scalar,
    kind,
    possible_labels,
    value_range,
)
from bais_gates.monitoring.catalogue import Catalogue
from bais_gates.monitoring.findings import Finding, Place
from bais_gates.monitoring.rulefiles import Rule, RuleFile, Text

SEVERITIES: Final = ("critical", "warning", "info", "none")
PRIORITIES: Final = ("P1", "P2", "P3", "P4")
ANNOTATIONS: Final = ("summary", "description", "runbook_url")
_RATES: Final = frozenset({"rate", "irate", "increase"})
_COUNTER_NAME: Final = re.compile(r".*_(total|count|bucket|sum)")
_HEARTBEAT: Final = re.compile(r"watchdog|dead_?mans?_?switch|heartbeat|alwaysfiring", re.IGNORECASE)
_ZERO: Final = Range(0.0, 0.0)
_SINCE: Final = {
    "clamp": (2, 26), "last_over_time": (2, 26), "sgn": (2, 26), "present_over_time": (2, 29),
    "acos": (2, 31), "asin": (2, 31), "atan": (2, 31), "cos": (2, 31), "sin": (2, 31), "tan": (2, 31),
    "acosh": (2, 31), "asinh": (2, 31), "atanh": (2, 31), "cosh": (2, 31), "sinh": (2, 31), "tanh": (2, 31),
    "deg": (2, 31), "rad": (2, 31), "pi": (2, 31), "day_of_year": (2, 38), "histogram_count": (2, 40),
    "histogram_sum": (2, 40), "histogram_fraction": (2, 40), "histogram_stddev": (2, 47),
    "histogram_stdvar": (2, 47), "mad_over_time": (2, 47), "sort_by_label": (2, 49),
    "sort_by_label_desc": (2, 49), "histogram_avg": (2, 50), "info": (3, 0),
    "double_exponential_smoothing": (3, 0), "ts_of_max_over_time": (3, 5), "ts_of_min_over_time": (3, 5),
    "ts_of_last_over_time": (3, 5), "ts_of_first_over_time": (3, 7), "first_over_time": (3, 7),
    "start": (3, 12), "end": (3, 12), "range": (3, 12), "step": (3, 12), "min_of": (3, 13), "max_of": (3, 13),
    "histogram_quantiles": (3, 10), "histogram_avg_over_time": (3, 10),
}  # fmt: skip
"""The first version that knows a function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the checks are told of the platform."""

    catalogue: Catalogue | None = None
    scrape_interval_s: float = 15.0
    version: tuple[int, int] = (2, 42)
    """Of the Prometheus that loads the rules."""
    required_labels: tuple[str, ...] = ()


@dataclass(slots=True)
class _Context:
    settings: Settings
    recorded: dict[str, Labels] = field(default_factory=dict)
    """The labels of the series that recording rules make."""

    def labels_of(self, metric: str) -> Labels | None:
        if metric in self.recorded:
            return self.recorded[metric]
        return self.settings.catalogue.labels(metric) if self.settings.catalogue else None


def check_rules(files: Iterable[RuleFile], settings: Settings) -> list[Finding]:
    """Return the findings about the rules of all files together."""
    rules = [rule for file in files for rule in file.rules]
    context = _Context(settings)
    for rule in _recordings_first(rules):
        labels = possible_labels(rule.tree, context.labels_of).plus(rule.labels)
        former = context.recorded.get(rule.name.value)
        context.recorded[rule.name.value] = labels if former is None else former.union(labels)
    findings = [finding for rule in rules for check in _CHECKS for finding in check(rule, context)]
    findings += [
        finding
        for rule in rules
        if rule.is_alert
        for check in _ALERT_CHECKS
        for finding in check(rule, context)
    ]
    return [*findings, *_duplicates(rules)]


def _recordings_first(rules: list[Rule]) -> list[Rule]:
    """Return the recording rules, each after those whose series it reads."""
    pending = {id(rule): rule for rule in rules if not rule.is_alert}
    ordered: list[Rule] = []
    while pending:
        names = {rule.name.value for rule in pending.values()}
        ready = [one for one in pending.values() if not names & (_metrics(one.tree) - {one.name.value})]
        for rule in ready or list(pending.values()):
            ordered.append(pending.pop(id(rule)))
    return ordered


def _metrics(tree: Any) -> set[str]:
    return {promql.selector(one).metric for one in promql.walk(tree) if kind(one) == "VectorSelector"}


def _found(check: str, at: Text | Place, message: str) -> Finding:
    place = at.place if isinstance(at, Text) else at
    return Finding(check=check, place=place, message=message, level="warning")


def check_selectors(rule: Rule, context: _Context) -> Iterator[Finding]:
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
            yield _found(
                "unknown-metric", rule.expr, f"{rule.name.value}: {what} is not in {catalogue.path.name}"
            )
            continue
        for name, _op, _value in selected.matchers:
            if name not in labels:
                message = f"{rule.name.value}: {selected.metric} has no label {name}"
                yield _found("unknown-label", rule.expr, message)


def check_rates(rule: Rule, context: _Context) -> Iterator[Finding]:
    """Find rates of gauges, of windows below two scrapes, and of aggregates."""
    least = 2 * context.settings.scrape_interval_s
    for node in promql.walk(rule.tree):
        if kind(node) != "Call" or node.func.name not in _RATES:
            continue
        argument, name = promql.bare(node.args[0]), node.func.name
        if kind(argument) == "SubqueryExpr":
            if kind(promql.bare(argument.expr)) == "AggregateExpr":
                message = f"{rule.name.value}: {name} of an aggregate sees resets that are none; aggregate the rates"
                yield _found("rate-of-aggregate", rule.expr, message)
            continue
        if kind(argument) != "MatrixSelector":
            continue
        metric = promql.selector(argument.vector_selector).metric
        window = argument.range.total_seconds()
        if window < least:
            message = f"{rule.name.value}: {name} over {window:g} s needs at least two scrapes, {least:g} s"
            yield _found("rate-window", rule.expr, message)
        catalogue = context.settings.catalogue
        if catalogue is not None and catalogue.is_counter(metric) is False:
            message = f"{rule.name.value}: {metric} is a gauge; use delta or deriv instead of {name}"
            yield _found("rate-of-gauge", rule.expr, message)


def check_counters(rule: Rule, context: _Context) -> Iterator[Finding]:
    """Find counters that are compared as they are: they only grow until the process restarts."""
    for found in _comparisons(rule.tree):
        vector = promql.bare(found.vector)
        if kind(vector) != "VectorSelector":
            continue
        metric = promql.selector(vector).metric
        catalogue = context.settings.catalogue
        counts = None if catalogue is None else catalogue.is_counter(metric)
        if counts is None:
            counts = metric not in context.recorded and _COUNTER_NAME.fullmatch(metric) is not None
        if counts and not (found.op in {"==", "<="} and found.limit == 0):
            message = f"{rule.name.value}: {metric} is a counter; compare its rate or increase"
            yield _found("counter-compared", rule.expr, message)


def check_matching(rule: Rule, context: _Context) -> Iterator[Finding]:
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
                yield _found("matching-never", rule.expr, message)
            continue
        ignored = () if matching is None else matching.labels
        left, right = ours.without(["__name__", *ignored]), theirs.without(["__name__", *ignored])
        if left.open or right.open or left.names == right.names:
            continue
        odd = sorted(left.names ^ right.names)
        message = (
            f"{rule.name.value}: the sides of {node.op} can't match: only one of them has {', '.join(odd)}"
        )
        yield _found("matching-never", rule.expr, message)


def check_functions(rule: Rule, context: _Context) -> Iterator[Finding]:
    """Find functions that the target's Prometheus does not have, or only behind a feature flag."""
    version = context.settings.version
    for node in promql.walk(rule.tree):
        if kind(node) != "Call":
            continue
        since = _SINCE.get(node.func.name)
        if since is not None and since > version:
            message = (
                f"{rule.name.value}: Prometheus {version[0]}.{version[1]} has no {node.func.name}; "
                f"it came with {since[0]}.{since[1]}"
            )
            yield _found("function-unavailable", rule.expr, message)
        elif node.func.experimental:
            message = (
                f"{rule.name.value}: {node.func.name} needs --enable-feature=promql-experimental-functions"
            )
            yield _found("function-experimental", rule.expr, message)


def check_nan(rule: Rule, context: _Context) -> Iterator[Finding]:
    """Find ratios inside a sum or an average, where one 0/0 makes the whole result NaN."""
    for node in promql.walk(rule.tree):
        if kind(node) != "AggregateExpr" or str(node.op) not in {"sum", "avg"}:
            continue
        inner = promql.bare(node.expr)
        if kind(inner) != "BinaryExpr" or str(inner.op) != "/" or constant(inner.rhs) is not None:
            continue
        if value_range(inner.rhs, _range_of(context)).covers(0.0) and not _is_guarded(inner.rhs):
            message = (
                f"{rule.name.value}: one 0/0 makes the {node.op} NaN, and a NaN fires no alert; divide two sums, "
                "or let the divisor be > 0"
            )
            yield _found("nan-trap", rule.expr, message)


def _is_guarded(node: Any) -> bool:
    """Return whether a comparison leaves no zero, as in ``x > 0``."""
    found = comparison(node)
    return found is not None and not found.is_bool and always_or_never(_ZERO, found.op, found.limit) is False


def _range_of(context: _Context) -> Callable[[str], Any]:
    catalogue = context.settings.catalogue
    return catalogue.range_of if catalogue is not None else lambda _name: WIDE


def _comparisons(tree: Any) -> Iterator[Comparison]:
    for node in promql.walk(tree):
        found = comparison(node)
        if found is not None:
            yield found


def check_condition(rule: Rule, context: _Context) -> Iterator[Finding]:
    """Find alerts without a condition, and conditions that always or never hold."""
    name = rule.name.value
    conditions = list(_conditions(rule.tree))
    for one in conditions:
        if isinstance(one, Comparison):
            holds = always_or_never(value_range(one.vector, _range_of(context)), one.op, one.limit)
            if one.is_bool:
                yield _found(
                    "no-condition", rule.expr, f"{name}: a comparison with bool yields 0 or 1, and both fire"
                )
            elif holds is not None:
                word, check = ("always", "always-fires") if holds else ("never", "never-fires")
                message = f"{name}: {one.op} {one.limit:g} {word} holds for what is compared"
                yield _found(check, rule.expr, message)
    if not conditions and not _HEARTBEAT.search(name):
        yield _found("no-condition", rule.expr, f"{name} has no condition: it fires while the series exists")


def _conditions(node: Any) -> Iterator[object]:
    """Yield what makes an expression empty at times: comparisons, absent, and joins."""
    node = promql.bare(node)
    match kind(node):
        case "BinaryExpr":
            op = str(node.op)
            if op in COMPARISONS:
                yield comparison(node) or node
            elif op in {"and", "unless"}:
                yield from _conditions(node.lhs)
                yield node
            elif op == "or":
                left, right = list(_conditions(node.lhs)), list(_conditions(node.rhs))
                if left and right:
                    yield from (*left, *right)
            elif is_scalar(node.rhs) or is_scalar(node.lhs):
                yield from _conditions(node.lhs if is_scalar(node.rhs) else node.rhs)
            else:
                yield from (*_conditions(node.lhs), *_conditions(node.rhs))
        case "AggregateExpr" | "UnaryExpr" | "SubqueryExpr":
            yield from _conditions(node.expr)
        case "Call" if node.func.name in {"absent", "absent_over_time"}:
            yield node
        case "Call":
            for argument in node.args:
                yield from _conditions(argument)


def check_waiting(rule: Rule, context: _Context) -> Iterator[Finding]:
    """Find alerts that fire at the first sample where a single one proves nothing."""
    if rule.for_s:
        return
    name = rule.name.value
    nodes = list(promql.walk(rule.tree))
    if any(kind(one) == "Call" and one.func.name == "absent" for one in nodes):
        message = (
            f"{name}: absent() without for fires at each restart of Prometheus; wait for two scrapes or more"
        )
        yield _found("absent-without-for", rule.expr, message)
    for found in _comparisons(rule.tree):
        vector = promql.bare(found.vector)
        if kind(vector) == "BinaryExpr" and str(vector.op) == "/" and constant(vector.rhs) is None:
            message = f"{name}: a ratio without for fires on a single request; add a for"
            yield _found("ratio-without-for", rule.expr, message)
            return


def check_labels(rule: Rule, context: _Context) -> Iterator[Finding]:
    """Find severities and priorities that no route knows, and required labels that are missing."""
    name = rule.name.value
    for label, known in (("severity", SEVERITIES), ("priority", PRIORITIES)):
        text = rule.labels.get(label)
        if text is not None and "{{" not in text.value and text.value not in known:
            message = f"{name}: {label} {text.value!r} is unknown; use one of {', '.join(known)}"
            yield _found(f"unknown-{label}", text, message)
    possible = possible_labels(rule.tree, context.labels_of)
    for label in context.settings.required_labels:
        if label not in rule.labels and (label not in possible or possible.open):
            message = f"{name} has no label {label}, by which alerts are routed"
            yield _found("label-missing", rule.name, message)
    if "severity" not in rule.labels and "severity" not in possible:
        yield _found("label-missing", rule.name, f"{name} has no label severity")


def check_annotations(rule: Rule, context: _Context) -> Iterator[Finding]:
    """Find annotations that are missing or malformed, and templates that print a label that is gone."""
    name = rule.name.value
    for annotation in ANNOTATIONS:
        text = rule.annotations.get(annotation)
        if text is None or not text.value.strip():
            yield _found("annotation-missing", text or rule.name, f"{name} has no annotation {annotation}")
    if (link := rule.annotations.get("runbook_url")) and link.value and "{{" not in link.value:
        parts = urlsplit(link.value)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            yield _found("annotation-malformed", link, f"{name}: runbook_url is not a URL")
    if (
        (text := rule.annotations.get("description"))
        and text.value
        and not templates.parse(text.value).has_actions
    ):
        message = f"{name}: the description does not print the value; add {{{{ $value }}}}"
        yield _found("annotation-malformed", text, message)
    possible = possible_labels(rule.tree, context.labels_of).plus(rule.labels)
    for what, found in (("annotation", rule.annotations), ("label", rule.labels)):
        for key, text in found.items():
            used = templates.parse(text.value)
            for label in sorted(used.labels):
                if label not in possible and label != "alertname":
                    message = f"{name}: {what} {key} prints $labels.{label}, which the expression removes"
                    yield _found("template-label", text, message)
            if what == "label" and used.uses_value:
                message = f"{name}: label {key} holds the value, so each evaluation makes a new alert"
                yield _found("value-in-label", text, message)


def _duplicates(rules: list[Rule]) -> Iterator[Finding]:
    """Find alerts of the same name and labels, and rules with the same expression."""
    named: dict[object, Rule] = {}
    same: dict[object, Rule] = {}
    for rule in rules:
        labels = tuple(sorted((name, text.value) for name, text in rule.labels.items()))
        key = (rule.kind, rule.name.value, labels)
        first = named.setdefault(key, rule)
        if first is not rule:
            message = f"{rule.name.value} is defined twice with the same labels, first at {first.name.place}"
            yield _found("duplicate-rule", rule.name, message)
            continue
        if not rule.is_alert:
            continue
        expression = re.sub(r"\s+", "", rule.expr.value)
        first = same.setdefault((expression, rule.for_s), rule)
        if first is not rule:
            message = f"{rule.name.value} fires whenever {first.name.value} does ({first.name.place}): the same condition"
            yield _found("overlapping-alert", rule.name, message)


_Check = Callable[[Rule, _Context], Iterable[Finding]]
_CHECKS: Final[tuple[_Check, ...]] = (
    check_selectors,
    check_rates,
    check_counters,
    check_matching,
    check_functions,
    check_nan,
)
_ALERT_CHECKS: Final[tuple[_Check, ...]] = (check_condition, check_waiting, check_labels, check_annotations)
