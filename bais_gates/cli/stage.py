"""``bais-gates stage``: provision the staging environment, check it, and tear it down."""

from __future__ import annotations

import argparse
from pathlib import Path

from bais_gates.cli.common import add_environment

DESCRIPTION = """\
Provision the platform in a staging namespace of its own (namespace, configuration and generated secrets,
database, cache, migrations, application; each step waits until its objects are ready), run the suite's check
of it (gates/staging/smoke.py: health, and one payment), and delete everything unless --keep is given.

Touches: the cluster of kubernetes.admin_context (or kubernetes.context) of the environment file; in it the
namespace with the label bais-gates/owner of that environment, and objects of the manifests outside
namespaces, which are created only if absent. A namespace of another owner, or one that another run holds, is
never changed; a read_only environment is refused. The run's annotations on the namespace (bais-gates/holder,
renewed while it runs, past after a minute) keep others out; --keep lets go of it at the end.

Exit status: 0 the release was provisioned and its check passed (or the namespace is deleted, with --down);
1 the release could not be provisioned, or its check failed; 2 the input is wrong, or the namespace belongs to
another owner or is held by another run; 3 the cluster prevented the attempt, or something could not be
deleted; 130 interrupted, after deleting what was created."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "stage",
        help="provision staging, check it, tear it down",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_environment(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--overlay", metavar="NAME", help="overlay of gates/staging/manifests (default: staging.overlay)"
    )
    what.add_argument(
        "--manifests", type=Path, metavar="DIR", help="use this folder with a kustomization.yaml instead"
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
        type=seconds,
        metavar="SECONDS",
        help="deadline of provisioning (default: staging.timeout_s)",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--keep", action="store_true", help="do not tear it down, not even after a failure")
    how.add_argument("--down", action="store_true", help="only tear the namespace down, complete or partial")
    how.add_argument("--list", action="store_true", help="only list the staged namespaces of the cluster")
    parser.set_defaults(command=run)


def seconds(text: str) -> float:
    """Read a number of seconds, more than 0 and less than a day."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds between 0 and 86400")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from bais_gates.cli.stage_run import stage  # noqa: PLC0415 - other commands do not need these modules

    return stage(arguments)
