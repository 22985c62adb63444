"""Find the files of a platform's monitoring by their content, and check them together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

from bais_gates.errors import GateInputError
from bais_gates.monitoring import checks, suppressions
from bais_gates.monitoring.catalogue import Catalogue, load_catalogue
from bais_gates.monitoring.context import Settings
from bais_gates.monitoring.documents import MAX_BYTES, RefusedError, Value, read_documents
from bais_gates.monitoring.findings import Finding, Place
from bais_gates.monitoring.rulefiles import RuleFile, holds_rules, load_rules
from bais_gates.verdict.files import read_bytes

SUFFIXES: Final = (".yaml", ".yml", ".json", ".rules")
CATALOGUE_KEYS: Final = frozenset({"jobs", "target_labels", "metrics"})


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
    files, catalogue = _load(paths, settings.version)
    return _judged(files, replace(settings, catalogue=catalogue or settings.catalogue), today)


def find_rule_files(paths: Iterable[Path], version: tuple[int, int]) -> list[tuple[RuleFile, str]]:
    """Return the rule files of the paths, each with its text; raise GateInputError as :func:`check` does."""
    return _load(paths, version)[0]


def _load(
    paths: Iterable[Path], version: tuple[int, int]
) -> tuple[list[tuple[RuleFile, str]], Catalogue | None]:
    rule_files: dict[Path, tuple[RuleFile, str]] = {}
    catalogue: Catalogue | None = None
    for path in paths:
        count = 0
        for file in files_of(path):
            text, documents, fault = read_file(file, named=file == path)
            if _is_catalogue(documents):
                if catalogue is not None and catalogue.path.resolve() != file.resolve():
                    raise GateInputError(f"{file}: {catalogue.path} is a catalogue, too. Give one of them.")
                catalogue = load_catalogue(file)
            elif fault or holds_rules(documents) or file == path:
                loaded = load_rules(documents, str(file), version)
                loaded = replace(loaded, findings=(*loaded.findings, *fault))
                if not (loaded.findings or holds_rules(documents)):
                    continue
                rule_files.setdefault(file.resolve(), (loaded, text))
            else:
                continue
            count += 1
        if not count:
            raise GateInputError(f"{path}: no rule file. Give a file with groups, or a folder with some.")
    return list(rule_files.values()), catalogue


def _judged(files: list[tuple[RuleFile, str]], settings: Settings, today: date) -> Checked:
    found: dict[str, list[Finding]] = {file.path: list(file.findings) for file, _ in files}
    for one in checks.check_rules([file for file, _ in files], settings):
        found[one.place.path].append(one)
    findings: list[Finding] = []
    for file, text in files:
        starts = [line for group in file.groups for line in (group.line, *(one.line for one in group.rules))]
        findings += suppressions.apply(found[file.path], text, file.path, today, starts)
    rules = [rule for file, _ in files for rule in file.rules]
    return Checked(
        findings=tuple(findings),
        files=len(files),
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


def _is_catalogue(documents: list[Value]) -> bool:
    if len(documents) != 1 or documents[0].kind != "mapping":
        return False
    return {key.raw for key in documents[0].parts[::2]} >= CATALOGUE_KEYS
