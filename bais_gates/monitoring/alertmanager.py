"""Load an Alertmanager configuration as Alertmanager does, and keep the place of each value.

Source: Alertmanager's documentation ("Configuration") and its ``config`` and ``template`` packages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bais_gates.errors import GateInputError
from bais_gates.monitoring import receivers, templates
from bais_gates.monitoring.documents import MAX_BYTES, RefusedError, Value
from bais_gates.monitoring.findings import Finding, Place
from bais_gates.monitoring.receivers import Fields, Version
from bais_gates.monitoring.routing import UTF8_SINCE, Matcher, Route, checked_matcher, parse_matchers
from bais_gates.monitoring.rulefiles import parse_duration
from bais_gates.verdict.files import read_bytes

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """One integration of a receiver."""

    kind: str
    """As in ``pagerduty``."""
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Whom a route notifies, by which integrations."""

    name: str
    place: Place
    integrations: tuple[Integration, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inhibition:
    """A rule by which alerts silence others."""

    place: Place
    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alertmanager:
    """A configuration that Alertmanager would load."""

    settings: Value | None
    """Its part ``global``."""
    root: Route
    receivers: Mapping[str, Receiver]
    inhibitions: tuple[Inhibition, ...]
    templates: frozenset[str] | None
    """Names of the templates in its files; None if there are files that can't be seen from here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerFile:
    """What a file holds; without a configuration the findings say why Alertmanager would not load it."""

    path: str
    config: Alertmanager | None
    findings: tuple[Finding, ...]
    starts: tuple[int, ...]
    """First lines of its routes, receivers and inhibitions."""


def holds_alertmanager(documents: Iterable[Value]) -> bool:
    """Return whether a file is an Alertmanager configuration: it has a route tree, or a list of receivers."""
    document = next(iter(documents), None)
    top = {} if document is None else document.peek()
    if top.keys() & {"apiVersion", "groups"}:
        return False
    route, found = top.get("route"), top.get("receivers")
    keys = {} if route is None else route.peek()
    return bool(keys.keys() & {"receiver", "routes", "group_by"}) or (
        found is not None and found.kind == "list" and bool(top.keys() & {"route", "inhibit_rules", "global"})
    )


def load_alertmanager(documents: Iterable[Value], path: str, version: Version = (0, 25)) -> AlertmanagerFile:
    """Load a file for a version of Alertmanager; of several documents the first is read."""
    loader = _Loader(version, path)
    config = None
    start = Place(path=path, line=1, column=1)
    try:
        config = loader.config(next(iter(documents), Value(kind="text", place=start, is_null=True, parts=[])))
    except RefusedError as refused:
        loader.findings.append(refused.finding)
    return AlertmanagerFile(
        path=path,
        config=None if loader.findings else config,
        findings=tuple(loader.findings),
        starts=tuple(sorted(loader.starts)),
    )


class _Loader:
    """Collects the findings of a file, so that one wrong receiver hides no other."""

    def __init__(self, version: Version, path: str) -> None:
        self._version = version
        self._path = path
        self.findings: list[Finding] = []
        self.starts: set[int] = set()

    def config(self, document: Value) -> Alertmanager:
        found = receivers.read(document, "config", self._version, "the configuration")
        settings = found.get("global")
        receiver_list = found["receivers"].items("receivers") if "receivers" in found else []
        known = dict(self._receivers(receiver_list, settings.mapping("global") if settings else {}))
        inhibitions = tuple(self._inhibitions(found.get("inhibit_rules")))
        times = self._times(found)
        if "route" not in found or found["route"].is_null:
            raise document.refuse("no route in the configuration")
        top = receivers.read(found["route"], "route", self._version)
        for key in ("match", "match_re", "matchers", "mute_time_intervals", "active_time_intervals"):
            if key in top and top[key].parts:
                raise top[key].refuse(f"the root route can't have {key}: it takes every alert")
        if "continue" in top and re.match("[ytoYTO](?!ff|FF)", top["continue"].raw):
            raise top["continue"].refuse("the root route can't have continue")
        if not receivers.given(top, "receiver"):
            raise found["route"].refuse("the root route needs a receiver")
        root = self._route(found["route"], None, known, times)
        names = self._templates(found.get("templates"))
        return Alertmanager(
            settings=settings, root=root, receivers=known, inhibitions=inhibitions, templates=names
        )

    def _receivers(self, values: list[Value], settings: Fields) -> Iterator[tuple[str, Receiver]]:
        names: set[str] = set()
        for value in values:
            self.starts.add(value.place.line)
            try:
                found = receivers.read(value, "receiver", self._version)
                name = found["name"].raw if "name" in found else ""
                if not name or name in names:
                    raise value.refuse(f"duplicate receiver {name}" if name else "a receiver needs a name")
                names.add(name)
                integrations = []
                for key, row in receivers.integrations().items():
                    for one in found[key].items(key) if key in found else []:
                        receivers.check_globals(one, row, one.mapping(row), settings)
                        integrations.append(Integration(kind=row, value=one))
                yield name, Receiver(name=name, place=value.place, integrations=tuple(integrations))
            except RefusedError as refused:
                self.findings.append(refused.finding)
                named = [
                    two.raw
                    for one, two in zip(value.parts[::2], value.parts[1::2], strict=False)
                    if one.raw == "name"
                ]
                if named:  # so that a route to it is not reported as well
                    yield named[0], Receiver(name=named[0], place=value.place, integrations=())

    def _inhibitions(self, value: Value | None) -> Iterator[Inhibition]:
        for one in value.items("inhibit_rules") if value is not None else []:
            self.starts.add(one.place.line)
            try:
                if one.is_null:
                    raise one.refuse("an empty element in inhibit_rules")
                found = receivers.read(one, "inhibition", self._version)
                equal = found["equal"].items("equal") if "equal" in found else []
                for label in equal:
                    if not label.is_null:
                        self._check_label(label)
                yield Inhibition(
                    place=one.place,
                    source=self._matchers(found, "source_"),
                    target=self._matchers(found, "target_"),
                    equal=tuple(label.raw for label in equal),
                )
            except RefusedError as refused:
                self.findings.append(refused.finding)

    def _times(self, found: Fields) -> set[str]:
        names: set[str] = set()
        for key in ("mute_time_intervals", "time_intervals"):
            for one in found[key].items(key) if key in found else []:
                name = one.mapping(key)["name"]
                if name.raw in names:
                    raise name.refuse(f"duplicate time interval {name.raw}")
                names.add(name.raw)
        return names

    def _route(
        self, value: Value, parent: Route | None, known: Mapping[str, Receiver], times: set[str]
    ) -> Route:
        self.starts.add(value.place.line)
        if value.is_null:
            raise value.refuse("an empty element in routes")
        found = receivers.read(value, "route", self._version)
        receiver = found["receiver"].raw if receivers.given(found, "receiver") else ""
        if receiver and receiver not in known:
            raise found["receiver"].refuse(f"the receiver {receiver} is not defined")
        self._check_group_by(found.get("group_by"))
        mutes = [
            one
            for key in ("mute_time_intervals", "active_time_intervals")
            for one in (found[key].items(key) if key in found else [])
        ]
        for name in mutes:
            if name.raw not in times:
                raise name.refuse(f"the time interval {name.raw} is not defined")
        seconds = {}
        for key, default in (("group_interval", 300.0), ("repeat_interval", 14_400.0)):
            if not receivers.given(found, key):
                seconds[key] = getattr(parent, f"{key}_s", default)
            elif not (own := parse_duration(found[key].raw)):
                raise found[key].refuse(f"{key} can't be 0")
            else:
                seconds[key] = own
        goes_on = found.get("continue")
        here = Route(
            place=value.place,
            receiver=receiver or (parent.receiver if parent else ""),
            matchers=self._matchers(found),
            goes_on=goes_on is not None and re.match("[ytoYTO](?!ff|FF)", goes_on.raw) is not None,
            mutes=tuple(one.raw for one in mutes),
            group_interval_s=seconds["group_interval"],
            repeat_interval_s=seconds["repeat_interval"],
            routes=(),
        )
        children = []
        for one in found["routes"].items("routes") if "routes" in found else []:
            try:
                children.append(self._route(one, here, known, times))
            except RefusedError as refused:
                self.findings.append(refused.finding)
        return replace(here, routes=tuple(children))

    def _check_group_by(self, value: Value | None) -> None:
        seen: set[str] = set()
        labels = value.items("group_by") if value is not None else []
        for one in labels:
            if one.raw != "...":
                self._check_label(one)
            elif any(other.raw != "..." for other in labels):
                raise one.refuse("group_by: ... stands for every label, so no other can be there")
            if one.raw in seen and one.raw != "...":
                raise one.refuse(f"group_by: {one.raw} is there twice")
            seen.add(one.raw)

    def _check_label(self, value: Value) -> None:
        if not value.raw or (self._version < UTF8_SINCE and not _LABEL.fullmatch(value.raw)):
            raise value.refuse(f"{value.raw!r} is not a label name")

    def _matchers(self, found: Fields, prefix: str = "") -> tuple[Matcher, ...]:
        """Return the matchers of a route, or of a side of an inhibition, those of the older keys included."""
        matchers: list[Matcher] = []
        for key, op in ((f"{prefix}match", "="), (f"{prefix}match_re", "=~")):
            for label, value in found[key].mapping(key).items() if key in found else ():
                if not _LABEL.fullmatch(label):
                    raise value.refuse(f"{label!r} is not a label name")
                if op == "=~" and value.is_null:
                    raise value.refuse(f"{label}: a regular expression is missing")
                try:
                    matchers.append(checked_matcher(label, op, value.raw))
                except ValueError as error:
                    raise value.refuse(f"{label}: {error}") from None
        key = f"{prefix}matchers"
        for one in found[key].items(key) if key in found else []:
            try:
                matchers += parse_matchers(one.text(key), self._version)
            except ValueError as error:
                raise one.refuse(str(error)) from None
        return tuple(matchers)

    def _templates(self, value: Value | None) -> frozenset[str] | None:
        """Return the names that the template files define; None if a pattern names no file here."""
        names: set[str] = set()
        complete = True
        for one in value.items("templates") if value is not None else []:
            pattern = (Path(self._path).absolute().parent / one.raw).relative_to("/")
            paths = sorted(Path("/").glob(str(pattern))) if one.raw else []
            complete = complete and bool(paths)
            for path in paths:
                try:
                    text = read_bytes(path, limit=MAX_BYTES).decode("utf-8", "replace")
                    names |= templates.parse(text, templates.receiver_functions(self._version)).defined
                except (templates.TemplateError, GateInputError) as error:
                    message = str(error).removeprefix(f"{path}: ")
                    raise RefusedError(f"{path}: {message}", one.place, check="template-syntax") from None
        return frozenset(names) if complete else None
