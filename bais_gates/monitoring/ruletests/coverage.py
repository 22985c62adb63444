"""Which alerts have a test in which they fire, and one in which they stay silent although there is data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from bais_gates.monitoring import promql
from bais_gates.monitoring.findings import Finding
from bais_gates.monitoring.rulefiles import Rule
from bais_gates.monitoring.ruletests.evaluation import Judged
from bais_gates.monitoring.ruletests.testfile import Labels, RuleTest, Series

_LOOKBACK_S: Final = 300.0


@dataclass(slots=True)
class _Seen:
    fires: bool = False
    missing: frozenset[str] = frozenset()
    """The labels that it lacked when it fired, of those that are required."""
    silent: bool = False


@dataclass(slots=True)
class Coverage:
    """What the assertions that passed have shown of each alert."""

    required_labels: Sequence[str] = ()
    _seen: dict[tuple[str, int, str], _Seen] = field(default_factory=dict)

    def add(self, judged: Judged, test: RuleTest, rules: Sequence[Rule]) -> None:
        """Count an assertion of a test, which was evaluated with these rules."""
        if not judged.assertion.passed:
            return
        for rule, labels in judged.fired:
            lacks = frozenset(self.required_labels) - {name for name, _ in labels}
            seen = self._of(rule)
            seen.missing = seen.missing & lacks if seen.fires else lacks
            seen.fires = True
        for rule in judged.silent:
            selectors = list(_selectors(rule, rules))
            alive = any(
                _is_alive(one, test.interval_s, judged.assertion.at_s)
                and any(_selects(selector, one.labels) for selector in selectors)
                for one in test.series
            )
            self._of(rule).silent |= alive

    def findings(self, rules: Iterable[Rule]) -> Iterator[Finding]:
        """Yield what is not shown of each alert."""
        for rule in rules:
            if not rule.is_alert:
                continue
            seen, name = self._of(rule), rule.name.value
            lacks = []
            if not seen.fires:
                lacks.append("no test in which it fires")
            if seen.missing:
                lacks.append(f"fires without the label {', '.join(sorted(seen.missing))}")
            if not seen.silent and next(_selectors(rule, ()), None) is not None:
                lacks.append("no test in which its series exist and it stays silent")
            if lacks:
                yield Finding(
                    check="coverage",
                    place=rule.name.place,
                    message=f"{name}: {'; '.join(lacks)}",
                    level="warning",
                )

    def _of(self, rule: Rule) -> _Seen:
        place = rule.name.place
        return self._seen.setdefault((place.path, place.line, rule.name.value), _Seen())


def _selectors(rule: Rule, rules: Sequence[Rule]) -> Iterator[promql.Selector]:
    """Yield what an alert reads, through recording rules, too."""
    recorded: dict[str, list[Rule]] = {}
    for one in rules:
        if not one.is_alert:
            recorded.setdefault(one.name.value, []).append(one)
    queue, done = [rule], {rule}
    while queue:
        for node in promql.walk(queue.pop().tree):
            if type(node).__name__ == "VectorSelector":
                selector = promql.selector(node)
                yield selector
                for one in recorded.get(selector.metric, []):
                    if one not in done:
                        done.add(one)
                        queue.append(one)


def _selects(selector: promql.Selector, labels: Labels) -> bool:
    values = dict(labels)
    if selector.metric and values.get("__name__") != selector.metric:
        return False
    for name, op, wanted in selector.matchers:
        value = values.get(name, "")
        matches = value == wanted if op in {"=", "!="} else promql.re2.fullmatch(wanted, value) is not None
        if matches == op.startswith("!"):
            return False
    return True


def _is_alive(series: Series, interval_s: float, at_s: float) -> bool:
    """Return whether a series has a sample at a time, or shortly before."""
    last = int(at_s / interval_s)
    found = [(number, value) for number, value in series.samples(last + 1)]
    if not found or found[-1][1] is None:
        return False
    return at_s - found[-1][0] * interval_s <= max(_LOOKBACK_S, interval_s)
