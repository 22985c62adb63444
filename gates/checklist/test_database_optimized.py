"""Check PostgreSQL: query time, hit ratio, indexes, vacuum, sessions, replication and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from bais_gates import Environment, Evidence, Limits
from bais_gates.bais import Api
from bais_gates.probes import (
    Database,
    DatabaseBlocked,
    DatabaseFull,
    DatabaseHealth,
    StatementsUnavailable,
    database_maintenance,
)
from bais_gates.probes import database_health as health
from bais_gates.rules import database as rules
from bais_gates.rules import database_requirements as required
from bais_gates.rules import database_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

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
USED_SHARE: Final = 0.8
TRANSACTION_S: Final = 300.0
IDLE_S: Final = 60.0
LOCK_S: Final = 5.0
LAG_S: Final = 10.0
LAG_BYTES: Final = 16 * 1024 * 1024


@pytest.mark.gate("checklist.database_optimized")
def test_database_optimized(
    api: Api, database: Database, environment: Environment, limits: Limits, evidence: Evidence
) -> None:
    """The database is fast, indexed, vacuumed, durable and configured as the environment file says."""
    free = True
    for _ in range(REQUESTS):
        api.get("/ready", deadline_s=5.0)
    try:
        free = check_locks(environment.database.url, evidence)
        state = health.read(database)
    except DatabaseFull as e:
        evidence.check("connections that are refused", str(e), "==", "none", source="an attempt to connect")
        return
    except DatabaseBlocked:
        if free:
            raise
        return  # a session that blocks the gate too is the fault
    except StatementsUnavailable as e:
        if e.installed:
            raise
        evidence.check("pg_stat_statements", str(e), "==", "installed", source="pg_extension")
        return
    check_query_time(state, limits, evidence)
    check_indexes(state, evidence)
    check_objects(state, environment, evidence)
    check_maintenance(state, evidence)
    check_sessions(state, environment.database_settings, evidence)
    check_limits(state, environment, evidence)
    check_replication(state, evidence)
    check_settings(state, environment.database_settings, evidence)


def check_locks(url: str, evidence: Evidence) -> bool:
    """Check that no session blocks others, and return whether none does."""
    blocking = rules.blocking_sessions(database_maintenance.read_blockers(url, LOCK_S))
    name = f"sessions that block others for over {LOCK_S:g} s"
    return evidence.check(name, blocking, "==", [], source="pg_locks, pg_stat_activity")


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


def check_objects(state: DatabaseHealth, environment: Environment, evidence: Evidence) -> None:
    """Check that triggers are enabled, no rule replaces statements, constraints hold, tables are logged."""
    guarded = environment.security.append_only if environment.describes("security") else ()
    guards = {
        (name.removeprefix("public."), f"replaces {e}") for name in guarded for e in ("UPDATE", "DELETE")
    }
    objects = [one for one in state.objects if (one["of"], one["fault"]) not in guards]
    for name, kinds in (
        ("disabled triggers, and rules that replace statements", ("trigger", "rule", "event trigger")),
        ("constraints that are not validated", ("constraint",)),
        ("unlogged tables and sequences", ("table", "sequence")),
    ):
        found = rules.object_findings(objects, *kinds)
        evidence.check(
            name, found, "==", [], n=len(state.tables), source="pg_trigger, pg_constraint, pg_class"
        )


def check_maintenance(state: DatabaseHealth, evidence: Evidence) -> None:
    """Check autovacuum, bloat, the age of transaction IDs, and checksums."""
    n = len(state.tables)
    excluded = rules.tables_without_autovacuum(state.tables)
    evidence.check("tables without autovacuum", excluded, "==", [], n=n, source="reloptions")
    bloated = rules.bloated_tables(state.tables, share=DEAD_SHARE, rows=DEAD_ROWS)
    source = f"pg_stat_user_tables: more than {DEAD_ROWS} dead rows and {DEAD_SHARE:.0%} of all"
    evidence.check("bloated tables", bloated, "==", [], n=n, source=source)
    evidence.check("transaction ID age", state.oldest_xid, "<=", MAX_XID_AGE, source="age(datfrozenxid)")
    evidence.check("multixact age", state.oldest_multixact, "<=", MAX_XID_AGE, source="mxid_age(datminmxid)")
    used = rules.used_up_sequences(state.sequences, share=USED_SHARE)
    name = f"sequences used by more than {USED_SHARE:.0%}"
    evidence.check(name, used, "==", [], source="CREATE SEQUENCE; pg_sequence_last_value")
    evidence.check("checksum failures", state.checksum_failures, "==", 0, source="pg_stat_database")


def check_sessions(state: DatabaseHealth, stated: Mapping[str, str], evidence: Evidence) -> None:
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
    managed = "max_prepared_transactions" in stated  # without a transaction manager, nobody ends one
    max_s = TRANSACTION_S if managed else 0.0
    prepared = rules.old_prepared_transactions(state.prepared, max_s=max_s)
    name = f"prepared transactions older than {max_s:g} s"
    evidence.check(name, prepared, "==", [], source="PREPARE TRANSACTION; pg_prepared_xacts")


def check_limits(state: DatabaseHealth, environment: Environment, evidence: Evidence) -> None:
    """Check that the connection limits of roles and of the database leave room."""
    pool = environment.capacity.connections_per_replica if environment.describes("capacity") else None
    found = rules.limit_findings(
        state.limits, state.application, share=MAX_CONNECTION_USAGE, per_replica=pool or 1
    )
    evidence.check("connection limits reached", found, "==", [], source="pg_roles, pg_database")


def check_replication(state: DatabaseHealth, evidence: Evidence) -> None:
    """Check that replicas, if any, keep up, and that every replication slot is in use."""
    lagging = rules.lagging_replicas(state.replicas, lag_s=LAG_S, lag_bytes=LAG_BYTES)
    source = f"pg_stat_replication: {len(state.replicas)} replicas, {LAG_S:g} s or {LAG_BYTES} bytes"
    evidence.check("lagging replicas", lagging, "==", [], source=source)
    inactive = rules.inactive_slots(state.slots)
    evidence.check("inactive or lost replication slots", inactive, "==", [], source="pg_replication_slots")


def check_settings(state: DatabaseHealth, stated: Mapping[str, str], evidence: Evidence) -> None:
    """Check durability and maintenance, and that the stated settings are in effect for every role."""
    known = database_settings.server_settings(state.settings, state.files)
    durability, maintenance = required.LOSSY | required.DURABILITY, required.MAINTENANCE
    differing = database_settings.differing_settings(stated, state.settings)
    name = "settings that differ from the environment file"
    evidence.check(name, differing, "==", [], n=len(stated), source="pg_settings")
    overrides = database_settings.override_findings(
        state.overrides,
        state.settings,
        durability | maintenance | required.SERVICE,
        stated,
        application=state.application,
        developer=True,
    )
    archive = database_settings.archive_findings(state.settings, state.archiver)
    archive += database_settings.standby_findings(state.settings, state.replicas)
    for name, found, source in (
        (
            "settings that endanger data",
            database_settings.setting_findings(known, durability, stated) + archive,
            "PostgreSQL documentation, Write Ahead Log; pg_settings",
        ),
        (
            "settings that disable maintenance and statistics",
            database_settings.setting_findings(known, maintenance, stated),
            "PostgreSQL documentation, Automatic Vacuuming; pg_settings",
        ),
        (
            "settings that hinder the application",
            database_settings.setting_findings(known, required.SERVICE, stated),
            "PostgreSQL documentation, Client Connection Defaults; pg_settings, pg_file_settings",
        ),
        (
            "developer options and disabled plans",
            database_settings.developer_findings(known),
            "PostgreSQL documentation, Developer Options; pg_settings",
        ),
        ("settings of roles and databases", overrides, "pg_db_role_setting"),
        (
            "settings not in effect yet",
            database_settings.file_findings(state.files or (), state.settings),
            "pg_file_settings",
        ),
        (
            "settings pending a restart",
            database_settings.settings_pending_restart(state.settings),
            "pg_settings",
        ),
    ):
        evidence.check(name, found, "==", [], source=source)
