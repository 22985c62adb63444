"""Where the servers and exporters of monitoring come from: a variable, the PATH, or an unpacked package.

No package index ships them; distributions do. An installed package would start a system service, so
``bais-gates sandbox fetch`` unpacks it into a folder of the user's cache instead, without root.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bais_gates.errors import GateInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

COMMANDS: Final = {
    "prometheus": ("prometheus",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "node_exporter": ("prometheus-node-exporter", "node_exporter"),
    "postgres_exporter": ("prometheus-postgres-exporter", "postgres_exporter"),
    "redis_exporter": ("prometheus-redis-exporter", "redis_exporter"),
}
"""The names under which each may be installed: that of Debian's and Ubuntu's package, and upstream's."""

_PACKAGES: Final = tuple(names[0] for names in COMMANDS.values())
_WITHIN_S: Final = 300.0
_HELP_S: Final = 10.0
_GONE_WITHIN_S: Final = 5.0
_ASSETS: Final = "usr/share/prometheus/alertmanager"
_ASSETS_AT_START: Final = "/proc/self/cwd/alertmanager-assets"
_UNREACHED: Final = re.compile(
    r"^(Err:|W: Failed to fetch|E: Failed to fetch|W: Some index files failed)", re.MULTILINE
)
_NO_PACKAGE: Final = re.compile(r"Unable to locate package (\S+)")
_ACCOUNT: Final = re.compile(r"//[^/@\s]*@")
_OF_APT: Final = re.compile(r"^(?:E|W): (.+)$", re.MULTILINE)


def find_server(name: str) -> Path:
    """Return the program ``name``, a key of :data:`COMMANDS`; raise GateInputError where there is none.

    Looks at the variable ``BAIS_GATES_<NAME>``, then in the PATH, then in the unpacked packages.
    """
    if found := _find(name):
        return found
    raise GateInputError(
        f"There is no {COMMANDS[name][-1]} here. Fetch it with `bais-gates sandbox fetch` (Debian, Ubuntu; "
        f"no root needed), or install it and set {_variable(name)} to its path."
    )


def known_options(program: Path) -> str:
    """Return what a server's ``--help`` prints, each option as ``--name``; raise GateInputError."""
    try:
        done = subprocess.run(
            [program, "--help"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_HELP_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise GateInputError(f"{program} can't be run: {error}. Replace it.") from None
    text = (done.stdout + done.stderr).decode(errors="replace")
    return text.replace("--[no-]", "--")  # as newer ones print those that can be switched off


def missing() -> tuple[str, ...]:
    """Return the names of the programs that :func:`find_server` does not find."""
    return tuple(name for name in COMMANDS if _find(name) is None)


def unpacked_folder() -> Path:
    """Return the folder of the unpacked packages."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    try:  # a relative one is to be ignored (specifications.freedesktop.org/basedir-spec)
        return (Path(cache) if os.path.isabs(cache) else Path.home() / ".cache") / "bais-gates" / "servers"  # noqa: PTH117 - "" too
    except RuntimeError:
        raise GateInputError(
            "This user has no home folder. Set XDG_CACHE_HOME to a folder of yours."
        ) from None


def fetch(progress: Callable[[str], None] = lambda _text: None, *, within: float = _WITHIN_S) -> bool:
    """Download the distribution's packages of all programs, and unpack them; return whether any was missing.

    Nothing is installed, and neither apt's lists nor dpkg's database are changed. The folder is there
    completely or not at all; of several processes one fetches, and the others wait for it. Takes ``within``
    seconds at most. Raises GateInputError: no Debian or Ubuntu, no network, no such package.
    """
    if not missing():
        return False
    folder, deadline = unpacked_folder(), time.monotonic() + within
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.parent, deadline, progress):
            if missing():  # else another process has fetched them meanwhile
                _fetch(folder, deadline, progress)
    except OSError as error:
        raise GateInputError(
            f"{error.filename or folder}: {error.strerror}. Nothing was fetched; set XDG_CACHE_HOME to a "
            "folder that you may write to, with 400 MB to spare."
        ) from error
    return True


def _find(name: str) -> Path | None:
    if given := os.environ.get(_variable(name)):
        if os.access(given, os.X_OK) and Path(given).is_file():
            return Path(given).absolute()
        raise GateInputError(
            f"{_variable(name)}: there is no program {given}. Correct the variable, or unset it."
        )
    for folders in (None, str(unpacked_folder() / "usr/bin")):
        for command in COMMANDS[name]:
            if found := shutil.which(command, path=folders):
                return Path(found).absolute()
    return None


def _variable(name: str) -> str:
    return f"BAIS_GATES_{name.upper()}"


@contextmanager
def _locked(folder: Path, deadline: float, progress: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock on a folder, so that one process fetches."""
    descriptor, waits = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), False
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise GateInputError(
                        f"Another process is still fetching into {folder}. Wait for it, then run this again."
                    ) from None
                if not waits:
                    progress("waiting for another process that fetches them")
                waits = True
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _fetch(folder: Path, deadline: float, progress: Callable[[str], None]) -> None:
    """Make the folder, or leave it as it was. The caller holds the lock."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            variables = ", ".join(map(_variable, missing()))
            raise GateInputError(
                f"There is no {tool} here: programs can be fetched on Debian and Ubuntu only. Install "
                f"{', '.join(names[-1] for names in COMMANDS.values())} yourself, in the PATH or with their "
                f"paths in {variables}."
            )
    work = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(work, ignore_errors=True)  # of a process that was killed while it fetched
    try:
        packages, unpacked, kept = (work / name for name in ("packages", "unpacked", "kept"))
        packages.mkdir(parents=True)
        _download(packages, work, deadline, progress)
        progress("unpacking them")
        for package in sorted(packages.glob("*.deb")):
            status, output = _run(["dpkg-deb", "-x", package, unpacked], packages, deadline)
            if status:
                raise GateInputError(f"{package.name} can't be unpacked: {_message(output)}. Run this again.")
        _keep(unpacked, kept)
        if folder.exists():  # without all programs, or it would have been found
            folder.rename(work / "old")
        kept.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download(packages: Path, work: Path, deadline: float, progress: Callable[[str], None]) -> None:
    """Download the packages with lists and a cache of our own, which needs no root and changes no system."""
    options = (
        *(f"Dir::State={work}", f"Dir::State::lists={work / 'lists'}", f"Dir::Cache={work / 'cache'}"),
        *("Dir::State::status=/var/lib/dpkg/status", "Debug::NoLocking=1", "APT::Sandbox::User="),
        *("Acquire::Retries=1", "Acquire::http::Timeout=20", "Acquire::https::Timeout=20"),
    )
    apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    progress("reading the distribution's package lists")
    _, listed = _run([*apt, "update"], packages, deadline)  # one unreachable source need not matter
    progress(f"downloading {', '.join(_PACKAGES)}")
    status, output = _run([*apt, "download", *_PACKAGES], packages, deadline)
    if status == 0:
        return
    absent = sorted(set(_NO_PACKAGE.findall(output)) & {*_PACKAGES})
    if absent and not _UNREACHED.search(listed):
        variables = ", ".join(_variable(name) for name, of in COMMANDS.items() if of[0] in absent)
        raise GateInputError(
            f"apt's sources have no package {', '.join(absent)}. Add a source that has (on Ubuntu the "
            f"component universe; Debian from 12 on has all), or install the program and set "
            f"{variables} to its path."
        )
    reason = _message(listed if absent else output)
    raise GateInputError(
        f"The packages can't be downloaded: {reason}. Make apt's sources reachable (network, proxy), "
        "then run `bais-gates sandbox fetch` again."
    )


def _keep(unpacked: Path, kept: Path) -> None:
    """Move the programs, and the templates of Alertmanager: the rest is about four fifths."""
    (kept / "usr/bin").mkdir(parents=True)
    for name, (command, *_) in COMMANDS.items():  # the package has the name of its program
        program = unpacked / "usr/bin" / command
        if not os.access(program, os.X_OK):
            raise GateInputError(
                f"The distribution's package {command} has no program /usr/bin/{command}. Install "
                f"another build, and set {_variable(name)} to its path."
            )
        program.rename(kept / "usr/bin" / command)
    if (unpacked / _ASSETS).is_dir():
        (kept / _ASSETS).parent.mkdir(parents=True)
        (unpacked / _ASSETS).rename(kept / _ASSETS)
    _relocate_assets(kept / "usr/bin" / COMMANDS["alertmanager"][0])


def _relocate_assets(program: Path) -> None:
    """Let Alertmanager read its templates through a link in the folder that it is started in.

    Debian's build opens them below /usr/share by an absolute path, for which it has no option, and ends where
    they are not: only root could unpack them there. In a compiled program a path can be replaced by one of
    the same length only. The sandbox makes the link, ``alertmanager-assets``.
    """
    installed, relocated = f"/{_ASSETS}".encode(), _ASSETS_AT_START.encode()
    if len(installed) != len(relocated):
        raise ValueError("the paths differ in length")
    content = program.read_bytes()
    if installed in content and not Path(f"/{_ASSETS}").exists():
        program.write_bytes(content.replace(installed, relocated))


def _run(command: Sequence[str | Path], folder: Path, deadline: float) -> tuple[int, str]:
    """Return the exit status and the output of a command, which ends with us and at the deadline."""
    # Ctrl-C after the fork and before the name is bound would leave a process that nobody ends, so it waits
    # until then. The process inherits that; as it has a session of its own, no terminal interrupts it anyway.
    unmasked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                signal.pthread_sigmask(signal.SIG_SETMASK, unmasked)
                output, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise GateInputError(
                    f"{command[0]} did not end in time. Make apt's sources reachable (network, proxy), then "
                    "run `bais-gates sandbox fetch` again."
                ) from None
            finally:
                if process.poll() is None:
                    _end(process)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unmasked)
    return process.returncode, output


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a process with its children, and wait until they are gone: until nobody holds its output."""
    os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_GONE_WITHIN_S)


def _message(output: str) -> str:
    """Return the first complaint of apt or dpkg, without the account in an address."""
    found = _OF_APT.search(output)
    text = found[1] if found else (output.strip() or "no message").splitlines()[-1]
    return _ACCOUNT.sub("//", " ".join(text.split()))[:300].rstrip(". ")
