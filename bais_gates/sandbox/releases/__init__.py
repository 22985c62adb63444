"""Releases: images of the reference API that differ from the one that runs in a stated way.

There is no registry and no image, so a release is the sources that run plus its differences: a version,
defects, statements, migrations. Its digest is a hash of all of that. A container whose image has that digest
runs the reference API with these differences, also while others run without them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_MIGRATIONS = Path(__file__).parent / "migrations"
_WITHOUT_LAST_STATUS: Final = {"last_status = %(status)s, ": "", "last_status = 410, ": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release: its name, the version that it reports, a description, and what differs."""

    name: str
    version: str
    description: str
    defects: tuple[str, ...] = ()
    """What the API's settings take as ``defects``."""
    replaced_sql: dict[str, str] = field(default_factory=lambda: dict(_WITHOUT_LAST_STATUS))
    """Parts of the API's statements, and what this release has instead of each."""
    migrations: tuple[str, ...] = ("every_release",)
    """Folders of revisions beside those of the present release."""
    pullable: bool = True

    @property
    def migration_folders(self) -> tuple[Path, ...]:
        """The folders with the revisions that this release adds."""
        return tuple(_MIGRATIONS / name for name in self.migrations)

    def reference(self, present: str) -> str:
        """Return the release's image, ``NAME@sha256:...``; ``present`` is that of the sources that run."""
        image, _, sources = present.partition("@")
        differences = hashlib.sha256(f"{sources}\0{json.dumps(asdict(self), sort_keys=True)}\0".encode())
        for path in (path for folder in self.migration_folders for path in sorted(folder.glob("*.py"))):
            differences.update(f"{path.name}\0".encode() + path.read_bytes())
        return f"{image}@sha256:{differences.hexdigest()}"


RELEASES: Final[Mapping[str, Release]] = MappingProxyType(
    {
        release.name: release
        for release in (
            Release(
                name="good",
                version="1.1.0",
                description="Nothing is wrong with it. Its migration adds an index; it no longer writes"
                " webhook_deliveries.last_status.",
            ),
            Release(
                name="slow",
                version="1.1.1",
                description="Every eighth payment takes 500 ms longer, reading a workflow or the dashboard"
                " 300 ms, and GET /health 120 ms.",
                defects=(
                    "slow_payments_tail",
                    "slow_workflow_reads",
                    "slow_analytics",
                    "health_touches_database_slowly",
                ),
            ),
            Release(
                name="failing",
                version="1.1.2",
                description="Every twentieth payment of each replica receives a 500.",
                defects=("payments_fail_at_times",),
            ),
            Release(
                name="not_ready",
                version="1.1.3",
                description="GET /ready responds 503 for ever, as for a part that does not exist.",
                defects=("never_ready",),
            ),
            Release(
                name="crash_loop",
                version="1.1.4",
                description="The process ends with status 1 as soon as it has read its settings.",
                defects=("ends_at_start",),
            ),
            Release(
                name="unpullable",
                version="1.1.5",
                description="The registry does not have its image (ErrImagePull, ImagePullBackOff).",
                pullable=False,
            ),
            Release(
                name="migration_fails",
                version="1.2.0",
                description="Its migration indexes a column that does not exist; nothing of it is kept.",
                migrations=("every_release", "fails"),
            ),
            Release(
                name="migration_breaks_previous",
                version="1.2.1",
                description="Its migration renames a column that earlier releases write with every payment.",
                replaced_sql=_WITHOUT_LAST_STATUS | {"card_last_four,": "card_last4,"},
                migrations=("every_release", "breaks_previous"),
            ),
            Release(
                name="migration_contracts",
                version="1.2.2",
                description="Its migration drops webhook_deliveries.last_status, and declares that no version"
                " before 1.1.0 works without it.",
                migrations=("every_release", "contracts"),
            ),
        )
    }
)
"""The releases by name. All are newer than the present one, and share a migration that harms nobody."""


def by_reference(present: str) -> dict[str, Release]:
    """Return the releases by their image; ``present`` is the image of the sources that run."""
    return {release.reference(present): release for release in RELEASES.values()}
