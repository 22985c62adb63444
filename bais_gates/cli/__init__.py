"""``bais-gates``: the command line. Each command is a module with its own parser."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bais_gates import __version__
from bais_gates.cli import explain, init, run, sandbox, stage, validate, verify
from bais_gates.errors import GateInputError

USAGE_ERROR = 2
INTERRUPTED = 130
COMMANDS = (init, run, verify, explain, validate, sandbox, stage)


def parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    top = argparse.ArgumentParser(
        prog="bais-gates",
        description="Turn acceptance tests and go-live checks into one decision: DEPLOY or BLOCK.",
        epilog="`pytest -m golive` makes the same decision as `bais-gates run golive`.",
    )
    top.add_argument("--version", action="version", version=f"bais-gates {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 2 with a message for wrong input."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    # argparse would take the first word after "--" for a missing SCOPE.
    arguments = parser().parse_args(words[:cut], argparse.Namespace(pytest_args=words[cut + 1 :]))
    try:
        status: int = arguments.command(arguments)
    except GateInputError as error:
        print(f"bais-gates: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # `bais-gates explain ... | head`: the reader has closed the pipe.
        sys.stderr.close()
        return 0
    return status
