"""The images that the sandbox's pods run: each names, by its digest, the very program that is started.

There is no registry and no image; the digest is that of the file, or of the sources, that runs in its place.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from bais_gates.sandbox.services import redis

API, DATABASE, CACHE = (
    "registry.bais.example/bais-api",
    "docker.io/library/postgres",
    "docker.io/valkey/valkey",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """A reference ``NAME@sha256:...`` for each of the three."""

    api: str
    database: str
    cache: str

    def all(self) -> tuple[str, ...]:
        """Give every reference that can be pulled."""
        return (self.api, self.database, self.cache)

    def by_name(self) -> dict[str, str]:
        """Give the references by the name of the image, without its digest."""
        return {one.partition("@")[0]: one for one in self.all()}


def of_this_machine(postgres_binaries: Path) -> Images:
    """Give the images of what would run here. Raises ``OSError`` when a program can't be read."""
    sources = hashlib.sha256()
    folder = Path(__file__).parent / "api"
    for path in sorted(folder.rglob("*.py")):
        sources.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return Images(
        api=f"{API}@sha256:{sources.hexdigest()}",
        database=f"{DATABASE}@sha256:{_digest(postgres_binaries / 'postgres')}",
        cache=f"{CACHE}@sha256:{_digest(redis.find_binary())}",
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
