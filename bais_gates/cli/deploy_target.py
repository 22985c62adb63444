"""The target of a deploy: whether it is a running sandbox, the suite's check of what runs, the version."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.errors import GateInputError
from bais_gates.targets.environment import load_environment
from bais_gates.targets.target import Target, Unique

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bais_gates.staging.staged import Finding
    from bais_gates.targets.environment import Environment
    from bais_gates.verdict.model import Subject

GATES = Path("gates")
SMOKE = GATES / "rollout" / "smoke.py"
"""The suite's check of what runs: its ``check(target, unique)`` yields parts and findings."""
_SANDBOX = "sandbox"


def is_running_sandbox(environment: Environment) -> bool:
    """Return whether the cluster to write to is that of a sandbox that runs here."""
    if environment.name != _SANDBOX:
        return False
    from bais_gates.sandbox import SandboxError, default_directory, status  # noqa: PLC0415 - an optional part

    provisioned = environment.provision == _SANDBOX
    directory = default_directory() if provisioned else environment.path.parent
    try:
        info = status(directory)
    except SandboxError:
        return False
    if info is None or info.state != "ready":
        return False
    return load_environment(info.environment_file, gates_dir=GATES).kubernetes == environment.kubernetes


def smoke_test(environment: Environment) -> Callable[[], Iterable[tuple[str, Finding]]] | None:
    """Return the suite's check of what runs, loaded before the first write; None if it has none."""
    if not SMOKE.is_file():
        return None
    check = runpy.run_path(str(SMOKE)).get("check")
    if not callable(check):
        raise GateInputError(f"{SMOKE}: it defines no check(target, unique). Define it there.")
    target = Target(environment=environment, gates_dir=GATES)
    return lambda: check(target, Unique("deploy"))


def declared_version(environment: Environment, subject: Subject) -> str:
    """Return the version of an image by the environment file; raise GateInputError if it has none."""
    if environment.describes("release"):
        release = environment.release
        if release.image == str(subject) and release.version:
            return release.version
    raise GateInputError(
        "--version is missing: name the version that this image reports at GET /health (or describe it as "
        f"release.image and release.version in {environment.path}). It is verified after the rollout."
    )
