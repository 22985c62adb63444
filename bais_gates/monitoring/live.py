"""Compare what a running Prometheus and Alertmanager have loaded with the files that are shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

from bais_gates.errors import GateInputError
from bais_gates.monitoring import promql
from bais_gates.monitoring.alertmanager import Alertmanager, load_alertmanager
from bais_gates.monitoring.catalogue import Catalogue
from bais_gates.monitoring.context import Settings
from bais_gates.monitoring.dashboards import Dashboard
from bais_gates.monitoring.delivery import check_delivery
from bais_gates.monitoring.documents import RefusedError, read_documents
from bais_gates.monitoring.project import find_files
from bais_gates.monitoring.routing import routes_of
from bais_gates.monitoring.rulefiles import RuleFile, load_rules, parse_duration

_RUNBOOK: Final = "runbook_url"
_LATE: Final = 3
"""Intervals after which an evaluation or a scrape is overdue."""

Formatted = Callable[[str], str]
"""Returns an expression as one Prometheus writes it."""
Groups = Sequence[Mapping[str, Any]]
"""Groups of rules as Prometheus' ``/api/v1/rules`` lists them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """The files of a folder of monitoring that gates hold a platform to."""

    rules: tuple[RuleFile, ...]
    dashboards: tuple[Dashboard, ...]
    catalogue: Catalogue


def load_shipped(folder: Path) -> Shipped:
    """Read the rules, dashboards and catalogue of a folder; raise GateInputError for what can't be used."""
    files = find_files([folder], Settings())
    if files.catalogue is None:
        raise GateInputError(f"{folder}: no catalogue of metrics. Add metrics.yaml.")
    rules = tuple(file for file, _ in files.rules.values())
    dashboards = tuple(file for file, _ in files.dashboards.values())
    faults = [one for file in rules for one in file.findings]
    faults += [one for file in dashboards for one in file.findings]
    if faults:
        raise GateInputError(f"{faults[0].place}: {faults[0].message}. Mend it first.")
    return Shipped(rules=rules, dashboards=dashboards, catalogue=files.catalogue)


def rule_differences(shipped: Iterable[RuleFile], live: Groups, formatted: Formatted) -> list[str]:
    """Return how the loaded rules differ from the shipped ones, by group and name.

    Compared are expression, durations, labels and annotations; of a runbook's address only its last part, as
    each platform has an address of its own. A group that is not shipped is somebody else's. Source:
    prometheus.io/docs/prometheus/latest/querying/api (Rules).
    """
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for one in live:
        by_name.setdefault(one["name"], []).append(one)
    found = []
    for file in shipped:
        for group in file.groups:
            name = group.name.value
            loaded = by_name.get(name, [])
            if len(loaded) != 1:
                found.append(f"group {name}: loaded {len(loaded)} times")
                continue
            wanted = [_of_rule(rule) for rule in group.rules]
            there = [_of_live(rule) for rule in loaded[0]["rules"]]
            found += _compared(name, wanted, there, formatted)
    return found


_Rule = dict[str, Any]


def _of_rule(rule: Any) -> _Rule:
    return {
        "name": rule.name.value,
        "expression": rule.expr.value,
        "for": rule.for_s,
        "keep_firing_for": rule.keep_firing_for_s,
        "labels": {key: text.value for key, text in rule.labels.items()},
        "annotations": _annotations({key: text.value for key, text in rule.annotations.items()}),
    }


def _of_live(rule: Mapping[str, Any]) -> _Rule:
    return {
        "name": rule["name"],
        "expression": rule["query"],
        "for": float(rule.get("duration", 0)),
        "keep_firing_for": float(rule.get("keepFiringFor", 0)),
        "labels": dict(rule.get("labels") or {}),
        "annotations": _annotations(rule.get("annotations") or {}),
    }


def _annotations(given: Mapping[str, str]) -> dict[str, str]:
    return {key: value.rpartition("/")[2] if key == _RUNBOOK else value for key, value in given.items()}


def _compared(group: str, wanted: list[_Rule], there: list[_Rule], formatted: Formatted) -> list[str]:
    names, loaded = [one["name"] for one in wanted], [one["name"] for one in there]
    found = [f"{group}: {name} is not loaded" for name in names if name not in loaded]
    found += [f"{group}: {name} is loaded and not shipped" for name in loaded if name not in names]
    if found or names != loaded:
        return found or [f"{group}: the rules are in another order, or one is there twice"]
    for ours, theirs in zip(wanted, there, strict=True):
        for key in ("for", "keep_firing_for", "labels", "annotations"):
            if ours[key] != theirs[key]:
                found.append(f"{group}: {ours['name']}: {key} is {theirs[key]}, shipped is {ours[key]}")
        if formatted(ours["expression"]) != formatted(theirs["expression"]):
            found.append(f"{group}: {ours['name']}: the expression is {theirs['expression']}")
    return found


def unevaluated(live: Groups, names: Iterable[str], now: float) -> list[str]:
    """Return the rules of some groups that are not evaluated in time without an error, with the reason."""
    wanted, found = set(names), []
    for group in live:
        if group["name"] not in wanted:
            continue
        for rule in group["rules"]:
            about = f"{group['name']}: {rule['name']}"
            if rule["health"] != "ok":
                found.append(f"{about}: {rule['health']}: {rule.get('lastError') or 'not evaluated yet'}")
            elif now - _unix(rule["lastEvaluation"]) > _LATE * float(group["interval"]) + 1:
                found.append(f"{about}: evaluated last at {rule['lastEvaluation']}")
    return found


def down_targets(targets: Sequence[Mapping[str, Any]], jobs: Iterable[str], now: float) -> list[str]:
    """Return the jobs without targets, and the targets that are not up or not scraped in time."""
    found = []
    for job in jobs:
        of_job = [one for one in targets if one["labels"].get("job") == job]
        if not of_job:
            found.append(f"{job}: no target")
        for one in of_job:
            where = f"{job} ({one['labels'].get('instance')})"
            seconds = parse_duration(one.get("scrapeInterval", "1m"))
            if one["health"] != "up":
                found.append(f"{where}: {one['health']}: {one.get('lastError') or 'not scraped yet'}")
            elif now - _unix(one["lastScrape"]) > _LATE * seconds + 1:
                found.append(f"{where}: scraped last at {one['lastScrape']}")
    return found


def missing_metrics(
    catalogue: Catalogue, labels_of: Callable[[str], frozenset[str]], environment: str, absent: Iterable[str]
) -> list[str]:
    """Return the catalogued series that are not exposed, or without one of their labels.

    ``labels_of`` returns the labels of all current series of a selector. Left out is what the catalogue, or
    the environment file (``absent``), says that the environment can't have.
    """
    left_out, found = set(absent), []
    for one in catalogue.series.values():
        if not one.job or environment in one.absent or one.name in left_out:
            continue
        present = labels_of(f'{one.name}{{job="{one.job}"}}')
        if not present:
            found.append(f"{one.name}: no series in job {one.job}")
        elif lacking := sorted(one.labels - one.optional - present):
            found.append(f"{one.name}: no label {', '.join(lacking)} in job {one.job}")
    return found


def empty_queries(
    shipped: Shipped, has_series: Callable[[str], bool], environment: str, absent: Iterable[str]
) -> list[str]:
    """Return the queries of the dashboards that return no series now, each after its panel's title.

    Left out are queries of what the environment can't have, as in :func:`missing_metrics`.
    """
    series = shipped.catalogue.series
    left_out = {*absent, *(name for name, one in series.items() if environment in one.absent)}
    return [
        f"{panel.title.value}: {query.expr.value}"
        for dashboard in shipped.dashboards
        for panel in dashboard.panels
        for query in panel.queries
        if not promql.metrics(query.tree) & left_out and not has_series(query.expr.value)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Where one alert must arrive: the kind of integration, and for Slack the channel."""

    receiver: str
    kind: str
    channel: str | None


class LoadedRoutes:
    """The configuration that an Alertmanager has loaded. Raises ValueError where it can't be read."""

    def __init__(self, text: str) -> None:
        self._text = text
        try:
            file = load_alertmanager(read_documents(text, "alertmanager"), "alertmanager", (0, 33))
        except RefusedError as refused:
            raise ValueError(str(refused)) from None
        if file.config is None:
            raise ValueError("; ".join(f"{one.place}: {one.message}" for one in file.findings))
        self._file, self._config = file, file.config

    def faults(self, live: Groups) -> list[str]:
        """Return what is wrong with the delivery of the alerts that are loaded.

        Source: the checks of ``bais-gates monitoring check``.
        """
        found = check_delivery([self._file], _loaded(live).rules, Settings(alertmanager=(0, 33)))
        return [f"line {one.place.line}: {one.message}" for one in found if one.check in _OF_DELIVERY]

    def deliveries(self, labels: Mapping[str, str]) -> list[Delivery]:
        """Return where an alert with these labels arrives, once each."""
        config: Alertmanager = self._config
        found = []
        for route in routes_of(config.root, labels):
            for one in config.receivers[route.receiver].integrations:
                values = one.value.mapping(one.kind)
                channel = values["channel"].raw if "channel" in values else None
                found.append(Delivery(receiver=route.receiver, kind=one.kind, channel=channel))
        return list(dict.fromkeys(found))


_OF_DELIVERY: Final = frozenset(
    {"alert-not-delivered", "alert-muted", "route-shadowed", "receiver-empty", "inhibition-of-itself"}
)
"""The checks by which alerts do not arrive. Others are about files, or about alerts that others ship."""


def _loaded(live: Groups) -> RuleFile:
    """Return the loaded rules as if they were a file."""
    groups = [
        {
            "name": f"{group.get('file', '')}/{group['name']}",
            "rules": [
                {
                    ("alert" if rule["type"] == "alerting" else "record"): rule["name"],
                    "expr": rule["query"],
                    "labels": rule.get("labels") or {},
                }
                for rule in group["rules"]
            ],
        }
        for group in live
    ]
    return load_rules(read_documents(yaml.safe_dump({"groups": groups}), "prometheus"), "prometheus", (3, 14))


def _unix(moment: str) -> float:
    """Return a moment of Go's (RFC 3339, nanoseconds) as Unix seconds."""
    return datetime.fromisoformat(moment).timestamp()
