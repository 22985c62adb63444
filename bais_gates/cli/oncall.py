"""``bais-gates oncall``: who is on call, and the runbooks."""

from __future__ import annotations

import argparse

from bais_gates.cli import oncall_render


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    top = commands.add_parser("oncall", help="check and write the runbooks", description=__doc__)
    actions = top.add_subparsers(title="actions", metavar="ACTION", required=True)
    oncall_render.add(actions, commands.choices)
