"""What the checks know of a platform and of the rules around the one they look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from bais_gates.monitoring import promql
from bais_gates.monitoring.analysis import ANY, WIDE, Labels, Range, possible_labels, value_range
from bais_gates.monitoring.catalogue import Catalogue
from bais_gates.monitoring.findings import Finding, Place
from bais_gates.monitoring.rulefiles import Rule, Text

PAGING: Final = ("pagerduty", "opsgenie", "victorops", "incidentio")
"""Kinds of integrations that page somebody."""
_OWN: Final = frozenset({"ALERTS", "ALERTS_FOR_STATE"})
"""Series that Prometheus itself writes about alerts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the checks are told of the platform."""

    catalogue: Catalogue | None = None
    scrape_interval_s: float = 15.0
    version: tuple[int, int] = (2, 42)
    """Of the Prometheus that loads the rules."""
    required_labels: tuple[str, ...] = ()
    alertmanager: tuple[int, int] = (0, 25)
    """Version of the Alertmanager that notifies of the alerts."""
    required_kinds: tuple[tuple[str, tuple[str, ...]], ...] = (("P1", PAGING), ("P2", PAGING))
    """Priorities (the label ``priority``), and integrations of which one must be told of an alert with it."""


@dataclass(slots=True)
class Context:
    """The platform, and the series that its recording rules make."""

    settings: Settings
    recorded: dict[str, tuple[Labels, Range]] = field(default_factory=dict)
    """Labels and values of each recorded series."""

    def labels_of(self, metric: str) -> Labels | None:
        """Return the labels of a metric; None if they are not known."""
        if metric in self.recorded:
            return self.recorded[metric][0]
        if metric in _OWN:
            return ANY
        return self.settings.catalogue.labels(metric) if self.settings.catalogue else None

    def range_of(self, metric: str) -> Range:
        """Return the range of a metric's samples."""
        if metric in self.recorded:
            return self.recorded[metric][1]
        return self.settings.catalogue.range_of(metric) if self.settings.catalogue else WIDE

    def is_counter(self, metric: str) -> bool | None:
        """Return whether a metric only grows, by the catalogue; None if it does not say."""
        return self.settings.catalogue.is_counter(metric) if self.settings.catalogue else None


def context_of(rules: Iterable[Rule], settings: Settings) -> Context:
    """Return what the checks of some rules need to know."""
    context = Context(settings)
    made: dict[str, tuple[Labels, Range]] = {}
    for rule in _recordings_first(rules):
        labels = possible_labels(rule.tree, context.labels_of).plus(rule.labels)
        values = value_range(rule.tree, context.range_of)
        if rule.name.value in made:  # several rules may record one series
            before, limits = made[rule.name.value]
            labels = labels.union(before)
            values = Range(min(values.low, limits.low), max(values.high, limits.high))
        made[rule.name.value] = context.recorded[rule.name.value] = (labels, values)
    return context


def _recordings_first(rules: Iterable[Rule]) -> list[Rule]:
    """Return the recording rules, each after those whose series it reads."""
    reads = {rule: promql.metrics(rule.tree) - {rule.name.value} for rule in rules if not rule.is_alert}
    ordered: list[Rule] = []
    while reads:
        names = {rule.name.value for rule in reads}
        ready = [rule for rule, metrics in reads.items() if not names & metrics] or list(reads)
        ordered += ready
        for rule in ready:
            del reads[rule]
    return ordered


def found(check: str, at: Text | Place, message: str) -> Finding:
    """Return a finding about what Prometheus loads and a person would not want."""
    return Finding(
        check=check, place=at.place if isinstance(at, Text) else at, message=message, level="warning"
    )
