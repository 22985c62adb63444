"""Judge what PostgreSQL reports about itself: statements, indexes, dead rows, replicas, sessions, settings.

Rows have the columns that ``probes.database_health`` selects. Source: PostgreSQL documentation, "The
Cumulative Statistics System", "Routine Vacuuming", "Replication Slots" and "pg_settings".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, TypeVar

Row = Mapping[str, Any]

MIN_STATISTICS_DAYS: Final = 7.0
"""An index without scans in a shorter time may still be used, for example by a weekly report."""
MIN_UNUSED_BYTES: Final = 1024 * 1024
"""Smaller unused indexes are ignored."""
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
    """List the tables for which autovacuum is disabled."""
    return sorted(str(table["name"]) for table in tables if str(table["autovacuum"]).lower() not in _TRUE)


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
    return f"{session['role']} {session['program']} ({session['state']}, {seconds:.0f} s)"


def differing_settings(expected: Mapping[str, object], settings: Mapping[str, Row]) -> list[str]:
    """List the settings whose effective value differs from the expected one."""
    differing = []
    by_name = {name.lower(): row for name, row in settings.items()}  # as in TimeZone and timezone
    for name, value in expected.items():
        row = by_name.get(name.lower())
        if row is None:
            differing.append(f"{name}: unknown to this server")
        elif not is_same_setting(value, row):
            differing.append(f"{name}: {row['setting']}{row['unit'] or ''}, expected {value}")
    return sorted(differing)


def is_same_setting(expected: object, row: Row) -> bool:
    """Return whether a value ("32MB", true, 100) equals the setting of a row, whatever their units."""
    value, setting = str(expected).strip().lower(), str(row["setting"]).strip().lower()
    if row["vartype"] == "bool":
        return {value, setting} <= _TRUE or {value, setting} <= _FALSE
    if row["vartype"] in {"integer", "real"}:
        left, right = _amount(value, row["unit"]), _amount(setting, row["unit"])
        return left is not None and right is not None and math.isclose(left, right, rel_tol=1e-9)
    return value.strip("'") == setting


def _amount(text: str, unit: str | None) -> float | None:
    """Return an amount in bytes or milliseconds; a plain number is in the setting's unit ("8kB", "ms")."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        return None
    number, suffix = float(match[1]), match[2].lower()
    if suffix:
        factor = _BYTES.get(suffix) or _MILLISECONDS.get(suffix)
        return None if factor is None else number * factor
    own = _AMOUNT.fullmatch(unit or "")
    own_factor = _BYTES.get((unit or "").lower()) or _MILLISECONDS.get((unit or "").lower()) or 1.0
    if own is not None:
        own_factor = float(own[1]) * _BYTES.get(own[2].lower(), 1)
    return number * own_factor


def settings_pending_restart(settings: Mapping[str, Row]) -> list[str]:
    """List the settings that were changed in a file and take effect with the next restart."""
    return sorted(name for name, row in settings.items() if row["pending_restart"])
