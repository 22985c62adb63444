"""The backups in a folder: which is the newest, is it whole, is it encrypted, what did it hold when made.

A backup is three files: ``<stamp>.dump.age`` (``pg_dump`` in the custom format, encrypted with age),
``<stamp>.dump.age.sha256`` (hex digest, and the name as sha256sum writes it) and ``<stamp>.json``::

    {"taken_at": "2026-11-23T22:15:00Z", "database": "bais", "schema_revision": "0001",
     "tables": {"payments": 12}, "size": 34567, "sha256": "<of the .dump.age>"}

``taken_at`` is the moment of the snapshot that the dump and the counts were read in.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from bais_gates import redaction
from bais_gates.errors import GateInputError
from bais_gates.extras import optional

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

pyrage = optional("pyrage", extra="bais")

DUMP: Final = ".dump.age"
_AGE: Final = (b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----")
_BLOCK: Final = 1024 * 1024


class BackupError(Exception):
    """The backups can not be looked at. The message names the file or folder, and the plain cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One backup: its encrypted dump, and what was written down when it was made."""

    path: Path
    taken_at: datetime
    schema_revision: str | None
    tables: tuple[tuple[str, int], ...]
    """Rows by table, ``schema.table`` without the schema ``public``."""
    size: int
    sha256: str

    def age_s(self, now: datetime) -> float:
        """Seconds since the snapshot."""
        return (now - self.taken_at).total_seconds()


def backups(directory: Path) -> list[Backup]:
    """Give the backups in a folder, the oldest first. Raises :class:`BackupError` if one can't be understood.

    A dump without a description counts as none: it was not finished, or nobody can say what belongs in it.
    """
    try:
        names = sorted(path for path in directory.iterdir() if path.suffix == ".json")
    except OSError as e:
        raise BackupError(f"the folder of the backups, {directory}, can't be read: {e.strerror}") from None
    return sorted((_described(path) for path in names), key=lambda one: one.taken_at)


def _described(path: Path) -> Backup:
    try:
        told: Any = json.loads(path.read_bytes())
        revision = told.get("schema_revision")
        return Backup(
            path=path.with_name(path.name.removesuffix(".json") + DUMP),
            taken_at=_moment(told["taken_at"]),
            schema_revision=None if revision is None else str(revision),
            tables=tuple(
                sorted((str(name).removeprefix("public."), int(n)) for name, n in told["tables"].items())
            ),
            size=int(told["size"]),
            sha256=str(told["sha256"]).lower(),
        )
    except OSError as e:
        raise BackupError(f"{path} can't be read: {e.strerror}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise BackupError(f"{path} does not describe a backup: {type(e).__name__} {e}") from None


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("taken_at has no time zone")
    return found.astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What the bytes of a dump say: size, digest, the digest written beside it, whether it is encrypted."""

    size: int
    sha256: str
    written: str | None
    """The digest in the file beside it; None without that file."""
    encrypted: bool


def seal(backup: Backup) -> Seal:
    """Read a dump once, as it lies there. Raises :class:`BackupError` when it does not."""
    digest, size, head = hashlib.sha256(), 0, b""
    try:
        with backup.path.open("rb") as file:
            while block := file.read(_BLOCK):
                head = head or block[:64]
                digest.update(block)
                size += len(block)
        beside = backup.path.with_name(backup.path.name + ".sha256")
        words = beside.read_text(encoding="utf-8").split() if beside.exists() else []
    except OSError as e:
        raise BackupError(f"{backup.path} can't be read: {e.strerror}") from None
    return Seal(
        size=size,
        sha256=digest.hexdigest(),
        written=words[0].lower() if words else None,
        encrypted=head.startswith(_AGE),
    )


def decrypt(backup: Backup, identity: str, into: BinaryIO) -> None:
    """Write the plain dump ``into`` a file or pipe. Raises :class:`BackupError` if the key does not open it.

    Raises GateInputError for what is no key at all.

    ``identity`` is an age secret key (``AGE-SECRET-KEY-1...``). Nothing plain is written anywhere else.
    """
    key = usable_key(identity)
    try:
        with backup.path.open("rb") as file:
            pyrage.decrypt_io(file, into, [key])
    except BrokenPipeError:
        raise
    except (pyrage.DecryptError, OSError) as e:
        raise BackupError(f"{backup.path} can't be decrypted with backup.identity: {e}") from None


def usable_key(identity: str) -> Any:
    """Read an age secret key; GateInputError if it is none."""
    redaction.register(identity.strip())
    try:
        return pyrage.x25519.Identity.from_str(identity.strip())
    except pyrage.IdentityError:
        raise GateInputError(
            "backup.identity in the environment file is not what `age-keygen` makes (a line that begins with "
            "AGE-SECRET- and KEY-1). Name the private key that belongs to the backups' recipient."
        ) from None


def opens_with(backup: Backup, identity: str) -> bool:
    """Whether a key opens the beginning of a dump; False too when the dump is not encrypted at all."""
    try:
        decrypt(backup, identity, _Nowhere())  # type: ignore[arg-type] # only write and flush are used
    except BackupError:
        return False
    except BrokenPipeError:
        return True
    return True


class _Nowhere:
    """Takes the first bytes and closes: enough to see that a key fits."""

    def write(self, _block: bytes) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        return None


def stranger() -> str:
    """Make a key that nothing was encrypted for."""
    return str(pyrage.x25519.Identity.generate())
