"""``bais-gates run``: run the gates of one scope; the decision file is the authority, not pytest's status."""

from __future__ import annotations

import argparse
import functools
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.errors import GateInputError
from bais_gates.pytest_plugin.run_directory import RUN_DIRECTORY, RunDirectory
from bais_gates.reports import DECISION_FILE, read_decision
from bais_gates.reports.voiding import void, write_block
from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.processes import die_with
from bais_gates.targets.provision import release
from bais_gates.verdict.catalog import load_catalog
from bais_gates.verdict.model import GOLIVE, SCOPES, ExitStatus, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

    from bais_gates.verdict.model import Decision

_CATALOG = Path("gates", "catalog.yaml")
COPIED_WITHIN_S = 5.0
"""Seconds for the rest of pytest's output after its end: what a gate left running may hold the pipe open."""
DESCRIPTION = """\
Run every gate of SCOPE against the target, write the reports and exit with the decision's status: 0 DEPLOY,
20 a gate failed, 21 incomplete, 22 integrity, 23 internal error; 130 when Ctrl-C ended it. An older
decision in the report folder is replaced by BLOCK first of all.

Touches: the target, as far as its environment file allows, and the report folder. The sandbox is started on
loopback and removed afterwards. Arguments after `--` are passed to pytest, e.g. `-- -n 2`."""


class _Scopes:
    """The scopes: those are offered that have gates in the catalog here, if there is one."""

    def __contains__(self, scope: object) -> bool:
        return scope in SCOPES

    def __iter__(self) -> Iterator[str]:
        try:
            catalog = load_catalog(_CATALOG)
        except GateInputError:
            return iter(SCOPES)
        return (scope for scope in SCOPES if catalog.for_scope(scope))


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
        choices=_Scopes(),
        metavar="SCOPE",
        help="default: golive; one of those with gates: %(choices)s",
    )
    parser.add_argument(
        "--env",
        metavar="NAME|PATH",
        help="environment to judge (default: BAIS_GATES_ENV, else pytest's setting gate_env, else sandbox)",
    )
    parser.add_argument("--subject", metavar="NAME@sha256:...", help="image that the decision is about")
    parser.add_argument(
        "--out",
        type=_path,
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
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="DECISION",
        help="count the results of this verified decision of an earlier scope, too (repeatable)",
    )
    parser.add_argument(
        "--sign-key",
        type=_path,
        metavar="PATH",
        help="private key that signs the decision (also as PEM in BAIS_GATES_SIGN_KEY)",
    )
    parser.add_argument(
        "--sandbox-fault",
        action="append",
        default=[],
        metavar="NAME",
        help="inject this fault into the sandbox (repeatable; `sandbox faults` lists them)",
    )
    parser.set_defaults(command=run)


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111 - pathlib raises for a user whom nobody knows


def pytest_command(arguments: argparse.Namespace, run_id: str) -> list[str]:
    """Return the pytest command line of a deciding run."""
    command = [sys.executable, "-m", "pytest", "-m", arguments.scope, "--gate-scope", arguments.scope]
    # With "=", as pytest would take a separate path for tests, and look for its configuration there.
    command += [f"--gate-out={arguments.out}", f"--gate-run-id={run_id}"]
    if arguments.env:
        command.append(f"--gate-env={arguments.env}")
    if arguments.subject:
        command.append(f"--gate-subject={arguments.subject}")
    if arguments.sign_key:
        command.append(f"--gate-sign-key={arguments.sign_key}")
    command += [f"--gate-import={path}" for path in arguments.imports]
    for fault in arguments.sandbox_fault:
        command += ["--sandbox-fault", fault]
    return [*command, *arguments.pytest_args]


def run(arguments: argparse.Namespace) -> int:
    """Run pytest as a child process and return the exit status of the decision that it wrote."""
    run_id = arguments.run_id or arguments.new_run_id
    if not (arguments.out / DECISION_FILE).exists():
        with suppress(OSError):  # pytest has the words for it
            write_block(arguments.out, run_id=run_id, scope=arguments.scope, command=("bais-gates", "run"))
    # pytest makes the folder: a run that is killed before has nothing to remove.
    directory = RunDirectory(Path(_temporary(), f"bais-gates-{secrets.token_hex(8)}"))
    stdout, stderr = _output()
    try:
        child = subprocess.Popen(
            pytest_command(arguments, run_id),
            env={**os.environ, RUN_DIRECTORY: str(directory.path)},
            preexec_fn=functools.partial(die_with, os.getpid(), signal.SIGTERM),  # noqa: PLW1509 - no threads yet
            stdout=stdout,
            stderr=stderr,
        )
    except OSError as error:
        return _refuse(f"pytest can't be started ({error.strerror})", ExitStatus.BROKEN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as behind nohup
            signal.signal(number, lambda *_: child.terminate())
    copying = threading.Thread(target=_copy, args=(child.stdout,), daemon=True)
    copying.start()
    status, interrupted = _wait(child)
    copying.join(COPIED_WITHIN_S)
    _remove(directory)
    status = agreed_status(arguments.out / DECISION_FILE, run_id, status)
    if interrupted and status:
        raise KeyboardInterrupt
    return status


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        raise GateInputError(
            "BLOCK: no folder for temporary files can be written to. Make room on the disk, or name another "
            "one in TMPDIR."
        ) from None


def _output() -> tuple[int | None, int | None]:
    """Return where pytest's output and errors go: through this process, which outlives readers and room."""
    if os.isatty(1) or not hasattr(sys.stdout, "buffer"):  # a program's own, which is not what pytest has
        return None, None
    return subprocess.PIPE, subprocess.STDOUT if os.path.sameopenfile(1, 2) else None


def _copy(output: BufferedReader | None) -> None:
    while output is not None and (chunk := output.read1()):
        sys.stdout.buffer.write(chunk)
        sys.stdout.flush()


def _wait(child: subprocess.Popen[bytes]) -> tuple[int, bool]:
    """Return the status of pytest, and whether Ctrl-C was pressed; twice ends a start that hangs, too."""
    interrupts = 0
    while True:
        try:
            # Held back since the start of this command, and in the child until its session begins.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            status = child.wait()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the clean-up is not to be cut short
            return status, bool(interrupts)
        except KeyboardInterrupt:
            interrupts += 1
            child.send_signal(signal.SIGINT if interrupts == 1 else signal.SIGTERM)


def _remove(directory: RunDirectory) -> None:
    """Remove what a pytest that was killed could not."""
    try:
        release(directory.path)
    except SandboxError as error:
        print(f"bais-gates: {error}", file=sys.stderr)
    directory.remove()


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
        if decision.verdict is Verdict.DEPLOY:  # the file is the authority, and this is a BLOCK
            with suppress(OSError):
                void(str(path.parent), run_id=run_id, scope=decision.scope, command=("bais-gates", "run"))
        return _refuse(
            f"pytest exited with {status}, but {path} is {decision.verdict} with {int(decision.exit_status)}",
            int(decision.exit_status),
        )
    return status


def _refuse(why: str, status: int) -> int:
    print(f"bais-gates: BLOCK: {why}.", file=sys.stderr)
    return status if status and status in set(ExitStatus) else int(ExitStatus.INTEGRITY)
