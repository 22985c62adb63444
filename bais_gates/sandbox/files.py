"""The files of a sandbox's folder: private, replaced atomically, and all of them known by name."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.processes import remove

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONTENTS = (
    "environment.yaml",
    "cluster",
    "records",
    "volumes",
    "containers",
    "runtime.sock",
    "faults.json",
    "api.json",
    "ca.pem",
    "server.pem",
    "server.key",
    "logs",
    "redis",
    "pg",
    "state.json",
)
"""All that a sandbox puts into its folder: nothing else is removed. The first written is removed last."""
ELSEWHERE = "bais-gates-pg-"
"""How the folder is named that ``pg`` links to where PostgreSQL can't live below the sandbox's own folder."""


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` atomically by a file of mode 0600 holding ``text``."""
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
    """Give the parsed file, or None when there is none or it isn't JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_object(path: Path) -> dict[str, Any]:
    """Give the parsed file, which holds an object; raises ``OSError`` or ``ValueError``."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def clear(directory: Path, *, environment_copy: object = None) -> None:
    """Remove what a sandbox put into ``directory``, the folder ``pg`` links to, and the unchanged copy."""
    if isinstance(environment_copy, str):
        with suppress(OSError):
            if Path(environment_copy).read_bytes() == (directory / "environment.yaml").read_bytes():
                Path(environment_copy).unlink()
    for pg in clusters(directory):
        remove_linked(pg)
    for name in CONTENTS:
        remove(directory / name)
    for draft in directory.glob(".*"):
        if draft.name[1:].rpartition(".")[0] in CONTENTS:
            remove(draft)


def clusters(directory: Path) -> list[Path]:
    """List the folders of PostgreSQL clusters in a sandbox's folder, or the links to them."""
    return [directory / "pg", *directory.glob("volumes/*/pg")]


def remove_linked(pg: Path) -> None:
    """Remove a cluster's folder, and the one that it links to if that is a sandbox's."""
    if pg.is_symlink():
        elsewhere = pg.readlink()
        if elsewhere.name.startswith(ELSEWHERE):
            remove(elsewhere)
    remove(pg)
