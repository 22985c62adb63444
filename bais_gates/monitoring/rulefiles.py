"""Load rule files as Prometheus does, plain or as PrometheusRule objects, and keep the place of each value.

Source: Prometheus' documentation ("Recording rules", "Alerting rules") and its ``rulefmt`` package; the
PrometheusRule resource of the Prometheus Operator (``monitoring.coreos.com/v1``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bais_gates.monitoring import promql, templates
from bais_gates.monitoring.documents import RefusedError, Value, texts
from bais_gates.monitoring.findings import Finding, Place

_GROUP_KEYS: Final = frozenset({"name", "interval", "limit", "rules"})
_SINCE: Final = {"query_offset": (2, 53), "labels": (3, 0)}
"""The first version that knows a key of a group."""
_OPERATOR_KEYS: Final = _GROUP_KEYS | _SINCE.keys() | {"partial_response_strategy"}
_RULE_KEYS: Final = frozenset({"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"})
_DURATION: Final = re.compile(
    r"(?:0|(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?)",
    re.ASCII,
)
_UNITS_MS: Final = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1)
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text of a file and its place."""

    value: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """An alerting or a recording rule that Prometheus would load."""

    group: str
    kind: str
    """``alert`` or ``record``."""
    name: Text
    expr: Text
    tree: Any
    """The syntax tree of ``expr``."""
    for_s: float
    keep_firing_for_s: float
    labels: Mapping[str, Text]
    """Those of its group included."""
    annotations: Mapping[str, Text]
    line: int
    """Where it starts."""

    @property
    def is_alert(self) -> bool:
        """Whether it is an alerting rule."""
        return self.kind == "alert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of rules that are evaluated one after the other."""

    name: Text
    line: int
    """Where it starts."""
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFile:
    """The groups of a file that can be loaded, and why Prometheus would not load the others."""

    path: str
    groups: tuple[Group, ...]
    findings: tuple[Finding, ...]

    @property
    def rules(self) -> Iterator[Rule]:
        """All rules, in their order."""
        for group in self.groups:
            yield from group.rules


def parse_duration(text: str) -> float:
    """Return a duration of Prometheus ("1h30m") in seconds; raise ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"{text!r} is not a duration; write it as 5m, 1h30m or 30s")
    amounts = zip(match.groups(), _UNITS_MS, strict=True)
    return sum(int(amount) * unit for amount, unit in amounts if amount) / 1000


def load_rules(documents: Iterable[Value], path: str, version: tuple[int, int] = (2, 42)) -> RuleFile:
    """Load a file for a version of Prometheus: plain rules, or any number of PrometheusRule objects."""
    loader = _Loader(version)
    groups: list[Group] = []
    try:
        for number, document in enumerate(documents):
            if document.is_null:
                continue
            if "apiVersion" in document.mapping("the file"):
                for spec in _specs(document):
                    groups += loader.groups(spec, _OPERATOR_KEYS)
            elif number == 0:
                document.mapping("the file", frozenset({"groups"}))
                known = _GROUP_KEYS | {key for key, since in _SINCE.items() if since <= version}
                groups += loader.groups(document, known)
    except RefusedError as refused:
        loader.findings.append(refused.finding)
    return RuleFile(path=path, groups=tuple(groups), findings=tuple(loader.findings))


def holds_rules(documents: Iterable[Value]) -> bool:
    """Return whether a file is one of rules: a list of groups, or a PrometheusRule among its objects."""
    for document in documents:
        top = document.peek()
        if _has_object(document) if "apiVersion" in top else "groups" in top:
            return True
    return False


def _has_object(document: Value) -> bool:
    top = document.peek()
    kind = top["kind"].raw if "kind" in top else ""
    if kind.endswith("List") and "items" in top:
        return any(_has_object(one) for one in top["items"].parts)
    return kind == "PrometheusRule"


def _specs(document: Value) -> Iterator[Value]:
    """Yield the specs of a PrometheusRule, or of those in a List; other objects have none."""
    top = document.mapping("the object")
    kind = top["kind"].text("kind") if "kind" in top else ""
    if kind.endswith("List") and "items" in top:
        for item in top["items"].items("items"):
            yield from _specs(item)
    elif kind == "PrometheusRule":
        if "spec" not in top:
            raise document.refuse("the PrometheusRule has no spec")
        top["spec"].mapping("spec", frozenset({"groups"}))
        yield top["spec"]


class _Loader:
    """Collects the findings of a file, so that one wrong rule hides no other."""

    def __init__(self, version: tuple[int, int]) -> None:
        self._version = version
        self.findings: list[Finding] = []

    def groups(self, value: Value, allowed: frozenset[str]) -> Iterator[Group]:
        """Yield the groups that can be loaded."""
        found = value.mapping("the file").get("groups")
        names: set[str] = set()
        for one in [] if found is None else found.items("groups"):
            try:
                group = self._group(one, allowed)
                if group.name.value in names:
                    raise _refuse(group.name, f"duplicate group {group.name.value}")
                names.add(group.name.value)
                yield group
            except RefusedError as refused:
                self.findings.append(refused.finding)

    def _group(self, value: Value, allowed: frozenset[str]) -> Group:
        keys = value.mapping("a group", allowed)
        name = _text(keys.get("name"), "name")
        if name is None or not name.value:
            raise value.refuse("a group needs a name")
        labels = _named_texts(keys.get("labels"), "labels")
        for label, text in labels.items():
            if not _LABEL.fullmatch(label) or label == "__name__":
                raise RefusedError(f"{label} is not a label name", text.place)
        if (limit := keys.get("limit")) and not re.fullmatch(r"[-+]?\d+", limit.text("limit") or "0"):
            raise limit.refuse("limit must be a whole number")
        duration_of(keys.get("query_offset"), "query_offset")
        rules = []
        for one in keys["rules"].items("rules") if "rules" in keys else []:
            try:
                rules.append(self._rule(one, name.value, labels))
            except RefusedError as refused:
                self.findings.append(refused.finding)
        duration_of(keys.get("interval"), "interval")
        return Group(name=name, line=value.place.line, rules=tuple(rules))

    def _rule(self, value: Value, group: str, labels: Mapping[str, Text]) -> Rule:
        keys = value.mapping("a rule", _RULE_KEYS)
        record, alert = _raw(keys.get("record"), "record"), _raw(keys.get("alert"), "alert")
        named = [one for one in (record, alert) if one is not None and one.value]
        if len(named) != 1:
            raise value.refuse("a rule needs exactly one of record and alert")
        name = named[0]
        kind = "record" if name is record else "alert"
        expr = _raw(keys.get("expr"), "expr")
        if expr is None or not expr.value:
            raise value.refuse(f"{name.value} has no expr")
        try:
            tree = promql.parse(expr.value, self._version)
        except promql.PromqlError as error:
            raise _refuse(expr, f"{name.value}: {error}", check="promql-syntax") from None
        rule = Rule(
            group=group,
            kind=kind,
            name=name,
            expr=expr,
            tree=tree,
            for_s=duration_of(keys.get("for"), "for"),
            keep_firing_for_s=duration_of(keys.get("keep_firing_for"), "keep_firing_for"),
            labels={**labels, **_named_texts(keys.get("labels"), "labels")},
            annotations=_named_texts(keys.get("annotations"), "annotations"),
            line=value.place.line,
        )
        _check_names(rule, keys)
        return rule


def _check_names(rule: Rule, keys: Mapping[str, Value]) -> None:
    """Raise :class:`RefusedError` for wrong names and templates, and for keys of the other kind of rule."""
    if rule.kind == "record":
        for key in ("for", "keep_firing_for", "annotations"):
            if key in keys and (rule.annotations if key == "annotations" else duration_of(keys[key], key)):
                raise keys[key].refuse(f"{rule.name.value}: a recording rule has no {key}")
        if not _METRIC.fullmatch(rule.name.value):
            raise _refuse(rule.name, f"{rule.name.value!r} is not a metric name")
    for what, found in (("label", rule.labels), ("annotation", rule.annotations)):
        for name, text in found.items():
            if not _LABEL.fullmatch(name) or (what == "label" and name == "__name__"):
                raise _refuse(text, f"{rule.name.value}: {name!r} is not a valid {what} name")
            if rule.is_alert:
                try:
                    templates.parse(text.value)
                except templates.TemplateError as error:
                    message = f"{rule.name.value}: {what} {name}: {error}"
                    raise _refuse(text, message, check="template-syntax") from None


def _refuse(text: Text, message: str, *, check: str = "load") -> RefusedError:
    return RefusedError(message, text.place, check=check)


def _text(value: Value | None, what: str) -> Text | None:
    return None if value is None else Text(value=value.text(what), place=value.place)


def _raw(value: Value | None, what: str) -> Text | None:
    """Return a text as it is written: Prometheus reads these keys so, and ``null`` is a name there."""
    if value is None:
        return None
    value.text(what)
    return Text(value=value.raw, place=value.place)


def _named_texts(value: Value | None, what: str) -> dict[str, Text]:
    found = texts(value, what)
    return {name: Text(value=one.text(name), place=one.place) for name, one in found.items()}


def duration_of(value: Value | None, what: str) -> float:
    """Return a duration in seconds, 0 without one; refuse what is none."""
    if value is None or value.is_null:
        return 0.0
    try:
        return parse_duration(value.text(what))
    except ValueError as error:
        raise value.refuse(f"{what}: {error}") from None
