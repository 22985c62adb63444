"""Check rules beyond what Prometheus checks when it loads them.

What Prometheus itself refuses is an error; what it loads and a person would not want is a warning, as a
valid file of somebody else may do it on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from bais_gates.monitoring import alerts, expressions
from bais_gates.monitoring.context import Settings, context_of, found
from bais_gates.monitoring.findings import Finding
from bais_gates.monitoring.rulefiles import Rule, RuleFile


def check_rules(files: Iterable[RuleFile], settings: Settings) -> list[Finding]:
    """Return the findings about the rules of all files together."""
    rules = [rule for file in files for rule in file.rules]
    context = context_of(rules, settings)
    findings: list[Finding] = []
    for rule in rules:
        for check in (*expressions.CHECKS, *(alerts.CHECKS if rule.is_alert else ())):
            findings += check(rule, context)
    return list(dict.fromkeys([*findings, *_duplicates(rules)]))  # an expression may do the same thing twice


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
            yield found("duplicate-rule", rule.name, message)
            continue
        if not rule.is_alert or alerts.HEARTBEAT.search(rule.name.value):
            continue
        expression = re.sub(r"\s+", "", rule.expr.value)
        first = same.setdefault((expression, rule.for_s), rule)
        if first is not rule:
            message = f"{rule.name.value} has the condition of {first.name.value}, {first.name.place}"
            yield found("overlapping-alert", rule.name, message)
