"""How PostgreSQL itself says it is: statements, memory, indexes, vacuum, replicas, sessions, settings.

One reading (:func:`read`) through the read-only :class:`~bais_gates.probes.postgres.Database`; everything
else is pure. What the role may not see is an error, never an empty list: it needs ``pg_monitor``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bais_gates.probes.postgres import DatabaseError, StatementStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bais_gates.probes.postgres import Database

Row = dict[str, Any]

UNUSED_AFTER_DAYS: Final = 7.0
"""Counted for a shorter time, an index without a scan says nothing: monthly reports use theirs monthly."""
UNUSED_FROM_BYTES: Final = 1024 * 1024
"""Smaller indexes cost nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseHealth:
    """One look at a database. Lists are rows as PostgreSQL gave them."""

    statements: tuple[StatementStatistics, ...]
    blocks_hit: int
    blocks_read: int
    counted_days: float
    """Days since the statistics were reset or the server started, whichever is later."""
    connections: int
    max_connections: int
    indexes: tuple[Row, ...]
    unindexed_keys: tuple[str, ...]
    tables: tuple[Row, ...]
    oldest_xid: int
    oldest_multixact: int
    in_recovery: bool
    replicas: tuple[Row, ...]
    slots: tuple[Row, ...]
    sessions: tuple[Row, ...]
    settings: Mapping[str, Row]
    checksum_failures: int

    @property
    def calls(self) -> int:
        """Calls of all statements of the platform's."""
        return sum(one.calls for one in self.statements)

    @property
    def mean_ms(self) -> float:
        """Milliseconds a call, over all statements; NaN without a call."""
        return sum(one.total_ms for one in self.statements) / self.calls if self.calls else math.nan

    @property
    def hit_ratio(self) -> float:
        """Blocks that were found in memory, of all that were wanted, 0..1; NaN without any."""
        wanted = self.blocks_hit + self.blocks_read
        return self.blocks_hit / wanted if wanted else math.nan

    @property
    def connections_used(self) -> float:
        """The share of ``max_connections`` that is open, 0..1."""
        return self.connections / self.max_connections


def read(database: Database) -> DatabaseHealth:
    """Look once. Raises DatabaseError where the database does not answer or the role may not see it all."""
    may = database.value("SELECT pg_has_role(current_user, 'pg_monitor', 'USAGE')")
    if may is not True:
        raise DatabaseError(
            f"the database {database.name}: the role of database.url may not see what the server counts. "
            "Let its owner run: GRANT pg_monitor TO <role>"
        )
    statements = database.statements()
    if statements is None:
        raise DatabaseError(
            f"the database {database.name}: there is no pg_stat_statements to read. Put it into "
            "shared_preload_libraries, restart, and run CREATE EXTENSION pg_stat_statements in this database"
        )
    (counters,) = database.rows(_COUNTERS)
    return DatabaseHealth(
        statements=tuple(statements.values()),
        blocks_hit=int(counters["blks_hit"]),  # type: ignore[call-overload] # columns are known, rows are not typed
        blocks_read=int(counters["blks_read"]),  # type: ignore[call-overload] # as above
        counted_days=float(counters["days"]),  # type: ignore[arg-type] # as above
        connections=database.all_connections(),
        max_connections=database.max_connections(),
        indexes=tuple(database.rows(_INDEXES)),
        unindexed_keys=tuple(str(row["name"]) for row in database.rows(_UNINDEXED_KEYS)),
        tables=tuple(database.rows(_TABLES)),
        oldest_xid=int(counters["xid_age"]),  # type: ignore[call-overload] # as above
        oldest_multixact=int(counters["mxid_age"]),  # type: ignore[call-overload] # as above
        in_recovery=counters["in_recovery"] is True,
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
  (SELECT max(mxid_age(datminmxid)) FROM pg_database) AS mxid_age,
  pg_is_in_recovery() AS in_recovery
FROM pg_stat_database s WHERE s.datname = current_database()
"""
_INDEXES: Final = """
SELECT format('%I.%I', n.nspname, c.relname) AS name, i.indisvalid AND i.indisready AS valid,
  i.indisunique OR EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid) AS wanted,
  coalesce(s.idx_scan, 0) AS scans, pg_relation_size(i.indexrelid) AS bytes,
  i.indrelid::text || ' ' || i.indkey::text || ' ' || i.indclass::text || ' ' || i.indoption::text || ' '
    || coalesce(pg_get_expr(i.indexprs, i.indrelid), '') || ' '
    || coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS shape
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_user_indexes s ON s.indexrelid = i.indexrelid
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""
# An index serves a key when its first columns are the key's, in any order, for every row of the table.
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


# -- judging --


def slowest(statements: Iterable[StatementStatistics], *, calls: int) -> StatementStatistics | None:
    """Give the statement with the slowest mean among those called at least ``calls`` times."""
    return max((one for one in statements if one.calls >= calls), key=lambda one: one.mean_ms, default=None)


def invalid_indexes(indexes: Iterable[Row]) -> list[str]:
    """Name the indexes that PostgreSQL does not use: a CREATE INDEX CONCURRENTLY that failed leaves them."""
    return sorted(str(one["name"]) for one in indexes if not one["valid"])


def double_indexes(indexes: Iterable[Row]) -> list[str]:
    """Name the indexes that say the same as another one of the same table, beside the one that is wanted."""
    first: dict[str, str] = {}
    found = []
    for one in sorted(indexes, key=lambda one: (not one["wanted"], one["name"])):
        other = first.setdefault(str(one["shape"]), str(one["name"]))
        if other != one["name"] and not one["wanted"]:
            found.append(f"{one['name']} as {other}")
    return sorted(found)


def unused_indexes(indexes: Iterable[Row], counted_days: float) -> list[str]:
    """Name the indexes of a size that were never scanned, once the counting has gone on for long enough."""
    if counted_days < UNUSED_AFTER_DAYS:
        return []
    return sorted(
        f"{one['name']} ({int(one['bytes']) // 1024} KiB)"
        for one in indexes
        if not one["wanted"] and one["valid"] and not one["scans"] and one["bytes"] >= UNUSED_FROM_BYTES
    )


def bloated_tables(tables: Iterable[Row], *, share: float, rows: int) -> list[str]:
    """Name the tables with more than ``rows`` dead rows that are more than ``share`` of all their rows."""
    found = []
    for one in tables:
        live, dead = int(one["live"]), int(one["dead"])
        if dead > rows and dead > share * (live + dead):
            found.append(f"{one['name']}: {dead} dead of {live + dead}")
    return sorted(found)


def unvacuumed_tables(tables: Iterable[Row]) -> list[str]:
    """Name the tables for which autovacuum is switched off."""
    return sorted(str(one["name"]) for one in tables if str(one["autovacuum"]).lower() not in _TRUE)


def lagging_replicas(replicas: Iterable[Row], *, lag_s: float, lag_bytes: float) -> list[str]:
    """Name the replicas that do not stream, or lag by more than both seconds and bytes allow.

    Without writes there is no lag to measure, and an old last transaction is none: bytes tell.
    """
    found = []
    for one in replicas:
        if one["state"] != "streaming":
            found.append(f"{one['name']}: {one['state']}")
        elif one["lag_bytes"] is None:
            continue  # this server is the replica: what it has received and not replayed shows at its primary
        elif one["lag_bytes"] > lag_bytes or (one["lag_s"] or 0) > lag_s:
            found.append(f"{one['name']}: {one['lag_s'] or 0:.0f} s, {one['lag_bytes']:.0f} bytes")
    return sorted(found)


def idle_slots(slots: Iterable[Row]) -> list[str]:
    """Name the replication slots that nobody reads, or that have lost what they held: they fill the disk."""
    return sorted(
        f"{one['name']}: {'active' if one['active'] else 'not active'}, {one['wal_status']}"
        for one in slots
        if not one["active"] or one["wal_status"] == "lost"
    )


def long_transactions(sessions: Iterable[Row], *, most_s: float) -> list[str]:
    """Name the sessions whose transaction is older than ``most_s``; that of a dump may be."""
    return [
        _session(one, one["transaction_s"])
        for one in sessions
        if (one["transaction_s"] or 0) > most_s and one["program"] != "pg_dump"
    ]


def idle_in_transaction(sessions: Iterable[Row], *, most_s: float) -> list[str]:
    """Name the sessions that keep a transaction open and have done nothing in it for more than ``most_s``."""
    return [
        _session(one, one["state_s"])
        for one in sessions
        if str(one["state"]).startswith("idle in transaction")
        and (one["state_s"] or 0) > most_s
        and one["program"] not in {"pg_dump", "bais-backup"}
    ]


def blocked(sessions: Iterable[Row], *, most_s: float) -> list[str]:
    """Name the sessions that have waited for a lock for more than ``most_s``."""
    return [
        _session(one, one["state_s"]) for one in sessions if one["blocked"] and (one["state_s"] or 0) > most_s
    ]


def _session(one: Row, seconds: float) -> str:
    return f"{one['role']} {one['program']} ({one['state']}, {seconds:.0f} s)"


_TRUE: Final = {"on", "true", "yes", "1"}
_FALSE: Final = {"off", "false", "no", "0"}
_BYTES: Final = {"b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3, "tb": 1024**4}
_MILLISECONDS: Final = {
    "us": 0.001,
    "ms": 1.0,
    "s": 1000.0,
    "min": 60_000.0,
    "h": 3_600_000.0,
    "d": 86_400_000.0,
}
_AMOUNT: Final = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")


def differing_settings(expected: Mapping[str, object], settings: Mapping[str, Row]) -> list[str]:
    """Say which settings are in effect otherwise than the environment file wants them."""
    found = []
    by_name = {name.lower(): row for name, row in settings.items()}  # TimeZone is asked for as timezone
    for name, wanted in expected.items():
        row = by_name.get(name.lower())
        if row is None:
            found.append(f"{name}: this server has no such setting")
        elif not same_setting(wanted, row):
            found.append(f"{name}: {row['setting']}{row['unit'] or ''}, {wanted} wanted")
    return sorted(found)


def same_setting(wanted: object, row: Row) -> bool:
    """Whether a value as people write it ("32MB", true, 100) is the one in effect, whatever its unit."""
    text = str(wanted).strip().lower()
    told = str(row["setting"]).strip().lower()
    if row["vartype"] == "bool":
        return (text in _TRUE and told in _TRUE) or (text in _FALSE and told in _FALSE)
    if row["vartype"] in {"integer", "real"}:
        there, here = _amount(text, row["unit"]), _amount(told, row["unit"])
        return there is not None and here is not None and math.isclose(there, here, rel_tol=1e-9)
    return text.strip("'") == told


def _amount(text: str, unit: str | None) -> float | None:
    """Give an amount in bytes or milliseconds; a number alone is in the setting's own unit ("8kB", "ms")."""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        return None
    number, suffix = float(found[1]), found[2].lower()
    if suffix:
        factor = _BYTES.get(suffix) or _MILLISECONDS.get(suffix)
        return None if factor is None else number * factor
    own = _AMOUNT.fullmatch(unit or "")
    own_factor = _BYTES.get((unit or "").lower()) or _MILLISECONDS.get((unit or "").lower()) or 1.0
    if own is not None:
        own_factor = float(own[1]) * _BYTES.get(own[2].lower(), 1)
    return number * own_factor


def waiting_for_restart(settings: Mapping[str, Row]) -> list[str]:
    """Name the settings that were changed in a file and take effect only with the next restart."""
    return sorted(name for name, row in settings.items() if row["pending_restart"])
