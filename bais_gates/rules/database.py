"""Judge what PostgreSQL reports about itself: statements, indexes, dead rows, replicas, sessions, objects.

Rows have the columns that ``probes.database_health`` selects. Source: PostgreSQL documentation, "The
Cumulative Statistics System", "Routine Vacuuming" and "Replication Slots".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC
from typing import Any, Final, Protocol, TypeVar

Row = Mapping[str, Any]

MIN_STATISTICS_DAYS: Final = 7.0
"""An index without scans in a shorter time may still be used, for example by a weekly report."""
MIN_UNUSED_BYTES: Final = 1024 * 1024
"""Smaller unused indexes are ignored."""


class Statement(Protocol):
    """The statistics of one statement in pg_stat_statements."""

    @property
    def calls(self) -> int:
        """Number of executions."""

    @property
    def mean_ms(self) -> float:
        """Mean execution time in milliseconds."""


_Statement = TypeVar("_Statement", bound=Statement)


def slowest_statement(statements: Iterable[_Statement], *, calls: int) -> _Statement | None:
    """Return the statement with the slowest mean among those with at least ``calls`` calls."""
    return max((one for one in statements if one.calls >= calls), key=lambda one: one.mean_ms, default=None)


def invalid_indexes(indexes: Iterable[Row]) -> list[str]:
    """List the invalid indexes, which a failed CREATE INDEX CONCURRENTLY leaves behind."""
    return sorted(str(index["name"]) for index in indexes if not index["valid"])


def duplicate_indexes(indexes: Iterable[Row]) -> list[str]:
    """List the indexes with the definition of another index, unless a constraint requires them."""
    first: dict[str, str] = {}
    duplicates = []
    for index in sorted(indexes, key=lambda one: (not one["required"], one["name"])):
        other = first.setdefault(str(index["definition"]), str(index["name"]))
        if other != index["name"] and not index["required"]:
            duplicates.append(f"{index['name']} duplicates {other}")
    return sorted(duplicates)


def unused_indexes(indexes: Iterable[Row], statistics_days: float) -> list[str]:
    """List the larger indexes without scans; [] if the statistics are too recent to tell."""
    if statistics_days < MIN_STATISTICS_DAYS:
        return []
    return sorted(
        f"{index['name']} ({int(index['bytes']) // 1024} KiB)"
        for index in indexes
        if not index["required"]
        and index["valid"]
        and not index["scans"]
        and index["bytes"] >= MIN_UNUSED_BYTES
    )


def bloated_tables(tables: Iterable[Row], *, share: float, rows: int) -> list[str]:
    """List the tables with more than ``rows`` dead rows that are more than ``share`` (0..1) of all rows."""
    bloated = []
    for table in tables:
        live, dead = int(table["live"]), int(table["dead"])
        if dead > rows and dead > share * (live + dead):
            bloated.append(f"{table['name']}: {dead} of {live + dead} rows are dead")
    return sorted(bloated)


def tables_without_autovacuum(tables: Iterable[Row]) -> list[str]:
    """List the tables for which options disable autovacuum, or put it off until most rows are dead.

    Source: PostgreSQL documentation, "CREATE TABLE" (storage parameters) and "Automatic Vacuuming".
    """
    return sorted(
        f"{table['name']}: {option} (ALTER TABLE {table['name']} RESET ({option.partition('=')[0]}))"
        for table in tables
        for option in table["options"]
        if _puts_off(*str(option).removeprefix("toast.").split("=", 1))
    )


def _puts_off(name: str, value: str) -> bool:
    if name == "autovacuum_enabled":
        return value.lower() in {"off", "false", "no", "0", "f", "n"}
    most = _MOST.get(name)
    return most is not None and float(value) > most


_MOST: Final = {
    "autovacuum_vacuum_scale_factor": 0.5,
    "autovacuum_analyze_scale_factor": 0.5,
    "autovacuum_vacuum_threshold": 1e6,
    "autovacuum_analyze_threshold": 1e6,
    "autovacuum_freeze_max_age": 1e9,
}


def object_findings(objects: Iterable[Row], *kinds: str) -> list[str]:
    """List the objects of ``kinds`` that do not do their work: disabled, not validated, lost by a crash.

    Source: PostgreSQL documentation, "ALTER TABLE" (DISABLE TRIGGER, NOT VALID), "CREATE TABLE" (UNLOGGED).
    """
    return sorted(
        f"{one['kind']} {one['name']} of {one['of']}: {one['fault']}"
        for one in objects
        if one["kind"] in kinds
    )


def limit_findings(
    limits: Iterable[Row], application: Collection[str], *, share: float, per_replica: int
) -> list[str]:
    """List the connection limits that are nearly reached, or lower than the pool of one replica.

    Source: PostgreSQL documentation, "ALTER ROLE" and "ALTER DATABASE" (CONNECTION LIMIT).
    """
    found = []
    for limit in limits:
        most, used = int(limit["most"]), int(limit["used"])
        platform = limit["role"] is None or limit["role"] in application
        if (used and used > share * most) or (platform and most < per_replica):
            found.append(f"{limit['name']}: CONNECTION LIMIT {most}, {used} in use")
    return sorted(found)


def used_up_sequences(sequences: Iterable[Row], *, share: float) -> list[str]:
    """List the sequences of which more than ``share`` (0..1) of the values are used.

    Source: PostgreSQL documentation, "CREATE SEQUENCE" (MAXVALUE) and "Numeric Types".
    """
    return sorted(
        f"sequence {one['name']}: at {one['last']} of {one['most']} (make it and its column bigint)"
        for one in sequences
        if one["last"] is not None and one["last"] > share * one["most"]
    )


def old_prepared_transactions(prepared: Iterable[Row], *, max_s: float) -> list[str]:
    """List the prepared transactions older than ``max_s`` seconds, which hold locks and stop vacuum.

    Source: PostgreSQL documentation, "PREPARE TRANSACTION".
    """
    return sorted(
        f"{one['gid']} of {one['role']} ({one['age_s']:.0f} s): ROLLBACK PREPARED '{one['gid']}'"
        for one in prepared
        if one["age_s"] > max_s
    )


def blocking_sessions(blockers: Iterable[Row]) -> list[str]:
    """List the sessions that block others: who, since when, on what, and how to end them.

    Source: PostgreSQL documentation, "Explicit Locking" and "pg_locks".
    """
    return [
        f"pid {one['pid']} ({one['role']}, {one['program'] or 'no application_name'}, {one['state']}) holds "
        f"{one['mode']} on {one['object'] or 'a transaction'} for {one['held_s']:.0f} s, its last "
        f"query began "
        f"{one['query_start'].astimezone(UTC):%H:%M:%S} UTC: SELECT pg_terminate_backend({one['pid']})"
        for one in blockers
    ]


def lagging_replicas(replicas: Iterable[Row], *, lag_s: float, lag_bytes: float) -> list[str]:
    """List the replicas that are not streaming, or whose replay lag is above ``lag_s`` or ``lag_bytes``.

    A row without ``lag_bytes`` is this server as a replica: its primary reports the lag.
    """
    lagging = []
    for replica in replicas:
        if replica["state"] != "streaming":
            lagging.append(f"{replica['name']}: {replica['state']}")
        elif replica["lag_bytes"] is None:
            continue
        elif replica["lag_bytes"] > lag_bytes or (replica["lag_s"] or 0) > lag_s:
            lagging.append(
                f"{replica['name']}: {replica['lag_s'] or 0:.0f} s, {replica['lag_bytes']:.0f} bytes"
            )
    return sorted(lagging)


def inactive_slots(slots: Iterable[Row]) -> list[str]:
    """List the replication slots that are inactive, and retain WAL without limit, or have lost their WAL."""
    return sorted(
        f"{slot['name']}: {'active' if slot['active'] else 'inactive'}, wal_status {slot['wal_status']}"
        for slot in slots
        if not slot["active"] or slot["wal_status"] == "lost"
    )


def long_transactions(sessions: Iterable[Row], *, max_s: float) -> list[str]:
    """List the sessions, except pg_dump, whose transaction is older than ``max_s`` seconds."""
    return [
        _session(one, one["transaction_s"])
        for one in sessions
        if (one["transaction_s"] or 0) > max_s and one["program"] != "pg_dump"
    ]


def idle_in_transaction(sessions: Iterable[Row], *, max_s: float) -> list[str]:
    """List the sessions, except backups, that are idle in a transaction for more than ``max_s`` seconds."""
    return [
        _session(one, one["state_s"])
        for one in sessions
        if str(one["state"]).startswith("idle in transaction")
        and (one["state_s"] or 0) > max_s
        and one["program"] not in {"pg_dump", "bais-backup"}
    ]


def waiting_for_locks(sessions: Iterable[Row], *, max_s: float) -> list[str]:
    """List the sessions that have waited for a lock for more than ``max_s`` seconds."""
    return [
        _session(one, one["state_s"]) for one in sessions if one["blocked"] and (one["state_s"] or 0) > max_s
    ]


def _session(session: Row, seconds: float) -> str:
    return (
        f"pid {session['pid']}, {session['role']} {session['program']} ({session['state']}, {seconds:.0f} s)"
    )
