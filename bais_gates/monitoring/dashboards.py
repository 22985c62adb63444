"""Read Grafana dashboards, and hold their queries and lines to the metrics and alerts beside them.

Read is the classic JSON (``panels``, ``schemaVersion``), which every Grafana imports; plain, inside
``dashboard`` as the HTTP API exports it, or inside ``spec`` of a ``dashboard.grafana.app/v1`` resource.
Source: Grafana's documentation ("Dashboard JSON model", "Variables", "Configure thresholds").
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from bais_gates.monitoring import expressions, promql
from bais_gates.monitoring.analysis import Comparison, comparison, kind
from bais_gates.monitoring.context import Settings, context_of, found
from bais_gates.monitoring.documents import RefusedError, Value
from bais_gates.monitoring.findings import Finding
from bais_gates.monitoring.rulefiles import Rule, Text

TARGET: Final = "target"
"""An alert's annotation with the number that the platform aims at, in the unit of the alert's limit."""
_RESOURCE: Final = "dashboard.grafana.app/"
_ALERT_COLOR: Final = re.compile(r"(^|-)red$")
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::[^}]*)?\}|\$([A-Za-z_]\w*)|\[\[(\w+)(?::\w+)?\]\]")
_STRING_OR_VARIABLE: Final = re.compile(
    rf"""(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)|(?P<before>[\[:]\s*)?(?:{_VARIABLE.pattern})"""
)
_DURATIONS: Final = frozenset({"__interval", "__rate_interval", "__range"})
_NUMBERS: Final = frozenset({"__interval_ms", "__range_s", "__range_ms"})
_SIMPLE: Final = re.compile(r"[\w:.]+", re.ASCII)
_TYPE: Final = re.compile("prometheus|loki|influx|elastic|graphite|tempo|cloudwatch", re.IGNORECASE)
"""Types of data sources that people put into names, as in DS_LOKI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What one line, or several, of a panel are drawn from."""

    expr: Text
    """As Prometheus evaluates it: without variables."""
    tree: Any
    legend: str
    """With labels in double braces; "" for all labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel that queries Prometheus."""

    title: Text
    unit: str
    """Grafana's name of a unit, as ``percentunit``; "" for none."""
    queries: tuple[Query, ...]
    alert: float | None
    """The line that bounds the red range; None without one."""
    target: float | None
    """The other line that is drawn; None without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """The panels of a file, and why some of it can't be used."""

    path: str
    panels: tuple[Panel, ...]
    findings: tuple[Finding, ...]


def holds_dashboard(documents: Iterable[Value]) -> bool:
    """Return whether a file is a dashboard of Grafana, whatever its version."""
    return any(_model(one) is not None for one in documents)


def load_dashboard(documents: Iterable[Value], path: str, settings: Settings) -> Dashboard:
    """Load the panels of a dashboard."""
    loader = _Loader(settings)
    panels: list[Panel] = []
    for document in documents:
        try:
            model = _model(document)
            if model is None:
                continue
            keys = model.mapping("the dashboard")
            if not keys.keys() & {"panels", "rows"}:
                raise model.refuse("not classic JSON: export the dashboard as the classic or V1 model")
            panels += loader.panels(keys)
        except RefusedError as refused:
            loader.findings.append(refused.finding)
    return Dashboard(path=path, panels=tuple(panels), findings=tuple(loader.findings))


def _model(document: Value) -> Value | None:
    """Return the model of a dashboard; None if the document is something else."""
    top = document.peek()
    if "apiVersion" in top:
        return top.get("spec") if top["apiVersion"].raw.startswith(_RESOURCE) else None
    model = top.get("dashboard", document)
    keys = model.peek().keys()
    return model if "title" in keys and keys & {"panels", "rows"} else None


class _Loader:
    """Collects the findings of a file, so that one wrong panel hides no other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._variables: dict[str, str] = {}
        self._datasources: dict[str, str] = {}
        self.findings: list[Finding] = []

    def panels(self, model: Mapping[str, Value]) -> Iterator[Panel]:
        """Yield the panels that query Prometheus, those inside rows included."""
        self._read_variables(_mapping(model, "templating"))
        for one in _panels(model):
            try:
                if (panel := self._panel(one.mapping("a panel"), one)) is not None:
                    yield panel
            except RefusedError as refused:
                self.findings.append(refused.finding)

    def _read_variables(self, templating: Mapping[str, Value]) -> None:
        """Keep the current value of each variable that is one plain text, and each data source's type."""
        for one in _items(templating, "list"):
            keys = one.mapping("a variable")
            name = _text(keys.get("name"))
            value = _text(_mapping(keys, "current").get("value")) or _text(keys.get("query"))
            if _text(keys.get("type")) == "datasource":
                self._datasources[name] = _text(keys.get("query"))
            elif _SIMPLE.fullmatch(value):
                self._variables[name] = value

    def _panel(self, keys: Mapping[str, Value], at: Value) -> Panel | None:
        title = Text(value=_text(keys.get("title")) or "a panel without a title", place=at.place)
        queries = []
        for one in _items(keys, "targets"):
            target = one.mapping("a target")
            expr = target.get("expr")
            source = self._type_of(target.get("datasource")) or self._type_of(keys.get("datasource"))
            if expr is None or not _text(expr).strip() or source not in {"", "prometheus"}:
                continue
            if (query := self._query(expr, _text(target.get("legendFormat")), title)) is not None:
                queries.append(query)
        if not queries:
            return None
        defaults = _mapping(_mapping(keys, "fieldConfig"), "defaults")
        alert, target_line = _lines(defaults)
        unit = _text(defaults.get("unit"))
        return Panel(title=title, unit=unit, queries=tuple(queries), alert=alert, target=target_line)

    def _type_of(self, source: Value | None) -> str:
        """Return the type of a data source; "" where a name alone does not tell it, and for the default."""
        if source is None or source.is_null:
            return ""
        keys = {"uid": source} if source.kind == "text" else source.mapping("datasource")
        name = _text(keys.get("uid"))
        if (variable := _VARIABLE.fullmatch(name)) is not None:
            name = variable[variable.lastindex or 0]
        known = _TYPE.search(name)
        return _text(keys.get("type")) or self._datasources.get(name) or (known[0].lower() if known else "")

    def _query(self, expr: Value, legend: str, title: Text) -> Query | None:
        """Return a query; None for one that is wrong, and for one whose syntax its variables decide."""
        text = with_variables(expr.raw, self._variables, 4 * self._settings.scrape_interval_s)
        if text is None:
            return None
        try:
            tree = promql.parse(text, self._settings.version)
        except promql.PromqlError as error:
            message = f"{title.value}: {error}"
            self.findings.append(Finding(check="promql-syntax", place=expr.place, message=message))
            return None
        return Query(expr=Text(value=text, place=expr.place), tree=tree, legend=legend)


def with_variables(text: str, values: Mapping[str, str], interval_s: float) -> str | None:
    """Return a query with values for its variables; None where one without a value stands outside of a text.

    A duration becomes ``interval_s``, which for ``$__rate_interval`` is four times the scrape interval.
    """
    unknown = False

    def value(match: re.Match[str]) -> str:
        nonlocal unknown
        if match["string"] is not None:
            return _VARIABLE.sub("x", match["string"])  # the syntax does not depend on a text
        name, before = next(filter(None, match.groups()[2:]), ""), match["before"] or ""
        if before or name in _DURATIONS:
            return f"{before}{interval_s:g}s"
        if name in _NUMBERS:
            return f"{interval_s:g}"
        unknown = unknown or name not in values
        return values.get(name, "")

    result = _STRING_OR_VARIABLE.sub(value, text)
    return None if unknown else result


def _panels(model: Mapping[str, Value]) -> Iterator[Value]:
    """Yield all panels: those of the dashboard, and those inside rows of the new and of the old kind."""
    for one in (*_items(model, "panels"), *_items(model, "rows")):
        yield one
        yield from _items(one.peek(), "panels")


def _lines(defaults: Mapping[str, Value]) -> tuple[float | None, float | None]:
    """Return the lines that a panel draws at its thresholds: the one where red begins or ends, another."""
    style = _text(_mapping(_mapping(defaults, "custom"), "thresholdsStyle").get("mode")) or "off"
    thresholds = _mapping(defaults, "thresholds")
    if style == "off" or _text(thresholds.get("mode")) == "percentage":
        return None, None
    alert = target = None
    before = False
    for number, one in enumerate(_items(thresholds, "steps")):
        step = one.mapping("a threshold")
        is_red = _ALERT_COLOR.search(_text(step.get("color"))) is not None
        value = step.get("value")
        if number and value is not None:
            line = _number(value)
            if is_red != before and alert is None:
                alert = line
            else:
                target = line
        before = is_red
    return alert, target


def _number(value: Value) -> float:
    try:
        number = float(value.text("a threshold's value"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise value.refuse(f"{value.raw!r} is not the number of a threshold")
    return number


def _mapping(keys: Mapping[str, Value], name: str) -> Mapping[str, Value]:
    return keys[name].mapping(name) if name in keys else {}


def _items(keys: Mapping[str, Value], name: str) -> list[Value]:
    return keys[name].items(name) if name in keys else []


def _text(value: Value | None) -> str:
    """Return a text; "" for anything else, as many keys may hold more than one kind."""
    return value.raw if value is not None and value.kind == "text" and not value.is_null else ""


def check_dashboards(
    dashboards: Iterable[Dashboard], rules: list[Rule], settings: Settings
) -> Iterator[Finding]:
    """Find queries that would show nothing or nonsense, and lines that no alert or target has."""
    context = context_of(rules, settings)
    limits = _limits(rules)
    for panel in (panel for one in dashboards for panel in one.panels):
        for query in panel.queries:
            as_rule = _as_rule(panel, query)
            for check in expressions.CHECKS:
                yield from check(as_rule, context)
        if rules:
            yield from _check_lines(panel, limits)


def _as_rule(panel: Panel, query: Query) -> Rule:
    title = replace(panel.title, value=f"panel {panel.title.value}")
    return Rule(
        group="", kind="panel", name=title, expr=query.expr, tree=query.tree,
        for_s=0.0, keep_firing_for_s=0.0, labels={}, annotations={}, line=query.expr.place.line,
    )  # fmt: skip


@dataclass(slots=True)
class _Limit:
    """What the alerts on one expression compare it with, by name, and the targets that they state."""

    alerts: dict[str, float]
    targets: set[float]


def _limits(rules: list[Rule]) -> dict[str, _Limit]:
    """Return the limits of alerts, by the expression that is compared."""
    limits: dict[str, _Limit] = {}
    for rule in rules:
        for one in _judgements(rule.tree) if rule.is_alert else ():
            limit = limits.setdefault(_canonical(one.vector), _Limit({}, set()))
            limit.alerts[rule.name.value] = one.limit
            if (target := target_of(rule)) is not None:
                limit.targets.add(target)
    return limits


def _judgements(tree: Any) -> Iterator[Comparison]:
    """Yield the comparisons by which an alert judges; what stands behind and or unless is its condition."""
    node = promql.bare(tree)
    if kind(node) == "BinaryExpr" and str(node.op) in {"and", "unless", "or"}:
        yield from _judgements(node.lhs)
        if str(node.op) == "or":
            yield from _judgements(node.rhs)
    elif (one := comparison(node)) is not None and one.op not in {"==", "!="}:
        yield one


def _canonical(tree: Any) -> str:
    """Return an expression as one text, however it was laid out."""
    return str(promql.bare(tree).prettify())


def target_of(rule: Rule) -> float | None:
    """Return the number of an alert's annotation ``target``; None without one, or if it is no number."""
    try:
        return float(rule.annotations[TARGET].value)
    except (KeyError, ValueError):
        return None


def _check_lines(panel: Panel, limits: Mapping[str, _Limit]) -> Iterator[Finding]:
    """Compare a panel's lines with the alerts that judge what it shows."""
    title = panel.title.value
    shown = [one for query in panel.queries if (one := limits.get(_canonical(query.tree)))]
    alerts = {name: limit for one in shown for name, limit in one.alerts.items()}
    targets = {target for one in shown for target in one.targets}
    if (panel.alert is not None or alerts) and panel.alert not in alerts.values():
        known = ", ".join(f"{name} at {limit:g}" for name, limit in alerts.items()) or "no alert"
        message = f"{title} has {_line(panel.alert)} for the alert; what it shows is judged by {known}"
        yield found("line-differs", panel.title, message)
    if panel.target not in targets if panel.target is not None else targets - {panel.alert}:
        known = ", ".join(f"{one:g}" for one in sorted(targets)) or "none"
        message = f"{title} has {_line(panel.target)} for the target; the targets of its alerts: {known}"
        yield found("line-differs", panel.title, message)


def _line(value: float | None) -> str:
    return "no line" if value is None else f"a line at {value:g}"
