"""Check alerts: whether they can fire, when they fire, and what they tell.

Source: Prometheus' documentation ("Alerting" practices), the checks of pint, the mixins' guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from bais_gates.monitoring import promql, templates
from bais_gates.monitoring.analysis import (
    COMPARISONS,
    Comparison,
    always_or_never,
    comparison,
    constant,
    kind,
    possible_labels,
    value_range,
)
from bais_gates.monitoring.context import Context, found
from bais_gates.monitoring.expressions import comparisons
from bais_gates.monitoring.findings import Finding
from bais_gates.monitoring.rulefiles import Rule

SEVERITIES: Final = ("critical", "warning", "info", "none")
PRIORITIES: Final = ("P1", "P2", "P3", "P4")
ANNOTATIONS: Final = ("summary", "description", "runbook_url")
HEARTBEAT: Final = re.compile(r"watchdog|dead_?mans?_?switch|heartbeat|alwaysfiring", re.IGNORECASE)


def check_condition(rule: Rule, context: Context) -> Iterator[Finding]:
    """Find alerts without a condition, and conditions that always or never hold."""
    name = rule.name.value
    conditions = list(_conditions(rule.tree))
    for one in conditions:
        if not isinstance(one, Comparison):
            continue
        holds = always_or_never(value_range(one.vector, context.range_of), one.op, one.limit)
        if holds is not None:
            word, check = ("always", "always-fires") if holds else ("never", "never-fires")
            yield found(check, rule.expr, f"{name}: {one.op} {one.limit:g} {word} holds for what is compared")
    if not conditions and not HEARTBEAT.search(name):
        message = f"{name} has no condition: it fires while the series exists, whatever its value"
        yield found("no-condition", rule.expr, message)


def _conditions(node: Any) -> Iterator[object]:
    """Yield what makes an expression empty at times: comparisons, absent, and joins.

    A comparison with ``bool`` is none: it yields 0 or 1, and both fire.
    """
    node = promql.bare(node)
    match kind(node):
        case "BinaryExpr":
            yield from _conditions_of_operation(node)
        case "AggregateExpr" | "UnaryExpr" | "SubqueryExpr":
            yield from _conditions(node.expr)
        case "Call" if node.func.name in {"absent", "absent_over_time"}:
            yield node
        case "Call":
            for argument in node.args:
                yield from _conditions(argument)


def _conditions_of_operation(node: Any) -> Iterator[object]:
    left, right = list(_conditions(node.lhs)), list(_conditions(node.rhs))
    op = str(node.op)
    if op in COMPARISONS:
        if node.modifier is None or not node.modifier.return_bool:
            yield comparison(node) or node
    elif op == "or":  # empty only if both sides can be
        if left and right:
            yield from (*left, *right)
    elif op == "unless":
        yield from (*left, node)
    else:
        yield from (*left, *right)
        if op == "and":
            yield node


def check_waiting(rule: Rule, _context: Context) -> Iterator[Finding]:
    """Find alerts that fire at the first sample where a single one proves nothing."""
    if rule.for_s:
        return
    name = rule.name.value
    if any(kind(one) == "Call" and one.func.name == "absent" for one in promql.walk(rule.tree)):
        message = f"{name}: absent() without for fires at each restart of Prometheus; wait for two scrapes"
        yield found("absent-without-for", rule.expr, message)
    for one in comparisons(rule.tree):
        vector = promql.bare(one.vector)
        if kind(vector) == "BinaryExpr" and str(vector.op) == "/" and constant(vector.rhs) is None:
            message = f"{name}: a ratio without for fires on a single request; add a for"
            yield found("ratio-without-for", rule.expr, message)
            return


def check_labels(rule: Rule, context: Context) -> Iterator[Finding]:
    """Find severities and priorities that no route knows, and required labels that are missing."""
    name = rule.name.value
    for label, known in (("severity", SEVERITIES), ("priority", PRIORITIES)):
        text = rule.labels.get(label)
        if text is not None and "{{" not in text.value and text.value not in known:
            message = f"{name}: {label} {text.value!r} is unknown; use one of {', '.join(known)}"
            yield found(f"unknown-{label}", text, message)
    possible = possible_labels(rule.tree, context.labels_of)
    for label in dict.fromkeys(("severity", *context.settings.required_labels)):
        if label not in rule.labels and (label not in possible or possible.open):
            yield found(
                "label-missing", rule.name, f"{name} has no label {label}, by which alerts are routed"
            )


def check_annotations(rule: Rule, _context: Context) -> Iterator[Finding]:
    """Find annotations that are missing or malformed."""
    name = rule.name.value
    for annotation in ANNOTATIONS:
        text = rule.annotations.get(annotation)
        if text is None or not text.value.strip():
            yield found("annotation-missing", text or rule.name, f"{name} has no annotation {annotation}")
    link = rule.annotations.get("runbook_url")
    if link is not None and link.value and "{{" not in link.value and not _is_url(link.value):
        yield found("annotation-malformed", link, f"{name}: runbook_url is not a URL")
    if (text := rule.annotations.get("description")) and text.value and "{{" not in text.value:
        message = f"{name}: the description prints neither value nor label; add {{{{ $value }}}}"
        yield found("annotation-malformed", text, message)


def check_templates(rule: Rule, context: Context) -> Iterator[Finding]:
    """Find templates that print a label that the alert's series can't have, and values in labels."""
    name = rule.name.value
    possible = possible_labels(rule.tree, context.labels_of)  # $labels has none of the rule's own
    for what, texts in (("annotation", rule.annotations), ("label", rule.labels)):
        for key, text in texts.items():
            used = templates.parse(text.value)
            for label in sorted(used.labels):
                if label not in possible:
                    message = (
                        f"{name}: {what} {key} prints $labels.{label}, which the expression does not yield"
                    )
                    yield found("template-label", text, message)
            if what == "label" and used.uses_value:
                message = f"{name}: label {key} holds the value, so each evaluation makes a new alert"
                yield found("value-in-label", text, message)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


CHECKS: Final = (check_condition, check_waiting, check_labels, check_annotations, check_templates)
