"""Check an Alertmanager configuration beyond what Alertmanager checks: whether alerts reach whom they should.

What Alertmanager loads and a person would not want is a warning. Source: Alertmanager's documentation
("Configuration", "Alerting" practices) and the routes that were wrong in practice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from bais_gates.monitoring import receivers, templates
from bais_gates.monitoring.alertmanager import Alertmanager, AlertmanagerFile, Receiver
from bais_gates.monitoring.analysis import Labels, possible_labels
from bais_gates.monitoring.context import Context, Settings, context_of, found
from bais_gates.monitoring.documents import Value
from bais_gates.monitoring.findings import Finding, Place
from bais_gates.monitoring.receivers import Version
from bais_gates.monitoring.routing import Judge, Matcher, Route, shadowed, trace
from bais_gates.monitoring.rulefiles import Rule

SYNTHETIC: Final = "synthetic"
"""A label that no rule has: gates send alerts with it, to see them arrive."""
_SILENT: Final = re.compile(r"null|none|blackhole|black-hole|devnull|dev-null|discard|drop", re.IGNORECASE)
"""Names of receivers that notify nobody on purpose."""
_PLACEHOLDER: Final = re.compile(
    r"\$\{?[A-Z_][A-Z0-9_]*\}?|\bYOUR[-_ ]|change[-_ ]?me|replace[-_ ]?me|<[a-z][a-z _-]*>|\bTODO\b|"
    r"\bFIXME\b|\bx{4,}\b|hooks\.slack\.com/services/(?:T0+|X+|\.\.\.|YOUR|xxx)",
    re.IGNORECASE,
)


def check_delivery(
    files: Iterable[AlertmanagerFile], rules: Iterable[Rule], settings: Settings
) -> list[Finding]:
    """Return the findings about the configurations that can be loaded, with the rules that they route."""
    rules = list(rules)
    context = context_of(rules, settings)
    alerts = [_Alert(rule, context) for rule in rules if rule.is_alert]
    findings: list[Finding] = []
    for file in files:
        if file.config is not None:
            findings += _check_receivers(file.config, settings.alertmanager)
            findings += _check_routes(file.config)
            findings += _check_inhibitions(file.config)
            if alerts:
                findings += _check_alerts(file.config, alerts, settings.required_kinds)
    return list(dict.fromkeys(findings))  # an alias is checked wherever it is used


def walk(route: Route) -> Iterator[Route]:
    """Yield a route and all below it."""
    yield route
    for one in route.routes:
        yield from walk(one)


class _Alert:
    """What is known of an alert's labels before it fires."""

    def __init__(self, rule: Rule, context: Context) -> None:
        self.rule = rule
        self.labels = {"alertname": rule.name.value} | {
            name: text.value for name, text in rule.labels.items() if "{{" not in text.value
        }
        self.possible: Labels = possible_labels(rule.tree, context.labels_of).plus(rule.labels)

    def may_have(self, label: str) -> bool:
        return label in self.labels or label in self.possible

    def judge(self, *, synthetic: bool) -> Judge:
        def holds(matcher: Matcher) -> bool | None:
            if matcher.label == SYNTHETIC:
                return matcher.holds("true" if synthetic else "")
            if matcher.label in self.labels:
                return matcher.holds(self.labels[matcher.label])
            return None if matcher.label in self.possible else matcher.holds("")

        return holds


def _check_receivers(config: Alertmanager, version: Version) -> Iterator[Finding]:
    used = {route.receiver for route in walk(config.root)}
    for receiver in config.receivers.values():
        name = receiver.name
        if name not in used:
            yield found("receiver-unused", receiver.place, f"no route sends to the receiver {name}")
        elif not receiver.integrations and not _SILENT.fullmatch(name):
            message = f"the receiver {name} has no integration: what is sent to it reaches nobody"
            yield found("receiver-empty", receiver.place, message)
        for one in receiver.integrations:
            yield from _check_values(one.value, one.kind, config, version)
    if config.settings is not None:
        yield from _check_values(config.settings, "global", config, version)


def _check_values(value: Value, row: str, config: Alertmanager, version: Version) -> Iterator[Finding]:
    """Find empty values, placeholders, secrets that are written out, and templates that can't be parsed."""
    fields = receivers.rows()[row].fields
    for key, one in value.mapping(row).items():
        field = fields[key]
        for part in one.parts if field.is_list else [one]:
            if field.type in receivers.rows():
                yield from _check_values(part, field.type, config, version)
            elif part.kind == "text":
                yield from _check_text(part, row, key, config, version)
            elif part.kind == "mapping":
                for text in part.parts[1::2]:
                    if text.kind == "text":
                        yield from _check_text(text, row, key, config, version)


def _check_text(
    value: Value, row: str, key: str, config: Alertmanager, version: Version
) -> Iterator[Finding]:
    fields = receivers.rows()[row].fields
    kind = fields[key].type
    if value.is_null and not value.raw:
        message = f"{row}: {key} has no value; quote one that begins with #, as the rest would be a comment"
        yield found("empty-value", value.place, message)
    elif kind in receivers.SECRETS and not value.raw.strip():
        yield found("empty-value", value.place, f"{row}: {key} is empty")
    elif _PLACEHOLDER.search(value.raw) and "{{" not in value.raw and value.raw != "<secret>":
        message = f"{row}: {key} holds a placeholder; Alertmanager replaces none, so give its value"
        yield found("placeholder", value.place, message)
    elif kind in receivers.SECRETS and (file := fields.get(f"{key}_file")) and file.since <= version:
        message = f"{row}: {key} holds a secret as text; name a file that holds it with {key}_file"
        yield found("secret-as-text", value.place, message)
    if "{{" in value.raw:
        try:
            parsed = templates.parse(value.raw, templates.receiver_functions(version))
        except templates.TemplateError as error:
            yield found("template-syntax", value.place, f"{row}: {key}: {error}")
            return
        if config.templates is not None:
            for name in sorted(parsed.named - parsed.defined - config.templates):
                if ".default." not in name and not name.startswith("__"):
                    message = f'{row}: {key}: no file of templates defines "{name}"'
                    yield found("template-undefined", value.place, message)


def _check_routes(config: Alertmanager) -> Iterator[Finding]:
    for route, by in shadowed(config.root):
        message = (
            f"no alert comes to this route: the one at line {by.place.line} takes all of them (no continue)"
        )
        yield found("route-shadowed", route.place, message)
    for route in walk(config.root):
        if route.repeat_interval_s < route.group_interval_s:
            message = (
                f"repeat_interval ({route.repeat_interval_s:g} s) is shorter than group_interval "
                f"({route.group_interval_s:g} s), so it is not kept"
            )
            yield found("repeat-too-short", route.place, message)


def _check_inhibitions(config: Alertmanager) -> Iterator[Finding]:
    for one in config.inhibitions:
        if not one.source or not one.target:
            side = "target" if one.source else "source"
            message = f"the inhibition has no matchers of its {side}, so every alert is one"
            yield found("inhibition-too-wide", one.place, message)
        elif all(matcher.follows_from(one.source) for matcher in one.target):
            message = "alerts of the source are targets as well, so they inhibit one another; exclude them"
            yield found("inhibition-of-itself", one.place, message)
        if not one.equal:
            message = "the inhibition has no equal: one alert silences those of all other parts, too"
            yield found("inhibition-without-equal", one.place, message)


def _check_alerts(
    config: Alertmanager, alerts: list[_Alert], required: tuple[tuple[str, tuple[str, ...]], ...]
) -> Iterator[Finding]:
    visited: set[Route] = set()
    for alert in alerts:
        trace(config.root, alert.judge(synthetic=True), visited)
        routes, _ = trace(config.root, alert.judge(synthetic=False), visited)
        for priority, kinds in required:
            if alert.labels.get("priority") == priority:
                yield from _check_required(config, alert, routes, kinds)
    yield from _check_reached(config, alerts, visited)


def _check_required(
    config: Alertmanager, alert: _Alert, routes: list[Route], kinds: tuple[str, ...]
) -> Iterator[Finding]:
    name, wanted = alert.rule.name.value, " or ".join(kinds)
    priority = alert.labels["priority"]
    reaching = [one for one in routes if _kinds(config.receivers[one.receiver]) & set(kinds)]
    names = ", ".join(dict.fromkeys(one.receiver for one in routes))
    if not reaching:
        message = f"{name} ({priority}) reaches {names}, none with {wanted}"
        yield found("alert-not-delivered", alert.rule.labels["priority"], message)
    elif all(one.mutes for one in reaching):
        message = f"{name} ({priority}) reaches {wanted} only by routes that are mute at times"
        yield found("alert-muted", alert.rule.labels["priority"], message)


def _kinds(receiver: Receiver) -> set[str]:
    return {one.kind for one in receiver.integrations}


def _check_reached(config: Alertmanager, alerts: list[_Alert], visited: set[Route]) -> Iterator[Finding]:
    places: set[Place] = {route.place for route in visited}  # of an alias one use is enough
    reported = {route.place for route, _ in shadowed(config.root)}
    missing = {
        matcher.label
        for route in walk(config.root)
        for matcher in route.matchers
        if matcher.label != SYNTHETIC and not any(alert.may_have(matcher.label) for alert in alerts)
    }
    stack = [config.root]
    while stack:
        route = stack.pop()
        unknown = sorted({one.label for one in route.matchers} & missing)
        if unknown:
            message = f"no alert of the rules has the label {', '.join(unknown)} that this route asks for"
            yield found("matcher-label", route.place, message)
        elif route.place not in places | reported:
            asked = ", ".join(map(str, route.matchers)) or "everything"
            yield found(
                "route-unreached", route.place, f"no alert of the rules comes to this route ({asked})"
            )
        else:
            stack += route.routes
