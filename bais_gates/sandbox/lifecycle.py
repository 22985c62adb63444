"""Start, stop and look at a sandbox from any process: what the caller's side of the supervisor does.

A running sandbox is one whose folder is locked: the supervisor holds a ``flock`` on it for as long as it
lives, so that nobody trusts a process id that may long be another process.
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
from bais_gates.sandbox.files import CONTENTS, clear, clusters, read_json, write_json
from bais_gates.sandbox.services.postgres_account import free_shared_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

LOCK_FD, REPORT_FD, OWNER_FD = 3, 4, 5
"""Where the supervisor finds the lock, the pipe to report to, and the pidfd of its owner."""
_STOP_WITHIN_S = 20.0
_CONFIGURING_VARIABLES = ("BAIS_GATES_PG_BIN", "BAIS_GATES_REDIS_SERVER")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxInfo:
    """A sandbox as it is now.

    ``state`` is ``starting``, ``ready``, ``ending`` or ``abandoned`` (its supervisor was killed).
    ``parts`` says of postgres, redis and api whether each is ``running``, ``stopped`` (by a signal), ``gone``
    or how it ended; ``pids`` also has the supervisor.
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

    It lives until ``stop``, or until the process ``owner_pid`` ends, however that ends; then ``discard``, a
    folder of the owner's, is removed as well. ``environment_copy`` is where else the environment file is
    written (and removed in the end, if unchanged). ``progress`` is told in a few words what is being done.
    Raises ``SandboxError``, and leaves nothing behind, if it is not up ``within`` seconds or a part does not
    start.
    """
    directory = directory.absolute()
    check_faults(faults)
    made = _make(directory)
    settled = (_read_state(directory) or {}).get("state") == "ready"
    # One that is starting or ending may belong to a process that was just killed: gone in a moment.
    with _locked(directory, patience=0.5 if settled else 10.0) as lock:
        if lock is None:
            raise SandboxError(
                f"a sandbox is already up in {directory}; stop it first, or use another folder"
            )
        try:
            _tidy(directory)
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
                _tidy(directory)
        _remove_if(directory, made=made)
        raise
    finally:
        os.close(report)
    info = status(directory)
    if info is None:
        raise SandboxError(f"the sandbox in {directory} ended as soon as it was up")
    return info


def stop(directory: Path) -> None:
    """Take the sandbox in ``directory`` down and empty the folder; no error if there is none.

    Returns when every process has ended; also tidies up after a supervisor that was killed. Raises
    ``SandboxError`` if it does not end.
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
                raise SandboxError(f"the sandbox in {directory} does not end")
            _tidy(directory)
    _remove_if(directory, made=bool(state.get("made_directory")))
    if isinstance(supervisor := state.get("supervisor"), dict):
        _collect(supervisor["pid"])


def status(directory: Path) -> SandboxInfo | None:
    """Look at the sandbox in ``directory``, asking the kernel about every part; None if there is none."""
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
    """Switch on exactly ``faults`` in the running sandbox of ``directory``. Raises ``SandboxError``."""
    check_faults(faults)
    if (info := status(directory)) is None or info.state != "ready":
        raise SandboxError(f"no sandbox is up in {directory}")
    write_json(info.directory / "faults.json", list(dict.fromkeys(faults)))


def check_faults(faults: Sequence[str]) -> None:
    """Raise ``SandboxError`` naming the faults there are if one of ``faults`` isn't among them."""
    if not faults:
        return
    from bais_gates.sandbox.faults import FAULTS  # noqa: PLC0415 - only needed when a fault is named

    if unknown := [name for name in faults if name not in FAULTS]:
        raise SandboxError(f"unknown fault {', '.join(unknown)}; there are: {', '.join(sorted(FAULTS))}")


def _make(directory: Path) -> bool:
    """Make the folder (mode 0700) unless it is there; whether it was made."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700)
    except FileExistsError:
        if not directory.is_dir():
            raise SandboxError(f"{directory} is not a folder: the sandbox needs one of its own") from None
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
    """Hold the folder's lock: its descriptor, or None if another process still holds it ``patience`` s later.

    The lock belongs to the open file, not to this process: a descriptor handed on to the supervisor keeps it.
    """
    deadline = time.monotonic() + patience
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError as error:
        raise SandboxError(f"the sandbox's folder {directory} may not be entered") from error
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
                    f"{directory} can't be locked ({error.strerror}); use a local one"
                ) from error
            else:
                break
        if directory.stat().st_ino != os.fstat(descriptor).st_ino:
            raise SandboxError(f"{directory} was replaced while it was being locked; try again")
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


def _tidy(directory: Path) -> None:
    """Remove what a sandbox whose supervisor was killed left in ``directory``. The lock must be held."""
    state = _read_state(directory)
    if state is None:
        if strange := [name for name in CONTENTS if (directory / name).exists()]:
            raise SandboxError(f"{directory} holds {strange[0]}, which no sandbox wrote; use another folder")
        return
    parts = state.get("parts")
    for part in parts.values() if isinstance(parts, dict) else ():
        deadline = time.monotonic() + 3.0
        while (now := processes.state_of(part["pid"], part["started"])) != "gone":
            if now == "stopped" or time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.kill(part["pid"], signal.SIGKILL)
            if time.monotonic() > deadline + 3.0:
                break
            time.sleep(0.01)
    for cluster in clusters(directory):
        free_shared_memory(cluster)
    clear(directory, environment_copy=state.get("environment_copy"))


def _spawn_supervisor(directory: Path, lock: int, owner_pid: int | None) -> tuple[int, int]:
    """Start the supervisor in a session of its own; its id, and the pipe that it reports to.

    Not with ``subprocess``: a ``Popen`` that outlives its function warns, and this child outlives its parent.
    """
    report, report_write = os.pipe2(os.O_CLOEXEC)
    log = os.open(
        directory / "logs" / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
    )
    nowhere = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    wanted = {0: nowhere, 1: log, 2: log, LOCK_FD: lock, REPORT_FD: report_write}
    ours = [report_write, log, nowhere]
    command = [sys.executable, "-m", "bais_gates.sandbox.supervisor", str(directory)]
    try:
        if owner_pid is not None:
            wanted[OWNER_FD] = os.pidfd_open(owner_pid)
            ours.append(wanted[OWNER_FD])
            command.append("--owned")
        # First copied out of the way of the low numbers, so that no dup2 overwrites one still needed.
        high = {number: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for number, fd in wanted.items()}
        ours += high.values()
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
        for descriptor in ours:
            os.close(descriptor)
    return pid, report


def _await_ready(report: int, directory: Path, progress: Callable[[str], None], deadline: float) -> None:
    """Pass on the supervisor's progress until it says that all is ready. Raises ``SandboxError``."""
    pending = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([report], [], [], left)[0]:
            raise SandboxError(f"the sandbox in {directory} was not up in time; it was still starting")
        received = os.read(report, 65536)
        if not received:
            said = processes.log_tail(directory / "logs" / "supervisor.log") or "nothing"
            raise SandboxError(f"the sandbox's supervisor ended while starting; the last it said was: {said}")
        *lines, pending = (pending + received).split(b"\n")
        for message in map(json.loads, lines):
            if "error" in message:
                raise SandboxError(message["error"])
            if "ready" in message:
                return
            progress(message["progress"])


def _await_supervisor(directory: Path) -> int:
    """Give the id of the supervisor that holds the lock, once it has written it down."""
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        supervisor = (_read_state(directory) or {}).get("supervisor")
        if (
            isinstance(supervisor, dict)
            and processes.state_of(supervisor["pid"], supervisor["started"]) != "gone"
        ):
            return int(supervisor["pid"])
        time.sleep(0.02)
    raise SandboxError(f"the sandbox in {directory} has a supervisor that does not say which process it is")


def _end_supervisor(pid: int) -> None:
    """Tell the supervisor to end, and insist if it does not: its parts then die with it."""
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
    _collect(pid)


def _collect(pid: int) -> None:
    """Take note of the supervisor's end if it is our child, so that no zombie is left."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _state_of(part: Mapping[str, object]) -> str:
    if part.get("ended"):
        return f"ended: {part['ended']}"
    return processes.state_of(int(str(part["pid"])), int(str(part["started"])))


def _read_state(directory: Path) -> dict[str, Any] | None:
    state = read_json(directory / "state.json")
    return state if isinstance(state, dict) else None
