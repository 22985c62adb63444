"""Short ways to write rules and to see what is found in them."""

from __future__ import annotations

import json
import textwrap
from datetime import date
from pathlib import Path

from bais_gates.monitoring import checks, suppressions
from bais_gates.monitoring.catalogue import Catalogue, load_catalogue
from bais_gates.monitoring.context import Settings
from bais_gates.monitoring.documents import RefusedError, read_documents
from bais_gates.monitoring.findings import Finding
from bais_gates.monitoring.rulefiles import RuleFile, load_rules

TODAY = date(2026, 3, 2)
CATALOGUE = """\
jobs:
  shop: {exporter: the shop, version: "1"}
target_labels: [job, instance]
metrics:
  - {name: requests_total, type: counter, labels: [status], job: shop}
  - {name: request_seconds, type: histogram, labels: [route], job: shop}
  - {name: queue_depth, type: gauge, job: shop, range: [0, 1000]}
  - {name: weight, type: gauge, labels: [scale], job: shop}
  - {name: oddity, type: unknown, job: shop}
"""


def load(text: str, version: tuple[int, int] = (2, 42)) -> RuleFile:
    """Return the rules of a text; those that are refused are findings."""
    return load_rules(read_documents(text, "rules.yaml"), "rules.yaml", version)


def problems(text: str, version: tuple[int, int] = (2, 42)) -> list[str]:
    """Return why a text would not be loaded, each as ``line:column: message``."""
    try:
        found = load(text, version).findings
    except RefusedError as error:
        found = (error.finding,)
    return [f"{one.place.line}:{one.place.column}: {one.message}" for one in found]


def alert(expr: str, **keys: object) -> str:
    """Return a file with one alert in which nothing else is to be found; its expression is in line 5."""
    annotations = {
        "summary": "It broke.",
        "description": "It is {{ $value }}.",
        "runbook_url": "https://r.example/a",
    }
    rule = {"for": "5m", "labels": {"severity": "critical"}, "annotations": annotations} | keys
    lines = [f"        {key}: {json.dumps(value)}" for key, value in rule.items() if value is not None]
    return "\n".join(
        [
            "groups:",
            "  - name: shop",
            "    rules:",
            "      - alert: Broken",
            f"        expr: {json.dumps(expr)}",
            *lines,
            "",
        ]
    )


def catalogue(folder: Path, text: str = CATALOGUE) -> Catalogue:
    """Return a catalogue that is written to a folder."""
    path = folder / "metrics.yaml"
    path.write_text(text, encoding="utf-8")
    return load_catalogue(path)


def findings(text: str, settings: Settings | None = None) -> list[Finding]:
    """Return what is found in a file, comments that suppress it considered."""
    text, settings = textwrap.dedent(text), settings or Settings()
    file = load(text, settings.version)
    found = [*file.findings, *checks.check_rules([file], settings)]
    starts = [line for group in file.groups for line in (group.line, *(one.line for one in group.rules))]
    return suppressions.apply(found, text, file.path, TODAY, starts)


def places(text: str, settings: Settings | None = None) -> list[tuple[str, int, int]]:
    """Return check, line and column of what is found in a file."""
    return [(one.check, one.place.line, one.place.column) for one in findings(text, settings)]
