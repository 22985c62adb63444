"""Which rules a test needs, and in which order they are evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from bais_gates.monitoring import promql
from bais_gates.monitoring.rulefiles import Group, Rule

ALERTS: Final = frozenset({"ALERTS", "ALERTS_FOR_STATE"})
_CLOCK: Final = frozenset(
    {"time", "timestamp", "minute", "hour", "month", "year", "day_of_week", "day_of_month", "day_of_year"}
    | {"days_in_month", "ts_of_max_over_time", "ts_of_min_over_time", "ts_of_last_over_time"}
    | {"ts_of_first_over_time", "start", "end"}
)
"""Functions that tell the absolute time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The rules that a test needs, in the order in which they are evaluated."""

    rules: tuple[Rule, ...]
    stepwise: bool
    """Whether a rule reads what it or a later rule writes: then each time is evaluated before the next."""
    reads_alerts: bool
    """Whether a rule or an assertion reads the series ALERTS."""


def make_plan(
    groups: Sequence[Group], order: Sequence[str], alerts: Iterable[str], expressions: Iterable[Any]
) -> Plan:
    """Return what is evaluated for assertions about these alerts and expressions.

    Groups are evaluated in ``order``; without one, or where it does not say, after the groups whose series
    they read.
    """
    rules = [rule for group in groups for rule in group.rules]
    wanted, trees = set(alerts), list(expressions)
    reads = {rule: _reads(rule.tree) for rule in rules}
    needed: dict[Rule, None] = {rule: None for rule in rules if rule.is_alert and rule.name.value in wanted}
    queue = [_reads(tree) for tree in trees] + [reads[rule] for rule in needed]
    reads_alerts = False
    while queue:
        names = queue.pop()
        for rule in rules:
            if rule not in needed and _writes(rule, names):
                needed[rule] = None
                queue.append(reads[rule])
        reads_alerts = reads_alerts or bool(names & ALERTS) or "" in names
    ordered = [rule for group in _ordered(groups, order, reads) for rule in group.rules if rule in needed]
    place = {rule: number for number, rule in enumerate(ordered)}
    late = any(
        _writes(writer, reads[rule]) and place[writer] >= place[rule]
        for rule in ordered
        for writer in ordered
    )
    ranged = any(_is_of_its_range(rule.tree) for rule in ordered)
    return Plan(rules=tuple(ordered), stepwise=late or ranged, reads_alerts=reads_alerts)


def _ordered(groups: Sequence[Group], order: Sequence[str], reads: dict[Rule, frozenset[str]]) -> list[Group]:
    """Return the groups in the order of their evaluation."""
    rank = {name: number for number, name in enumerate(order)}
    index = {id(group): rank.get(group.name.value, 0) for group in groups}
    numbers = range(len(groups))
    graph = {
        one: [
            other
            for other in numbers
            if other != one
            and index[id(groups[other])] == index[id(groups[one])]
            and any(
                _writes(writer, reads[reader])
                for writer in groups[other].rules
                for reader in groups[one].rules
            )
        ]
        for one in numbers
    }
    try:
        sequence = list(TopologicalSorter(graph).static_order())
    except CycleError:
        sequence = list(numbers)
    return sorted((groups[number] for number in sequence), key=lambda group: index[id(group)])


def _writes(rule: Rule, names: frozenset[str]) -> bool:
    """Return whether a rule writes one of these series; "" stands for any."""
    return "" in names or (bool(names & ALERTS) if rule.is_alert else rule.name.value in names)


def _reads(tree: Any) -> frozenset[str]:
    """Return the names of the series that an expression reads; "" for a selector without a name."""
    return frozenset(
        promql.selector(one).metric for one in promql.walk(tree) if type(one).__name__ == "VectorSelector"
    )


def tells_time(tree: Any) -> bool:
    """Return whether an expression depends on the absolute time."""
    return any(
        (type(one).__name__ == "Call" and one.func.name in _CLOCK) or getattr(one, "at", None) is not None
        for one in promql.walk(tree)
    )


def _is_of_its_range(tree: Any) -> bool:
    """Return whether an expression asks for the range of its query: ``@ start()``."""
    return any(
        getattr(one, "at", None) is not None
        or (type(one).__name__ == "Call" and one.func.name in {"start", "end", "range", "step"})
        for one in promql.walk(tree)
    )


def reach_s(trees: Iterable[Any]) -> float:
    """Return how far expressions can look back or ahead altogether, in seconds."""
    total = 300.0
    for node in (node for tree in trees for node in promql.walk(tree)):
        for name in ("range", "offset"):
            found = getattr(node, name, None)
            total += abs(found.total_seconds()) if found is not None else 0.0
    return total
