"""What a staged workload really runs: pure facts from its pods, for gates to hold against the release."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bais_gates.staging.readiness import Object

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}$")
_UPGRADE: Final = re.compile(r"Running upgrade\s+(\S*)\s*->\s*([^,\s]+)")
_OWN: Final = frozenset(
    {"listen_addresses", "port", "unix_socket_directories", "config_file", "hba_file", "ident_file"}
)
"""Where a PostgreSQL listens and keeps its files: the container's to say, not the platform's."""
_LINE: Final = re.compile(r"^\s*([A-Za-z_][\w.]*)\s*(?:=\s*|\s+)('(?:[^']|'')*'|[^#\s]+)")


def digests_running(pods: Iterable[Object]) -> list[str]:
    """Return the digests of the images that the pods' containers really run, from their status, sorted."""
    found = set()
    for pod in pods:
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            match = _DIGEST.search(str(status.get("imageID") or ""))
            found.add(match[0] if match else f"unknown ({status.get('name')})")
    return sorted(found)


def digests_meant(workload: Object) -> list[str]:
    """Return the digests of the images that a workload's pod template names, sorted."""
    spec = (((workload.get("spec") or {}).get("template") or {}).get("spec")) or {}
    images = [str(one.get("image")) for one in spec.get("containers") or []]
    return sorted({match[0] if (match := _DIGEST.search(image)) else image for image in images})


def restarts(pods: Iterable[Object]) -> int:
    """Count the restarts of all containers of the pods."""
    return sum(
        int(status.get("restartCount") or 0)
        for pod in pods
        for status in (pod.get("status") or {}).get("containerStatuses") or []
    )


def nodes_of(pods: Iterable[Object]) -> list[str]:
    """Return the names of the nodes that the pods are on, each once, sorted."""
    return sorted({str((pod.get("spec") or {}).get("nodeName")) for pod in pods})


def declared_settings(text: str) -> dict[str, str]:
    """Return the settings of a postgresql.conf that are the platform's to choose; the last line counts."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or match[1].lower() in _OWN or match[1].lower().endswith("_file"):
            continue
        value = match[2]
        if value.startswith("'"):
            value = value[1:-1].replace("''", "'")
        found[match[1].lower()] = value
    return found


def cache_settings(text: str) -> dict[str, str]:
    """Return the directives of a redis.conf by name; the last of each counts."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        if name and not name.startswith("#"):
            found[name.lower()] = value.strip().strip('"')
    return found


def last_revision(log: str) -> str | None:
    """Return the revision that Alembic's log says it upgraded to last; None when it upgraded nothing."""
    found = _UPGRADE.findall(log)
    return str(found[-1][1]) if found else None
