"""Whether PostgreSQL works as it should: fast, from memory, indexed and vacuumed, nobody in its way."""

from __future__ import annotations

from typing import Final

import pytest

from bais_gates import Environment, Evidence, Limits
from bais_gates.bais import Api
from bais_gates.probes import Database, DatabaseHealth
from bais_gates.probes import database_health as health
from bais_gates.rules import database as database_rules

ASKED: Final = 20
"""How often the platform is asked for its own state first, so that it has asked its database something."""
STATEMENTS: Final = 20
BLOCKS: Final = 1000
HIT_RATIO: Final = 0.95
CONNECTIONS_USED: Final = 0.8
DEAD_SHARE: Final = 0.2
DEAD_ROWS: Final = 10_000
"""Fewer dead rows than this are below what autovacuum begins at, or soon gone."""
OLDEST: Final = 500_000_000
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
    """The database answers in time, from memory and by indexes, is vacuumed, and set up as intended."""
    settings = environment.database_settings
    for _ in range(ASKED):
        api.get("/ready", deadline_s=5.0)
    seen = health.read(database)
    speed(seen, limits, evidence)
    indexes(seen, evidence)
    upkeep(seen, evidence)
    sessions(seen, evidence)
    replication(seen, evidence)
    source = "pg_settings"
    evidence.check(
        "settings otherwise than in the environment file",
        database_rules.differing_settings(settings, seen.settings),
        "==",
        [],
        n=len(settings),
        source=source,
    )
    evidence.check(
        "settings that wait for a restart",
        database_rules.settings_pending_restart(seen.settings),
        "==",
        [],
        source=source,
    )


def speed(seen: DatabaseHealth, limits: Limits, evidence: Evidence) -> None:
    """Check the statements' mean time, all together and the slowest, and how much was found in memory."""
    source = f"pg_stat_statements, counted for {seen.statistics_days:.2f} days"
    evidence.check(
        "statements, mean",
        seen.mean_ms,
        "<=",
        limits.query_mean_ms,
        unit="ms",
        n=seen.calls,
        n_min=STATEMENTS,
        source=source,
    )
    slowest = database_rules.slowest_statement(
        seen.statements, calls=min(STATEMENTS, max(1, seen.calls // 100))
    )
    evidence.check(
        "slowest statement, mean",
        slowest.mean_ms if slowest else None,
        "<=",
        limits.query_mean_ms,
        unit="ms",
        n=slowest.calls if slowest else 0,
        source=f"{source}: {slowest.query[:200] if slowest else 'none'}",
    )
    evidence.check(
        "blocks found in memory",
        seen.hit_ratio,
        ">=",
        HIT_RATIO,
        n=seen.blocks_hit + seen.blocks_read,
        n_min=BLOCKS,
        source="pg_stat_database, blks_hit and blks_read",
    )


def indexes(seen: DatabaseHealth, evidence: Evidence) -> None:
    """Check that each index is used and usable, and that each foreign key has one."""
    n = len(seen.indexes)
    for name, found, source in (
        ("invalid indexes", database_rules.invalid_indexes(seen.indexes), "pg_index, indisvalid"),
        ("indexes that repeat another", database_rules.duplicate_indexes(seen.indexes), "pg_index"),
        (
            "indexes that nothing uses",
            database_rules.unused_indexes(seen.indexes, seen.statistics_days),
            f"pg_stat_user_indexes: of 1 MiB or more, no scan in {seen.statistics_days:.2f} days",
        ),
        ("foreign keys without an index", list(seen.unindexed_foreign_keys), "pg_constraint, pg_index"),
    ):
        evidence.check(name, found, "==", [], n=n, source=source)


def upkeep(seen: DatabaseHealth, evidence: Evidence) -> None:
    """Check that dead rows are cleared away, and that transaction numbers are far from their end."""
    n = len(seen.tables)
    off = database_rules.differing_settings({"autovacuum": "on", "track_counts": "on"}, seen.settings)
    evidence.check("what keeps autovacuum from working", off, "==", [], source="pg_settings")
    evidence.check(
        "tables without autovacuum",
        database_rules.tables_without_autovacuum(seen.tables),
        "==",
        [],
        n=n,
        source="reloptions",
    )
    evidence.check(
        "bloated tables",
        database_rules.bloated_tables(seen.tables, share=DEAD_SHARE, rows=DEAD_ROWS),
        "==",
        [],
        n=n,
        source=f"pg_stat_user_tables: more than {DEAD_ROWS} dead rows and {DEAD_SHARE:.0%} of all",
    )
    evidence.check("oldest transaction number", seen.oldest_xid, "<=", OLDEST, source="age(datfrozenxid)")
    evidence.check("oldest multixact", seen.oldest_multixact, "<=", OLDEST, source="mxid_age(datminmxid)")
    evidence.check("pages with a wrong checksum", seen.checksum_failures, "==", 0, source="pg_stat_database")


def sessions(seen: DatabaseHealth, evidence: Evidence) -> None:
    """Check that connections are left over, and that nobody holds up the others."""
    source = "pg_stat_activity"
    evidence.check(
        "connections open, of max_connections", seen.connections_used, "<=", CONNECTIONS_USED, source=source
    )
    for name, found in (
        (
            f"transactions longer than {TRANSACTION_S:g} s",
            database_rules.long_transactions(seen.sessions, max_s=TRANSACTION_S),
        ),
        (
            f"sessions idle in a transaction for {IDLE_S:g} s",
            database_rules.idle_in_transaction(seen.sessions, max_s=IDLE_S),
        ),
        (
            f"sessions that wait for a lock for {LOCK_S:g} s",
            database_rules.waiting_for_locks(seen.sessions, max_s=LOCK_S),
        ),
    ):
        evidence.check(name, found, "==", [], source=source)


def replication(seen: DatabaseHealth, evidence: Evidence) -> None:
    """Check that replicas, where there are any, follow, and that no slot holds back the log for nobody."""
    evidence.check(
        "replicas that lag",
        database_rules.lagging_replicas(seen.replicas, lag_s=LAG_S, lag_bytes=LAG_BYTES),
        "==",
        [],
        source=f"pg_stat_replication: {len(seen.replicas)} replicas; {LAG_S:g} s or {LAG_BYTES} bytes",
    )
    evidence.check(
        "replication slots that nobody reads",
        database_rules.inactive_slots(seen.slots),
        "==",
        [],
        source="pg_replication_slots",
    )
