"""``bais-gates validate``: check the catalog, policy, waivers, environment files and gate bindings."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bais_gates.errors import GateInputError
from bais_gates.targets.environment import load_environment, unset_variables
from bais_gates.verdict.catalog import load_catalog
from bais_gates.verdict.outcomes import name_some
from bais_gates.verdict.policy import load_policy
from bais_gates.verdict.waivers import load_waivers

INVALID = 1
NO_TESTS_COLLECTED = 5
DESCRIPTION = """\
Validate catalog.yaml, policy.yaml, waivers.yaml and environments/*.yaml of a gates folder by their schemas,
and have pytest collect the gates to check that every catalog entry has its test. Touches nothing: reads files
and runs no gate. Of environment files with unset ${VARIABLES} only the schema is checked."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "validate",
        help="check the files of a gates folder",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "gates", nargs="?", type=Path, default=Path("gates"), metavar="FOLDER", help="default: %(default)s"
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Check each file, print a line for it, and return 0 if all are valid."""
    folder: Path = arguments.gates
    environments = sorted((folder / "environments").glob("*.yaml"))
    checks: list[tuple[Path, Callable[[], object]]] = [
        (folder / "catalog.yaml", lambda: load_catalog(folder / "catalog.yaml")),
        (folder / "policy.yaml", lambda: load_policy(folder / "policy.yaml")),
        (folder / "waivers.yaml", lambda: load_waivers(folder / "waivers.yaml")),
        *((path, partial(check_environment, path, folder)) for path in environments),
        (folder, lambda: check_bindings(folder)),
    ]
    return INVALID if sum(not valid(path, check) for path, check in checks) else 0


def valid(path: Path, check: Callable[[], object]) -> bool:
    """Print and return whether a file is valid."""
    try:
        note = check()
    except GateInputError as error:
        print(f"INVALID {path}: {error}")
        return False
    print(f"ok      {path} ({note})" if isinstance(note, str) and note else f"ok      {path}")
    return True


def check_environment(path: Path, folder: Path) -> str:
    """Check an environment file; return a note when unset variables limit the check, else an empty text."""
    unset = unset_variables(path)
    if unset:
        return f"only its schema, as these variables are not set: {name_some(unset)}"
    load_environment(path, gates_dir=folder)
    return ""


def check_bindings(folder: Path) -> None:
    """Have pytest collect the gates; raise GateInputError with its message when it can't."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "--gate-catalog",
        str(folder / "catalog.yaml"),
        str(folder),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode not in {0, NO_TESTS_COLLECTED}:
        output = (result.stdout + result.stderr).strip().splitlines()
        message = "\n".join(line for line in output if "::" not in line.partition(" ")[0]).strip()
        raise GateInputError(f"pytest can't collect the gates:\n{message}")
