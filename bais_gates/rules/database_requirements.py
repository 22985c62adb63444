"""State what PostgreSQL's settings must be: durable, maintained, audited, and closed to strangers.

A requirement is a predicate of a value and of its row of pg_settings. Each table names its source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Row = Mapping[str, Any]

TRUE: Final = {"on", "true", "yes", "1"}
FALSE: Final = {"off", "false", "no", "0"}
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


def amount(text: str, unit: str | None) -> float | None:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What a setting must be: a predicate of its value and row, and its words."""

    holds: Callable[[str, Row], bool]
    wanted: str


def one_of(*values: str, wanted: str | None = None) -> Requirement:
    """Return the requirement that a setting is one of ``values``."""
    allowed = {value.lower() for value in values}
    for value, spellings in (("on", TRUE), ("off", FALSE)):
        allowed |= spellings if value in allowed else set()
    return Requirement(
        holds=lambda value, _row: value.strip().lower() in allowed, wanted=wanted or " or ".join(values)
    )


def between(low: str, high: str, *, or_zero: bool = False) -> Requirement:
    """Return the requirement that an amount ("1s", "0.5") is within two others, or 0 for "off"."""

    def holds(value: str, row: Row) -> bool:
        own, least, most = (amount(text, row["unit"]) for text in (value, low, high))
        if own is None or least is None or most is None:
            return False
        return least <= own <= most or (or_zero and own == 0)

    return Requirement(holds=holds, wanted=f"{low} to {high}{' or 0' if or_zero else ''}")


_DAY: Final = "1d"
LOSSY: Final = {
    "fsync": one_of("on"),
    "full_page_writes": one_of("on"),
    "synchronous_commit": one_of("on", "local", "remote_write", "remote_apply"),
    "data_sync_retry": one_of("off"),
}
"""Source: PostgreSQL documentation, "Write Ahead Log" and "Error Handling"."""
DURABILITY: Final = {
    "wal_level": one_of("replica", "logical"),
    "data_checksums": one_of("on"),
    "restart_after_crash": one_of("on"),
    "exit_on_error": one_of("off"),
}
"""Source: PostgreSQL documentation, "Write Ahead Log", "Data Checksums"; CIS PostgreSQL 7.1 to 7.5."""
MAINTENANCE: Final = {
    "autovacuum": one_of("on"),
    "track_counts": one_of("on"),
    "autovacuum_naptime": between("1s", "1h"),
    "autovacuum_vacuum_scale_factor": between("0", "0.5"),
    "autovacuum_analyze_scale_factor": between("0", "0.5"),
    "autovacuum_vacuum_threshold": between("0", "1000000"),
    "autovacuum_freeze_max_age": between("100000", "1000000000"),
    "track_activities": one_of("on"),
    "compute_query_id": one_of("auto", "on", "regress", "pg_stat_statements"),
    "pg_stat_statements.track": one_of("top", "all"),
    "deadlock_timeout": between("1ms", "1min"),
    "checkpoint_timeout": between("30s", "1h"),
}
"""Source: PostgreSQL documentation, "Automatic Vacuuming", "Run-time Statistics", "Lock Management"."""
SERVICE: Final = {
    "default_transaction_read_only": one_of("off"),
    "idle_in_transaction_session_timeout": between("1s", "1h"),
    "statement_timeout": between("1s", _DAY, or_zero=True),
    "transaction_timeout": between("1s", _DAY, or_zero=True),
    "lock_timeout": between("10ms", _DAY, or_zero=True),
    "idle_session_timeout": between("10s", "30d", or_zero=True),
    "event_triggers": one_of("on"),
    "standard_conforming_strings": one_of("on"),
    "transform_null_equals": one_of("off"),
    "array_nulls": one_of("on"),
    "backslash_quote": one_of("safe_encoding", "off"),
    "work_mem": between("64kB", "512MB"),
    "temp_buffers": between("800kB", "512MB"),
    "hash_mem_multiplier": between("1", "8"),
    "maintenance_work_mem": between("1MB", "4GB"),
}
"""What the application's sessions need, each sort of each of them as well.

Source: PostgreSQL documentation, "Statement Behavior", "Version and Platform Compatibility", "Memory".
"""
GATES: Final = {
    "default_transaction_read_only": one_of("on"),
    "statement_timeout": between("1s", _DAY),
}
"""What the gates' own role has. Source: PostgreSQL documentation, "ALTER ROLE" and "Statement Behavior"."""
_LOWER_LEVELS: Final = ("notice", "info", "log", *(f"debug{n}" for n in range(1, 6)))
_DESTINATIONS: Final[frozenset[str]] = frozenset({"stderr", "csvlog", "jsonlog", "syslog", "eventlog"})
AUDIT: Final = {
    "log_connections": Requirement(holds=lambda value, _row: value.lower() not in {"", *FALSE}, wanted="on"),
    "log_disconnections": one_of("on"),
    "log_replication_commands": one_of("on"),
    "log_statement": one_of("ddl", "mod", "all"),
    "log_destination": Requirement(
        holds=lambda value, _row: {one.strip() for one in value.split(",")} & _DESTINATIONS != set(),
        wanted="stderr, csvlog, jsonlog or syslog",
    ),
    "log_min_messages": one_of("warning", *_LOWER_LEVELS, wanted="warning or a lower level"),
    "log_min_error_statement": one_of("error", "warning", *_LOWER_LEVELS, wanted="error or a lower level"),
    "log_error_verbosity": one_of("default", "verbose"),
    "log_hostname": one_of("off"),
    "debug_print_parse": one_of("off"),
    "debug_print_rewritten": one_of("off"),
    "debug_print_plan": one_of("off"),
    "session_replication_role": one_of("origin", "local"),
}
"""Source: CIS PostgreSQL 3.1, 7.2; PCI DSS 10.2.1."""
AUTHENTICATION: Final = {
    "password_encryption": one_of("scram-sha-256"),
    "scram_iterations": between("4096", "10000000"),
    "authentication_timeout": between("1s", "10min"),
    "ssl": one_of("on"),
    "ssl_min_protocol_version": one_of("TLSv1.2", "TLSv1.3"),
    "ssl_ciphers": Requirement(
        holds=lambda value, _row: not weak_ciphers(value), wanted="without weak ciphers"
    ),
    "row_security": one_of("on"),
    "lo_compat_privileges": one_of("off"),
}
"""Source: CIS PostgreSQL 6.8; PCI DSS 4.2.1; RFC 7677; PostgreSQL documentation, "Authentication"."""
_WEAK_CIPHER: Final = re.compile(
    r"\b(NULL|eNULL|aNULL|ADH|AECDH|EXP\w*|LOW|RC4|RC2|DES|IDEA|SEED|MD5|ALL|COMPLEMENTOF\w+|SECLEVEL=[01])\b",
    re.IGNORECASE,
)


def weak_ciphers(ciphers: str) -> list[str]:
    """List the entries of an OpenSSL cipher list that add weak ciphers. Source: OWASP TLS Cheat Sheet."""
    parts = [part.strip() for part in re.split(r"[:, ]", ciphers)]
    return [part for part in parts if not part.startswith(("!", "-", "+")) and _WEAK_CIPHER.search(part)]
