"""``bais-gates monitoring``: check and test alerting rules, and write them for a platform."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bais_gates.cli.common import duration
from bais_gates.monitoring import findings, project, rendering
from bais_gates.monitoring.context import Settings
from bais_gates.monitoring.ruletests import report, runner

FOUND = 1
CHECK = """\
Check rule files (plain, or PrometheusRule objects): whether Prometheus would load them, and then for
alerts that can never fire, always fire, lose the labels they print or are routed by, and the like. In a
folder the files *.yaml, *.yml, *.json and *.rules with groups of rules are checked, hidden ones left out. A
metric catalogue among them (jobs, target_labels, metrics) lets metrics and labels be checked, too, and an
Alertmanager configuration is checked with the rules: whether each alert reaches whom it should. So is a
Grafana dashboard (classic JSON): its queries, and whether its lines are the limits of the alerts. Touches
nothing: reads files.

Exit status: 0 nothing found, or warnings alone; 1 errors (with --strict also warnings); 2 wrong input. A
comment in a rule or above it suppresses a warning there:
  # bais-gates: disable=CHECK until=2027-03-31 reason="why it is right here"
"""


RENDER = """\
Write each plain rule file with the address of your runbooks: to DIR/rules as it is, for Prometheus, and to
DIR/prometheusrules as a PrometheusRule object, for the Prometheus Operator. A runbook_url that ends with the
alert's name becomes URL/NAME. An Alertmanager configuration among the files is written to
DIR/alertmanager.yaml, with the folder of secrets and the addresses that the options name; a dashboard to
DIR/dashboards, with its links to your runbooks. Touches nothing but DIR.

Exit status: 0 written; 2 wrong input, and nothing is written."""

TEST = """\
Run rule tests in promtool's file format on a real Prometheus, which is started for them on a loopback port
in a temporary folder. Recording rules that a test needs are evaluated, too; other rules are not. Labels and
annotations are compared as Prometheus expands them. Fails also for a test that names no alert, and for a
pattern of rule_files that matches no file. Native histograms are not supported: such a file is refused.

Counts which alerts have a test in which they fire, and one in which their series exist and they stay silent;
rule files among the paths count even if no test names them.

Exit status: 0 all hold; 1 some fail, or, with --require-coverage, an alert is not covered; 2 wrong input.
"""
PROGRESS_EVERY_S = 5.0


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    top = commands.add_parser("monitoring", help="check, test and render alerting rules", description=__doc__)
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
    check.add_argument(
        "--alertmanager",
        type=_version,
        default=(0, 25),
        metavar="X.Y",
        help="version of the Alertmanager that notifies of the alerts (default: 0.25)",
    )
    check.add_argument(
        "--require-integration",
        action="append",
        default=[],
        type=_label,
        metavar="PRIORITY=KIND",
        help="what an alert of a priority must reach, as P1=pagerduty; several kinds as P1=pagerduty,opsgenie"
        " (repeatable; default: P1 and P2 one that pages)",
    )
    check.set_defaults(command=run_check)
    _add_test(actions)
    _add_render(actions)


def _add_test(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    test = actions.add_parser(
        "test",
        help="run rule tests on a Prometheus",
        description=TEST,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    test.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file or a folder")
    test.add_argument("--format", choices=report.FORMATS, default="text", help="default: %(default)s")
    test.add_argument(
        "--require-coverage", action="store_true", help="exit with 1 for an alert that is not covered, too"
    )
    test.add_argument(
        "--require-label",
        action="append",
        default=[],
        metavar="NAME",
        help="a label with which every alert must fire in a test, as its route needs it (repeatable)",
    )
    test.set_defaults(command=run_test)


def _add_render(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    render = actions.add_parser(
        "render",
        help="write rule files for a platform",
        description=RENDER,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    render.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a plain rule file or a folder")
    render.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write to")
    render.add_argument("--runbooks", required=True, metavar="URL", help="what comes before an alert's name")
    render.add_argument(
        "--label",
        action="append",
        default=[],
        type=_label,
        metavar="NAME=VALUE",
        help="of the objects, by which the Prometheus Operator selects them (repeatable)",
    )
    for option, metavar, text in (
        ("--secrets", "FOLDER", "where Alertmanager finds the files of its secrets"),
        ("--pagerduty-url", "URL", "address of PagerDuty's Events API"),
        ("--watchdog-url", "URL", "what is told that the monitoring works"),
    ):
        render.add_argument(option, metavar=metavar, help=f"{text} (default: as in the file)")
    render.set_defaults(command=run_render)


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _version(text: str) -> tuple[int, int]:
    try:
        major, minor = map(int, text.split(".")[:2])
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a version such as 2.42 or 3.5") from None
    return major, minor


def _interval(text: str) -> float:
    seconds = duration(text)
    if not seconds:
        raise argparse.ArgumentTypeError("must be longer than 0")
    return seconds


def run_check(arguments: argparse.Namespace) -> int:
    """Check the files, print the findings, and return the exit status."""
    settings = Settings(
        version=arguments.prometheus,
        scrape_interval_s=arguments.scrape_interval,
        required_labels=tuple(arguments.require_label),
        alertmanager=arguments.alertmanager,
    )
    if arguments.require_integration:
        kinds = tuple((name, tuple(kind.split(","))) for name, kind in arguments.require_integration)
        settings = replace(settings, required_kinds=kinds)
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


def run_test(arguments: argparse.Namespace) -> int:
    """Run the tests, print what failed, and return the exit status."""
    shown = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > PROGRESS_EVERY_S:
            shown = time.monotonic()
            print(f"{done:,} of {total:,} tests are done", file=sys.stderr, flush=True)

    result = runner.run_rule_tests(
        arguments.paths, required_labels=arguments.require_label, progress=progress
    )
    print(report.show(result, arguments.format))
    failed = not result.passed or (arguments.require_coverage and result.uncovered)
    return FOUND if failed else 0


def run_render(arguments: argparse.Namespace) -> int:
    """Write the files and print their paths."""
    written = rendering.render(
        arguments.paths,
        arguments.out,
        runbooks=arguments.runbooks,
        labels=dict(arguments.label),
        settings=Settings(),
        secrets=arguments.secrets,
        pagerduty_url=arguments.pagerduty_url,
        watchdog_url=arguments.watchdog_url,
    )
    for path in written:
        print(path)
    return 0


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
