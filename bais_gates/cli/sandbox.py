"""``bais-gates sandbox``: the embedded platform for as long as one wants it."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Start, look at and stop the sandbox: the BAIS platform in small (API, PostgreSQL, Redis) on free
loopback ports.
`up` writes an environment file, so that any run, or any other tool, can be pointed at it."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "sandbox",
        help="start, look at or stop the sandbox",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    del actions, Path
