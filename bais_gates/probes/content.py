"""Read what a database contains, in bounded time: its tables, samples of their rows, and sequence values.

A sample is the same for every reader: the newest rows, and those with the lowest hash of the primary key. It
is compared by the md5 digest of the text of each row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from bais_gates.extras import optional
from bais_gates.rules.backups import Catalog, Compared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg.sql

    from bais_gates.probes.backup import Backup
    from bais_gates.probes.postgres import Database
else:
    psycopg = optional("psycopg", extra="database")

AS_TEXT: Final = "-c TimeZone=UTC -c DateStyle=ISO -c extra_float_digits=1 -c bytea_output=hex"
"""Options of both sessions, so that the text of a row does not depend on the settings of a role."""
SAMPLE: Final = 250
"""Rows of each of the two parts of a sample."""
LARGE: Final = 1_000_000
"""Estimated rows from which a table is not counted, and its sample is of random pages."""
UNCOMMITTED: Final = timedelta(seconds=60)
"""How long the transaction of a row may have been open: a younger row may be missing from a snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of the database: the columns that identify a row, and when it was created."""

    schema: str
    name: str
    keys: tuple[str, ...]
    """Columns of the primary key; empty without one."""
    key_types: tuple[str, ...]
    lasting: tuple[str, ...]
    """Columns that do not change: of the primary, foreign and unique keys, and the creation time."""
    created: str | None
    """The column with the creation time, by its name."""
    rows: int
    """Estimated number of rows."""
    readable: bool

    def __str__(self) -> str:
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"


def read_catalog(database: Database) -> Catalog:
    """Return what the database has of the things that a dump may lack."""
    row = database.rows(_CATALOG)[0]
    return Catalog(
        tables=tuple(map(str, _list(row["tables"]))),
        sequences=tuple(map(str, _list(row["sequences"]))),
        granted=int(str(row["granted"])),
        default_grants=int(str(row["default_grants"])),
        large_objects=int(str(row["large_objects"])),
    )


def list_tables(database: Database) -> list[Table]:
    """Return the tables of all schemas, without those of extensions."""
    return [
        Table(
            schema=str(row["schema"]),
            name=str(row["name"]),
            keys=tuple(map(str, _list(row["keys"]))),
            key_types=tuple(map(str, _list(row["key_types"]))),
            lasting=(*map(str, _list(row["lasting"])), *([str(row["created"])] if row["created"] else [])),
            created=None if row["created"] is None else str(row["created"]),
            rows=int(str(row["rows"])),
            readable=row["readable"] is True,
        )
        for row in database.rows(_TABLES)
    ]


def is_same_cluster(backup: Backup, live: Database) -> bool:
    """Return whether the transaction ids of a backup's description are those of the live server."""
    if backup.system_identifier is None or backup.snapshot_xmin is None:
        return False
    if live.value(_MAY_IDENTIFY) is not True:
        return False
    return str(live.value(_IDENTIFIER)) == backup.system_identifier


def compare(table: Table, backup: Backup, live: Database, restored: Database, *, whole: bool) -> Compared:
    """Compare a table's rows of the backup's time, live and restored, in sessions with ``AS_TEXT``.

    With ``whole``, these are the rows last written before the snapshot's oldest transaction, and they are
    compared whole; otherwise the rows created ``UNCOMMITTED`` before it, by the columns that do not change.
    """
    query = _Query(table, backup, whole=whole)
    large = table.rows > LARGE
    due = None if large or not query.comparable else _count(live, query.count(), query.parameters)
    every = None if large else _count(restored, query.count_all(), {})
    sample = (
        _digests(live, query.sample(large=large), query.parameters) if query.comparable and table.keys else {}
    )
    found = _digests(restored, query.lookup(), query.keys(sample)) if sample else {}
    own = _digests(restored, query.sample_all(large=large), {}) if table.keys and table.created else {}
    known = _digests(live, query.lookup(), query.keys(own)) if own else {}
    newest = restored.value(query.newest()) if table.created and not large else None
    return Compared(
        table=str(table),
        due=due,
        restored=every,
        sampled=len(sample),
        absent=len(sample.keys() - found.keys()),
        differing=sum(digest != found.get(key, digest) for key, digest in sample.items()),
        newest=newest if isinstance(newest, datetime) else None,
        restored_sampled=len(own),
        known=len(known),
    )


def read_positions(restored: Database, live: Database) -> list[tuple[str, str, int | None, int | None]]:
    """Return (sequence, table.column, last value, the column's highest value) of owned sequences restored.

    Sequences that have the same value live are left out: they are as they were.
    """
    current = {str(row["sequence"]): row["last"] for row in live.rows(_SEQUENCES)}
    positions = []
    for row in restored.rows(_SEQUENCES):
        sequence, last = str(row["sequence"]), _number(row["last"])
        if last == _number(current.get(sequence)):
            continue
        highest = restored.value(
            psycopg.sql.SQL("SELECT max({})::bigint FROM {}")
            .format(
                psycopg.sql.Identifier(str(row["column"])),
                psycopg.sql.Identifier(str(row["schema"]), str(row["table"])),
            )
            .as_string()
        )
        positions.append((sequence, f"{row['table']}.{row['column']}", last, _number(highest)))
    return positions


def _number(value: object) -> int | None:
    return None if value is None else int(str(value))


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _count(database: Database, sql: str, parameters: Mapping[str, object]) -> int:
    return int(str(database.value(sql, parameters)))


def _digests(database: Database, sql: str, parameters: Mapping[str, object]) -> dict[tuple[str, ...], str]:
    """Return the digest of each row by the text of its key."""
    rows = database.rows(sql, parameters)
    return {tuple(map(str, _list(row["key"]))): str(row["digest"]) for row in rows}


class _Query:
    """The statements that compare one table."""

    def __init__(self, table: Table, backup: Backup, *, whole: bool) -> None:
        self._table, self._whole = table, whole
        self.comparable = whole or table.created is not None
        self._from = psycopg.sql.Identifier(table.schema, table.name)
        self.parameters: dict[str, object] = (
            {"xmin": (backup.snapshot_xmin or 0) % 2**32}
            if whole
            else {"until": backup.taken_at - UNCOMMITTED}
        )
        columns = psycopg.sql.SQL(", ").join(_column(name) for name in table.lasting)
        self._digest = (
            psycopg.sql.SQL("bais_row::text") if whole else psycopg.sql.SQL("ROW({})::text").format(columns)
        )
        self._key = psycopg.sql.SQL("ARRAY[{}]").format(
            psycopg.sql.SQL(", ").join(psycopg.sql.SQL("{}::text").format(_column(key)) for key in table.keys)
        )
        # Ids are compared in a circle of 2^32; those below 3 are of rows that are older than any transaction.
        self._due = psycopg.sql.SQL(
            "(bais_row.xmin::text::bigint < 3 OR"
            " ((%(xmin)s::bigint - bais_row.xmin::text::bigint) & 4294967295) BETWEEN 1 AND 2147483648)"
            if whole
            else "{} <= %(until)s::timestamptz"
        ).format(*([] if whole else [_column(table.created or "")]))

    def count(self) -> str:
        """Count the rows that must be in the backup."""
        return self._sql("SELECT count(*) FROM {from_} bais_row WHERE {due}")

    def count_all(self) -> str:
        """Count all rows."""
        return self._sql("SELECT count(*) FROM {from_} bais_row")

    def newest(self) -> str:
        """Select the newest creation time."""
        return self._sql("SELECT max({created})::timestamptz FROM {from_} bais_row")

    def sample(self, *, large: bool) -> str:
        """Select keys and digests of a sample of the rows that must be in the backup."""
        return self._sample("{due}", large=large)

    def sample_all(self, *, large: bool) -> str:
        """Select keys and digests of a sample of all rows."""
        return self._sample("true", large=large)

    def _sample(self, condition: str, *, large: bool) -> str:
        row = "SELECT {key} AS key, md5({digest}) AS digest FROM {from_} bais_row"
        newest = f"({row} WHERE {condition} ORDER BY {{order}} DESC LIMIT {SAMPLE})"
        if large:
            share = 100.0 * 4 * SAMPLE / self._table.rows
            row = f"{row} TABLESAMPLE SYSTEM ({share:.6f}) REPEATABLE (1)"
            return self._sql(f"({row} WHERE {condition} LIMIT {SAMPLE}) UNION {newest}")
        hashed = f"({row} WHERE {condition} ORDER BY md5({{key}}::text) LIMIT {SAMPLE})"
        return self._sql(f"{hashed} UNION {newest}")

    def lookup(self) -> str:
        """Select keys and digests of the rows with given keys."""
        table = self._table
        arrays = ", ".join(f"%(k{i})s::text[]" for i in range(len(table.keys)))
        names = ", ".join(f"k{i}" for i in range(len(table.keys)))
        joined = psycopg.sql.SQL(" AND ").join(
            psycopg.sql.SQL("{} = k.{}::{}").format(
                _column(key), psycopg.sql.Identifier(f"k{i}"), psycopg.sql.SQL(kind)
            )
            for i, (key, kind) in enumerate(zip(table.keys, table.key_types, strict=True))
        )
        return self._sql(
            f"SELECT {{key}} AS key, md5({{digest}}) AS digest FROM unnest({arrays}) AS k({names})"  # noqa: S608 - numbers
            " JOIN {from_} bais_row ON {joined}",
            joined=joined,
        )

    def keys(self, sample: Mapping[tuple[str, ...], str]) -> dict[str, object]:
        """Return the parameters of :meth:`lookup`."""
        return {f"k{i}": [key[i] for key in sample] for i in range(len(self._table.keys))}

    def _sql(self, text: str, **more: psycopg.sql.Composable) -> str:
        # The order of a large table's newest rows must be that of an index.
        by_time = self._table.created is not None and self._table.rows <= LARGE
        order = (self._table.created or "") if by_time else self._table.keys[0] if self._table.keys else ""
        return (
            psycopg.sql.SQL(text)
            .format(
                from_=self._from,
                due=self._due,
                key=self._key,
                digest=self._digest,
                order=_column(order),
                created=_column(self._table.created or ""),
                **more,
            )
            .as_string()
        )


def _column(name: str) -> psycopg.sql.Composed:
    return psycopg.sql.SQL("bais_row.{}").format(psycopg.sql.Identifier(name))


_OWN: Final = """
n.nspname NOT IN ('pg_catalog', 'information_schema') AND left(n.nspname, 3) <> 'pg_' AND NOT EXISTS (
  SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')
"""
_CREATED: Final = (
    *("created_at", "created_on", "created", "creation_time", "create_time", "date_created", "inserted_at"),
    *("recorded_at", "occurred_at", "event_time", "logged_at", "at", "timestamp", "ts"),
)
_TABLES: Final = f"""
SELECT n.nspname AS schema, c.relname AS name, greatest(c.reltuples, 0)::bigint AS rows,
       has_table_privilege(c.oid, 'SELECT') AS readable,
       coalesce((SELECT array_agg(a.attname::text ORDER BY k.n) FROM pg_index i,
                 unnest(i.indkey) WITH ORDINALITY AS k(attnum, n) JOIN pg_attribute a USING (attnum)
                 WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid), '{{}}') AS keys,
       coalesce((SELECT array_agg(format_type(a.atttypid, NULL) ORDER BY k.n) FROM pg_index i,
                 unnest(i.indkey) WITH ORDINALITY AS k(attnum, n) JOIN pg_attribute a USING (attnum)
                 WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid), '{{}}') AS key_types,
       coalesce((SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND EXISTS (
                   SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'f')
                   AND a.attnum = ANY (k.conkey))), '{{}}') AS lasting,
       (SELECT a.attname::text FROM pg_attribute a JOIN unnest('{{{",".join(_CREATED)}}}'::text[])
        WITH ORDINALITY AS known(name, n) ON known.name = a.attname
        WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.atttypid IN ('timestamptz'::regtype,
        'timestamp'::regtype) ORDER BY known.n LIMIT 1) AS created
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND {_OWN} ORDER BY 1, 2
"""  # noqa: S608 - made of constants
_CATALOG: Final = f"""
SELECT coalesce(array_agg(n.nspname || '.' || c.relname ORDER BY n.nspname, c.relname)
         FILTER (WHERE c.relkind = 'r'), '{{}}')
         AS tables,
       coalesce(array_agg(n.nspname || '.' || c.relname ORDER BY n.nspname, c.relname)
         FILTER (WHERE c.relkind = 'S'), '{{}}')
         AS sequences,
       count(*) FILTER (WHERE c.relkind IN ('r', 'S', 'v', 'm', 'p') AND EXISTS (
         SELECT FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner)) AS granted,
       (SELECT count(*) FROM pg_default_acl) AS default_grants,
       (SELECT count(*) FROM pg_largeobject_metadata) AS large_objects
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'S', 'v', 'm', 'p') AND {_OWN}
"""  # noqa: S608 - made of constants
_SEQUENCES: Final = f"""
SELECT format('%I.%I', n.nspname, c.relname) AS sequence, tn.nspname AS schema, tc.relname AS table,
       a.attname AS column, pg_sequence_last_value(c.oid) AS last
FROM pg_sequence q JOIN pg_class c ON c.oid = q.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_depend o ON o.objid = c.oid AND o.classid = 'pg_class'::regclass AND o.deptype IN ('a', 'i')
JOIN pg_class tc ON tc.oid = o.refobjid JOIN pg_namespace tn ON tn.oid = tc.relnamespace
JOIN pg_attribute a ON a.attrelid = o.refobjid AND a.attnum = o.refobjsubid
WHERE has_sequence_privilege(q.seqrelid, 'SELECT') AND {_OWN} ORDER BY 1
"""  # noqa: S608 - made of constants
_MAY_IDENTIFY: Final = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"
_IDENTIFIER: Final = "SELECT system_identifier::text FROM pg_control_system()"
