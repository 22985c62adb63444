"""Read what PostgreSQL reports about itself: statements, indexes, vacuum, replicas, sessions, settings.

The role needs ``pg_monitor``: statistics that it may not read are an error, not an empty list.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bais_gates.probes.database_maintenance import FILES, open_maintenance
from bais_gates.probes.postgres import DatabaseError, StatementStatistics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.probes.postgres import Database

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseHealth:
    """One reading of a database. Tuples of rows are as PostgreSQL returned them."""

    statements: tuple[StatementStatistics, ...]
    blocks_hit: int
    blocks_read: int
    statistics_days: float
    """Days since the later of the last statistics reset and the server's start."""
    connections: int
    max_connections: int
    indexes: tuple[Row, ...]
    unindexed_foreign_keys: tuple[str, ...]
    tables: tuple[Row, ...]
    objects: tuple[Row, ...]
    """Disabled triggers and rules, constraints that are not validated, unlogged tables."""
    oldest_xid: int
    oldest_multixact: int
    replicas: tuple[Row, ...]
    slots: tuple[Row, ...]
    sessions: tuple[Row, ...]
    prepared: tuple[Row, ...]
    limits: tuple[Row, ...]
    sequences: tuple[Row, ...]
    archiver: Row
    settings: Mapping[str, Row]
    overrides: tuple[Row, ...]
    application: frozenset[str]
    files: tuple[Row, ...] | None
    """The settings of the configuration files; None on a managed server, which does not show them."""
    checksum_failures: int

    @property
    def calls(self) -> int:
        """Calls of all statements of other users."""
        return sum(statement.calls for statement in self.statements)

    @property
    def mean_ms(self) -> float:
        """Mean milliseconds per call of all statements; NaN without calls."""
        return (
            sum(statement.total_ms for statement in self.statements) / self.calls if self.calls else math.nan
        )

    @property
    def hit_ratio(self) -> float:
        """The buffer cache hit ratio, 0..1; NaN without block requests."""
        requested = self.blocks_hit + self.blocks_read
        return self.blocks_hit / requested if requested else math.nan

    @property
    def connections_used(self) -> float:
        """The used share of ``max_connections``, 0..1."""
        return self.connections / self.max_connections


def is_managed(settings: Mapping[str, Row]) -> bool:
    """Return whether a server has settings of RDS or Aurora, Cloud SQL, Azure Database or AlloyDB."""
    return any(name.startswith(("rds.", "cloudsql.", "azure.", "alloydb.")) for name in settings)


def read(database: Database) -> DatabaseHealth:
    """Read once.

    Raises :class:`DatabaseError` if the database does not answer or the role lacks a right that the
    message names,
    :class:`StatementsUnavailable` without pg_stat_statements.
    """
    require_monitor(database)
    statements = database.require_statements()
    found = database.read(_STATEMENTS)
    settings = {str(row["name"]): row for row in found["settings"]}
    (counters,) = found["counters"]
    application = frozenset(row["name"] for row in found["application"])
    hidden = [
        row["name"] for row in found["sequences"] if not row["readable"] and row["owner"] in application
    ]
    if hidden:
        grant = f"GRANT SELECT ON SEQUENCE {', '.join(hidden)} TO {database.role}"
        raise DatabaseError(f"the database {database.name}: sequences can't be read. Run: {grant}")
    files = None
    if not is_managed(settings):
        with open_maintenance(database.url) as maintenance:
            files = tuple(maintenance.read({"files": FILES})["files"])
    return DatabaseHealth(
        statements=tuple(statements.values()),
        blocks_hit=int(counters["blks_hit"]),
        blocks_read=int(counters["blks_read"]),
        statistics_days=float(counters["days"]),
        connections=int(counters["connections"]),
        max_connections=int(counters["max_connections"]),
        indexes=tuple(found["indexes"]),
        unindexed_foreign_keys=tuple(str(row["name"]) for row in found["foreign_keys"]),
        tables=tuple(found["tables"]),
        objects=tuple(found["objects"]),
        oldest_xid=int(counters["xid_age"]),
        oldest_multixact=int(counters["mxid_age"]),
        replicas=tuple(found["replicas"]),
        slots=tuple(found["slots"]),
        sessions=tuple(found["sessions"]),
        prepared=tuple(found["prepared"]),
        limits=tuple(found["limits"]),
        sequences=tuple(found["sequences"]),
        archiver=found["archiver"][0],
        settings=settings,
        overrides=tuple(found["overrides"]),
        application=application,
        files=files,
        checksum_failures=int(counters["checksum_failures"]),
    )


def require_monitor(database: Database) -> None:
    """Raise DatabaseError if the gates' role may not read the server's statistics, settings and sessions."""
    (own,) = database.rows(
        "SELECT current_user::text AS role, pg_has_role(current_user, 'pg_monitor', 'USAGE') AS monitor"
    )
    if own["monitor"] is not True:
        raise DatabaseError(
            f"the database {database.name}: {own['role']}, the role of database.url, may not read "
            f"the server's "
            f"statistics, settings and sessions. Run as a superuser: GRANT pg_monitor TO {own['role']}"
        )


_COUNTERS: Final = """
SELECT s.blks_hit, s.blks_read, coalesce(s.checksum_failures, 0) AS checksum_failures,
  extract(epoch FROM now() - greatest(s.stats_reset, pg_postmaster_start_time()))::float8 / 86400 AS days,
  (SELECT max(age(datfrozenxid)) FROM pg_database) AS xid_age,
  (SELECT max(mxid_age(datminmxid)) FROM pg_database) AS mxid_age,
  current_setting('max_connections')::int AS max_connections, (SELECT count(*) FROM pg_stat_activity
   WHERE datname IS NOT NULL AND backend_type = 'client backend') AS connections
FROM pg_stat_database s WHERE s.datname = current_database()
"""
_INDEXES: Final = """
SELECT format('%I.%I', n.nspname, c.relname) AS name, i.indisvalid AND i.indisready AS valid,
  i.indisunique OR EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid) AS required,
  coalesce(s.idx_scan, 0) AS scans, pg_relation_size(i.indexrelid) AS bytes,
  i.indrelid::text || ' ' || i.indkey::text || ' ' || i.indclass::text || ' ' || i.indoption::text || ' '
    || coalesce(pg_get_expr(i.indexprs, i.indrelid), '') || ' '
    || coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_user_indexes s ON s.indexrelid = i.indexrelid
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""
# An index serves a foreign key if its first columns are the key's, in any order, for all rows.
_UNINDEXED_KEYS: Final = """
SELECT format('%s: %s', k.conrelid::regclass, pg_get_constraintdef(k.oid)) AS name
FROM pg_constraint k
WHERE k.contype = 'f' AND NOT EXISTS (
  SELECT FROM pg_index i
  WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL
    AND (SELECT array_agg(column_number ORDER BY column_number)
         FROM unnest((i.indkey::int2[])[0:cardinality(k.conkey) - 1]) AS column_number)
      = (SELECT array_agg(column_number ORDER BY column_number) FROM unnest(k.conkey) AS column_number))
ORDER BY 1
"""
_TABLES: Final = """
SELECT format('%I.%I', t.schemaname, t.relname) AS name, t.n_live_tup AS live, t.n_dead_tup AS dead,
  array(SELECT o FROM unnest(c.reloptions) o WHERE o LIKE 'autovacuum_%' UNION ALL
    SELECT 'toast.' || o FROM pg_class x, unnest(x.reloptions) o WHERE x.oid = c.reltoastrelid AND o LIKE
      'autovacuum_%')
    AS options
FROM pg_stat_user_tables t JOIN pg_class c ON c.oid = t.relid
"""
_REPLICAS: Final = """
SELECT coalesce(nullif(application_name, ''), client_addr::text, pid::text) AS name, state,
  extract(epoch FROM replay_lag)::float8 AS lag_s, pg_wal_lsn_diff(sent_lsn, replay_lsn)::float8 AS lag_bytes
FROM pg_stat_replication WHERE NOT pg_is_in_recovery()
UNION ALL
SELECT 'this server', coalesce((SELECT status FROM pg_stat_wal_receiver), 'no receiver'),
  extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8, NULL
WHERE pg_is_in_recovery()
"""
_SLOTS: Final = """
SELECT slot_name AS name, active, coalesce(wal_status, 'unknown') AS wal_status FROM pg_replication_slots
"""
_SESSIONS: Final = """
SELECT pid, coalesce(usename::text, '') AS role, coalesce(application_name, '') AS program,
  coalesce(state, '') AS state, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS transaction_s,
  extract(epoch FROM clock_timestamp() - state_change)::float8 AS state_s, wait_event_type = 'Lock' AS blocked
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
"""
OVERRIDES: Final = """
SELECT r.rolname::text AS role, d.datname::text AS database, split_part(c, '=', 1) AS name,
  substr(c, strpos(c, '=') + 1) AS value
FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) c
LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
"""
"""The settings of roles and databases that override the server's, with their values."""
SETTINGS: Final = """
SELECT name, setting, reset_val, boot_val, unit, vartype, context, category, source, pending_restart
FROM pg_settings
"""
APPLICATION: Final = """
SELECT r.rolname::text AS name FROM pg_roles r
WHERE NOT r.rolsuper AND r.oid >= 16384 AND r.rolname <> current_user AND (
  r.oid = (SELECT datdba FROM pg_database WHERE datname = current_database())
  OR EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid AND c.relkind IN ('r', 'p')))
"""
"""The roles that own the database or its tables, without superusers."""
# A trigger that is off, a constraint that was never checked, a table whose rows a crash takes.
_OBJECTS: Final = """
SELECT 'trigger' AS kind, g.tgname::text AS name, g.tgrelid::regclass::text AS of,
  CASE g.tgenabled WHEN 'R' THEN 'enabled for replicas only' ELSE 'disabled' END AS fault
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE g.tgenabled IN ('D', 'R') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
UNION ALL SELECT 'rule', w.rulename, w.ev_class::regclass::text,
  CASE w.ev_enabled WHEN 'R' THEN 'enabled for replicas only' ELSE 'disabled' END
FROM pg_rewrite w WHERE w.ev_enabled IN ('D', 'R')
UNION ALL SELECT 'rule', w.rulename, w.ev_class::regclass::text,
  'replaces ' || CASE w.ev_type WHEN '2' THEN 'UPDATE' WHEN '3' THEN 'INSERT' ELSE 'DELETE' END
FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class
WHERE w.is_instead AND w.ev_type IN ('2', '3', '4') AND c.relkind IN ('r', 'p') AND w.ev_enabled IN ('O', 'A')
UNION ALL SELECT 'event trigger', evtname, 'the database', 'disabled' FROM pg_event_trigger WHERE
  evtenabled IN ('D', 'R')
UNION ALL SELECT 'constraint', k.conname, coalesce(k.conrelid::regclass::text, 'domain'), 'not validated'
FROM pg_constraint k WHERE NOT k.convalidated
UNION ALL SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, c.relname, n.nspname, 'unlogged'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relpersistence = 'u' AND c.relkind IN
  ('r', 'p', 'S')
"""
_PREPARED: Final = """
SELECT gid, owner::text AS role, extract(epoch FROM clock_timestamp() - prepared)::float8 AS age_s FROM
  pg_prepared_xacts
"""
_LIMITS: Final = """
SELECT 'role ' || r.rolname AS name, r.rolconnlimit AS most,
  (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid) AS used, r.rolname::text AS role
FROM pg_roles r WHERE r.rolcanlogin AND r.rolconnlimit >= 0
UNION ALL SELECT 'database ' || d.datname, d.datconnlimit,
  (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid), NULL
FROM pg_database d WHERE d.datname = current_database() AND d.datconnlimit >= 0
"""
# The highest value is that of the column, if its type is smaller than the sequence's.
_SEQUENCES: Final = """
SELECT format('%I.%I', n.nspname, c.relname) AS name,
  CASE WHEN has_sequence_privilege(c.oid, 'SELECT') THEN pg_sequence_last_value(c.oid) END AS last,
  least(q.seqmax, CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647
    ELSE q.seqmax END) AS most, has_sequence_privilege(c.oid, 'SELECT')
    OR NOT has_schema_privilege(n.oid, 'USAGE') AS readable,
  pg_get_userbyid(c.relowner)::text AS owner
FROM pg_sequence q JOIN pg_class c ON c.oid = q.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE q.seqincrement > 0 AND NOT q.seqcycle
"""
_ARCHIVER: Final = """
SELECT last_failed_time > coalesce(last_archived_time, '-infinity') AS failing, last_failed_wal AS failed_wal
FROM pg_stat_archiver
"""
_STATEMENTS: Final = {
    "counters": _COUNTERS,
    "indexes": _INDEXES,
    "foreign_keys": _UNINDEXED_KEYS,
    "tables": _TABLES,
    "objects": _OBJECTS,
    "replicas": _REPLICAS,
    "slots": _SLOTS,
    "sessions": _SESSIONS,
    "prepared": _PREPARED,
    "limits": _LIMITS,
    "sequences": _SEQUENCES,
    "archiver": _ARCHIVER,
    "settings": SETTINGS,
    "overrides": OVERRIDES,
    "application": APPLICATION,
}
