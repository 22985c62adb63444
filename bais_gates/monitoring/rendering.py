"""Render rule files, dashboards and the Alertmanager configuration for a platform, with its addresses.

Rules are written plain and as PrometheusRule objects.

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
from bais_gates.monitoring.alertmanager import Alertmanager, AlertmanagerFile
from bais_gates.monitoring.alerts import HEARTBEAT
from bais_gates.monitoring.context import Settings
from bais_gates.monitoring.project import find_files
from bais_gates.monitoring.rulefiles import Rule

_URL: Final = re.compile(r"https?://[A-Za-z0-9._~:/%@-]+")
_VALUE: Final = re.compile(r"[A-Za-z0-9._~:/%@+?=&-]+")
SECRETS_FOLDER: Final = "/etc/alertmanager/secrets"
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def render(
    paths: Iterable[Path],
    out: Path,
    *,
    runbooks: str,
    labels: Mapping[str, str],
    settings: Settings,
    secrets: str | None = None,
    pagerduty_url: str | None = None,
    watchdog_url: str | None = None,
) -> list[Path]:
    """Write ``rules/NAME.yaml`` and ``prometheusrules/NAME.yaml`` for each file, and return their paths.

    An Alertmanager configuration among the files becomes ``alertmanager.yaml``, see :func:`with_addresses`;
    a dashboard ``dashboards/NAME.json``, with its links to the runbooks of the alerts among the files.
    ``runbooks`` replaces what stands before the alert's name in each runbook_url; ``labels`` are those of the
    objects, by which the Prometheus Operator selects them. Raises GateInputError.
    """
    if not _URL.fullmatch(runbooks):
        raise GateInputError(f"{runbooks}: not an address. Write it as https://runbooks.example.com/alerts.")
    texts: dict[str, str] = {}
    files = find_files(paths, settings)
    configs = [
        with_addresses(file, text, secrets=secrets, pagerduty_url=pagerduty_url, watchdog_url=watchdog_url)
        for file, text in files.alertmanagers.values()
    ]
    if len(configs) > 1:
        raise GateInputError("two Alertmanager configurations among the files. Give one of them.")
    for file, text in files.rules.values():
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
        texts[name] = _with_runbooks(file.rules, text, runbooks.rstrip("/"))
    rules = [rule for file, _ in files.rules.values() for rule in file.rules]
    dashboards = {
        Path(file.path).name: _with_runbooks(rules, text, runbooks.rstrip("/"))
        for file, text in files.dashboards.values()
    }
    return [
        *(write_file(out / "alertmanager.yaml", text) for text in configs),
        *_written_rules(out, texts, labels),
        *(write_file(out / "dashboards" / name, text) for name, text in dashboards.items()),
    ]


def _written_rules(out: Path, texts: Mapping[str, str], labels: Mapping[str, str]) -> list[Path]:
    return [
        path
        for name, text in texts.items()
        for path in (
            write_file(out / "rules" / f"{name}.yaml", text),
            write_file(out / "prometheusrules" / f"{name}.yaml", _as_object(name, text, labels)),
        )
    ]


def with_addresses(
    file: AlertmanagerFile,
    text: str,
    *,
    secrets: str | None = None,
    pagerduty_url: str | None = None,
    watchdog_url: str | None = None,
) -> str:
    """Return the text of an Alertmanager configuration with another folder of secrets and other addresses.

    ``secrets`` replaces :data:`SECRETS_FOLDER`, ``pagerduty_url`` that of ``global``, ``watchdog_url`` the
    address of the webhook whose receiver is called watchdog, heartbeat or dead man's switch. None leaves what
    is there. Raises GateInputError for a file that Alertmanager would not load, and for what is not there.
    """
    if file.config is None:
        raise GateInputError(f"{file.findings[0].place}: {file.findings[0].message}. Mend it first.")
    folder = None if secrets is None else secrets.rstrip("/")
    settings = file.config.settings.mapping("global") if file.config.settings else {}
    old_pagerduty = settings["pagerduty_url"].raw if "pagerduty_url" in settings else ""
    for old, new, key in (
        (SECRETS_FOLDER, folder, "secrets"),
        (old_pagerduty, pagerduty_url, "global.pagerduty_url"),
        (_watchdog(file.config), watchdog_url, "webhook of a receiver watchdog"),
    ):
        if new is None:
            continue
        if not old or old not in text:
            raise GateInputError(f"{file.path}: no {key} in it to replace. Add it, or leave the option out.")
        if not _VALUE.fullmatch(new):
            raise GateInputError(f"{new}: not fit for {key}. Give a path or an address without quotes.")
        text = re.sub(rf"{re.escape(old)}(?![\w-])", new.replace("\\", r"\\"), text)
    return text


def _watchdog(config: Alertmanager) -> str:
    """Return the address of the dead man's switch; "" if there is none."""
    for receiver in config.receivers.values():
        for one in receiver.integrations:
            url = one.value.mapping("webhook").get("url")
            if one.kind == "webhook" and HEARTBEAT.search(receiver.name) and url is not None:
                return url.raw
    return ""


def _with_runbooks(rules: Iterable[Rule], text: str, base: str) -> str:
    """Return a text with the runbooks of some alerts below another address."""
    for rule in rules:
        link = rule.annotations.get("runbook_url")
        if link is not None and link.value.endswith(f"/{rule.name.value}"):
            text = re.sub(rf"{re.escape(link.value)}(?![\w/])", f"{base}/{rule.name.value}", text)
    return text


def _as_object(name: str, text: str, labels: Mapping[str, str]) -> str:
    metadata = {"name": name} | ({"labels": dict(labels)} if labels else {})
    head = f"apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {json.dumps(metadata)}\n"
    return f"{head}spec:\n{textwrap.indent(text, '  ')}"


def write_file(path: Path, text: str) -> Path:
    """Write a file below ``--out``, with its folders; raise GateInputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise GateInputError(f"{path}: {error.strerror}. Give another folder to --out.") from None
    return path
