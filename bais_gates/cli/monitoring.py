"""``bais-gates monitoring``: check alerting rules, without Prometheus' own tools."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from bais_gates.monitoring import findings, project
from bais_gates.monitoring.context import Settings
from bais_gates.monitoring.rulefiles import parse_duration

FOUND = 1
CHECK = """\
Check rule files (plain, or PrometheusRule objects): whether Prometheus would load them, and then for
alerts that can never fire, always fire, lose the labels they print or are routed by, and the like. In a
folder the files *.yaml, *.yml, *.json and *.rules with groups of rules are checked, hidden ones left out. A
metric catalogue among them (jobs, target_labels, metrics) lets metrics and labels be checked, too. Touches
nothing: reads files.

Exit status: 0 nothing found, or warnings alone; 1 errors (with --strict also warnings); 2 wrong input. A
comment in a rule or above it suppresses a warning there:
  # bais-gates: disable=CHECK until=2027-03-31 reason="why it is right here"
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    top = commands.add_parser("monitoring", help="check alerting rules", description=__doc__)
    actions = top.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="check rule files",
        description=CHECK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file or a folder")
    check.add_argument("--format", choices=findings.FORMATS, default="text", help="default: %(default)s")
    check.add_argument("--strict", action="store_true", help="exit with 1 for warnings, too")
    check.add_argument(
        "--prometheus",
        type=_version,
        default=(2, 42),
        metavar="X.Y",
        help="version of the Prometheus that loads the rules (default: 2.42)",
    )
    check.add_argument(
        "--scrape-interval", type=_interval, default="15s", metavar="DURATION", help="default: %(default)s"
    )
    check.add_argument(
        "--require-label",
        action="append",
        default=[],
        metavar="NAME",
        help="a label that every alert must have (repeatable)",
    )
    check.set_defaults(command=run_check)


def _version(text: str) -> tuple[int, int]:
    try:
        major, minor = map(int, text.split(".")[:2])
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a version such as 2.42 or 3.5") from None
    return major, minor


def _interval(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not seconds:
        raise argparse.ArgumentTypeError("must be longer than 0")
    return seconds


def run_check(arguments: argparse.Namespace) -> int:
    """Check the files, print the findings, and return the exit status."""
    settings = Settings(
        version=arguments.prometheus,
        scrape_interval_s=arguments.scrape_interval,
        required_labels=tuple(arguments.require_label),
    )
    checked = project.check(arguments.paths, settings, today=datetime.now(UTC).date())
    found = findings.show(checked.findings, arguments.format)
    if found:
        print(found)
    if arguments.format == "text":
        counts = (
            _count(checked.alerts, "alert"),
            _count(checked.recordings, "recording rule"),
            _count(checked.files, "file"),
            _count(checked.errors, "error"),
            _count(len(checked.findings) - checked.errors, "warning"),
        )
        print("{} and {} in {}: {}, {}".format(*counts))
    failed = checked.errors or (arguments.strict and checked.findings)
    return FOUND if failed else 0


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
