"""List the backups in a folder, inspect their dumps, and decrypt them.

A backup is three files: ``<stamp>.dump.age`` (``pg_dump`` in the custom format, encrypted with age),
``<stamp>.dump.age.sha256`` (in the format of sha256sum) and ``<stamp>.json``::

    {"taken_at": "2026-11-23T22:15:00Z", "database": "bais", "schema_revision": "0001",
     "tables": {"payments": 12}, "size": 34567, "sha256": "<of the .dump.age>",
     "system_identifier": "7713772134493935313", "snapshot_xmin": 759}

``taken_at`` is the time of the snapshot from which the dump and the row counts were read; pg_dump begins
then, with TZ=UTC, as its archive's header has no time zone. The last two keys are optional, from
``pg_control_system()`` and ``pg_snapshot_xmin(pg_current_snapshot())`` in that snapshot: with them, the rows
that were last written before it are compared whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from bais_gates import redaction
from bais_gates.errors import GateInputError
from bais_gates.extras import optional
from bais_gates.rules.backups import AGE, DUMP, FolderFile
from bais_gates.strict import parse_json

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

pyrage = optional("pyrage", extra="bais")

_BLOCK: Final = 1024 * 1024
_HEAD: Final = 4096


class BackupError(Exception):
    """A backup cannot be read, decrypted or restored. The message names the file or folder and the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One backup: its encrypted dump, and the description written with it."""

    path: Path
    taken_at: datetime
    database: str | None
    schema_revision: str | None
    tables: tuple[tuple[str, int], ...]
    """Rows by table, ``schema.table`` without the schema ``public``."""
    size: int
    sha256: str
    system_identifier: str | None = None
    snapshot_xmin: int | None = None

    def age_s(self, now: datetime) -> float:
        """Return the seconds since the snapshot."""
        return (now - self.taken_at).total_seconds()


def list_backups(directory: Path) -> list[Backup]:
    """Return the backups in a folder, the oldest first; raise :class:`BackupError` for an invalid one.

    A dump without a description is left out: it is incomplete, or its content is unknown.
    """
    found, faults = read_backups(directory)
    if faults:
        raise BackupError(faults[0])
    return found


def read_backups(directory: Path) -> tuple[list[Backup], list[str]]:
    """Return the backups in a folder, the oldest first, and why other descriptions are not of a backup."""
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix == ".json")
    except OSError as e:
        raise BackupError(f"the backup folder {directory} cannot be read: {e.strerror}") from None
    found, faults = [], []
    for path in paths:
        try:
            found.append(_read_description(path))
        except BackupError as e:
            faults.append(str(e))
    return sorted(found, key=lambda backup: backup.taken_at), faults


def _read_description(path: Path) -> Backup:
    try:
        document: Any = parse_json(path.read_bytes())
        revision, xmin = document.get("schema_revision"), document.get("snapshot_xmin")
        database, identifier = document.get("database"), document.get("system_identifier")
        return Backup(
            path=path.with_name(path.name.removesuffix(".json") + DUMP),
            taken_at=_time(document["taken_at"]),
            database=None if database is None else str(database),
            schema_revision=None if revision is None else str(revision),
            tables=tuple(
                sorted((str(name).removeprefix("public."), int(n)) for name, n in document["tables"].items())
            ),
            size=int(document["size"]),
            sha256=str(document["sha256"]).lower(),
            system_identifier=None if identifier is None else str(identifier),
            snapshot_xmin=None if xmin is None else int(xmin),
        )
    except OSError as e:
        raise BackupError(f"{path.name} cannot be read: {e.strerror}") from None
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as e:
        text = f"no {e}" if isinstance(e, KeyError) else str(e)
        raise BackupError(f"{path.name} is not the description of a backup: {text}") from None


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("taken_at has no time zone")
    return time.astimezone(UTC)


def list_files(directory: Path, now: datetime) -> list[FolderFile]:
    """Return the folder (as ``.``) and the files in it; raise :class:`BackupError` if one is unreadable.

    A file that is removed meanwhile is left out.
    """
    found = []
    try:
        for path in (directory, *sorted(directory.iterdir())):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                is_file = stat.S_ISREG(status.st_mode)
                found.append(
                    FolderFile(
                        name="." if path == directory else path.name,
                        mode=stat.S_IMODE(status.st_mode),
                        size=status.st_size,
                        age_s=now.timestamp() - status.st_mtime,
                        head=_head(path) if is_file else b"",
                    )
                )
    except OSError as e:
        raise BackupError(f"{e.filename or directory} cannot be read: {e.strerror}") from None
    return found


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpFile:
    """The size and digest of a dump file, the recorded digest, and whether the dump is encrypted."""

    size: int
    sha256: str
    recorded_sha256: str | None
    """The digest in the .sha256 file; None without that file."""
    encrypted: bool


def inspect_dump(backup: Backup) -> DumpFile:
    """Read the dump of a backup once; raise :class:`BackupError` if it cannot be read."""
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
        raise BackupError(f"{backup.path} cannot be read: {e.strerror}") from None
    return DumpFile(
        size=size,
        sha256=digest.hexdigest(),
        recorded_sha256=words[0].lower() if words else None,
        encrypted=head.startswith(AGE),
    )


def decrypt(backup: Backup, identity: str, into: BinaryIO) -> None:
    """Write the decrypted dump ``into`` a file or pipe, and nowhere else.

    ``identity`` is an age secret key (``AGE-SECRET-KEY-1...``). Raises :class:`BackupError` if it does not
    decrypt the dump, GateInputError if it is not a key.
    """
    key = parse_identity(identity)
    try:
        with backup.path.open("rb") as file:
            pyrage.decrypt_io(file, into, [key])
    except BrokenPipeError:
        raise
    except (pyrage.DecryptError, OSError) as e:
        raise BackupError(f"{backup.path} cannot be decrypted with backup.identity: {e}") from None


def parse_identity(identity: str) -> Any:
    """Return the key of an age secret key's text; raise GateInputError if it is not one."""
    redaction.register(identity.strip())
    try:
        return pyrage.x25519.Identity.from_str(identity.strip())
    except pyrage.IdentityError:
        raise GateInputError(
            "backup.identity in the environment file is not an age secret key (a line of `age-keygen` that "
            "begins with AGE-SECRET- and KEY-1). Set it to the private key of the backups' recipient."
        ) from None


def can_decrypt(backup: Backup, identity: str) -> bool:
    """Return whether a key decrypts the beginning of a dump; False if the dump is not encrypted."""
    try:
        decrypt(backup, identity, _FirstBlock())  # type: ignore[arg-type] # only write and flush are used
    except BackupError:
        return False
    except BrokenPipeError:
        return True
    return True


class _FirstBlock:
    """A file that ends the decryption at the first block: enough to see that the key is right."""

    def write(self, _block: bytes) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        return None


def public_key(identity: str) -> str:
    """Return the recipient (``age1...``) of an age secret key."""
    return str(parse_identity(identity).to_public())


def generate_identity() -> str:
    """Generate an age secret key."""
    return str(pyrage.x25519.Identity.generate())
