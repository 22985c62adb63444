"""Whether the platform is on the right database, tells the truth about it, and is answered in time."""

from __future__ import annotations

import time
from contextlib import ExitStack
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

import pytest

from bais_gates import Environment, Evidence, Limits
from bais_gates.bais import Api, Business, needed
from bais_gates.probes import Database, Summary, decimal_text, statements_since

if TYPE_CHECKING:
    from collections.abc import Callable

STATUS: Final = "/api/v1/system/status"
READINGS: Final = 7
SLACK: Final = 2
"""Connections that may come or go between the platform's count and PostgreSQL's."""
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
    """The platform is on its database, says of it what is true, and its queries are answered in time."""
    part = environment.database
    if part.payment_query is None:
        raise environment.missing("database.payment_query")
    with Database(part.url) as database:
        ready(api, evidence)
        before = database.statements()
        payment_ids = same_rows(new_business(), database, part.payment_query, evidence)
        latencies = truthful(api, database, evidence)
        with ExitStack() as extra:
            for _ in range(EXTRA):
                extra.enter_context(Database(part.url)).value("SELECT 1")
            latencies += truthful(api, database, evidence, f", {EXTRA} more open")
        plausible(latencies, limits, evidence)
        platform_queries(database, before, limits, evidence)
        own_queries(database, part.payment_query, payment_ids, limits, evidence)


def ready(api: Api, evidence: Evidence) -> None:
    """Check that /ready says that the database answers."""
    answer = api.get("/ready", deadline_s=5.0)
    evidence.check("status of /ready", answer.status, "==", 200)
    evidence.check(
        "/ready on the database", str(answer.field("checks", "database")), "==", "ok", source=answer.url
    )
    evidence.check("contract violations of /ready", api.conforms(answer, "GET", "/ready"), "==", [])


def same_rows(business: Business, database: Database, query: str, evidence: Evidence) -> list[str]:
    """Check that what the API just took stands in this database, to the cent: it is the platform's own."""
    workflow_id, payment_ids, differing = business.workflow_id(), [], []
    for amount in AMOUNTS:
        taken = business.pay(workflow_id, amount=float(amount))
        payment_ids.append(needed(taken, 201, "payment_id"))
        rows = database.rows(query, {"payment_id": payment_ids[-1], "workflow_id": workflow_id})
        mine = [row for row in rows if str(row.get("id")) == payment_ids[-1]]
        found = [(_plain(row.get("amount")), row.get("currency")) for row in mine]
        if found != [(decimal_text(Decimal(amount)), "USD")]:
            differing.append(f"{amount} USD taken, in the database {found or 'nothing'}")
    evidence.check("payments that the database does not hold as taken", differing, "==", [], n=len(AMOUNTS))
    return payment_ids


def _plain(value: object) -> str:
    try:
        return decimal_text(Decimal(str(value)))
    except InvalidOperation:
        return repr(value)


def truthful(api: Api, database: Database, evidence: Evidence, when: str = "") -> list[tuple[float, float]]:
    """Hold what the platform says of its database to what PostgreSQL says; give (told, whole) latencies."""
    most = database.max_connections()
    astray, limits_told, states, violations, latencies = [], set(), set(), [], []
    for _ in range(READINGS):
        early = database.all_connections()
        answer = api.get(STATUS)
        late = database.all_connections()
        told: dict[str, Any] = answer.field("database") or {}
        told_count = told.get("connections")
        if not _about(told_count, early, late):
            astray.append(f"told {told_count!r}, PostgreSQL counts {early} before and {late} after")
        limits_told.add(repr(told.get("max_connections")))
        states.add(str(told.get("status")))
        violations += api.conforms(answer, "GET", STATUS)
        if isinstance(told.get("latency_ms"), int | float):
            latencies.append((float(told["latency_ms"]), answer.elapsed_ms))
    n = READINGS
    evidence.check(f"database status told{when}", sorted(states), "==", ["connected"], n=n)
    evidence.check(f"max_connections told{when}", sorted(limits_told), "==", [repr(most)], n=n)
    evidence.check(f"connections told astray{when}", astray, "==", [], n=n, source="pg_stat_activity")
    evidence.check(
        f"connections open{when}", late, "<", most, unit="connections", n=n, source="pg_stat_activity"
    )
    evidence.check(f"contract violations of the status{when}", violations, "==", [], n=n)
    return latencies


def _about(told: object, early: int, late: int) -> bool:
    if isinstance(told, bool) or not isinstance(told, int):
        return False
    return min(early, late) - SLACK <= told <= max(early, late) + SLACK


def plausible(latencies: list[tuple[float, float]], limits: Limits, evidence: Evidence) -> None:
    """Check that the latencies told were measured: above nothing, within the answer's time, not canned."""
    told = [one for one, _ in latencies]
    n, n_min = len(told), 2 * READINGS
    impossible = [f"{one} ms of {whole:.2f} ms" for one, whole in latencies if not 0 < one <= whole]
    evidence.check("latencies told that can not have been measured", impossible, "==", [], n=n, n_min=n_min)
    # Rounded to whole or tenths of milliseconds, honest figures may all be the same.
    fine = any(abs(one * 10 - round(one * 10)) > 1e-9 for one in told)
    evidence.check("different latencies told", len(set(told)) if fine else 2, ">=", 2, n=n, n_min=n_min)
    evidence.check(
        "latency told, median", Summary.of(told).p50, "<=", limits.query_mean_ms, unit="ms", n=n, n_min=n_min
    )


def platform_queries(database: Database, before: Any, limits: Limits, evidence: Evidence) -> None:
    """Check what PostgreSQL counted of the platform's own queries during this gate."""
    after = database.statements()
    if before is None or after is None:
        return  # not every server has the extension; own_queries() measures in any case
    counted = statements_since(before, after)
    calls = sum(one.calls for one in counted)
    mean = sum(one.total_ms for one in counted) / calls if calls else None
    source = "pg_stat_statements, during this gate"
    evidence.check(
        "the platform's queries, mean",
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
        "the platform's slowest query, mean",
        slowest.mean_ms if slowest else None,
        "<=",
        limits.query_mean_ms,
        unit="ms",
        n=slowest.calls if slowest else 0,
        n_min=len(AMOUNTS),
        source=f"{source}: {slowest.query[:200] if slowest else 'none'}",
    )


def own_queries(
    database: Database, query: str, payment_ids: list[str], limits: Limits, evidence: Evidence
) -> None:
    """Time a query of the gate's own, the way there and back included."""
    taken = []
    for turn in range(TIMED):
        began = time.perf_counter()
        database.rows(query, {"payment_id": payment_ids[turn % len(payment_ids)], "workflow_id": ""})
        taken.append((time.perf_counter() - began) * 1000.0)
    evidence.check(
        "looking up a payment, mean",
        sum(taken) / len(taken),
        "<=",
        limits.query_mean_ms,
        unit="ms",
        n=len(taken),
        n_min=TIMED,
        source="database.payment_query",
    )
