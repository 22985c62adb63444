"""Child processes that can't outlive their supervisor, and the state of any process according to the kernel.

Every part of a sandbox is started by :func:`spawn`, or by :func:`fork_module` if it is a module of this
package: in its own session, with a short list of environment variables (no CI token of the caller is
inherited), a log file for its output, and a parent-death signal.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_INHERITED = ("PATH", "HOME", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True, kw_only=True)
class Part:
    """A child process of the supervisor: its name, the process, and its log file."""

    name: str
    process: subprocess.Popen[bytes] | ForkedProcess
    log: Path
    started: int = field(default=0)

    @property
    def pid(self) -> int:
        """The process id, also after the process has ended."""
        return self.process.pid

    @property
    def status(self) -> int | None:
        """None while the process runs, else its exit status (negative: a signal)."""
        return self.process.poll()


def environment() -> dict[str, str]:
    """Return the environment of a part: a few variables of the caller, and a fixed locale."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    kept.setdefault("PATH", os.defpath)
    return kept | {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}


def spawn(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    directory: Path,
    user: int | None = None,
    before_exec: Callable[[], None] | None = None,
    death_signal: int = signal.SIGKILL,
    variables: Mapping[str, str] | None = None,
) -> Part:
    """Start ``command`` so that it dies with the calling *thread*, to which PDEATHSIG applies.

    ``user`` is a uid and gid to switch to. ``before_exec`` runs in the child before the death signal is set,
    as a change of credentials clears that signal. Raises ``OSError`` when the command can't be executed
    and ``subprocess.SubprocessError`` when ``before_exec`` fails.
    """
    parent = os.getpid()

    def bind_to_parent() -> None:
        if before_exec is not None:
            before_exec()
        die_with(parent, death_signal)

    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=environment() | dict(variables or {}),
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            preexec_fn=bind_to_parent,  # noqa: PLW1509 - the supervisor has one thread, so forking here is safe
        )
    return Part(name=name, process=process, log=log, started=start_time(process.pid) or 0)


def die_with(parent: int, number: int) -> None:
    """Have the kernel send this process a signal when its parent's thread ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:  # the parent died before the signal was set
        os._exit(1)


class ForkedProcess:
    """A child that was forked and not executed, with the methods of ``subprocess.Popen`` that are used."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return the exit status (negative: a signal); None while the process runs."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self._status = os.waitstatus_to_exitcode(status) if pid == self.pid else None
            except ChildProcessError:  # reaped elsewhere: its status is lost, and no success
                self._status = 255
        return self._status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def fork_module(
    name: str,
    module: str,
    arguments: Sequence[str | Path],
    *,
    log: Path,
    directory: Path,
    pass_fds: Sequence[int] = (),
) -> Part:
    """Run ``main`` of a module in a forked child, which dies with the calling thread, its process's only one.

    Nothing is imported anew: the start takes a few milliseconds instead of half a second. The child has the
    arguments in ``sys.argv``, and of the caller's descriptors only ``pass_fds``.
    """
    parent = os.getpid()
    gc.freeze()  # what is shared with the child is not copied by its garbage collection
    with log.open("ab") as output:
        pid = os.fork()
        if pid == 0:
            try:
                _leave_parent(parent, name, output=output.fileno(), pass_fds=pass_fds)
                os.chdir(directory)
                _run(module, arguments)
            finally:
                os._exit(1)
    gc.unfreeze()
    return Part(name=name, process=ForkedProcess(pid), log=log, started=start_time(pid) or 0)


def _leave_parent(parent: int, name: str, *, output: int, pass_fds: Sequence[int]) -> None:
    """Take the signals, session, name and descriptors of a new process."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    die_with(parent, signal.SIGKILL)
    _LIBC.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
    for descriptor, source in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(source, descriptor)
    kept = sorted({0, 1, 2, *pass_fds, os.sysconf("SC_OPEN_MAX")})
    for before, after in itertools.pairwise(kept):
        os.closerange(before + 1, after)


def _run(module: str, arguments: Sequence[str | Path]) -> NoReturn:
    """Run the module's ``main`` and exit with its status."""
    status: object = 1
    try:
        sys.argv = [module, *map(str, arguments)]
        status = importlib.import_module(module).main()
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - this child must not go on in its parent's code
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


def become_subreaper() -> None:
    """Make this process the parent of orphaned grandchildren, such as workers of a killed database."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans(known: set[int]) -> None:
    """Reap the ended children up to the first of ``known``, whose status is read elsewhere."""
    with suppress(ChildProcessError):  # there are no children
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid in known:
                return
            os.waitpid(ended.si_pid, 0)


def children(parent: int) -> set[int]:
    """Return the process ids of the children of ``parent``, including zombies."""
    found = set()
    for entry in Path("/proc").iterdir():
        if (
            entry.name.isdigit()
            and (fields := _stat(int(entry.name))) is not None
            and int(fields[1]) == parent
        ):
            found.add(int(entry.name))
    return found


def end_all_children(within: float = 3.0) -> None:
    """Kill and reap every child of this process, and the orphans that it inherits meanwhile."""
    deadline = time.monotonic() + within
    while (left := children(os.getpid())) and time.monotonic() < deadline:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
            except (ProcessLookupError, ChildProcessError):
                continue
        time.sleep(0.005)


def end_together(parts: Sequence[tuple[Part, Sequence[tuple[int, float]]]]) -> None:
    """End several parts at once; each has its own signals, with the seconds until the next one."""
    left = list(parts)
    for stage in range(max((len(signals) for _, signals in left), default=0)):
        for part, signals in left:
            if stage < len(signals) and part.status is None:
                for number in (signals[stage][0], signal.SIGCONT):
                    part.process.send_signal(number)
        within = max((signals[stage][1] for _, signals in left if stage < len(signals)), default=0.0)
        deadline = time.monotonic() + within
        while (left := [one for one in left if one[0].status is None]) and time.monotonic() < deadline:
            time.sleep(0.005)


def start_time(pid: int) -> int | None:
    """Return when ``pid`` was started, in clock ticks since boot: with the id, it identifies one process."""
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def state_of(pid: int, started: int) -> str:
    """Return ``running``, ``stopped`` (by a signal) or ``gone`` (also if the id was reused)."""
    fields = _stat(pid)
    if fields is None or int(fields[19]) != started or fields[0] in {"Z", "X"}:
        return "gone"
    return "stopped" if fields[0] in {"T", "t"} else "running"


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat from the third one (state, parent, ...), or None."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def bound_socket(port: int = 0, *, shared: bool = False) -> socket.socket:
    """Return a TCP socket that is bound to a loopback port (0: a free one) and does not listen yet.

    ``shared`` sets SO_REUSEPORT, so that several sockets of this user can share the port.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def free_port() -> int:
    """Return a loopback port that was free just now, for programs that can't inherit a socket."""
    with bound_socket() as bound:
        port: int = bound.getsockname()[1]
    return port


def log_tail(log: Path, lines: int = 12, limit: int = 2_000) -> str:
    """Return the last lines of a log file, at most ``limit`` characters; empty without any."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4 * limit))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    kept = [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(kept)[-limit:].strip()


def remove(path: Path) -> None:
    """Remove a file, link or folder, if it exists."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for _ in range(5):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.02)


def unshare_user_namespace() -> None:
    """Enter a user namespace in which this process, and the files of its user, have uid 65534.

    For PostgreSQL, which refuses to run as root; files need no other owner. To be called only in a forked
    child. Raises ``OSError`` where the machine forbids it.
    """
    clone_newuser = 0x10000000
    uid, gid = os.geteuid(), os.getegid()
    if _LIBC.unshare(clone_newuser) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER)")
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"65534 {uid} 1"),
        ("gid_map", f"65534 {gid} 1"),
    ):
        Path("/proc/self", name).write_text(content, encoding="ascii")
