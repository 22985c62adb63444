"""The caller's side of the supervisor: start, inspect and stop a sandbox from any process.

A sandbox runs while its folder is locked: the supervisor holds a ``flock`` on it as long as it lives, as a
process id alone may belong to another process by now.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox import processes
from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.files import CONTENTS, clear, database_folders, read_json, write_json
from bais_gates.sandbox.services.postgres_account import free_shared_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

LOCK_FD, REPORT_FD, OWNER_FD = 3, 4, 5
"""The supervisor's descriptors: the lock, the pipe for its reports, and the pidfd of its owner."""
_STOP_WITHIN_S = 20.0
_CONFIGURING_VARIABLES = ("BAIS_GATES_PG_BIN", "BAIS_GATES_REDIS_SERVER")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxInfo:
    """The current state of a sandbox.

    ``state`` is ``starting``, ``ready``, ``ending`` or ``abandoned`` (its supervisor was killed). ``parts``
    maps each process to ``running``, ``stopped`` (by a signal), ``gone`` or ``ended: ...``; ``pids`` also
    contains the supervisor.
    """

    directory: Path
    state: str
    environment_file: Path
    api_url: str
    pids: Mapping[str, int]
    parts: Mapping[str, str]
    faults: tuple[str, ...]
    logs: Path


def start(
    directory: Path,
    *,
    owner_pid: int | None,
    faults: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _text: None,
    discard: Path | None = None,
    environment_copy: Path | None = None,
    within: float = 90.0,
) -> SandboxInfo:
    """Start a sandbox in ``directory`` (made if absent) and return once its API is ready, in a few seconds.

    It runs until ``stop``, or until the process ``owner_pid`` ends; then ``discard``, a folder of the owner,
    is removed as well. ``environment_copy`` is a second path for the environment file, removed at the end if
    unchanged. ``progress`` receives a short text for each step. ``faults`` are those of the API; for those
    of the platform start its cluster, then call ``set_faults``. Raises ``SandboxError``, and leaves nothing
    behind, if a part fails to start or the sandbox is not ready ``within`` seconds.
    """
    directory = directory.absolute()
    if faults:
        from bais_gates.sandbox.platform_faults import check_faults  # noqa: PLC0415 - rarely needed

        check_faults(faults, platform=False)
    made = _make_directory(directory)
    ready = (_read_state(directory) or {}).get("state") == "ready"
    # The owner of a sandbox that is starting or ending may have been killed: then it ends soon.
    with _locked(directory, patience=0.5 if ready else 10.0) as lock:
        if lock is None:
            raise SandboxError(
                f"a sandbox is already up in {directory}: stop it first, or use another folder"
            )
        try:
            _clean_up(directory)
            _prepare(directory, faults, made=made, discard=discard, environment_copy=environment_copy)
            pid, report = _spawn_supervisor(directory, lock, owner_pid)
        except OSError as error:
            clear(directory)
            _remove_if(directory, made=made)
            raise SandboxError(f"the sandbox could not be started in {directory}: {error}") from error
    try:
        _await_ready(report, directory, progress, time.monotonic() + within)
    except BaseException:
        _end_supervisor(pid)
        with suppress(FileNotFoundError), _locked(directory, patience=0.5) as lock:
            if lock is not None:
                _clean_up(directory)
        _remove_if(directory, made=made)
        raise
    finally:
        os.close(report)
    info = status(directory)
    if info is None:
        raise SandboxError(f"the sandbox in {directory} ended immediately after it was ready")
    return info


def stop(directory: Path) -> None:
    """Stop the sandbox in ``directory``, if there is one, and empty the folder.

    Returns when every process has ended; also removes what a killed supervisor left. Raises ``SandboxError``
    if the sandbox does not end.
    """
    directory = directory.absolute()
    state = _read_state(directory)
    if state is None:
        return
    with suppress(FileNotFoundError):  # the supervisor removes the folder if the sandbox made it
        if _is_up(directory):
            _end_supervisor(_await_supervisor(directory))
        with _locked(directory, patience=0.5) as lock:
            if lock is None:
                raise SandboxError(
                    f"the sandbox in {directory} does not end: another process holds the lock on the folder"
                )
            _clean_up(directory)
    _remove_if(directory, made=bool(state.get("made_directory")))
    if isinstance(supervisor := state.get("supervisor"), dict):
        _reap(supervisor["pid"])


def status(directory: Path) -> SandboxInfo | None:
    """Return the state of the sandbox in ``directory``, None if there is none. Raises ``SandboxError``."""
    directory = directory.absolute()
    state = _read_state(directory)
    if state is None:
        return None
    try:
        phase = str(state.get("state", "starting")) if _is_up(directory) else "abandoned"
    except FileNotFoundError:
        return None
    faults = read_json(directory / "faults.json")
    supervisor = state.get("supervisor")
    pids = {"supervisor": supervisor["pid"]} if isinstance(supervisor, dict) else {}
    parts = state["parts"] if isinstance(state.get("parts"), dict) else {}
    return SandboxInfo(
        directory=directory,
        state=phase,
        environment_file=directory / "environment.yaml",
        api_url=str(state.get("api_url", "")),
        pids=pids | {name: part["pid"] for name, part in parts.items()},
        parts={name: _state_of(part) for name, part in parts.items()},
        faults=tuple(map(str, faults)) if isinstance(faults, list) else (),
        logs=directory / "logs",
    )


def set_faults(directory: Path, faults: Sequence[str]) -> None:
    """Make exactly ``faults`` active in the running sandbox of ``directory``, and return when they are.

    Those of the platform need its cluster, those of staging a staged namespace. Raises ``SandboxError``.
    """
    from bais_gates.sandbox.platform_faults import check_faults, of_platform  # noqa: PLC0415 - rarely needed

    check_faults(faults)
    if (info := status(directory)) is None or info.state != "ready":
        raise SandboxError(f"no sandbox is up in {directory}")
    wanted = of_platform(faults)
    active = [name for name in dict.fromkeys(faults) if name not in wanted]
    try:
        if wanted or (info.directory / "made").exists():
            from bais_gates.sandbox.platform_faults.making import Maker  # noqa: PLC0415 - as above

            maker = Maker(info.directory)
            try:
                maker.make_exactly(wanted)
            finally:
                active += maker.made
    finally:
        write_json(info.directory / "faults.json", active)


def _make_directory(directory: Path) -> bool:
    """Make the folder (mode 0700) unless it exists; return whether it was made."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700)
    except FileExistsError:
        if not directory.is_dir():
            raise SandboxError(f"{directory} is not a folder: name a folder for the sandbox") from None
        return False
    except OSError as error:
        raise SandboxError(f"the sandbox's folder {directory} can't be made: {error.strerror}") from error
    return True


def _remove_if(directory: Path, *, made: bool) -> None:
    if made:
        with suppress(OSError):
            directory.rmdir()


@contextmanager
def _locked(directory: Path, *, patience: float = 0.0, kind: int = fcntl.LOCK_EX) -> Iterator[int | None]:
    """Hold the folder's lock; yield its descriptor, or None if another process keeps it for ``patience`` s.

    The lock belongs to the open file, not to this process: the supervisor inherits and keeps the descriptor.
    """
    deadline = time.monotonic() + patience
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError as error:
        raise SandboxError(f"there is no permission to enter the sandbox's folder {directory}") from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    yield None
                    return
                time.sleep(0.02)
            except OSError as error:  # some network file systems
                raise SandboxError(
                    f"{directory} can't be locked ({error.strerror}): use a folder on a local disk"
                ) from error
            else:
                break
        if directory.stat().st_ino != os.fstat(descriptor).st_ino:
            raise SandboxError(f"{directory} was replaced while it was being locked: try again")
        yield descriptor
    finally:
        os.close(descriptor)


def _is_up(directory: Path) -> bool:
    with _locked(directory, kind=fcntl.LOCK_SH) as lock:
        return lock is None


def _prepare(
    directory: Path, faults: Sequence[str], *, made: bool, discard: Path | None, environment_copy: Path | None
) -> None:
    state = {
        "state": "starting",
        "made_directory": made,
        "discard": None if discard is None else str(discard.absolute()),
        "environment_copy": None if environment_copy is None else str(environment_copy.absolute()),
        "parts": {},
    }
    write_json(directory / "state.json", state)
    write_json(directory / "faults.json", list(dict.fromkeys(faults)))
    (directory / "logs").mkdir(mode=0o700)


def _clean_up(directory: Path) -> None:
    """Remove what a killed supervisor left in ``directory``. The caller holds the lock."""
    state = _read_state(directory)
    if state is None:
        if foreign := [name for name in CONTENTS if (directory / name).exists()]:
            raise SandboxError(
                f"{directory} contains {foreign[0]}, which no sandbox wrote: use another folder"
            )
        return
    parts = state.get("parts")
    for part in parts.values() if isinstance(parts, dict) else ():
        deadline = time.monotonic() + 3.0
        while (current := processes.state_of(part["pid"], part["started"])) != "gone":
            if current == "stopped" or time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.kill(part["pid"], signal.SIGKILL)
            if time.monotonic() > deadline + 3.0:
                break
            time.sleep(0.01)
    for database in database_folders(directory):
        free_shared_memory(database)
    clear(directory, environment_copy=state.get("environment_copy"))


def _spawn_supervisor(directory: Path, lock: int, owner_pid: int | None) -> tuple[int, int]:
    """Start the supervisor in its own session; return its process id, and the pipe of its reports.

    Not with ``subprocess``, whose ``Popen`` warns of a child that outlives it.
    """
    report, report_write = os.pipe2(os.O_CLOEXEC)
    log = os.open(
        directory / "logs" / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
    )
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    descriptors = {0: null, 1: log, 2: log, LOCK_FD: lock, REPORT_FD: report_write}
    opened = [report_write, log, null]
    command = [sys.executable, "-m", "bais_gates.sandbox.supervisor", str(directory)]
    try:
        if owner_pid is not None:
            descriptors[OWNER_FD] = os.pidfd_open(owner_pid)
            opened.append(descriptors[OWNER_FD])
            command.append("--owned")
        # Copied to high numbers first, so that no dup2 overwrites a descriptor that is still needed.
        high = {number: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for number, fd in descriptors.items()}
        opened += high.values()
        pid = os.posix_spawn(
            sys.executable,
            command,
            processes.environment() | {n: os.environ[n] for n in _CONFIGURING_VARIABLES if n in os.environ},
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in high.items()],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE),
        )
    except OSError:
        os.close(report)
        raise
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return pid, report


def _await_ready(report: int, directory: Path, progress: Callable[[str], None], deadline: float) -> None:
    """Pass on the supervisor's progress until it reports that all is ready. Raises ``SandboxError``."""
    pending = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([report], [], [], left)[0]:
            raise SandboxError(f"the sandbox in {directory} was not ready in time")
        received = os.read(report, 65536)
        if not received:
            tail = processes.log_tail(directory / "logs" / "supervisor.log") or "empty"
            raise SandboxError(f"the sandbox's supervisor ended while starting. The end of its log: {tail}")
        *lines, pending = (pending + received).split(b"\n")
        for message in map(json.loads, lines):
            if "error" in message:
                raise SandboxError(message["error"])
            if "ready" in message:
                return
            progress(message["progress"])


def _await_supervisor(directory: Path) -> int:
    """Return the process id of the supervisor that holds the lock, once state.json contains it."""
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        supervisor = (_read_state(directory) or {}).get("supervisor")
        if (
            isinstance(supervisor, dict)
            and processes.state_of(supervisor["pid"], supervisor["started"]) != "gone"
        ):
            return int(supervisor["pid"])
        time.sleep(0.02)
    raise SandboxError(f"the supervisor of the sandbox in {directory} has not written its process id")


def _end_supervisor(pid: int) -> None:
    """Send SIGTERM to the supervisor, and SIGKILL if it does not end: its parts then die with it."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGCONT):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
        if not select.select([descriptor], [], [], _STOP_WITHIN_S)[0]:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], 5.0)
    finally:
        os.close(descriptor)
    _reap(pid)


def _reap(pid: int) -> None:
    """Reap the supervisor if it is a child of this process."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _state_of(part: Mapping[str, object]) -> str:
    if part.get("ended"):
        return f"ended: {part['ended']}"
    return processes.state_of(int(str(part["pid"])), int(str(part["started"])))


def _read_state(directory: Path) -> dict[str, Any] | None:
    state = read_json(directory / "state.json")
    return state if isinstance(state, dict) else None
