"""``bais-gates validate``: check the catalog, policy, waivers, environments, rotation and gate bindings."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bais_gates.attest.keys import load_keys
from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.pytest_plugin.collection import NEEDS_VARIABLE
from bais_gates.rollout.freezes import load_freezes
from bais_gates.targets.environment import load_environment, unset_variables
from bais_gates.targets.looks import require
from bais_gates.verdict.catalog import load_catalog
from bais_gates.verdict.outcomes import name_some
from bais_gates.verdict.policy import load_policy
from bais_gates.verdict.waivers import load_waivers

INVALID = 1
NO_TESTS_COLLECTED = 5
DESCRIPTION = """\
Validate catalog.yaml, policy.yaml, waivers.yaml, keys.yaml, environments/*.yaml and, if they are there,
rollout/freezes.yaml and oncall/rotation.yaml of a gates folder by their schemas, and have pytest collect the
gates to check that every catalog entry has its test. Touches nothing: reads files and runs no gate. Of
environment files with unset ${VARIABLES} only the schema is checked.

With --env NAME that environment is judged as by a run before its first gate: every variable is set, and its
API, cluster, database and cache respond. Touches: the target, by reading."""


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
    parser.add_argument(
        "--env", metavar="NAME|PATH", help="judge this environment as a run would before its first gate"
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Check each file, print a line for it, and return 0 if all are valid."""
    folder: Path = arguments.gates
    if not folder.is_dir():
        raise AbsentFileError(f"{folder}: no such folder. Name the folder that has catalog.yaml.")
    freezes = folder / "rollout" / "freezes.yaml"
    environments = sorted((folder / "environments").glob("*.yaml"))
    checks: list[tuple[Path | str, Callable[[], object]]] = [
        (folder / "catalog.yaml", lambda: load_catalog(folder / "catalog.yaml")),
        (folder / "policy.yaml", lambda: load_policy(folder / "policy.yaml")),
        (folder / "waivers.yaml", lambda: load_waivers(folder / "waivers.yaml")),
        (folder / "keys.yaml", lambda: check_keys(folder)),
        *([(freezes, lambda: load_freezes(freezes))] if freezes.exists() else []),
        *((path, partial(check_environment, path, folder)) for path in environments),
        *(
            (path, partial(check_rotation, path))
            for path in [folder / "oncall" / "rotation.yaml"]
            if path.exists()
        ),
        (folder, lambda: check_bindings(folder)),
    ]
    if arguments.env is not None:
        checks.append((arguments.env, lambda: check_target(arguments.env, folder)))
    return INVALID if sum(not valid(path, check) for path, check in checks) else 0


def valid(path: Path | str, check: Callable[[], object]) -> bool:
    """Print and return whether a file is valid."""
    try:
        note = check()
    except GateInputError as error:
        print(f"INVALID {path}: {error}")
        return False
    print(f"ok      {path} ({note})" if isinstance(note, str) and note else f"ok      {path}")
    return True


def check_keys(folder: Path) -> str:
    """Check the keys that may sign, and that it lists those which the policy names; return how many."""
    names = [key.name for key in load_keys(folder / "keys.yaml")]
    rules = load_policy(folder / "policy.yaml").signatures if (folder / "policy.yaml").exists() else {}
    if missing := [name for rule in rules.values() for name in rule.keys if name not in names]:
        raise GateInputError(f"the policy names keys that are not listed: {name_some(missing)}. Add them.")
    if rules and not names:
        return "no key is listed: what the policy wants signed can't be"
    return f"{len(names)} listed" if names else "none"


def check_environment(path: Path, folder: Path) -> str:
    """Check an environment file; return a note if only its schema could be, as its variables are not set."""
    if unset := unset_variables(path):
        return f"schema only; variables not set here: {name_some(unset)}"
    load_environment(path, gates_dir=folder)
    return ""


def check_rotation(path: Path) -> None:
    """Read a rotation; raise GateInputError with what is wrong."""
    from bais_gates.oncall.reading import load_rotation  # noqa: PLC0415 - not every project has one

    load_rotation(path)


def check_target(name: str, folder: Path) -> str:
    """Look at what the environment describes or gates need; raise GateInputError with all that fails."""
    environment = load_environment(name, gates_dir=folder)
    if environment.provision != "none":
        return "the run starts it"
    try:
        require(environment, "target", *environment.parts, *needed_parts(name, folder), gates_dir=folder)
    except GateInputError as error:
        text = "\n  ".join(["a run would end before its first gate.", *str(error).splitlines()])
        raise GateInputError(text) from None
    return "what it describes responds"


def collect(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Have pytest collect the gates, in a process of its own."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *options]
    command += ["--gate-catalog", str(folder / "catalog.yaml"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | variables)


def needed_parts(environment: str, folder: Path) -> list[str]:
    """Return the parts of an environment that gates need; none where the gates can't be collected."""
    with tempfile.TemporaryDirectory(prefix="bais-gates-") as directory:
        file = Path(directory, "needs.json")
        options = ("-p", "bais_gates.pytest_plugin.collection", "--gate-env", environment)
        collect(folder, *options, **{NEEDS_VARIABLE: str(file)})
        needs: list[str] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return needs


def check_bindings(folder: Path) -> None:
    """Have pytest collect the gates; raise GateInputError with its message when it can't."""
    result = collect(folder)
    if result.returncode not in {0, NO_TESTS_COLLECTED}:
        output = (result.stdout + result.stderr).strip().splitlines()
        message = "\n".join(line for line in output if "::" not in line.partition(" ")[0]).strip()
        raise GateInputError(f"pytest can't collect the gates:\n{message}")
