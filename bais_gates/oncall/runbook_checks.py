"""Check the runbooks: one for each alert, whole, reviewed, with commands that can be pasted as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from bais_gates.manifests import render
from bais_gates.monitoring import promql
from bais_gates.monitoring.context import Context, Settings, context_of
from bais_gates.monitoring.findings import Finding, Place
from bais_gates.monitoring.live import load_shipped
from bais_gates.monitoring.rulefiles import Rule
from bais_gates.oncall.commands import Checker, Named
from bais_gates.oncall.objects import Inventory, inventory
from bais_gates.oncall.runbooks import SECTIONS, Runbook, Section, read_runbooks

MAX_AGE_DAYS: Final = 180
"""A runbook that nobody has read for longer is not trusted."""
_COMMANDS_IN: Final = ("Diagnosis", "Mitigation")
_PLACEHOLDERS: Final = (
    (re.compile(r"\b(?:TODO|TBD|FIXME|XXX|CHANGE_?ME)\b"), "left to do"),
    (re.compile(r"<[A-Za-z][\w ./-]{0,60}>"), "to be filled in; write the name, or a variable of the list"),
    (re.compile(r"(?i)\bsite[- ]specific\b|\blorem ipsum\b|\binsert [\w ]{1,40} here\b"), "to be filled in"),
    (re.compile(r"(?i)\b(?:your|my)[-_][a-z]+"), "to be filled in; write the name"),
)
_GENERAL: Final[Mapping[str, tuple[str, ...]]] = {
    "incident-timeline": (
        r"0.{1,4}5 min", r"5.{1,9}30 min", r"30 min.{1,9}4 h", r"4.{1,9}24 h|24 h.{1,9}1 week",
    ),
    "severity-matrix": (r"P1\b", r"P2\b", r"P3\b", r"P4\b"),
    "post-mortem-template": (r"summary", r"impact", r"timeline", r"cause", r"action"),
}  # fmt: skip
"""The general documents, and what their headings or the first cells of their tables must say."""
_TEMPLATES: Final = frozenset({"post-mortem-template"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What runbooks are held to."""

    alerts: Mapping[str, Rule]
    recordings: Mapping[str, Rule]
    context: Context
    """The catalogue, and the series that recording rules make."""
    inventory: Inventory
    teams: frozenset[str]
    severities: Mapping[str, tuple[float, float]]
    """Of each severity, the seconds within which people acknowledge, and within which they recover."""

    def metrics_of(self, rule: Rule) -> set[str]:
        """Return the metrics that a rule reads, and those that its recorded ones are made of."""
        found: set[str] = set()
        left = promql.metrics(rule.tree)
        while left:
            name = left.pop()
            found.add(name)
            if name in self.recordings:
                left |= promql.metrics(self.recordings[name].tree) - found
        return found

    def objects_of(self, rule: Rule) -> set[str]:
        """Return the names of the objects that a rule selects by a label, and of its component."""
        component = rule.labels.get("component")
        names = set(self.inventory.components.get(component.value if component else "", ()))
        known = {name for _, _, name in self.inventory.objects}
        for node in promql.walk(rule.tree):
            if type(node).__name__ == "VectorSelector":
                names |= {value for _, op, value in promql.selector(node).matchers if op == "="} & known
        return names


def read_platform(
    monitoring: Path,
    manifests: Path,
    *,
    teams: Collection[str],
    severities: Mapping[str, tuple[float, float]],
) -> Platform:
    """Read the alerts, the catalogue and the manifests of a platform; raise GateInputError.

    ``monitoring`` is a folder that ``bais-gates monitoring check`` accepts, ``manifests`` an overlay in
    kustomize's layout (MANIFESTS/overlays/NAME).
    """
    shipped = load_shipped(monitoring)
    rules = [rule for file in shipped.rules for rule in file.rules]
    return Platform(
        alerts={rule.name.value: rule for rule in rules if rule.is_alert},
        recordings={rule.name.value: rule for rule in rules if not rule.is_alert},
        context=context_of(rules, Settings(catalogue=shipped.catalogue)),
        inventory=inventory(render(manifests), manifests.parents[1].rglob("*.yaml")),
        teams=frozenset(teams),
        severities=severities,
    )


def check_runbooks(
    folder: Path,
    platform: Platform,
    *,
    today: date,
    max_age_days: int = MAX_AGE_DAYS,
    own_fault: Callable[[Sequence[str]], str] | None = None,
) -> list[Finding]:
    """Return what is wrong with the runbooks of a folder; raise GateInputError if they can't be read.

    ``own_fault`` returns what is wrong with the words of a bais-gates command, "" for nothing; without it
    those commands are taken as they are.
    """
    runbooks = read_runbooks(folder)
    checker = Checker(platform.context, platform.inventory, own_fault)
    found = list(_missing(folder, runbooks, platform))
    for one in runbooks:
        found += _placeholders(one)
        named = Named()
        for section in one.sections:
            found += checker.check(str(one.path), section.blocks, named)
        if one.is_general:
            found += _general(one)
            found += _severities(one, platform) if one.name == "severity-matrix" else ()
            continue
        found += _shape(one)
        found += _reviewed(one, today, max_age_days)
        found += _owned(one, platform)
        found += _own(one, platform, named)
    return sorted(found, key=lambda finding: (finding.place, finding.check, finding.message))


def _at(runbook: Runbook, line: int, check: str, message: str) -> Finding:
    return Finding(check=check, place=Place(path=str(runbook.path), line=line, column=1), message=message)


def _missing(folder: Path, runbooks: Iterable[Runbook], platform: Platform) -> Iterator[Finding]:
    """Find alerts and general documents without a file, and files without an alert."""
    names = {one.name: one for one in runbooks}
    for name, rule in sorted(platform.alerts.items()):
        if name not in names:
            message = f"{name} has no runbook; write {folder / name}.md"
            yield Finding(check="no-runbook", place=rule.name.place, message=message)
    for name in sorted(_GENERAL.keys() - names.keys()):
        place = Place(path=str(folder / f"{name}.md"), line=1, column=1)
        yield Finding(check="no-runbook", place=place, message="this general document is missing; write it")
    for name, one in names.items():
        if not one.is_general and name not in platform.alerts:
            yield _at(one, 1, "orphan", f"there is no alert {name}; remove the file, or rename it")
        if one.is_general and name not in _GENERAL:
            message = f"neither an alert nor one of {', '.join(_GENERAL)}; rename it, or move it elsewhere"
            yield _at(one, 1, "orphan", message)


def _shape(runbook: Runbook) -> Iterator[Finding]:
    """Find what an alert's runbook lacks."""
    if runbook.title != runbook.name:
        yield _at(runbook, 1, "title", f"the file must begin with the heading # {runbook.name}")
    titles = [one.title for one in runbook.sections]
    for title in SECTIONS:
        if title not in titles:
            yield _at(runbook, 1, "no-section", f"the section ## {title} is missing")
    for number, section in enumerate(runbook.sections):
        if section.title not in SECTIONS:
            message = f"{section.title} is not one of {', '.join(SECTIONS)}; use ### below one of them"
            yield _at(runbook, section.line, "unknown-section", message)
        elif section.title in titles[:number]:
            yield _at(
                runbook, section.line, "unknown-section", f"a second section {section.title}; join them"
            )
        elif not section.text:
            yield _at(runbook, section.line, "empty-section", f"{section.title} is empty")
        elif section.title in _COMMANDS_IN and not _has_command(section):
            message = f"{section.title} has no command; add one in a block ```sh"
            yield _at(runbook, section.line, "no-command", message)
    if sorted(titles) == sorted(SECTIONS) and titles != list(SECTIONS):
        yield _at(runbook, runbook.sections[0].line, "order", f"write them in order: {', '.join(SECTIONS)}")


def _has_command(section: Section) -> bool:
    lines = [line.strip() for one in section.blocks if one.language == "sh" for line in one.text.splitlines()]
    return any(line and not line.startswith("#") for line in lines)


def _reviewed(runbook: Runbook, today: date, max_age_days: int) -> Iterator[Finding]:
    section = runbook.section("Last reviewed")
    if section is None or not section.text:
        return
    try:
        reviewed = datetime.strptime(section.text, "%Y-%m-%d").date()  # noqa: DTZ007 - a date has no zone
    except ValueError:
        yield _at(runbook, section.line, "review", "must be a date alone, as in 2026-11-30")
        return
    age = (today - reviewed).days
    if age < 0:
        yield _at(runbook, section.line, "review", f"reviewed on {reviewed}, which is to come; correct it")
    elif age > max_age_days:
        message = f"reviewed {age} days ago; read it again, at the latest after {max_age_days}"
        yield _at(runbook, section.line, "review", message)


def _owned(runbook: Runbook, platform: Platform) -> Iterator[Finding]:
    section = runbook.section("Owner")
    if section is None or not section.text:
        return
    if section.text not in platform.teams:
        message = f"must be one team's name alone: {', '.join(sorted(platform.teams))}"
        yield _at(runbook, section.line, "owner", message)
        return
    rule = platform.alerts.get(runbook.name)
    team = rule.labels.get("team") if rule else None
    if team is not None and team.value != section.text:
        message = (
            f"the alert goes to the team {team.value}, the runbook belongs to {section.text}; make them one"
        )
        yield _at(runbook, section.line, "owner", message)


def _own(runbook: Runbook, platform: Platform, named: Named) -> Iterator[Finding]:
    """Find a runbook whose commands would fit any other alert as well."""
    rule = platform.alerts.get(runbook.name)
    if rule is None:
        return
    metrics, objects = platform.metrics_of(rule), platform.objects_of(rule)
    if (metrics or objects) and not (named.metrics & metrics or named.objects & objects):
        message = (
            f"no command names this alert's own metric or object: {', '.join(sorted(metrics | objects))}"
        )
        yield _at(runbook, 1, "not-its-own", message)


def _placeholders(runbook: Runbook) -> Iterator[Finding]:
    if runbook.name in _TEMPLATES:  # made to be filled in
        return
    for number, line in enumerate(runbook.text.splitlines(), 1):
        for pattern, remedy in _PLACEHOLDERS:
            if match := pattern.search(line):
                yield _at(runbook, number, "placeholder", f"{match.group()} is {remedy}")


def _general(runbook: Runbook) -> Iterator[Finding]:
    """Find what a general document lacks."""
    wanted = _GENERAL.get(runbook.name, ())
    if not runbook.title:
        yield _at(runbook, 1, "title", "the file must begin with a heading of the first level")
    for section in runbook.sections:
        if not section.text:
            yield _at(runbook, section.line, "empty-section", f"{section.title} is empty")
    heads = [re.sub(r"^(?:#+|\|)\s*", "", one) for one in runbook.text.splitlines() if one[:1] in {"#", "|"}]
    for pattern in wanted:
        if not any(re.match(rf"\W*(?:\w+ )?\W*(?:{pattern})", one, re.IGNORECASE) for one in heads):
            shown = pattern.replace(r"\b", "").replace(".{1,4}", "-").replace(".{1,9}", "-")
            message = f"no heading, and no row of a table, begins with {shown}"
            yield _at(runbook, 1, "no-section", message)


_DURATION: Final = re.compile(r"\b(an?|\d+) (working day|minute|hour|day|week)s?\b")
_SECONDS: Final = {
    "minute": 60.0,
    "hour": 3600.0,
    "working day": 8 * 3600.0,
    "day": 86400.0,
    "week": 604800.0,
}


def _severities(runbook: Runbook, platform: Platform) -> Iterator[Finding]:
    """Find rows of the severity matrix whose two cells with a time are not those of the rotation."""
    for number, line in enumerate(runbook.text.splitlines(), 1):
        name = re.match(r"\|\W*(P\d)\b", line)
        if name is None or name[1] not in platform.severities:
            continue
        cells = [_DURATION.fullmatch(cell.strip()) for cell in line.split("|")]
        stated = [_SECONDS[one[2]] * (1 if one[1] in {"a", "an"} else int(one[1])) for one in cells if one]
        wanted = platform.severities[name[1]]
        if tuple(stated) != wanted:
            message = "acknowledge within {:g} s and recover within {:g} s, says the rotation".format(*wanted)
            yield _at(runbook, number, "severity", f"{name[1]}: {message}; the row does not")
