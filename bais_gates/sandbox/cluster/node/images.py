"""Which image references exist, and what kind of process each stands for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

_REFERENCE = re.compile(
    r"(?:[a-zA-Z0-9][a-zA-Z0-9.-]*(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
    r"(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_API_COMMANDS: Mapping[tuple[str, ...], str] = {
    (): "api",
    ("alembic", "upgrade", "head"): "migrate",
    ("bais-backup",): "backup",
}
_SERVERS = {"postgres": "postgres", "postgresql": "postgres", "valkey": "redis", "redis": "redis"}
_PROGRAMS = {"postgres": "postgres", "redis": "-server"}
"""By kind, how the name of its program ends."""


def is_valid(reference: str) -> bool:
    """Whether a text can be an image reference at all."""
    return _REFERENCE.fullmatch(reference) is not None


def is_known(reference: str, registry: Collection[str]) -> bool:
    """Whether the registry has the image; Docker Hub's short names are those with the host before them."""
    return _full(reference) in {_full(one) for one in registry}


def _full(reference: str) -> str:
    first, slash, _ = reference.partition("/")
    if not slash:
        return f"docker.io/library/{reference}"
    if "." not in first and ":" not in first and first != "localhost":
        return f"docker.io/{reference}"
    return reference


def kind_of(container: Mapping[str, Any]) -> str | None:
    """Return the runtime's kind for a container's image and command; None if the sandbox can't run it."""
    name = _full(str(container["image"])).partition("@")[0].rpartition("/")[2].partition(":")[0]
    command = tuple(container.get("command") or ())
    if name == "bais-api":
        return _API_COMMANDS.get((*command, *(container.get("args") or ())))
    kind = _SERVERS.get(name)
    return kind if kind and (not command or command[0].endswith(_PROGRAMS[kind])) else None
