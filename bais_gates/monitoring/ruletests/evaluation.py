"""Evaluate the rules of a test as Prometheus does, one evaluation after the other, and judge its assertions.

The server evaluates the expressions. What follows from them is here: recorded series, which end by a stale
marker, and the states of alerts. Source: Prometheus' ``rules`` package (``AlertingRule.Eval``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from bais_gates.monitoring.findings import Place
from bais_gates.monitoring.rulefiles import Rule
from bais_gates.monitoring.ruletests.expansion import Expander
from bais_gates.monitoring.ruletests.ordering import Plan
from bais_gates.monitoring.ruletests.server import EvaluationError, Server, Vectors
from bais_gates.monitoring.ruletests.testfile import (
    STALE,
    AlertTest,
    ExpressionTest,
    Labels,
    RuleTest,
    RuleTestFile,
)

_WRITTEN_AT_ONCE: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """An alert that fires, or a sample."""

    labels: Labels
    annotations: tuple[tuple[str, str | None], ...] = ()
    """None for a text that only a firing alert of a live Prometheus shows."""
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """What a test expects at a time, and what was there instead."""

    place: Place
    test: str
    """The test's name; "" without one."""
    subject: str
    """The alert or expression."""
    at_s: float
    passed: bool
    problem: str
    """Why nothing could be compared; "" if it was."""
    expected: tuple[Observation, ...] = ()
    got: tuple[Observation, ...] = ()
    not_compared: tuple[str, ...] = ()
    """Names of annotations of which the text was not compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An assertion, and for coverage the rules of its alert."""

    assertion: Assertion
    fired: tuple[tuple[Rule, Labels], ...] = ()
    silent: tuple[Rule, ...] = ()


@dataclass(slots=True)
class _Active:
    """An alert that is pending or fires."""

    since: float
    sample: Labels
    value: float
    fires: bool = False
    kept_since: float | None = None


@dataclass(slots=True)
class _State:
    """What a rule carries from one evaluation to the next."""

    active: dict[Labels, _Active] = field(default_factory=dict)
    written: frozenset[Labels] = frozenset()
    """The series of the last evaluation."""
    fired: dict[int, list[tuple[Labels, Labels, float]]] = field(default_factory=dict)
    """At each evaluation that is asserted: labels, and the sample that the alert fires for."""


class Evaluation:
    """The evaluation of a test in its window of a server's time."""

    def __init__(self, server: Server, file: RuleTestFile, test: RuleTest, plan: Plan, base_s: float) -> None:
        self._server, self._file, self._test, self._plan = server, file, test, plan
        self._base_s = base_s
        self._step_s = file.interval_s
        self._states = {rule: _State() for rule in plan.rules}
        self._expander = Expander(server, test.external_labels, test.external_url)
        self._asserted = {self._number(one.at_s) for one in test.alerts}

    def run(self) -> None:
        """Write the series and evaluate the rules; raise :class:`EvaluationError`."""
        self._write_input()
        last = self._number(self._test.length_s)
        blocks = [(one, one) for one in range(last + 1)] if self._plan.stepwise else [(0, last)]
        for first, end in blocks:
            for rule in self._plan.rules:
                try:
                    self._advance(rule, first, end)
                except EvaluationError as error:
                    raise EvaluationError(f"{rule.name.value} ({rule.expr.place}): {error}") from None

    def judge_alert(self, one: AlertTest) -> Judged:
        """Return whether exactly the expected alerts fire."""
        number = self._number(one.at_s)
        rules = [rule for rule in self._plan.rules if rule.is_alert and rule.name.value == one.alert]
        fired: list[tuple[Rule, Labels]] = []
        got: list[Observation] = []
        for rule in rules:
            for labels, sample, value in self._states[rule].fired.get(number, []):
                fired.append((rule, labels))
                got.append(Observation(labels=labels, annotations=self._annotations(rule, sample, value)))
        expected = tuple(Observation(labels=e.labels, annotations=e.annotations) for e in one.expected)
        passed = len(expected) == len(got) and not _unmatched(expected, got)
        names = sorted({name for each in got for name, text in each.annotations if text is None})
        return Judged(
            assertion=self._assertion(
                one, one.alert, passed=passed, expected=expected, got=tuple(got), not_compared=tuple(names)
            ),
            fired=tuple(fired),
            silent=tuple(rule for rule in rules if all(rule is not other for other, _ in fired)),
        )

    def judge_expression(self, one: ExpressionTest) -> Judged:
        """Return whether exactly the expected samples are there; raise :class:`EvaluationError`."""
        found = self._server.query(one.expr, self._base_s + one.at_s)
        pairs = sorted(one.expected)
        passed = [labels for labels, _ in pairs] == sorted(found) and all(
            _equal(value, found[labels], fuzzy=self._file.fuzzy) for labels, value in pairs
        )
        expected = tuple(Observation(labels=labels, value=value) for labels, value in one.expected)
        got = tuple(Observation(labels=labels, value=value) for labels, value in sorted(found.items()))
        return Judged(assertion=self._assertion(one, one.expr, passed=passed, expected=expected, got=got))

    def _assertion(
        self,
        one: AlertTest | ExpressionTest,
        subject: str,
        *,
        passed: bool,
        expected: tuple[Observation, ...],
        got: tuple[Observation, ...],
        not_compared: tuple[str, ...] = (),
    ) -> Assertion:
        return Assertion(
            place=one.place,
            test=self._test.name,
            subject=subject,
            at_s=one.at_s,
            passed=passed,
            problem="",
            expected=expected,
            got=got,
            not_compared=not_compared,
        )

    def _number(self, at_s: float) -> int:
        """Return the number of the last evaluation until a time."""
        return round(at_s * 1000) // round(self._step_s * 1000)

    def _ms(self, number: int, step_s: float) -> int:
        return round(self._base_s * 1000) + number * round(step_s * 1000)

    def _write_input(self) -> None:
        test = self._test
        count = int(test.length_s / test.interval_s) + 1
        waiting: list[tuple[Labels, list[tuple[int, float | None]]]] = []
        size = 0
        for labels, series in {one.labels: one for one in test.series}.items():  # the last one counts
            samples = [(self._ms(at, test.interval_s), value) for at, value in series.samples(count)]
            waiting.append((labels, samples))
            size += len(samples)
            if size > _WRITTEN_AT_ONCE:
                self._server.write(waiting)
                waiting, size = [], 0
        if waiting:
            self._server.write(waiting)

    def _advance(self, rule: Rule, first: int, last: int) -> None:
        """Evaluate a rule from one evaluation to another."""
        vectors = self._server.query_range(rule.expr.value, self._base_s, first, last, self._step_s)
        if not rule.is_alert:
            own = {name: text.value for name, text in rule.labels.items()}
            recorded: Vectors = {}
            for labels, values in vectors.items():
                target = recorded.setdefault(_labelled(labels, own | {"__name__": rule.name.value}), {})
                if not target.keys().isdisjoint(values):
                    raise EvaluationError("two series have the same labels after the rule's are set")
                target.update(values)
            self._store(rule, recorded, first, last)
            return
        found: dict[int, list[tuple[Labels, float]]] = {}
        for labels, values in vectors.items():
            for number, value in values.items():
                found.setdefault(number, []).append((labels, value))
        written: Vectors = {}
        for number in range(first, last + 1):
            self._alert(rule, number, found.get(number, []))
            if self._plan.reads_alerts:
                for labels, value in self._alert_series(rule):
                    written.setdefault(labels, {})[number] = value
        if self._plan.reads_alerts:
            self._store(rule, written, first, last)

    def _alert(self, rule: Rule, number: int, samples: Iterable[tuple[Labels, float]]) -> None:
        """Move the alerts of a rule on by one evaluation."""
        state, at_s = self._states[rule], number * self._step_s
        present: set[Labels] = set()
        for sample, value in samples:
            labels = self._alert_labels(rule, sample, value)
            if labels in present:
                raise EvaluationError("two alerts have the same labels after the rule's are set")
            present.add(labels)
            if (known := state.active.get(labels)) is None:
                state.active[labels] = _Active(at_s, sample, value)
            else:
                known.sample, known.value, known.kept_since = sample, value, None
        for labels, alert in list(state.active.items()):
            if labels not in present:
                if alert.kept_since is None:
                    alert.kept_since = at_s
                if not alert.fires or at_s - alert.kept_since >= rule.keep_firing_for_s:
                    del state.active[labels]
                    continue
            alert.fires = alert.fires or at_s - alert.since >= rule.for_s
        if number in self._asserted:
            state.fired[number] = [
                (labels, alert.sample, alert.value) for labels, alert in state.active.items() if alert.fires
            ]

    def _alert_labels(self, rule: Rule, sample: Labels, value: float) -> Labels:
        own = {name: text.value for name, text in rule.labels.items()}
        if any("{{" in text for text in own.values()):
            texts = self._expander.expand(list(own.values()), sample, value)
            if None in texts:
                name = list(own)[texts.index(None)]
                raise EvaluationError(f"the label {name} has a template that only a live Prometheus expands")
            own = {name: text or "" for name, text in zip(own, texts, strict=True)}
        return _labelled(sample, own | {"alertname": rule.name.value})

    def _annotations(self, rule: Rule, sample: Labels, value: float) -> tuple[tuple[str, str | None], ...]:
        texts = self._expander.expand([text.value for text in rule.annotations.values()], sample, value)
        return tuple(sorted(zip(rule.annotations, texts, strict=True)))

    def _alert_series(self, rule: Rule) -> Iterator[tuple[Labels, float]]:
        """Yield the series by which Prometheus tells of alerts."""
        for labels, alert in self._states[rule].active.items():
            firing = "firing" if alert.fires else "pending"
            yield _labelled(labels, {"__name__": "ALERTS", "alertstate": firing}), 1.0
            yield _labelled(labels, {"__name__": "ALERTS_FOR_STATE"}), float(int(self._base_s + alert.since))

    def _store(self, rule: Rule, vectors: Vectors, first: int, last: int) -> None:
        """Write what a rule recorded; where a series ends, say so."""
        state = self._states[rule]
        rows = []
        for labels in vectors.keys() | state.written:
            values, present = vectors.get(labels, {}), labels in state.written
            samples: list[tuple[int, float | None]] = []
            for number in range(first, last + 1):
                if number in values:
                    samples.append((self._ms(number, self._step_s), values[number]))
                elif present:
                    samples.append((self._ms(number, self._step_s), STALE))
                present = number in values
            rows.append((labels, samples))
        state.written = frozenset(labels for labels, values in vectors.items() if last in values)
        if rows:
            self._server.write(rows)


def _labelled(labels: Labels, more: dict[str, str]) -> Labels:
    """Return labels with others instead of the metric's name; one without a value goes."""
    merged = {name: value for name, value in labels if name != "__name__"} | more
    return tuple(sorted((name, value) for name, value in merged.items() if value))


def _unmatched(expected: Sequence[Observation], got: Sequence[Observation]) -> bool:
    """Return whether an expected alert has none that is like it; texts that are not known are left out."""
    left = list(got)
    for one in expected:
        for other in left:
            unknown = {name for name, text in other.annotations if text is None}
            ours = [pair for pair in one.annotations if pair[0] not in unknown]
            if one.labels == other.labels and ours == [p for p in other.annotations if p[0] not in unknown]:
                left.remove(other)
                break
        else:
            return True
    return False


def _equal(expected: float, got: float, *, fuzzy: bool) -> bool:
    """Return whether two values are equal; NaN is not, as in promtool."""
    near = (math.nextafter(expected, math.inf), math.nextafter(expected, -math.inf)) if fuzzy else ()
    return got == expected or got in near
