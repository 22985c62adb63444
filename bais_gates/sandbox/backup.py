"""``python -m bais_gates.sandbox.backup CONFIG``: take one backup, encrypted before it reaches the disk.

``CONFIG`` is a JSON file with ``database_url``, ``recipient`` (an age public key), ``directory`` and
``programs`` (the folder of ``pg_dump``). The files are named for the time of the snapshot:
``<stamp>.dump.age``, ``<stamp>.dump.age.sha256``, and last, as the sign of a complete backup,
``<stamp>.json``. Its row counts are from the same snapshot as the dump, which begins as soon as it is taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

import psycopg
import pyrage  # type: ignore[import-untyped]  # it brings no types along
from psycopg import conninfo, sql

from bais_gates.sandbox.files import read_object, write_json, write_private

_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}
_OPTIONS = "-c idle_in_transaction_session_timeout=0"  # the snapshot is held while the dump is made
_SNAPSHOT = """
SELECT pg_export_snapshot(), current_database(), clock_timestamp(),
       pg_snapshot_xmin(pg_current_snapshot())::text, has_function_privilege('pg_control_system()', 'EXECUTE')
"""
_IDENTIFIER = "SELECT system_identifier::text FROM pg_control_system()"
_TABLES = """
SELECT schemaname, tablename FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2
"""


class BackupError(Exception):
    """No backup was taken; the message gives the reason in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The snapshot to dump: its name, time, database and server, and its oldest running transaction."""

    name: str
    taken_at: datetime
    database: str
    system_identifier: str | None
    xmin: int


def take(database_url: str, recipient: str, directory: Path, programs: Path) -> Path:
    """Take a backup and return the path of its JSON file. Raises ``BackupError``."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    started_at, started = datetime.now(UTC), time.monotonic()
    try:
        key = pyrage.x25519.Recipient.from_str(recipient)
    except pyrage.RecipientError as error:
        raise BackupError(f"the recipient is not an age public key: {error}") from None
    try:
        with psycopg.connect(database_url, connect_timeout=10, options=_OPTIONS) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            snapshot = _snapshot(connection)
            stamp = f"{snapshot.taken_at:%Y%m%dT%H%M%S%fZ}"
            dump = directory / f"{stamp}.dump.age"
            draft = directory / f"{stamp}.dump.age.part"
            try:
                _dump(database_url, snapshot.name, key, draft, programs / "pg_dump")
                tables, revision = _contents(connection)
                draft.replace(dump)
            finally:
                draft.unlink(missing_ok=True)
    except psycopg.Error as error:
        raise BackupError(f"the database can't be read: {' '.join(str(error).split())}") from None
    digest = hashlib.sha256(dump.read_bytes()).hexdigest()
    write_private(dump.with_name(f"{dump.name}.sha256"), f"{digest}  {dump.name}\n")
    metadata = directory / f"{stamp}.json"
    write_json(
        metadata,
        {
            "taken_at": snapshot.taken_at.isoformat(timespec="milliseconds"),
            "started_at": started_at.isoformat(timespec="milliseconds"),
            "duration_s": round(time.monotonic() - started, 3),
            "database": snapshot.database,
            "schema_revision": revision,
            "tables": tables,
            "size": dump.stat().st_size,
            "sha256": digest,
            "system_identifier": snapshot.system_identifier,
            "snapshot_xmin": snapshot.xmin,
        },
    )
    return metadata


def _snapshot(connection: psycopg.Connection[Any]) -> Snapshot:
    name, database, taken_at, xmin, may_identify = cast(
        "tuple[str, str, datetime, str, bool]", connection.execute(_SNAPSHOT).fetchone()
    )
    row = connection.execute(_IDENTIFIER).fetchone() if may_identify else None
    return Snapshot(
        name=name,
        taken_at=taken_at.astimezone(UTC),
        database=database,
        system_identifier=None if row is None else str(row[0]),
        xmin=int(xmin),
    )


def _contents(connection: psycopg.Connection[Any]) -> tuple[dict[str, int], str | None]:
    """Return the row count of each table, and the schema revision."""
    tables = {}
    for schema, table in connection.execute(_TABLES).fetchall():
        row = connection.execute(
            sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
        ).fetchone()
        tables[f"{schema}.{table}"] = int(row[0]) if row is not None else 0
    if "public.alembic_version" not in tables:
        return tables, None
    row = connection.execute("SELECT version_num FROM public.alembic_version").fetchone()
    return tables, None if row is None else str(row[0])


def _dump(url: str, snapshot: str, recipient: object, draft: Path, program: Path) -> None:
    """Run pg_dump and encrypt its output as a stream; the password is passed in the environment."""
    parameters = conninfo.conninfo_to_dict(url)
    variables = {name: str(parameters[key]) for key, name in _VARIABLES.items() if parameters.get(key)}
    process = subprocess.Popen(
        [program, "--format=custom", "--no-password", f"--snapshot={snapshot}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=os.environ | variables | {"TZ": "UTC"},  # the header of the dump has no time zone
    )
    with process, os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        pyrage.encrypt_io(cast("IO[bytes]", process.stdout), file, [recipient])
        file.flush()
        os.fsync(file.fileno())
    if process.returncode != 0:
        raise BackupError(f"pg_dump ended with exit status {process.returncode}")


def main() -> int:
    """Take a backup; exit status 0 when it was taken, 1 when not, 2 for an unusable configuration."""
    os.umask(0o077)
    try:
        config = read_object(Path(sys.argv[1]))
        url, recipient, directory, programs = (
            str(config[key]) for key in ("database_url", "recipient", "directory", "programs")
        )
    except (IndexError, KeyError, OSError, ValueError) as error:
        sys.stderr.write(f"the configuration is not usable: {type(error).__name__}: {error}\n")
        return 2
    try:
        metadata = take(url, recipient, Path(directory), Path(programs))
    except (BackupError, OSError, pyrage.EncryptError) as error:
        sys.stderr.write(f"no backup was taken: {error}\n")
        return 1
    backup = json.loads(metadata.read_text(encoding="utf-8"))
    sys.stdout.write(
        f"backup {metadata.stem}: {len(backup['tables'])} tables, {sum(backup['tables'].values())} rows, "
        f"{backup['size']} bytes in {backup['duration_s']} s\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
