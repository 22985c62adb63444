"""``bais-gates run``: run the gates of one scope; the decision file is the authority, not pytest's status."""

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
Run every gate of SCOPE against the target, write the reports and exit with the decision's status: 0 DEPLOY,
20 a gate failed, 21 incomplete, 22 integrity, 23 internal error.

Touches: the target, as far as its environment file allows, and the report folder. The sandbox is started on
loopback and removed afterwards. Arguments after `--` are passed to pytest, e.g. `-- -n 2`."""


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
        "--env", metavar="NAME|PATH", help="environment to judge (default: BAIS_GATES_ENV, else sandbox)"
    )
    parser.add_argument("--subject", metavar="NAME@sha256:...", help="image that the decision is about")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("gate-report"),
        metavar="DIR",
        help="folder for the reports (default: %(default)s)",
    )
    parser.add_argument(
        "--run-id",
        metavar="ID",
        help="id of this run, for `verify --run-id` (default: generated)",
    )
    parser.add_argument(
        "--sandbox-fault",
        action="append",
        default=[],
        metavar="NAME",
        help="inject this fault into the sandbox (repeatable; `sandbox faults` lists them)",
    )
    parser.set_defaults(command=run)


def pytest_command(arguments: argparse.Namespace, run_id: str) -> list[str]:
    """Return the pytest command line of a deciding run."""
    command = [sys.executable, "-m", "pytest", "-m", arguments.scope, "--gate-scope", arguments.scope]
    # With "=", as pytest would take a separate path for tests, and look for its configuration there.
    command += [f"--gate-out={arguments.out}", f"--gate-run-id={run_id}"]
    if arguments.env:
        command.append(f"--gate-env={arguments.env}")
    if arguments.subject:
        command.append(f"--gate-subject={arguments.subject}")
    for fault in arguments.sandbox_fault:
        command += ["--sandbox-fault", fault]
    return [*command, *arguments.pytest_args]


def run(arguments: argparse.Namespace) -> int:
    """Run pytest as a child process and return the exit status of the decision that it wrote."""
    run_id = arguments.run_id or secrets.token_hex(8)
    child = subprocess.Popen(pytest_command(arguments, run_id))
    try:
        status = child.wait()
    except KeyboardInterrupt:
        # The terminal sent the signal to pytest, too: wait for its clean-up and its own message.
        status = child.wait()
    return agreed_status(arguments.out / "decision.json", run_id, status)


def agreed_status(path: Path, run_id: str, status: int) -> int:
    """Return the exit status if decision and pytest agree, else a blocking one after printing why."""
    try:
        decision: Decision | None = read_decision(path)
    except (GateInputError, OSError, json.JSONDecodeError) as error:
        return _refuse(f"no usable decision in {path} ({error})", status)
    if decision is None or decision.run.run_id != run_id:
        return _refuse(
            f"{path} is not the decision of this run: it was not written, or was overwritten", status
        )
    if decision.exit_status != status:
        return _refuse(
            f"pytest exited with {status}, but {path} is {decision.verdict} with {int(decision.exit_status)}",
            int(decision.exit_status),
        )
    return status


def _refuse(why: str, status: int) -> int:
    print(f"bais-gates: BLOCK: {why}.", file=sys.stderr)
    return status if status > 0 else int(ExitStatus.INTEGRITY)
