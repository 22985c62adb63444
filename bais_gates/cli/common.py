"""What several commands share: arguments that mean the same, and lines for whoever waits."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

DECISION: Final = Path("gate-report") / "decision.json"


def add_environment(parser: argparse.ArgumentParser) -> None:
    """Add ``--env`` of a command that works on a target outside a run."""
    parser.add_argument(
        "--env",
        metavar="NAME|PATH",
        default=os.environ.get("BAIS_GATES_ENV") or "sandbox",
        help="the environment (default: BAIS_GATES_ENV, or the sandbox that `sandbox up` started)",
    )


def add_decision(parser: argparse.ArgumentParser) -> None:
    """Add the decision that a command reads."""
    parser.add_argument(
        "decision", nargs="?", type=Path, default=DECISION, metavar="DECISION", help="default: %(default)s"
    )


def duration(text: str) -> float:
    """Read a duration such as 15m, or 0, in seconds."""
    from bais_gates.monitoring.rulefiles import parse_duration  # noqa: PLC0415 - few commands take one

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def report(text: str) -> None:
    """Print a line of progress."""
    print(f"  {text}", flush=True)


def complain(text: str) -> None:
    """Print what somebody must read to stderr, behind what was printed before."""
    sys.stdout.flush()
    print(f"bais-gates: {text}", file=sys.stderr, flush=True)
