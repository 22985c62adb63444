"""Read what PostgreSQL reports about itself: statements, indexes, vacuum, replicas, sessions, settings.

The role needs ``pg_monitor``: statistics that it may not read are an error, not an empty list.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

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
    oldest_xid: int
    oldest_multixact: int
    replicas: tuple[Row, ...]
    slots: tuple[Row, ...]
    sessions: tuple[Row, ...]
    settings: Mapping[str, Row]
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


def read(database: Database) -> DatabaseHealth:
    """Read once; raise DatabaseError if the database does not answer or the role lacks ``pg_monitor``."""
    if database.value("SELECT pg_has_role(current_user, 'pg_monitor', 'USAGE')") is not True:
        raise DatabaseError(
            f"the database {database.name}: the role of database.url may not read the server's statistics. "
            "Run as a superuser: GRANT pg_monitor TO <role>"
        )
    statements = database.statements()
    if statements is None:
        raise DatabaseError(
            f"the database {database.name}: pg_stat_statements is not readable. Add it to "
            "shared_preload_libraries, restart, and run CREATE EXTENSION pg_stat_statements in this database"
        )
    (counters,) = database.rows(_COUNTERS)
    return DatabaseHealth(
        statements=tuple(statements.values()),
        blocks_hit=int(counters["blks_hit"]),  # type: ignore[call-overload] # columns are known, rows are not typed
        blocks_read=int(counters["blks_read"]),  # type: ignore[call-overload] # as above
        statistics_days=float(counters["days"]),  # type: ignore[arg-type] # as above
        connections=database.all_connections(),
        max_connections=database.max_connections(),
        indexes=tuple(database.rows(_INDEXES)),
        unindexed_foreign_keys=tuple(str(row["name"]) for row in database.rows(_UNINDEXED_KEYS)),
        tables=tuple(database.rows(_TABLES)),
        oldest_xid=int(counters["xid_age"]),  # type: ignore[call-overload] # as above
        oldest_multixact=int(counters["mxid_age"]),  # type: ignore[call-overload] # as above
        replicas=tuple(database.rows(_REPLICAS)),
        slots=tuple(database.rows(_SLOTS)),
        sessions=tuple(database.rows(_SESSIONS)),
        settings={str(row["name"]): row for row in database.rows(_SETTINGS)},
        checksum_failures=int(counters["checksum_failures"]),  # type: ignore[call-overload] # as above
    )


_COUNTERS: Final = """
SELECT s.blks_hit, s.blks_read, coalesce(s.checksum_failures, 0) AS checksum_failures,
  extract(epoch FROM now() - greatest(s.stats_reset, pg_postmaster_start_time()))::float8 / 86400 AS days,
  (SELECT max(age(datfrozenxid)) FROM pg_database) AS xid_age,
  (SELECT max(mxid_age(datminmxid)) FROM pg_database) AS mxid_age
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
  coalesce((SELECT split_part(o, '=', 2) FROM unnest(c.reloptions) o WHERE o LIKE 'autovacuum_enabled=%'),
           'true') AS autovacuum
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
_SETTINGS: Final = "SELECT name, setting, unit, vartype, pending_restart FROM pg_settings"
