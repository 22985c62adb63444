"""Test that each fault of the database fails its gate."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bais_gates.probes.database_health import DatabaseHealth
from bais_gates.probes.postgres import (
    DatabaseBlocked,
    DatabaseError,
    DatabaseFull,
    StatementStatistics,
    StatementsUnavailable,
)
from bais_gates.targets.parts import DatabasePart
from bais_gates.verdict.model import Outcome
from tests.gates.platform_bench import LIMITS, SILENT, Result, environment, judge, load


def setting(value: str, vartype: str = "bool", unit: str | None = None) -> dict[str, Any]:
    """Make a row of pg_settings."""
    row = {"setting": value, "reset_val": value, "boot_val": value, "unit": unit, "vartype": vartype}
    return {**row, "context": "user", "category": "", "source": "default", "pending_restart": False}


def index(name: str, **over: Any) -> dict[str, Any]:
    """Make a row of an index."""
    return {
        "name": name,
        "valid": True,
        "required": False,
        "scans": 5,
        "bytes": 2**21,
        "definition": name,
        **over,
    }


def session(**over: Any) -> dict[str, Any]:
    """Make a row of a session that is in a transaction."""
    row = {"pid": 1, "role": "app", "program": "api", "state": "active", "blocked": False}
    return {**row, "transaction_s": 0.1, "state_s": 0.1, **over}


def statement(mean_ms: float, calls: int = 1000) -> StatementStatistics:
    """Make the statistics of a statement."""
    return StatementStatistics(
        query_id=calls, user_id=1, query="SELECT 1", calls=calls, total_ms=mean_ms * calls
    )


HEALTHY = DatabaseHealth(
    statements=(statement(2.0),),
    blocks_hit=9_990,
    blocks_read=10,
    statistics_days=30.0,
    connections=20,
    max_connections=100,
    indexes=(index("payments_pkey", required=True, scans=0), index("payments_by_business")),
    unindexed_foreign_keys=(),
    tables=({"name": "payments", "live": 50_000, "dead": 100, "options": []},),
    oldest_xid=1_000_000,
    oldest_multixact=0,
    replicas=({"name": "r1", "state": "streaming", "lag_s": 0.1, "lag_bytes": 512.0},),
    slots=({"name": "s1", "active": True, "wal_status": "reserved"},),
    sessions=(session(),),
    objects=(),
    prepared=(),
    sequences=(),
    limits=({"name": "role reader", "role": "reader", "most": 5, "used": 1},),
    archiver={"failing": None, "failed_wal": None},
    overrides=(),
    application=frozenset({"app"}),
    files=(),
    settings={
        "archive_mode": setting("off", "enum"),
        "fsync": setting("on"),
        "synchronous_commit": setting("on", "enum"),
        "autovacuum": setting("on"),
        "track_counts": setting("on"),
        "max_connections": setting("100", "integer"),
        "shared_buffers": setting("4096", "integer", "8kB"),
    },
    checksum_failures=0,
)
WANTED = {"max_connections": "100", "shared_buffers": "32MB"}


def run_gate(
    monkeypatch: pytest.MonkeyPatch,
    state: DatabaseHealth | Exception,
    *blockers: dict[str, Any],
    **wanted: str,
) -> Result:
    """Run the gate on a database with this state, or one that cannot be read."""

    def read(_database: object) -> DatabaseHealth:
        if isinstance(state, Exception):
            raise state
        return state

    gate = load("database_optimized")
    monkeypatch.setattr(gate.health, "read", read)
    monkeypatch.setattr(gate.database_maintenance, "read_blockers", lambda _url, _min_s: blockers)
    return judge(
        "database_optimized",
        api=SILENT,
        database=None,
        environment=environment(database_settings=WANTED | wanted, database=DatabasePart(url="")),
        limits=LIMITS,
    )


def test_a_healthy_database_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check holds."""
    result = run_gate(monkeypatch, HEALTHY)

    assert result.outcome is Outcome.PASS, str(result)
    assert len(result.checks) >= 20


def _settings(**over: dict[str, Any]) -> DatabaseHealth:
    return replace(HEALTHY, settings={**HEALTHY.settings, **over})


@pytest.mark.parametrize(
    ("state", "names"),
    [
        pytest.param(
            replace(HEALTHY, statements=(statement(150.0),)),
            ["mean query time", "mean query time (slowest statement)"],
            id="slow",
        ),
        pytest.param(
            replace(HEALTHY, statements=(statement(1.0, 9999), statement(400.0, 120))),
            ["mean query time (slowest statement)"],
            id="one slow",
        ),
        pytest.param(replace(HEALTHY, blocks_read=2_000), ["buffer cache hit ratio"], id="from disk"),
        pytest.param(
            replace(HEALTHY, indexes=(index("i", valid=False),)), ["invalid indexes"], id="invalid index"
        ),
        pytest.param(
            replace(HEALTHY, indexes=(index("i", definition="x"), index("j", definition="x"))),
            ["duplicate indexes"],
            id="duplicate index",
        ),
        pytest.param(replace(HEALTHY, indexes=(index("i", scans=0),)), ["unused indexes"], id="unused index"),
        pytest.param(
            replace(HEALTHY, unindexed_foreign_keys=("users: FOREIGN KEY (b) REFERENCES b(id)",)),
            ["foreign keys without an index"],
            id="foreign key",
        ),
        pytest.param(
            _settings(autovacuum=setting("off")),
            ["settings that disable maintenance and statistics"],
            id="autovacuum",
        ),
        pytest.param(
            replace(HEALTHY, tables=({**HEALTHY.tables[0], "options": ["autovacuum_enabled=off"]},)),
            ["tables without autovacuum"],
            id="table",
        ),
        pytest.param(
            replace(HEALTHY, tables=({**HEALTHY.tables[0], "dead": 20_000},)), ["bloated tables"], id="bloat"
        ),
        pytest.param(replace(HEALTHY, oldest_xid=10**9), ["transaction ID age"], id="wraparound"),
        pytest.param(replace(HEALTHY, oldest_multixact=10**9), ["multixact age"], id="multixact"),
        pytest.param(replace(HEALTHY, checksum_failures=1), ["checksum failures"], id="checksum"),
        pytest.param(
            replace(HEALTHY, connections=81), ["open connections / max_connections"], id="connections"
        ),
        pytest.param(
            replace(HEALTHY, sessions=(session(transaction_s=301.0),)),
            ["transactions longer than 300 s"],
            id="long",
        ),
        pytest.param(
            replace(HEALTHY, sessions=(session(state="idle in transaction", state_s=61.0),)),
            ["sessions idle in transaction for over 60 s"],
            id="idle in transaction",
        ),
        pytest.param(
            replace(HEALTHY, sessions=(session(blocked=True, state_s=6.0),)),
            ["sessions waiting for a lock for over 5 s"],
            id="blocked",
        ),
        pytest.param(
            replace(HEALTHY, replicas=({**HEALTHY.replicas[0], "lag_s": 60.0, "lag_bytes": 10.0**9},)),
            ["lagging replicas"],
            id="lag",
        ),
        pytest.param(
            replace(HEALTHY, slots=({"name": "s", "active": False, "wal_status": "extended"},)),
            ["inactive or lost replication slots"],
            id="slot",
        ),
        pytest.param(
            _settings(shared_buffers=setting("16384", "integer", "8kB")),
            ["settings that differ from the environment file"],
            id="setting",
        ),
        pytest.param(
            _settings(shared_buffers=setting("4096", "integer", "8kB") | {"pending_restart": True}),
            ["settings pending a restart"],
            id="restart",
        ),
        pytest.param(_settings(fsync=setting("off")), ["settings that endanger data"], id="fsync"),
        pytest.param(
            replace(
                HEALTHY,
                overrides=({"role": "app", "database": None, "name": "synchronous_commit", "value": "off"},),
            ),
            ["settings of roles and databases"],
            id="override",
        ),
        pytest.param(
            replace(
                HEALTHY,
                files=({"name": "fsync", "setting": "off", "file": "f:1", "applied": True, "error": None},),
            ),
            ["settings not in effect yet"],
            id="file",
        ),
        pytest.param(
            replace(
                HEALTHY,
                objects=({"kind": "trigger", "name": "t", "of": "payments", "fault": "disabled"},),
            ),
            ["disabled triggers, and rules that replace statements"],
            id="trigger",
        ),
        pytest.param(
            replace(HEALTHY, limits=({"name": "role app", "role": "app", "most": 0, "used": 0},)),
            ["connection limits reached"],
            id="limit",
        ),
        pytest.param(
            replace(HEALTHY, prepared=({"gid": "g", "role": "app", "age_s": 400.0},)),
            ["prepared transactions older than 0 s"],
            id="prepared",
        ),
    ],
)
def test_each_fault_fails_its_check(
    state: DatabaseHealth, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAIL, by the fault's own check and no other."""
    result = run_gate(monkeypatch, state)

    assert result.outcome is Outcome.FAIL, str(result)
    assert result.false == names


@pytest.mark.parametrize(
    "state",
    [replace(HEALTHY, statements=(statement(1.0, 5),)), replace(HEALTHY, blocks_hit=10, blocks_read=0)],
    ids=["statements", "blocks"],
)
def test_too_few_samples_are_no_data(state: DatabaseHealth, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_DATA, however good they are."""
    assert run_gate(monkeypatch, state).outcome is Outcome.NO_DATA


BLOCKER = {
    "pid": 7,
    "role": "admin",
    "program": "psql",
    "state": "idle in transaction",
    "mode": "AccessExclusiveLock",
    "object": "public.payments",
    "held_s": 9.0,
    "query_start": datetime(2026, 1, 1, 9, 30, tzinfo=UTC),
}


@pytest.mark.parametrize("state", [HEALTHY, DatabaseBlocked("waited")], ids=["read", "not read"])
def test_a_blocking_session_fails(state: DatabaseHealth | Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAIL that names the session and its remedy, also if the gate waits for it too."""
    result = run_gate(monkeypatch, state, BLOCKER)

    assert result.outcome is Outcome.FAIL, str(result)
    assert "pg_terminate_backend(7)" in str(result.checks[0].observed)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (StatementsUnavailable("no extension", installed=False), Outcome.FAIL),
        (StatementsUnavailable("GRANT SELECT", installed=True), Outcome.ERROR),
        (DatabaseFull("too many connections"), Outcome.FAIL),
        (DatabaseBlocked("by nobody"), Outcome.ERROR),
    ],
)
def test_a_fault_of_the_server_fails_and_a_missing_right_is_an_error(
    error: Exception, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAIL without the extension or a free connection; ERROR where the gate can't tell."""
    assert run_gate(monkeypatch, error).outcome is outcome


def test_a_database_that_cannot_be_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """ERROR, with the probe's message."""
    result = run_gate(monkeypatch, DatabaseError("the role may not see what the server counts"))

    assert result.outcome is Outcome.ERROR
    assert "may not see" in str(result.error)
