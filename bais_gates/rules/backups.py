"""Judge a backup: the header and table of contents of its dump, its files, and its content.

Source: PostgreSQL documentation, "pg_dump" (what a dump contains, and which options leave something out),
"pg_restore" (--list) and "System Columns" (xmin); PCI DSS 4.0, 3.6.1 (keys are stored apart from the data);
CIS PostgreSQL 1.4 and 3.1 (files of the database are not accessible to others).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

EARLIEST: Final = timedelta(seconds=-10)
"""How far the clock of pg_dump may be behind the server's."""
LATEST: Final = timedelta(minutes=5)
"""How long after its snapshot a dump may begin."""
CLOCK_TOLERANCE: Final = timedelta(seconds=60)
INCOMPLETE_AFTER_S: Final = 6 * 3600.0
"""How old a part of a dump may be: until then, it may still be being made."""
DESCRIBED_WITHIN_S: Final = 15.0
"""How long after its last write a whole dump may lack its description."""
DUMP: Final = ".dump.age"
AGE: Final = (b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----")
_KEY: Final = b"AGE-SECRET-KEY-1"
_PLAIN: Final = (
    b"PGDMP",
    b"--\n-- PostgreSQL database",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"BZh",
    b"\xfd7zXZ",
)
_PLAIN_SUFFIXES: Final = (".dump", ".sql", ".tar", ".gz", ".zst", ".bz2", ".xz", ".zip", ".csv", ".bak")
_HEADER: Final = re.compile(r"^;\s+([A-Za-z ]+?)(?: at |: )(.+?)\s*$", re.MULTILINE)
_ENTRY: Final = re.compile(
    r"^\d+; \d+ \d+ (?P<kind>TABLE DATA|SEQUENCE SET|DEFAULT ACL|ACL|BLOB[A-Z ]*|TABLE|SEQUENCE) "
    r"(?P<schema>\S+) (?P<name>.*?) ?\S*$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The header of a dump, and the objects in its table of contents by kind."""

    created_at: datetime | None
    database: str | None
    server_version: str | None
    count: int
    """Entries of the table of contents."""
    objects: Mapping[str, frozenset[str]]
    """``schema.name`` by kind: TABLE, TABLE DATA, SEQUENCE, SEQUENCE SET, ACL, DEFAULT ACL, BLOB."""

    def of(self, kind: str) -> frozenset[str]:
        """Return the objects of a kind."""
        return self.objects.get(kind, frozenset())


def parse_listing(text: str) -> Listing:
    """Parse the output of ``pg_restore --list``; what it lacks is None or empty.

    Source: PostgreSQL documentation, "pg_restore", --list.
    """
    header = {name.strip().lower(): value for name, value in _HEADER.findall(text)}
    objects: dict[str, set[str]] = {}
    for entry in _ENTRY.finditer(text):
        kind = "BLOB" if entry["kind"].startswith("BLOB") else entry["kind"]
        objects.setdefault(kind, set()).add(f"{entry['schema']}.{entry['name']}")
    return Listing(
        created_at=_header_time(header.get("archive created", "")),
        database=header.get("dbname"),
        server_version=header.get("dumped from database version"),
        count=int(header.get("toc entries", "0") or 0),
        objects={kind: frozenset(names) for kind, names in objects.items()},
    )


def _header_time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text.removesuffix(" UTC"), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def header_faults(
    listing: Listing, *, taken_at: datetime, recorded: str | None, live: str, live_version: str
) -> list[str]:
    """List what the header of a dump contradicts: its description, or the live database.

    ``taken_at`` and ``recorded`` are the time and database of the description, ``live`` and ``live_version``
    (``server_version``) those of the live database. Source: PostgreSQL documentation, "pg_restore", --list.
    """
    faults = []
    if listing.created_at is None:
        faults.append("the dump's header has no creation time")
    elif not EARLIEST <= listing.created_at - taken_at <= LATEST:
        faults.append(
            f"made at {listing.created_at:%Y-%m-%d %H:%M:%S} UTC by its header, taken_at is "
            f"{taken_at:%Y-%m-%d %H:%M:%S} UTC: this is the dump of another time"
        )
    if listing.database != live:
        faults.append(f"a dump of the database {listing.database}, the live one is {live}")
    if recorded is not None and recorded != live:
        faults.append(f"its description names the database {recorded}, the live one is {live}")
    if _major(listing.server_version) != _major(live_version):
        faults.append(f"dumped from PostgreSQL {listing.server_version}, the live server is {live_version}")
    return faults


def _major(version: str | None) -> str:
    return (version or "none").split(".")[0].split()[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What the live database has of the things that options of pg_dump can leave out."""

    tables: tuple[str, ...]
    """Tables with data, as ``schema.name``."""
    sequences: tuple[str, ...]
    granted: int
    """Tables, views and sequences with grants."""
    default_grants: int
    """Entries of pg_default_acl."""
    large_objects: int


def missing_content(listing: Listing, live: Catalog, described: Collection[str] = ()) -> list[str]:
    """List what the live database has, and the dump was made without: tables, data, sequence values, grants.

    ``described`` are the tables of the backup's description, without the schema ``public``: a table of later
    is no fault. Source: PostgreSQL documentation, "pg_dump": --table, --exclude-table, --schema-only,
    --exclude-table-data, --section, --no-privileges, --no-large-objects.
    """
    absent = [
        name
        for name in live.tables
        if name not in listing.of("TABLE") and name.removeprefix("public.") in described
    ]
    empty = [name for name in live.tables if _in(listing, "TABLE", name, data="TABLE DATA")]
    faults = []
    if empty and not listing.of("TABLE DATA"):
        faults.append(f"no data at all (pg_dump --schema-only?), as of {_names(empty)}")
    elif empty:
        faults += [f"no data of table {name}" for name in empty]
    if len(absent) > _MANY:
        faults.append(f"no tables {_names(absent)} (pg_dump --table?)")
    else:
        faults += [f"no table {name}" for name in absent]
    faults += [
        f"no value of sequence {name}"
        for name in live.sequences
        if _in(listing, "SEQUENCE", name, data="SEQUENCE SET")
    ]
    if live.granted and not any(".TABLE " in name for name in listing.of("ACL")):
        faults.append(
            f"no grants (pg_dump --no-privileges?): {live.granted} live tables and sequences have them"
        )
    if live.default_grants and not listing.of("DEFAULT ACL"):
        faults.append("no default privileges (ALTER DEFAULT PRIVILEGES), which the live database has")
    if live.large_objects and not listing.of("BLOB"):
        faults.append(f"no large objects: the live database has {live.large_objects}")
    return faults


_MANY: Final = 3


def _names(tables: Iterable[str]) -> str:
    return ", ".join(name.removeprefix("public.") for name in tables)


def _in(listing: Listing, kind: str, name: str, *, data: str) -> bool:
    """Whether the dump has the definition, and not the data. A missing definition is a schema difference."""
    return name in listing.of(kind) and name not in listing.of(data)


def schema_differences(live: Iterable[str], restored: Iterable[str]) -> list[str]:
    """List the lines of ``describe_schema`` that only one database has; a missing table stands for its parts.

    Source: PostgreSQL documentation, "System Catalogs".
    """
    expected, found = set(live), set(restored)
    missing = _without_parts(expected - found)
    return [f"missing: {line}" for line in missing] + [
        f"additional: {line}" for line in _without_parts(found - expected)
    ]


def _without_parts(lines: set[str]) -> list[str]:
    whole = [line for line in sorted(lines) if line.split(" ", 1)[0] in {"table", "view", "sequence"}]
    names = [re.escape(line.split(" ", 1)[1]) for line in whole]
    part = re.compile(rf"(?<![\w.])(?:{'|'.join(names)})(?![\w])") if names else None
    return whole + [line for line in sorted(lines - set(whole)) if part is None or not part.search(line)]


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFile:
    """A file in the folder of the backups, which is itself named ``.``."""

    name: str
    mode: int
    """Its permission bits."""
    size: int
    age_s: float
    """Seconds since it was written."""
    head: bytes
    """Its first bytes."""


def folder_faults(files: Sequence[FolderFile]) -> list[str]:
    """List files that others may read, dumps that are not encrypted, incomplete backups, and stored keys.

    Group permissions are left to the platform, as a Kubernetes volume with an fsGroup sets them, and so is
    who reads other files, such as a note. Source: PCI DSS 4.0, 3.6.1; CIS PostgreSQL 1.4.
    """
    names, faults = {file.name for file in files}, []
    for file in files:
        shown = "the folder" if file.name == "." else file.name
        is_dump = file.name.endswith(DUMP)
        is_part = file.name.endswith(".part") and file.age_s <= INCOMPLETE_AFTER_S
        is_plain = not is_dump and (
            file.head.startswith(_PLAIN) or (file.name.endswith(_PLAIN_SUFFIXES) and not is_part)
        )
        is_own = is_dump or is_plain or file.name == "." or file.name.endswith((".json", ".sha256"))
        if file.mode & (0o007 if is_own else 0o002):
            remedy = "chmod o-rwx"
            faults.append(f"{shown}: mode {file.mode:04o}, accessible to every account: {remedy}")
        if _KEY in file.head:
            faults.append(f"{shown}: contains an age secret key, which belongs elsewhere than the backups")
        if is_dump and not file.head.startswith(AGE):
            faults.append(f"{shown}: not encrypted" if file.size else f"{shown}: empty")
        elif is_plain:
            faults.append(f"{shown}: a dump that is not encrypted with age")
        record = file.name.removesuffix(DUMP) + ".json"
        if is_dump and record not in names and file.age_s > DESCRIBED_WITHIN_S:
            faults.append(f"{shown}: without its description {record}")
        if file.name.endswith(".dump.age.part") and file.age_s > INCOMPLETE_AFTER_S:
            faults.append(f"{shown}: left behind by a backup that failed")
        if file.name.endswith(".json") and file.name.removesuffix(".json") + DUMP not in names:
            faults.append(f"{shown}: describes a dump that is not there")
    return faults


def undescribed(files: Iterable[FolderFile]) -> list[str]:
    """List the whole dumps without a description that was perhaps not written yet."""
    every = list(files)
    names = {file.name for file in every}
    return [
        file.name
        for file in every
        if file.name.endswith(DUMP)
        and file.name.removesuffix(DUMP) + ".json" not in names
        and file.age_s <= DESCRIBED_WITHIN_S
    ]


def record_faults(described: Iterable[tuple[str, int, str]], files: Iterable[FolderFile]) -> list[str]:
    """List backups whose dump has another size than described, and those that are a copy of another one.

    ``described`` are the name of each dump, and the size and digest of its description. age encrypts with a
    new key each time, so that no two backups have the same digest. Source: C2SP, age-encryption.org/v1.
    """
    sizes = {file.name: file.size for file in files}
    first: dict[str, str] = {}
    faults = []
    for name, size, digest in described:
        if sizes.get(name, size) != size:
            faults.append(f"{name}: {sizes[name]} bytes, {size} in its description")
        if (other := first.setdefault(digest, name)) != name:
            faults.append(f"{name}: a copy of {other}")
    return faults


def sequence_faults(positions: Iterable[tuple[str, str, int | None, int | None]]) -> list[str]:
    """List restored sequences that would give a value which their column has already.

    Each is (sequence, table.column, last value or None, highest value of the column or None). Source:
    PostgreSQL documentation, "Sequence Manipulation Functions".
    """
    return [
        f"{sequence} is at {'its start' if last is None else last}, {column} goes to {highest}"
        for sequence, column, last, highest in positions
        if highest is not None and highest > (0 if last is None else last)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One table, restored and live: rows that must be in the backup, and those that are not or differ."""

    table: str
    due: int | None
    """Live rows that existed when the backup was made; None if they are not counted."""
    restored: int | None
    sampled: int
    """Live rows of the backup's time that were looked for one by one."""
    absent: int
    """Sampled live rows that were not restored."""
    differing: int
    """Sampled live rows that were restored with other values."""
    newest: datetime | None
    """The newest restored row's creation time."""
    restored_sampled: int
    known: int
    """Sampled restored rows that the live database has as well."""


def missing_rows(tables: Iterable[Compared]) -> list[str]:
    """List tables without some of the rows that the live database had when the backup was made, most first.

    Source: PostgreSQL documentation, "System Columns" (xmin: a row's last writer).
    """
    faults: list[tuple[int, str]] = []
    for one in tables:
        lacking = max((one.due or 0) - (one.restored or 0), 0) if one.due is not None else 0
        if lacking:
            text = f"{one.table}: {lacking} of {one.due} rows of the backup's time are missing"
            faults.append((lacking, text))
        elif one.absent:
            text = f"{one.table}: {one.absent} of {one.sampled} sampled rows are missing"
            faults.append((one.absent, text))
    return [text for _, text in sorted(faults, key=lambda fault: -fault[0])]


def differing_rows(tables: Iterable[Compared]) -> list[str]:
    """List tables with restored rows that have other values than the live rows, unchanged since the backup.

    Source: PostgreSQL documentation, "System Columns" (xmin: a row's last writer).
    """
    return [
        f"{one.table}: {one.differing} of {one.sampled} sampled rows have other values"
        for one in tables
        if one.differing
    ]


def foreign_rows(tables: Sequence[Compared], *, taken_at: datetime) -> list[str]:
    """List restored rows that this backup cannot contain: created after it, or all unknown to the live one.

    Source: PostgreSQL documentation, "pg_dump" (a dump is of one snapshot).
    """
    faults = [
        f"{one.table}: the newest row was created {one.newest:%Y-%m-%d %H:%M:%S} UTC, after the backup"
        for one in tables
        if one.newest is not None and one.newest > taken_at + CLOCK_TOLERANCE
    ]
    sampled = sum(one.restored_sampled for one in tables)
    if sampled and not any(one.known for one in tables):
        faults.append(f"none of {sampled} sampled restored rows is in the live database: it is another one's")
    return faults
