"""References to the images of the sandbox's pods.

There is no registry and no image: a digest is that of the program, or of the sources, that runs instead.
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
    """The references, each ``NAME@sha256:...``."""

    api: str
    database: str
    cache: str

    def all(self) -> tuple[str, ...]:
        """Return every reference that can be pulled."""
        return (self.api, self.database, self.cache)

    def by_name(self) -> dict[str, str]:
        """Return the references by image name, which has no digest."""
        return {one.partition("@")[0]: one for one in self.all()}


def api_image() -> str:
    """Return the image of the API whose sources are installed here. Raises ``OSError``."""
    sources = hashlib.sha256()
    folder = Path(__file__).parent / "api"
    for path in sorted(folder.rglob("*.py")):
        sources.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return f"{API}@sha256:{sources.hexdigest()}"


def local_images(postgres_binaries: Path) -> Images:
    """Return the images of the programs that run here. Raises ``OSError`` if one can't be read."""
    return Images(
        api=api_image(),
        database=f"{DATABASE}@sha256:{_digest(postgres_binaries / 'postgres')}",
        cache=f"{CACHE}@sha256:{_digest(redis.find_binary())}",
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
