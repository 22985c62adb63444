"""Check PostgreSQL: query time, hit ratio, indexes, vacuum, sessions, replication and settings."""

from __future__ import annotations

from typing import Final

import pytest

from bais_gates import Environment, Evidence, Limits
from bais_gates.bais import Api
from bais_gates.probes import Database, DatabaseHealth
from bais_gates.probes import database_health as health
from bais_gates.rules import database as rules

REQUESTS: Final = 20
"""Requests sent first, so that the platform has queried its database."""
MIN_STATEMENTS: Final = 20
MIN_BLOCKS: Final = 1000
MIN_HIT_RATIO: Final = 0.95
MAX_CONNECTION_USAGE: Final = 0.8
DEAD_SHARE: Final = 0.2
DEAD_ROWS: Final = 10_000
"""Fewer dead rows than this are below autovacuum's threshold, or soon removed."""
MAX_XID_AGE: Final = 500_000_000
"""Transactions; PostgreSQL refuses to write at two thousand million."""
TRANSACTION_S: Final = 300.0
IDLE_S: Final = 60.0
LOCK_S: Final = 5.0
LAG_S: Final = 10.0
LAG_BYTES: Final = 16 * 1024 * 1024


@pytest.mark.gate("checklist.database_optimized")
def test_database_optimized(
    api: Api, database: Database, environment: Environment, limits: Limits, evidence: Evidence
) -> None:
    """The database is fast, indexed, vacuumed and configured as the environment file says."""
    settings = environment.database_settings
    for _ in range(REQUESTS):
        api.get("/ready", deadline_s=5.0)
    state = health.read(database)
    check_query_time(state, limits, evidence)
    check_indexes(state, evidence)
    check_maintenance(state, evidence)
    check_sessions(state, evidence)
    check_replication(state, evidence)
    source = "pg_settings"
    differing = rules.differing_settings(settings, state.settings)
    name = "settings that differ from the environment file"
    evidence.check(name, differing, "==", [], n=len(settings), source=source)
    pending = rules.settings_pending_restart(state.settings)
    evidence.check("settings pending a restart", pending, "==", [], source=source)


def check_query_time(state: DatabaseHealth, limits: Limits, evidence: Evidence) -> None:
    """Check the mean time of all statements and of the slowest one, and the buffer cache hit ratio."""
    source = f"pg_stat_statements over {state.statistics_days:.2f} days"
    evidence.check(
        "mean query time",
        state.mean_ms,
        "<=",
        limits.query_mean_ms,
        unit="ms",
        n=state.calls,
        n_min=MIN_STATEMENTS,
        source=source,
    )
    calls = min(MIN_STATEMENTS, max(1, state.calls // 100))
    slowest = rules.slowest_statement(state.statements, calls=calls)
    evidence.check(
        "mean query time (slowest statement)",
        slowest.mean_ms if slowest else None,
        "<=",
        limits.query_mean_ms,
        unit="ms",
        n=slowest.calls if slowest else 0,
        source=f"{source}: {slowest.query[:200] if slowest else 'none'}",
    )
    evidence.check(
        "buffer cache hit ratio",
        state.hit_ratio,
        ">=",
        MIN_HIT_RATIO,
        n=state.blocks_hit + state.blocks_read,
        n_min=MIN_BLOCKS,
        source="pg_stat_database: blks_hit, blks_read",
    )


def check_indexes(state: DatabaseHealth, evidence: Evidence) -> None:
    """Check that each index is valid, used and needed, and that each foreign key has one."""
    n = len(state.indexes)
    for name, found, source in (
        ("invalid indexes", rules.invalid_indexes(state.indexes), "pg_index: indisvalid"),
        ("duplicate indexes", rules.duplicate_indexes(state.indexes), "pg_index"),
        (
            "unused indexes",
            rules.unused_indexes(state.indexes, state.statistics_days),
            f"pg_stat_user_indexes: 1 MiB or more, no scan in {state.statistics_days:.2f} days",
        ),
        ("foreign keys without an index", list(state.unindexed_foreign_keys), "pg_constraint, pg_index"),
    ):
        evidence.check(name, found, "==", [], n=n, source=source)


def check_maintenance(state: DatabaseHealth, evidence: Evidence) -> None:
    """Check autovacuum, bloat, the age of transaction IDs, and checksums."""
    n = len(state.tables)
    disabling = rules.differing_settings({"autovacuum": "on", "track_counts": "on"}, state.settings)
    evidence.check("settings that disable autovacuum", disabling, "==", [], source="pg_settings")
    excluded = rules.tables_without_autovacuum(state.tables)
    evidence.check("tables without autovacuum", excluded, "==", [], n=n, source="reloptions")
    bloated = rules.bloated_tables(state.tables, share=DEAD_SHARE, rows=DEAD_ROWS)
    source = f"pg_stat_user_tables: more than {DEAD_ROWS} dead rows and {DEAD_SHARE:.0%} of all"
    evidence.check("bloated tables", bloated, "==", [], n=n, source=source)
    evidence.check("transaction ID age", state.oldest_xid, "<=", MAX_XID_AGE, source="age(datfrozenxid)")
    evidence.check("multixact age", state.oldest_multixact, "<=", MAX_XID_AGE, source="mxid_age(datminmxid)")
    evidence.check("checksum failures", state.checksum_failures, "==", 0, source="pg_stat_database")


def check_sessions(state: DatabaseHealth, evidence: Evidence) -> None:
    """Check that connections are available, and that no session blocks others."""
    source, used = "pg_stat_activity", state.connections_used
    evidence.check("open connections / max_connections", used, "<=", MAX_CONNECTION_USAGE, source=source)
    for name, found in (
        (
            f"transactions longer than {TRANSACTION_S:g} s",
            rules.long_transactions(state.sessions, max_s=TRANSACTION_S),
        ),
        (
            f"sessions idle in transaction for over {IDLE_S:g} s",
            rules.idle_in_transaction(state.sessions, max_s=IDLE_S),
        ),
        (
            f"sessions waiting for a lock for over {LOCK_S:g} s",
            rules.waiting_for_locks(state.sessions, max_s=LOCK_S),
        ),
    ):
        evidence.check(name, found, "==", [], source=source)


def check_replication(state: DatabaseHealth, evidence: Evidence) -> None:
    """Check that replicas, if any, keep up, and that every replication slot is in use."""
    lagging = rules.lagging_replicas(state.replicas, lag_s=LAG_S, lag_bytes=LAG_BYTES)
    source = f"pg_stat_replication: {len(state.replicas)} replicas, {LAG_S:g} s or {LAG_BYTES} bytes"
    evidence.check("lagging replicas", lagging, "==", [], source=source)
    inactive = rules.inactive_slots(state.slots)
    evidence.check("inactive or lost replication slots", inactive, "==", [], source="pg_replication_slots")
