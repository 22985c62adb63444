"""``bais-gates explain``: the reasons for a decision, gate by gate, and what to do next."""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from bais_gates.cli.common import add_decision
from bais_gates.reports import read_decision
from bais_gates.reports.explain import explain as explain_decision


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "explain",
        help="explain a decision and what to do next",
        description="Explain the reasons for DECISION and what to do next. Touches nothing: reads one file.",
    )
    add_decision(parser)
    parser.add_argument("--gate", metavar="ID", help="explain one gate, with all of its checks")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation."""
    decision = read_decision(arguments.decision)
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = shutil.get_terminal_size((110, 24)).columns
    print(explain_decision(decision, arguments.gate, width=width, colour=colour), end="")
    return 0
