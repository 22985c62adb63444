"""Start the embedded platform for a run whose environment file has ``provision: sandbox``, once a run.

The first process that needs the target starts it while the others wait at a file lock in the run directory.
The result is written beside the lock, so that a failure is reported for every gate and not tried again.
"""

from __future__ import annotations

import fcntl
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from bais_gates.errors import GateInputError
from bais_gates.targets.environment import Environment, load_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FOLDER: Final = "sandbox"


class ProvisionError(Exception):
    """The target could not be started. The message is one paragraph that ends with its last output."""


class RunContext(Protocol):
    """The facts about a run that targets need (the plugin's ``gate_run``)."""

    @property
    def run_id(self) -> str:
        """The run's id, unique."""

    @property
    def directory(self) -> Path:
        """The run directory, shared by all processes of the run and removed at its end."""

    @property
    def owner_pid(self) -> int:
        """The id of the process whose end is the run's end."""

    @property
    def environment(self) -> str:
        """Name or path of the environment file."""

    @property
    def faults(self) -> Sequence[str]:
        """The faults to start a sandbox with."""


def once(directory: Path, name: str, make: Callable[[], dict[str, str | None]]) -> dict[str, str | None]:
    """Call ``make`` in the first process of the run that gets here; return its result in every process.

    The others wait at a file lock. The record stays in the run directory.
    """
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        record = directory / f"{name}.json"
        if not record.exists():
            temporary = record.with_suffix(".tmp")
            temporary.write_text(json.dumps(make()), encoding="utf-8")
            temporary.replace(record)
        made: dict[str, str | None] = json.loads(record.read_text(encoding="utf-8"))
    return made


def recorded(directory: Path, name: str) -> dict[str, str | None] | None:
    """Return the record of :func:`once` in the run directory, without waiting; None if there is none yet."""
    try:
        made: dict[str, str | None] = json.loads((directory / f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return made


def environment_for(
    run: RunContext, *, gates_dir: Path, progress: Callable[[str], None] = lambda _text: None
) -> Environment:
    """Return the run's environment, and start the sandbox first if the file has ``provision: sandbox``.

    Raises GateInputError for an unusable file, ProvisionError when the sandbox did not start.
    """
    environment = load_environment(run.environment, gates_dir=gates_dir)
    check_faults(environment, run.faults)
    if environment.provision == "none":
        return environment
    file = _sandbox_file(run, gates_dir, progress)
    return environment.completed_by(load_environment(file, gates_dir=gates_dir))


def check_faults(environment: Environment, faults: Sequence[str]) -> None:
    """Raise GateInputError for faults that a run can't start its target with."""
    if not faults:
        return
    if environment.provision == "none":
        raise GateInputError(
            f"{environment.path}: --sandbox-fault needs a target with `provision: sandbox`, which "
            "this one is not. Remove the option, or choose --gate-env sandbox."
        )
    try:
        from bais_gates.sandbox.errors import SandboxError  # noqa: PLC0415 - rarely needed
        from bais_gates.sandbox.platform_faults import check_faults as check_names  # noqa: PLC0415 - as above
    except ImportError:
        return  # found again when it is started, with the command that installs it
    try:
        check_names(faults)
    except SandboxError as e:
        raise GateInputError(f"--sandbox-fault: {e}") from None


def start_cluster(
    run: RunContext,
    environment: Environment,
    *,
    gates_dir: Path,
    progress: Callable[[str], None] = lambda _text: None,
) -> None:
    """Start the cluster of the run's sandbox if the environment uses it; raise ProvisionError if that fails.

    A run whose gates use no cluster never calls this, and starts none.
    """
    part = environment.kubernetes
    folder = run.directory / _FOLDER
    if environment.provision != "sandbox" or not part.kubeconfig.is_relative_to(folder):
        return
    from bais_gates import sandbox  # noqa: PLC0415 - an optional part that only sandbox runs need

    try:
        sandbox.start_cluster(folder, manifests=_manifests(gates_dir), progress=progress)
    except (sandbox.SandboxError, GateInputError, OSError) as e:
        raise ProvisionError(f"the sandbox's cluster did not start: {e}") from e


def start_monitoring(
    run: RunContext,
    environment: Environment,
    *,
    gates_dir: Path,
    progress: Callable[[str], None] = lambda _text: None,
) -> None:
    """Start the monitoring of the run's sandbox if the environment uses it; raise ProvisionError on failure.

    With it start the stand-ins of on-call, which the project's rotation is applied to. A run whose gates ask
    none of them never calls this, and starts none.
    """
    folder = run.directory / _FOLDER
    if environment.provision != "sandbox":
        return
    own = load_environment(folder / "environment.yaml", gates_dir=gates_dir)
    if own.parts["monitoring"] != environment.monitoring:
        return
    from bais_gates import sandbox  # noqa: PLC0415 - an optional part that only sandbox runs need

    try:
        _start_monitoring(folder, gates_dir, progress)
    except (sandbox.SandboxError, GateInputError, OSError) as e:
        raise ProvisionError(f"the sandbox's monitoring did not start: {e}") from e


def find_programs() -> None:
    """Raise GateInputError if a program is missing that the monitoring of a run's sandbox needs."""
    try:
        from bais_gates.sandbox.monitoring import start  # noqa: PLC0415 - as above
    except ImportError:
        return  # found again when it is started, with the command that installs it
    start.find_programs()


def apply_rotation(folder: Path, gates_dir: Path) -> list[str]:
    """Return the command that brings a project's rotation to the sandbox's stand-in for PagerDuty, if any."""
    rotation = gates_dir.absolute() / "oncall" / "rotation.yaml"
    if not rotation.is_file():
        return []
    options = ["--env", str(folder.absolute() / "environment.yaml"), "--rotation", str(rotation)]
    return [sys.executable, "-m", "bais_gates", "oncall", "apply", *options]


def prepare_accounts(
    run: RunContext,
    environment: Environment,
    *,
    gates_dir: Path,
    progress: Callable[[str], None] = lambda _text: None,
) -> Path:
    """Return the file of the accounts that a load uses; the run's sandbox makes them first.

    Raises GateInputError where the environment names none for another API, ProvisionError on failure.
    """
    folder = run.directory / _FOLDER
    if environment.provision == "sandbox":
        own = load_environment(folder / "environment.yaml", gates_dir=gates_dir)
        if own.parts["api"] == environment.api:
            from bais_gates import sandbox  # noqa: PLC0415 - an optional part that only sandbox runs need

            progress("preparing accounts for the load")
            try:
                return sandbox.prepare_accounts(folder)
            except sandbox.SandboxError as e:
                raise ProvisionError(str(e)) from e
    file = environment.load.accounts if environment.describes("load") else None
    if file is None:
        raise environment.missing("load.accounts")
    return file


def make_staged_faults(run: RunContext) -> None:
    """Make the faults of staging that the run asks for; raise ProvisionError if that fails."""
    if not run.faults:
        return
    from bais_gates import sandbox  # noqa: PLC0415 - an optional part that only sandbox runs need

    try:
        sandbox.set_faults(run.directory / _FOLDER, run.faults)
    except sandbox.SandboxError as e:
        raise ProvisionError(str(e)) from e


def signing_key_file(environment: Environment, directory: Path | None, *, gates_dir: Path) -> Path | None:
    """Return the file of the key that signs decisions about a target, of the run's own sandbox or as named.

    None where there is none, also for a sandbox that did not start. ``directory`` is the run directory.
    """
    if environment.describes("signing"):
        return environment.signing.key_file
    record = None if directory is None else recorded(directory, "sandbox")
    if environment.provision != "sandbox" or record is None or record["environment_file"] is None:
        return None
    own = load_environment(record["environment_file"], gates_dir=gates_dir)
    return own.signing.key_file if own.describes("signing") else None


def release(directory: Path) -> None:
    """Stop the sandbox of the run that ``directory`` belongs to, if it started one."""
    folder = directory / _FOLDER
    if folder.is_dir():
        from bais_gates import sandbox  # noqa: PLC0415 - an optional part that only sandbox runs need

        sandbox.stop(folder)


def _manifests(gates_dir: Path) -> Path:
    return gates_dir / "staging" / "manifests" / "overlays" / "sandbox"


def _sandbox_file(run: RunContext, gates_dir: Path, progress: Callable[[str], None]) -> Path:
    """Return the environment file of this run's sandbox, starting it first if no process has."""
    record = once(run.directory, "sandbox", lambda: _start(run, gates_dir, progress))
    if record["error"] is not None:
        raise ProvisionError(record["error"])
    return Path(str(record["environment_file"]))


def _start(run: RunContext, gates_dir: Path, progress: Callable[[str], None]) -> dict[str, str | None]:
    folder = run.directory / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        from bais_gates import sandbox  # noqa: PLC0415 - an optional part that only sandbox runs need

        first, then = _by_time(run.faults)
        info = sandbox.start(
            folder,
            owner_pid=run.owner_pid,
            faults=first,
            progress=progress,
            discard=run.directory,  # a killed run can't remove it itself
        )
        if then:
            sandbox.start_cluster(folder, manifests=_manifests(gates_dir), progress=progress)
            if _need_monitoring(then):
                _start_monitoring(folder, gates_dir, progress)
            progress(f"making the faults {', '.join(then)}")
            sandbox.set_faults(folder, [*first, *then])
    except ImportError as e:
        error = (
            f"the sandbox is not installed ({e}). Install it: pip install 'bais-gates[sandbox]', or choose "
            "another --gate-env."
        )
        return {"environment_file": None, "error": error}
    except (sandbox.SandboxError, GateInputError, OSError) as e:
        return {"environment_file": None, "error": f"the sandbox did not start: {e}"}
    return {"environment_file": str(info.environment_file), "error": None}


def _need_monitoring(faults: Sequence[str]) -> bool:
    from bais_gates.sandbox.platform_faults import PLATFORM_FAULTS  # noqa: PLC0415 - rarely needed

    return any(PLATFORM_FAULTS[name].monitored for name in faults)


def _start_monitoring(folder: Path, gates_dir: Path, progress: Callable[[str], None]) -> None:
    from bais_gates import sandbox  # noqa: PLC0415 - an optional part that only sandbox runs need

    sandbox.start_monitoring(
        folder,
        artefacts=gates_dir / "monitoring",
        provision=apply_rotation(folder, gates_dir),
        progress=progress,
    )


def _by_time(faults: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the faults to start a sandbox with, and those for its cluster; none of staging."""
    if not faults:
        return [], ()
    from bais_gates.sandbox.platform_faults import of_platform  # noqa: PLC0415 - rarely needed

    of_its_platform = of_platform(faults)
    return [name for name in faults if name not in of_its_platform], of_platform(faults, staged=False)
