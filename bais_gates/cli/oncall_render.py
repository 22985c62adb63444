"""``bais-gates oncall check`` and ``render``: the runbooks."""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bais_gates.monitoring import findings
from bais_gates.oncall import runbook_page
from bais_gates.oncall.reading import load_rotation
from bais_gates.oncall.runbook_checks import MAX_AGE_DAYS, check_runbooks, read_platform
from bais_gates.oncall.runbooks import read_runbooks

FOUND = 1
CHECK = """\
Check the runbooks of a folder DIR (DIR/runbooks): one for each alert, all sections, a review that is not too
old, the team that the alert names, no placeholder; and each command in a block ```sh: its program, verb and
flags, the Kubernetes objects, containers, ports and labels that it names, the metrics in its PromQL. A
command is one line, or several joined by a backslash; pipes are allowed, lists, subshells, assignments and
unquoted patterns are not. Touches nothing: reads files.

Exit status: 0 nothing found; 1 findings; 2 wrong input."""
RENDER = """\
Write the runbooks of a folder DIR (DIR/runbooks) as static pages with nothing from elsewhere: OUT/index.html
with all of them and a search, and OUT/ALERT/index.html for each. The alerts' links lead there when a web
server serves OUT at the address that `bais-gates monitoring render --runbooks` was given. Touches nothing
but OUT.

Exit status: 0 written; 2 wrong input."""


def add(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the actions."""
    raw = argparse.RawDescriptionHelpFormatter
    check = actions.add_parser("check", help="check the runbooks", description=CHECK, formatter_class=raw)
    check.add_argument("folder", type=Path, metavar="DIR", help="as in gates/oncall")
    check.add_argument("--format", choices=findings.FORMATS, default="text", help="default: %(default)s")
    check.add_argument(
        "--max-age",
        type=_days,
        default=MAX_AGE_DAYS,
        metavar="DAYS",
        help="of a review (default: %(default)s)",
    )
    check.add_argument(
        "--monitoring", type=Path, metavar="DIR", help="folder of the alerts (default: DIR/../monitoring)"
    )
    check.add_argument(
        "--manifests",
        type=Path,
        metavar="DIR",
        help="overlay of the platform (default: DIR/../staging/manifests/overlays/production)",
    )
    check.set_defaults(command=run_check)
    render = actions.add_parser(
        "render", help="write the runbooks as web pages", description=RENDER, formatter_class=raw
    )
    render.add_argument("folder", type=Path, metavar="DIR", help="as in gates/oncall")
    render.add_argument("--out", required=True, type=Path, metavar="OUT", help="folder to write to")
    render.set_defaults(command=run_render)


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days")
    return int(text)


def run_check(arguments: argparse.Namespace) -> int:
    """Check the runbooks, print the findings, and return the exit status."""
    folder: Path = arguments.folder
    rotation = load_rotation(folder / "rotation.yaml")
    platform = read_platform(
        arguments.monitoring or folder.parent / "monitoring",
        arguments.manifests or folder.parent / "staging" / "manifests" / "overlays" / "production",
        teams=rotation.teams,
        severities={
            name: (one.acknowledge_within_s, one.recover_within_s)
            for name, one in rotation.severities.items()
        },
    )
    found = check_runbooks(
        folder / "runbooks",
        platform,
        today=datetime.now(UTC).date(),
        max_age_days=arguments.max_age,
        own_fault=_own_fault,
    )
    if found:
        print(findings.show(found, arguments.format))
    if arguments.format == "text":
        noun = "finding" if len(found) == 1 else "findings"
        print(f"{len(list((folder / 'runbooks').glob('*.md'))):,} runbooks: {len(found):,} {noun}")
    return FOUND if found else 0


def run_render(arguments: argparse.Namespace) -> int:
    """Write the pages and print their number and the first."""
    written = runbook_page.write_pages(read_runbooks(arguments.folder / "runbooks"), arguments.out)
    print(f"{written[0]} and {len(written) - 1:,} pages of one runbook each")
    return 0


def _own_fault(words: Sequence[str]) -> str:
    """Return why our own command line would refuse some words; "" if it takes them."""
    from bais_gates import cli  # noqa: PLC0415 - which imports the commands

    before = list(words[: words.index("--")] if "--" in words else words)
    if not before or before[0] not in cli.COMMANDS:
        return f"there is no command {before[0] if before else ''}"
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            cli.parser(before[:1]).parse_args(before)
        except SystemExit as end:
            return said.getvalue().strip().rpartition("error: ")[2] if end.code else ""
    return ""
