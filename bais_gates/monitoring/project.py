"""Find the files of a platform's monitoring by their content, and check them together."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Final

from bais_gates.errors import GateInputError
from bais_gates.monitoring import checks, suppressions
from bais_gates.monitoring.alertmanager import AlertmanagerFile, holds_alertmanager, load_alertmanager
from bais_gates.monitoring.catalogue import Catalogue, load_catalogue
from bais_gates.monitoring.context import Settings
from bais_gates.monitoring.dashboards import Dashboard, check_dashboards, holds_dashboard, load_dashboard
from bais_gates.monitoring.delivery import check_delivery
from bais_gates.monitoring.documents import MAX_BYTES, RefusedError, Value, read_documents
from bais_gates.monitoring.findings import Finding, Place
from bais_gates.monitoring.rulefiles import RuleFile, holds_rules, load_rules
from bais_gates.verdict.files import read_bytes

SUFFIXES: Final = (".yaml", ".yml", ".json", ".rules")
_SURROGATES: Final = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
CATALOGUE_KEYS: Final = frozenset({"jobs", "target_labels", "metrics"})


@dataclass(slots=True)
class Files:
    """What the paths hold, each file with its text."""

    rules: dict[Path, tuple[RuleFile, str]] = field(default_factory=dict)
    alertmanagers: dict[Path, tuple[AlertmanagerFile, str]] = field(default_factory=dict)
    dashboards: dict[Path, tuple[Dashboard, str]] = field(default_factory=dict)
    catalogue: Catalogue | None = None

    def add_catalogue(self, path: Path) -> None:
        """Load a catalogue; raise GateInputError for a second one."""
        if self.catalogue is not None and self.catalogue.path.resolve() != path.resolve():
            raise GateInputError(f"{path}: {self.catalogue.path} is a catalogue, too. Give one of them.")
        self.catalogue = load_catalogue(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was checked, and what was found."""

    findings: tuple[Finding, ...]
    files: int
    alerts: int
    recordings: int

    @property
    def errors(self) -> int:
        """Number of findings for which a file would not be loaded."""
        return sum(one.level == "error" for one in self.findings)


def check(paths: Iterable[Path], settings: Settings, *, today: date) -> Checked:
    """Check the files and folders.

    Raises GateInputError for a path that can't be read or has no rule file, and for a wrong catalogue.
    """
    files = find_files(paths, settings)
    return _judged(files, replace(settings, catalogue=files.catalogue or settings.catalogue), today)


def find_files(paths: Iterable[Path], settings: Settings) -> Files:
    """Return the files of monitoring below the paths; raise GateInputError as :func:`check` does."""
    files = Files()
    for path in paths:
        count = 0
        for file in files_of(path):
            text, documents, fault = read_file(file, named=file == path)
            if _is_catalogue(documents):
                files.add_catalogue(file)
            elif holds_alertmanager(documents):
                config = load_alertmanager(documents, str(file), settings.alertmanager)
                files.alertmanagers.setdefault(file.resolve(), (config, text))
            elif holds_dashboard(documents):
                dashboard = load_dashboard(documents, str(file), settings)
                files.dashboards.setdefault(file.resolve(), (dashboard, text))
            elif fault or holds_rules(documents) or file == path:
                rules = load_rules(documents, str(file), settings.version)
                rules = replace(rules, findings=(*rules.findings, *fault))
                if not (rules.findings or holds_rules(documents)):
                    continue
                files.rules.setdefault(file.resolve(), (rules, text))
            else:
                continue
            count += 1
        if not count:
            raise GateInputError(
                f"{path}: no rule file. Give a file with groups, or a folder with some; or a dashboard."
            )
    return files


def _judged(files: Files, settings: Settings, today: date) -> Checked:
    rule_files = [file for file, _ in files.rules.values()]
    configs = [file for file, _ in files.alertmanagers.values()]
    dashboards = [file for file, _ in files.dashboards.values()]
    rules = [rule for file in rule_files for rule in file.rules]
    found: dict[str, list[Finding]] = {file.path: list(file.findings) for file in rule_files}
    found |= {file.path: list(file.findings) for file in configs}
    found |= {file.path: list(file.findings) for file in dashboards}
    for one in (
        *checks.check_rules(rule_files, settings),
        *check_delivery(configs, rules, settings),
        *check_dashboards(dashboards, rules, settings),
    ):
        found[one.place.path].append(one)
    findings: list[Finding] = []
    for file, text in files.rules.values():
        starts = [line for group in file.groups for line in (group.line, *(one.line for one in group.rules))]
        findings += suppressions.apply(found[file.path], text, file.path, today, starts)
    for config, text in files.alertmanagers.values():
        findings += suppressions.apply(found[config.path], text, config.path, today, config.starts)
    for dashboard in dashboards:  # JSON has no comments that could suppress one
        findings += found[dashboard.path]
    return Checked(
        findings=tuple(findings),
        files=len(found),
        alerts=sum(rule.is_alert for rule in rules),
        recordings=sum(not rule.is_alert for rule in rules),
    )


def files_of(path: Path) -> Iterator[Path]:
    """Yield a file itself, or the files below a folder that may hold rules; hidden ones are left out."""
    if not path.is_dir():
        yield path
        return

    def refuse(error: OSError) -> None:
        raise GateInputError(f"{error.filename}: {error.strerror}. Check its owner and mode.")

    for folder, folders, names in os.walk(path, onerror=refuse):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if name.endswith(SUFFIXES) and not name.startswith(".") and file.is_file():
                yield file


def read_file(path: Path, *, named: bool) -> tuple[str, list[Value], list[Finding]]:
    """Return text and documents of a file, or the finding that it has none."""
    place = Place(path=str(path), line=1, column=1)
    try:
        text = read_bytes(path, limit=4 * MAX_BYTES).decode("utf-8-sig")
        if path.suffix == ".json":
            text = _json_as_yaml(text)
        return text, read_documents(text, str(path)), []
    except RefusedError as refused:
        return "", [], [refused.finding]
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return "", [], [Finding(check="load", place=replace(place, line=line), message="not UTF-8 text")]
    except GateInputError as error:
        if named:
            raise
        message = str(error).removeprefix(f"{path}: ")
        return "", [], [Finding(check="load", place=place, message=message)]


def _json_as_yaml(text: str) -> str:
    """Return JSON without what YAML reads otherwise: tabs between values, characters as two escapes."""
    return _SURROGATES.sub(lambda pair: json.loads(f'"{pair[0]}"'), text.replace("\t", " "))


def _is_catalogue(documents: list[Value]) -> bool:
    return len(documents) == 1 and documents[0].peek().keys() >= CATALOGUE_KEYS
