"""``bais-gates stage``: provision the staging environment, look at it, and take it away again."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

DESCRIPTION = """\
Provision the platform in a staging namespace of its own (namespace, configuration and generated secrets,
database, cache, migrations, application; each waited for until it is really ready), run the suite's own
check of it (gates/staging/smoke.py: is it healthy, does it take one payment), and take everything away again
unless --keep is given.

Touches: the cluster of kubernetes.admin_context (or kubernetes.context) of the environment file, and there
the namespace with the label bais-gates/owner of that environment, and what the manifests name outside
namespaces where it is absent. A namespace that it did not make is never touched, a read_only environment is
refused.

Exit status: 0 it came up and does its work (or is gone, with --down); 1 the release does not come up, or does
not do its work; 2 the input is wrong, or the namespace is somebody else's; 3 the cluster did not let it be
tried, or something is left of it; 130 interrupted: what was made was taken away, too."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "stage",
        help="provision staging, try it, take it away",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--env",
        metavar="NAME|PATH",
        default=os.environ.get("BAIS_GATES_ENV") or "sandbox",
        help="the environment (default: BAIS_GATES_ENV, or the sandbox that `sandbox up` started)",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--overlay", metavar="NAME", help="overlay of gates/staging/manifests (default: staging.overlay)"
    )
    what.add_argument(
        "--manifests", type=Path, metavar="DIR", help="a folder with a kustomization.yaml instead"
    )
    parser.add_argument(
        "--namespace", metavar="NAME", help="default: staging.namespace of the environment file"
    )
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="NAME@sha256:...",
        help="run this image instead of the overlay's (repeatable)",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="how long provisioning may take (default: staging.timeout_s)",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--keep", action="store_true", help="leave it up until --down, also if it does not come up"
    )
    how.add_argument("--down", action="store_true", help="only take the namespace away, whole or half-made")
    how.add_argument("--list", action="store_true", help="only list the staged namespaces of the cluster")
    parser.set_defaults(command=run)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked and return the exit status."""
    from bais_gates.cli.stage_run import stage  # noqa: PLC0415 - what it needs is not loaded for other commands

    return stage(arguments)
