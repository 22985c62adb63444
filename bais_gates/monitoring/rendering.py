"""Render rule files for a platform: with its runbooks' address, plain and as PrometheusRule objects.

A file is changed as text, so that its comments and layout stay.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from bais_gates.errors import GateInputError
from bais_gates.monitoring.project import find_rule_files
from bais_gates.monitoring.rulefiles import RuleFile

_URL: Final = re.compile(r"https?://[A-Za-z0-9._~:/%@-]+")
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def render(
    paths: Iterable[Path], out: Path, *, runbooks: str, labels: Mapping[str, str], version: tuple[int, int]
) -> list[Path]:
    """Write ``rules/NAME.yaml`` and ``prometheusrules/NAME.yaml`` for each file, and return their paths.

    ``runbooks`` replaces what stands before the alert's name in each runbook_url; ``labels`` are those of the
    objects, by which the Prometheus Operator selects them. Raises GateInputError.
    """
    if not _URL.fullmatch(runbooks):
        raise GateInputError(f"{runbooks}: not an address. Write it as https://runbooks.example.com/alerts.")
    texts: dict[str, str] = {}
    for file, text in find_rule_files(paths, version):
        name = Path(file.path).stem
        if file.findings:
            raise GateInputError(f"{file.findings[0].place}: {file.findings[0].message}. Mend it first.")
        if re.search("^apiVersion:", text, re.MULTILINE):
            raise GateInputError(f"{file.path}: already an object. Give plain rule files.")
        if re.search("^(---|%)", text, re.MULTILINE):
            raise GateInputError(
                f"{file.path}: a document of its own can't be put into an object. Remove ---."
            )
        if not _NAME.fullmatch(name) or name in texts:
            raise GateInputError(f"{file.path}: {name} can't name an object, or names two. Rename the file.")
        texts[name] = _with_runbooks(file, text, runbooks.rstrip("/"))
    return [
        path
        for name, text in texts.items()
        for path in (
            _write(out / "rules" / f"{name}.yaml", text),
            _write(out / "prometheusrules" / f"{name}.yaml", _as_object(name, text, labels)),
        )
    ]


def _with_runbooks(file: RuleFile, text: str, base: str) -> str:
    """Return the text with the runbooks of its alerts below another address."""
    for rule in file.rules:
        link = rule.annotations.get("runbook_url")
        if link is not None and link.value.endswith(f"/{rule.name.value}"):
            text = re.sub(rf"{re.escape(link.value)}(?![\w/])", f"{base}/{rule.name.value}", text)
    return text


def _as_object(name: str, text: str, labels: Mapping[str, str]) -> str:
    metadata = {"name": name} | ({"labels": dict(labels)} if labels else {})
    head = f"apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {json.dumps(metadata)}\n"
    return f"{head}spec:\n{textwrap.indent(text, '  ')}"


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise GateInputError(f"{path}: {error.strerror}. Give another folder to --out.") from None
    return path
