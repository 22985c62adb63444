"""The sandbox's folder, and the files in it: private, replaced atomically, and all known by name."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.processes import remove

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONTENTS = (
    "environment.yaml",
    "accounts.json",
    "accounts.lock",
    "cluster",
    "monitoring",
    "records",
    "volumes",
    "containers",
    "runtime.sock",
    "made",
    "faults.json",
    "api.json",
    "ca.pem",
    "server.pem",
    "server.key",
    "signing.key",
    "logs",
    "redis",
    "pg",
    "state.json",
)
"""Everything that a sandbox writes into its folder; nothing else is removed, and the first file last."""
EXTERNAL_PREFIX = "bais-gates-pg-"
"""The name of the folder that ``pg`` links to where PostgreSQL can't use the sandbox's own folder."""


def default_directory(name: str = "default", *, make_parent: bool = False) -> Path:
    """Return the folder of this user's sandbox ``name``; its parent is accessible to this user only.

    Raises ``SandboxError`` for an invalid name, or for a parent that others can access.
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
        status = base.lstat()
    except FileNotFoundError:
        return base / name
    except OSError as error:
        raise SandboxError(f"the folder {base} can't be made ({error.strerror}): use --dir DIR") from error
    private = status.st_uid == os.getuid() and not stat.S_IMODE(status.st_mode) & 0o077
    if not stat.S_ISDIR(status.st_mode) or not private:
        raise SandboxError(f"{base} is not a folder that only you can access: remove it, or use --dir DIR")
    return base / name


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` atomically by a file of mode 0600 with the content ``text``."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)
        with os.fdopen(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Mapping[str, object] | Sequence[object]) -> None:
    """Replace ``path`` atomically by ``value`` as JSON, mode 0600."""
    write_private(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> object:
    """Return the parsed file, or None if it does not exist or isn't JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_object(path: Path) -> dict[str, Any]:
    """Return the parsed file, which contains an object. Raises ``OSError`` or ``ValueError``."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def clear(directory: Path, *, environment_copy: object = None) -> None:
    """Remove the sandbox's files, the folder that ``pg`` links to, and an unchanged environment copy."""
    if isinstance(environment_copy, str):
        with suppress(OSError):
            if Path(environment_copy).read_bytes() == (directory / "environment.yaml").read_bytes():
                Path(environment_copy).unlink()
    for data in database_folders(directory):
        remove_database(data)
    for name in CONTENTS:
        remove(directory / name)
    for draft in directory.glob(".*"):
        if draft.name[1:].rpartition(".")[0] in CONTENTS:
            remove(draft)


def database_folders(directory: Path) -> list[Path]:
    """Return the folders of the PostgreSQL servers in a sandbox's folder, or the links to them."""
    return [directory / "pg", *directory.glob("volumes/*/pg")]


def remove_database(folder: Path) -> None:
    """Remove the folder of a PostgreSQL server, and the one that it links to if a sandbox made that."""
    if folder.is_symlink() and folder.readlink().name.startswith(EXTERNAL_PREFIX):
        remove(folder.readlink())
    remove(folder)
