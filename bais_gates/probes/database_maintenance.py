"""Read in PostgreSQL's maintenance database ``postgres``: blocking sessions, and what only GRANTS show.

A lock on a catalog of the platform's database keeps every sign-in there waiting, but none to this one.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from bais_gates.probes.postgres import Database, DatabaseBlocked, DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, Any]
MAINTENANCE: Final = "postgres"
GRANTS: Final = (
    "GRANT CONNECT ON DATABASE postgres TO {role}; in the database postgres: GRANT EXECUTE ON FUNCTION "
    "pg_hba_file_rules(), pg_show_all_file_settings() TO {role}; GRANT SELECT ON pg_hba_file_rules, "
    "pg_file_settings TO {role}; CREATE VIEW role_password_types AS SELECT rolname, CASE WHEN "
    "rolpassword IS NULL "
    "THEN 'none' WHEN rolpassword LIKE 'SCRAM-SHA-256$%' THEN 'scram-sha-256' ELSE 'md5' END AS type FROM "
    "pg_authid; GRANT SELECT ON role_password_types TO {role}"
)
"""What a superuser runs for the gates' role."""


@contextmanager
def open_maintenance(url: str) -> Iterator[Database]:
    """Open the server's database ``postgres``; a DatabaseError inside names the right that is missing."""
    with Database(url, name=MAINTENANCE) as database:
        try:
            yield database
        except DatabaseError as e:
            if "permission denied" not in str(e) and "does not exist" not in str(e):
                raise
            raise DatabaseError(
                f"the rules of sign-in and the configuration files can't be read: {str(e).rstrip('.')}. "
                f"Run as a superuser: {GRANTS.format(role=database.role)}"
            ) from None


def read_blockers(url: str, min_s: float) -> tuple[Row, ...]:
    """Return the sessions that for ``min_s`` seconds hold a lock against reading or writing, or block others.

    Waits until a younger lock is released or that old. ``object`` is None where it is no table. Raises
    :class:`DatabaseError` when the server does not answer.
    """
    with open_maintenance(url) as maintenance, Database(url) as platform:
        until = time.monotonic() + min_s
        while True:
            rows: list[Row] = maintenance.rows(_BLOCKERS, {"database": platform.database})
            held = [row for row in rows if row["held_s"] >= min_s]
            if len(held) == len(rows) or time.monotonic() > until:
                break
            time.sleep(0.25)
        oids = {"oids": [row["relation"] for row in held if row["relation"] is not None]}
        names = {
            row["oid"]: row
            for row in (maintenance.rows(_NAMES, oids) if oids["oids"] else ())
            if row["system"]
        }
        try:
            names |= {row["oid"]: row for row in (platform.rows(_NAMES, oids) if oids["oids"] else ())}
        except DatabaseBlocked:
            return tuple({**row, "object": names.get(row["relation"], {}).get("name")} for row in held)
    # A temporary table, or one that is not committed yet, blocks nobody.
    return tuple(
        {**row, "object": names[row["relation"]]["name"] if row["relation"] in names else None}
        for row in held
        if row["blocks"] or (row["relation"] in names and not names[row["relation"]]["temporary"])
    )


FILES: Final = """
SELECT name, setting, regexp_replace(sourcefile, '.*/', '') || ':' || sourceline AS file, applied, error
FROM pg_file_settings ORDER BY seqno
"""
# Functions instead of views: they need fewer catalogs.
_BLOCKERS: Final = """
SELECT DISTINCT ON (l.pid) l.pid, pg_get_userbyid(a.usesysid)::text AS role, a.application_name AS program,
  a.state,
  l.relation::int8 AS relation, l.mode, b.blocks, a.query_start,
  extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.backend_start))::float8 AS held_s
FROM pg_lock_status() l
JOIN pg_stat_get_activity(NULL) a ON a.pid = l.pid
CROSS JOIN LATERAL (SELECT EXISTS (
  SELECT FROM pg_lock_status() w WHERE NOT w.granted AND l.pid = ANY (pg_blocking_pids(w.pid))) AS blocks) b
WHERE l.granted AND l.pid <> pg_backend_pid() AND l.locktype IN ('relation', 'transactionid', 'advisory')
  AND coalesce(l.database, 0) IN (0, (SELECT oid FROM pg_database WHERE datname = %(database)s))
  AND (b.blocks OR l.locktype = 'relation'
    AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
ORDER BY l.pid, l.locktype <> 'relation', l.mode = 'AccessExclusiveLock' DESC
"""
_NAMES: Final = """
SELECT c.oid::int8 AS oid, format('%%I.%%I', n.nspname, c.relname) AS name, c.relpersistence = 't' AS
  temporary,
  c.oid < 16384 AS system
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (%(oids)s::oid[])
"""
