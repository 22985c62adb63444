"""Check that the platform uses the right database, reports it truthfully, and that queries are fast."""

from __future__ import annotations

import time
from contextlib import ExitStack
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

import pytest

from bais_gates import Environment, Evidence, Limits
from bais_gates.bais import Api, Business, require_field
from bais_gates.probes import Database, Summary, decimal_text, statements_since

if TYPE_CHECKING:
    from collections.abc import Callable

STATUS: Final = "/api/v1/system/status"
READINGS: Final = 7
SLACK: Final = 2
"""Connections that may open or close between the platform's count and PostgreSQL's."""
EXTRA: Final = 6
"""Connections that the gate opens to see whether the platform's count follows; more than the slack."""
AMOUNTS: Final = ("12.25", "0.50", "999.75", "1.00", "44.25")
TIMED: Final = 30


@pytest.mark.gate("acceptance.database_connectivity")
def test_database_connectivity(
    api: Api,
    new_business: Callable[[], Business],
    environment: Environment,
    limits: Limits,
    evidence: Evidence,
) -> None:
    """The platform uses its own database, reports it as PostgreSQL does, and its queries are fast."""
    part = environment.database
    if part.payment_query is None:
        raise environment.missing("database.payment_query")
    with Database(part.url) as database:
        check_readiness(api, evidence)
        before = database.statements()
        payment_ids = check_rows(new_business(), database, part.payment_query, evidence)
        latencies = check_reported_state(api, database, evidence, "no extra connections")
        with ExitStack() as extra:
            for _ in range(EXTRA):
                extra.enter_context(Database(part.url)).value("SELECT 1")
            latencies += check_reported_state(api, database, evidence, f"{EXTRA} extra connections")
        check_reported_latencies(latencies, limits, evidence)
        check_platform_queries(database, before, limits, evidence)
        check_own_queries(database, part.payment_query, payment_ids, limits, evidence)


def check_readiness(api: Api, evidence: Evidence) -> None:
    """Check that GET /ready reports the database as reachable."""
    answer = api.get("/ready", deadline_s=5.0)
    reported = str(answer.field("checks", "database"))
    evidence.check("status (GET /ready)", answer.status, "==", 200)
    evidence.check("reported database check (GET /ready)", reported, "==", "ok", source=answer.url)
    evidence.check("contract violations (GET /ready)", api.conforms(answer, "GET", "/ready"), "==", [])


def check_rows(business: Business, database: Database, query: str, evidence: Evidence) -> list[str]:
    """Check that new payments are in this database, to the cent; return their ids."""
    workflow_id, payment_ids, differing = business.workflow_id(), [], []
    for amount in AMOUNTS:
        made = business.pay(workflow_id, amount=float(amount))
        payment_ids.append(require_field(made, 201, "payment_id"))
        rows = database.rows(query, {"payment_id": payment_ids[-1], "workflow_id": workflow_id})
        own = [row for row in rows if str(row.get("id")) == payment_ids[-1]]
        stored = [(as_decimal_text(row.get("amount")), row.get("currency")) for row in own]
        if stored != [(decimal_text(Decimal(amount)), "USD")]:
            in_database = ", ".join(f"{value} {currency}" for value, currency in stored) or "no row"
            differing.append(f"{amount} USD taken, in the database {in_database}")
    evidence.check("payments with a different database row", differing, "==", [], n=len(AMOUNTS))
    return payment_ids


def as_decimal_text(value: object) -> str:
    """Return a column's value as plain decimal text, or quoted where it is no number."""
    try:
        return decimal_text(Decimal(str(value)))
    except InvalidOperation:
        return repr(value)


def check_reported_state(
    api: Api, database: Database, evidence: Evidence, load: str
) -> list[tuple[float, float]]:
    """Compare what the platform reports with PostgreSQL; return (reported, whole) latencies in ms."""
    maximum = database.max_connections()
    differing, reported_maxima, states, violations, latencies = [], set(), set(), [], []
    for _ in range(READINGS):
        early = database.all_connections()
        answer = api.get(STATUS)
        late = database.all_connections()
        reported: dict[str, Any] = answer.field("database") or {}
        connections = reported.get("connections", "nothing")
        if not is_about(connections, early, late):
            differing.append(f"reported {connections}, PostgreSQL counted {early} before and {late} after")
        reported_maxima.add(repr(reported.get("max_connections")))
        states.add(str(reported.get("status", "missing")))
        violations += api.conforms(answer, "GET", STATUS)
        if isinstance(reported.get("latency_ms"), int | float):
            latencies.append((float(reported["latency_ms"]), answer.elapsed_ms))
    n, source = READINGS, "pg_stat_activity"
    evidence.check(f"reported database status ({load})", sorted(states), "==", ["connected"], n=n)
    evidence.check(f"reported max_connections ({load})", sorted(reported_maxima), "==", [repr(maximum)], n=n)
    evidence.check(
        f"reported connections differ from PostgreSQL ({load})", differing, "==", [], n=n, source=source
    )
    evidence.check(f"open connections ({load})", late, "<", maximum, unit="connections", n=n, source=source)
    evidence.check(f"contract violations (GET system status, {load})", violations, "==", [], n=n)
    return latencies


def is_about(reported: object, early: int, late: int) -> bool:
    """Return whether a reported count lies between two counts of PostgreSQL, with slack."""
    if isinstance(reported, bool) or not isinstance(reported, int):
        return False
    return min(early, late) - SLACK <= reported <= max(early, late) + SLACK


def check_reported_latencies(
    latencies: list[tuple[float, float]], limits: Limits, evidence: Evidence
) -> None:
    """Check that the reported latencies were measured: positive, within the response's time, not constant."""
    reported = [one for one, _ in latencies]
    n, n_min = len(reported), 2 * READINGS
    implausible = [
        f"{one} ms, the whole response {whole:.2f} ms" for one, whole in latencies if not 0 < one <= whole
    ]
    evidence.check("implausible reported latencies", implausible, "==", [], n=n, n_min=n_min)
    # Rounded to whole or tenths of milliseconds, honest figures may all be the same.
    fine = any(abs(one * 10 - round(one * 10)) > 1e-9 for one in reported)
    distinct = len(set(reported)) if fine else 2
    evidence.check("distinct reported latencies", distinct, ">=", 2, n=n, n_min=n_min)
    median, limit = Summary.of(reported).p50, limits.query_mean_ms
    evidence.check("median reported latency", median, "<=", limit, unit="ms", n=n, n_min=n_min)


def check_platform_queries(database: Database, before: Any, limits: Limits, evidence: Evidence) -> None:
    """Check the platform's own queries during this gate, as PostgreSQL counted them."""
    after = database.statements()
    if before is None or after is None:
        return  # not every server has the extension; check_own_queries() measures in any case
    counted = statements_since(before, after)
    calls = sum(one.calls for one in counted)
    mean = sum(one.total_ms for one in counted) / calls if calls else None
    source = "pg_stat_statements, during this gate"
    evidence.check(
        "mean query time (platform's queries)",
        mean,
        "<=",
        limits.query_mean_ms,
        unit="ms",
        n=calls,
        n_min=2 * len(AMOUNTS),
        source=source,
    )
    repeated = [one for one in counted if one.calls >= len(AMOUNTS)]
    slowest = max(repeated, key=lambda one: one.mean_ms, default=None)
    evidence.check(
        "mean query time (platform's slowest query)",
        slowest.mean_ms if slowest else None,
        "<=",
        limits.query_mean_ms,
        unit="ms",
        n=slowest.calls if slowest else 0,
        n_min=len(AMOUNTS),
        source=f"{source}: {slowest.query[:200] if slowest else 'none'}",
    )


def check_own_queries(
    database: Database, query: str, payment_ids: list[str], limits: Limits, evidence: Evidence
) -> None:
    """Measure a query of the gate's own, the round trip included."""
    taken = []
    for turn in range(TIMED):
        began = time.perf_counter()
        database.rows(query, {"payment_id": payment_ids[turn % len(payment_ids)], "workflow_id": ""})
        taken.append((time.perf_counter() - began) * 1000.0)
    evidence.check(
        "mean query time (payment look-up)",
        sum(taken) / len(taken),
        "<=",
        limits.query_mean_ms,
        unit="ms",
        n=len(taken),
        n_min=TIMED,
        source="database.payment_query",
    )
