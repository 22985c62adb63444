"""What ``bais-gates sandbox up|status|down|fault`` does, in words for a person; each returns an exit status.

0: as asked; 1: not so (could not be started, not up, or a part of it has ended). Errors go to standard error.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates import sandbox
from bais_gates.sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_NAME = "default"


def default_directory(name: str = DEFAULT_NAME, *, make_parent: bool = False) -> Path:
    """Give the folder of this user's sandbox of that name; its parent is this user's alone.

    Raises ``SandboxError`` for a name that is no plain word, or if somebody else owns the parent.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise SandboxError(
            f"{name!r} can't name a sandbox: use letters, digits, dots, hyphens and underscores"
        )
    base = Path(
        os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir(), f"bais-gates-sandbox-{os.getuid()}"
    )
    try:
        if make_parent:
            base.mkdir(mode=0o700, exist_ok=True)
        found = base.lstat()
    except FileNotFoundError:
        return base / name
    except OSError as error:
        raise SandboxError(f"the folder {base} can't be made: {error.strerror}; name another one") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise SandboxError(f"{base} is not a folder of yours alone; remove it, or name another folder")
    return base / name


def up(
    directory: Path | None = None,
    environment_out: Path | None = None,
    faults: Sequence[str] = (),
    *,
    name: str = DEFAULT_NAME,
    manifests: Path | None = None,
) -> int:
    """Start a sandbox that stays up until ``down``, and say how to point a run at it.

    With ``manifests``, the folder of an overlay, its cluster is started as well.
    """

    def start() -> int:
        folder = directory or default_directory(name, make_parent=True)
        info = sandbox.status(folder)
        if info is not None and info.state == "ready":
            _say(f"A sandbox is already up in {folder}.")
        else:
            info = sandbox.start(
                folder,
                owner_pid=None,
                faults=faults,
                progress=lambda text: _say(f"  {text}"),
                environment_copy=environment_out,
            )
            _say(f"The sandbox is up in {folder}.")
        if manifests is not None:
            sandbox.start_cluster(folder, manifests=manifests, progress=lambda text: _say(f"  {text}"))
        _describe(info, environment_out)
        return 0

    return _told(start)


def status(directory: Path | None = None, *, name: str = DEFAULT_NAME) -> int:
    """Say what is up and how each part is; 0 only if all of it runs."""

    def look() -> int:
        folder = directory or default_directory(name)
        info = sandbox.status(folder)
        if info is None:
            _say(f"No sandbox is up in {folder}.")
            return 1
        _say(f"The sandbox in {folder} is {info.state}.")
        width = max([9, *map(len, info.parts)])
        for part, how in info.parts.items():
            _say(f"  {part:<{width}}  process {info.pids[part]:<8} {how}")
        if info.state == "abandoned":
            _say("Its supervisor was killed: `bais-gates sandbox down` tidies up.")
            return 1
        if info.state == "ready":
            _describe(info, None)
        return 0 if info.state == "ready" and set(info.parts.values()) == {"running"} else 1

    return _told(look)


def down(directory: Path | None = None, *, name: str = DEFAULT_NAME) -> int:
    """Take the sandbox down; that none is up is no failure."""

    def stop() -> int:
        folder = directory or default_directory(name)
        was_up = sandbox.status(folder) is not None
        sandbox.stop(folder)
        _say(f"The sandbox in {folder} is down." if was_up else f"No sandbox is up in {folder}.")
        if directory is None and folder.parent.is_dir() and not any(folder.parent.iterdir()):
            folder.parent.rmdir()
        return 0

    return _told(stop)


def fault(
    directory: Path | None = None,
    *,
    name: str = DEFAULT_NAME,
    on: Sequence[str] = (),
    off: Sequence[str] = (),
    clear: bool = False,
) -> int:
    """Switch faults of a running sandbox on and off (``clear``: first all off), and say which are on."""

    def switch() -> int:
        folder = directory or default_directory(name)
        info = sandbox.status(folder)
        if info is None or info.state != "ready":
            raise SandboxError(f"no sandbox is up in {folder}; start one with `bais-gates sandbox up`")
        sandbox.check_faults([*on, *off])
        wanted = [one for one in (*(() if clear else info.faults), *on) if one not in off]
        if on or off or clear:
            sandbox.set_faults(folder, wanted)
        _say(f"Faults switched on: {', '.join(dict.fromkeys(wanted)) or 'none'}.")
        return 0

    return _told(switch)


def _describe(info: sandbox.SandboxInfo, environment_out: Path | None) -> None:
    file = (
        environment_out if environment_out is not None and environment_out.exists() else info.environment_file
    )
    _say(f"  API               {info.api_url}")
    _say(f"  environment file  {file}")
    _say(f"  logs              {info.logs}")
    kubeconfig = info.directory / "cluster" / "kubeconfig"
    if (info.directory / "cluster" / "ready.json").exists():
        _say(f"  cluster           kubectl --kubeconfig {shlex.quote(str(kubeconfig))} get pods")
    else:
        _say("  cluster           none; `bais-gates sandbox up` starts it")
    if info.faults:
        _say(f"  faults            {', '.join(info.faults)}")
    _say(f"Point a run at it:  pytest -m golive --gate-env {shlex.quote(str(file))}")


def _told(action: Callable[[], int]) -> int:
    """Run the action; a problem with the sandbox becomes a paragraph on standard error and exit status 1."""
    try:
        return action()
    except SandboxError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
