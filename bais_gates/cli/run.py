"""``bais-gates run``: run the gates of one scope, and believe the decision file, not pytest's exit status."""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.errors import GateInputError
from bais_gates.reports import read_decision
from bais_gates.verdict.model import GOLIVE, SCOPES, ExitStatus

if TYPE_CHECKING:
    from bais_gates.verdict.model import Decision

DESCRIPTION = """\
Start the target if it is the sandbox, run every gate of SCOPE against it, write the reports and end with the
decision's exit status: 0 DEPLOY, 20 a gate failed, 21 incomplete, 22 integrity, 23 the gate machinery broke.

Touches: the target (as far as its environment file allows), the report folder. On the sandbox everything it
starts is on loopback and gone afterwards. What stands behind `--` goes to pytest, e.g. `-- -n 2`."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "run",
        help="run the gates of a scope and decide",
        description=DESCRIPTION,
        usage="%(prog)s [options] [SCOPE] [-- PYTEST_ARGS ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scope",
        nargs="?",
        default=GOLIVE,
        choices=SCOPES,
        metavar="SCOPE",
        help="default: golive; one of: " + ", ".join(SCOPES),
    )
    parser.add_argument(
        "--env", metavar="NAME|PATH", help="the environment to judge (default: sandbox, or BAIS_GATES_ENV)"
    )
    parser.add_argument("--subject", metavar="NAME@sha256:...", help="the image that the decision is about")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("gate-report"),
        metavar="DIR",
        help="where the reports go (default: %(default)s)",
    )
    parser.add_argument(
        "--run-id",
        metavar="ID",
        help="name of this run, to be asked for again by `verify --run-id` (default: made up)",
    )
    parser.add_argument(
        "--sandbox-fault",
        action="append",
        default=[],
        metavar="NAME",
        help="break the sandbox in this way first (repeatable; `sandbox faults` lists them)",
    )
    parser.set_defaults(command=run)


def pytest_command(arguments: argparse.Namespace, run_id: str) -> list[str]:
    """Return the pytest command line that asks for the decision."""
    command = [sys.executable, "-m", "pytest", "-m", arguments.scope, "--gate-scope", arguments.scope]
    # With "=", as pytest would take a path that stands alone for tests, and look for its configuration there.
    command += [f"--gate-out={arguments.out}", f"--gate-run-id={run_id}"]
    if arguments.env:
        command.append(f"--gate-env={arguments.env}")
    if arguments.subject:
        command.append(f"--gate-subject={arguments.subject}")
    for fault in arguments.sandbox_fault:
        command += ["--sandbox-fault", fault]
    return [*command, *arguments.pytest_args]


def run(arguments: argparse.Namespace) -> int:
    """Run pytest as a child and return the status of the decision that it left for exactly this run."""
    run_id = arguments.run_id or secrets.token_hex(8)
    child = subprocess.Popen(pytest_command(arguments, run_id))
    try:
        status = child.wait()
    except KeyboardInterrupt:
        # The terminal sent the signal to pytest, too: let it clean up and tell its own story.
        status = child.wait()
    return agreed_status(arguments.out / "decision.json", run_id, status)


def agreed_status(path: Path, run_id: str, status: int) -> int:
    """Return the exit status that decision and pytest agree on, or a blocking one with the reason."""
    try:
        decision: Decision | None = read_decision(path)
    except (GateInputError, OSError, json.JSONDecodeError) as error:
        return _refuse(f"there is no decision to believe in {path} ({error})", status)
    if decision is None or decision.run.run_id != run_id:
        return _refuse(
            f"{path} is not the decision of this run: it was not written, or overwritten by another", status
        )
    if decision.exit_status != status:
        return _refuse(
            f"pytest ended with {status}, but {path} says {decision.verdict} ({int(decision.exit_status)})",
            int(decision.exit_status),
        )
    return status


def _refuse(why: str, status: int) -> int:
    print(f"bais-gates: BLOCK: {why}.", file=sys.stderr)
    return status if status > 0 else int(ExitStatus.INTEGRITY)
