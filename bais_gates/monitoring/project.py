"""Find the files of a platform's monitoring by their content, and check them together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

from bais_gates.errors import GateInputError
from bais_gates.monitoring import checks, suppressions
from bais_gates.monitoring.catalogue import Catalogue, load_catalogue
from bais_gates.monitoring.documents import MAX_BYTES, Refused, Value, read_documents
from bais_gates.monitoring.findings import Finding, Place
from bais_gates.monitoring.rulefiles import RuleFile, load_rules
from bais_gates.verdict.files import read_bytes

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
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


def check(paths: Iterable[Path], settings: checks.Settings, *, today: date) -> Checked:
    """Check the files and folders; raise GateInputError for a path that can't be read."""
    rule_files: list[RuleFile] = []
    texts: dict[str, str] = {}
    catalogue: Catalogue | None = None
    findings: list[Finding] = []
    for path, named in _files(paths):
        text, fault = _read(path)
        kind = "rules" if fault else _kind(text, str(path))
        if kind == "catalogue":
            catalogue = load_catalogue(path)
        elif fault:
            findings.append(fault)
            texts[str(path)] = ""
        elif kind == "rules" or named:
            texts[str(path)] = text
            rule_files.append(load_rules(text, str(path), settings.version))
    settings = replace(settings, catalogue=catalogue or settings.catalogue)
    findings += [one for file in rule_files for one in file.findings]
    findings += checks.check_rules(rule_files, settings)
    rules = [rule for file in rule_files for rule in file.rules]
    return Checked(
        findings=tuple(_without_suppressed(findings, texts, rule_files, today)),
        files=len(texts),
        alerts=sum(rule.is_alert for rule in rules),
        recordings=sum(not rule.is_alert for rule in rules),
    )


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    """Yield the files once each, and whether a file was named itself."""
    seen: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found = sorted(one for one in path.rglob("*") if one.suffix in SUFFIXES and one.is_file())
        else:
            found = [path]
        for one in found:
            if one not in seen:
                seen.add(one)
                yield one, not path.is_dir()


def _read(path: Path) -> tuple[str, Finding | None]:
    """Return the text of a file, or the finding that it is none."""
    raw = read_bytes(path, limit=4 * MAX_BYTES)
    try:
        return raw.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        place = Place(path=str(path), line=raw.count(b"\n", 0, error.start) + 1, column=1)
        return "", Finding(check="load", place=place, message="not UTF-8 text")


def _kind(text: str, path: str) -> str:
    """Return what a file is: ``rules``, ``catalogue``, or "" for anything else."""
    try:
        keys: set[str] = set()
        for document in read_documents(text, path):
            if document.kind == "mapping":
                top = document.mapping("the file")
                if "apiVersion" in top and not _holds_rules(top):
                    continue
                keys |= top.keys()
    except Refused:
        return "rules"
    if keys >= CATALOGUE_KEYS:
        return "catalogue"
    return "rules" if keys & {"groups", "apiVersion"} else ""


def _holds_rules(top: dict[str, Value]) -> bool:
    kind = top["kind"].text("kind") if "kind" in top else ""
    return kind.startswith("PrometheusRule") or kind == "List"


def _without_suppressed(
    findings: list[Finding], texts: dict[str, str], rule_files: list[RuleFile], today: date
) -> Iterator[Finding]:
    starts = {file.path: [rule.start_line for rule in file.rules] for file in rule_files}
    for path, text in texts.items():
        own = [one for one in findings if one.place.path == path]
        yield from suppressions.apply(own, text, path, today, [line - 1 for line in starts.get(path, [])])
