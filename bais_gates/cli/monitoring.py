"""``bais-gates monitoring``: check alerting rules, without Prometheus' own tools."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from bais_gates.errors import GateInputError
from bais_gates.monitoring import findings, project
from bais_gates.monitoring.checks import Settings
from bais_gates.verdict.outcomes import name_some

FOUND = 1
CHECK = """\
Check rule files (plain, or PrometheusRule objects): whether Prometheus would load them, and then for
alerts that can never fire, always fire, lose the labels they print or are routed by, and the like. A folder is
searched for *.yaml, *.yml and *.json. A metric catalogue among them (jobs, target_labels, metrics) lets
metrics and labels be checked, too. Touches nothing: reads files.

Exit status: 0 nothing found, or warnings alone; 1 errors (with --strict also warnings); 2 wrong input. A comment
suppresses a warning: # bais-gates: disable=CHECK until=2027-03-31 reason="why"."""


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
        "--scrape-interval", type=float, default=15.0, metavar="S", help="in seconds (default: 15)"
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


def run_check(arguments: argparse.Namespace) -> int:
    """Check the files, print the findings, and return the exit status."""
    settings = Settings(
        version=arguments.prometheus,
        scrape_interval_s=arguments.scrape_interval,
        required_labels=tuple(arguments.require_label),
    )
    checked = project.check(arguments.paths, settings, today=datetime.now(UTC).date())
    if not checked.files:
        raise GateInputError(
            f"{name_some(map(str, arguments.paths))}: no rule file. Give files, or a folder with some."
        )
    found = findings.show(checked.findings, arguments.format)
    if found:
        print(found)
    if arguments.format == "text":
        rules = f"{checked.alerts} alerts and {checked.recordings} recording rules in {checked.files} files"
        print(f"{rules}: {checked.errors} errors, {len(checked.findings) - checked.errors} warnings")
    failed = checked.errors or (arguments.strict and checked.findings)
    return FOUND if failed else 0
