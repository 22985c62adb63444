"""Check the platform under the promised load: rate, latency, errors, users, and what it did meanwhile.

All five gates judge one run, in windows: the worst one counts. A figure beyond its limit while the load
generator was starved is NO_DATA; one within its limit holds, as starvation can only worsen it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from bais_gates import Environment, Evidence, Limits
from bais_gates.bais import LoadRun, paid_ids
from bais_gates.load import PAGE, Request, Result, Window, plots, summary, worst_allowed

if TYPE_CHECKING:
    from bais_gates.probes import Database, Prometheus

HEALTH: Final = "/health"
HEALTH_N_MIN: Final = 100
ERRORS_MAX: Final = 0.001
SAMPLES_MIN: Final = 0.95
BUDGET: Final = 0.001
"""Share of failed requests that 99.9 % availability allows."""
HIT_RATIO_MIN: Final = 0.9
CONNECTIONS_MAX: Final = 0.8
BASELINE: Final = Path(__file__).with_name("baseline.json")
BASELINE_N_MIN: Final = 1000
"""Requests of one name in both runs: with fewer, the p95 is not steady enough to compare."""


@pytest.mark.gate("load.sustained_rate")
def test_sustained_rate(load_run: LoadRun, environment: Environment, evidence: Evidence) -> None:
    """In every window the target accepts the promised requests per second."""
    result, plan = load_run.result, load_run.result.plan
    promised = environment.capacity.requests_per_s
    lowered = f"of {promised:g} promised, as load.rate_per_s of this sandbox's machine says"
    for number, window in enumerate(result.windows, 1):
        name = f"accepted requests (window {number})"
        check(
            evidence,
            name,
            window.accepted_per_s,
            ">=",
            plan.rate_per_s,
            window=window,
            unit="per s",
            source=lowered if plan.rate_per_s < promised else None,
        )
    due = len(result.measured.due) / (plan.asked_per_s * plan.measured_s)
    check(evidence, "requests that were due / asked", due, ">=", SAMPLES_MIN, window=result.measured)
    evidence.attach("figures", summary(result), "application/json")
    evidence.attach("Locust's page", f"load/{PAGE}", "text/uri-list")


@pytest.mark.gate("load.latency")
def test_latency(load_run: LoadRun, limits: Limits, environment: Environment, evidence: Evidence) -> None:
    """The p95 latency is within its limit in every window, from when each request was due."""
    result, limit = load_run.result, limits.api_p95_ms
    windows = {f"API, window {number}": window for number, window in enumerate(result.windows, 1)}
    for name, window in {**windows, "API": result.measured}.items():
        latency = window.latency(is_api)
        check(
            evidence, f"p95 latency ({name})", latency.p95, "<=", limit, window=window, unit="ms", n=latency.n
        )
    health = result.measured.latency_of(HEALTH)
    check(
        evidence,
        f"p95 latency (GET {HEALTH})",
        health.p95,
        "<=",
        limits.health_p95_ms,
        window=result.measured,
        unit="ms",
        n=health.n,
        n_min=HEALTH_N_MIN,
    )
    check_baseline(result, environment, evidence)
    evidence.attach_plots("load over time, and latency by percentile", plots(result, limit))


@pytest.mark.gate("load.errors")
def test_errors(load_run: LoadRun, environment: Environment, database: Database, evidence: Evidence) -> None:
    """Next to nothing fails, nothing that was accepted is lost, and limits hold under load."""
    result, measured = load_run.result, load_run.result.measured
    failed = [one for one in measured.due if one.fault or one.status == 429]
    n = len(measured.due)
    check(evidence, "error rate", len(failed) / n if n else math.nan, "<", ERRORS_MAX, window=measured, n=n)
    faults = fault_counts(result)
    evidence.check("failed assertions about responses", faults, "==", {}, n=len(result.requests), n_min=1)
    evidence.check("exceptions in the script", dict(result.exceptions), "==", {})
    check_nothing_lost(load_run, environment, database, evidence)
    check_limit(load_run, environment, evidence)
    share = len(failed) / n / BUDGET if n else math.nan
    evidence.attach("error budget", f"{share:.0%} of what 99.9 % availability allows was used", "text/plain")


@pytest.mark.gate("load.users")
def test_users(load_run: LoadRun, evidence: Evidence) -> None:
    """All users are there at once, and no worker of the generator is lost."""
    result = load_run.result
    for number, turn in enumerate(turns(result), 1):
        users = len({one.user for one in turn.due})
        check(evidence, f"users (turn {number})", users, ">=", result.plan.users, window=turn, unit="users")
    evidence.check("workers that were lost", list(result.lost_workers), "==", [])


@pytest.mark.gate("load.platform")
def test_platform(
    load_run: LoadRun, prometheus: Prometheus, environment: Environment, limits: Limits, evidence: Evidence
) -> None:
    """Meanwhile database and cache stay within their limits, as Prometheus saw them."""
    plan, began = load_run.result.plan, load_run.result.measured_from
    span = f"[{math.ceil(plan.measured_s)}s] @ {began + plan.measured_s:.3f}"
    most = f"max_over_time({{}}{span.replace(']', ':1s]')})"

    def grown(series: str) -> str:
        return f"sum(increase({series}{span}))"

    hits, misses = grown("redis_keyspace_hits_total"), grown("redis_keyspace_misses_total")
    query_s, queries = grown("pg_stat_statements_seconds_total"), grown("pg_stat_statements_calls_total")
    command_s, commands = grown("redis_commands_duration_seconds_total"), grown("redis_commands_total")
    used, cap = "sum(pg_stat_activity_count)", float(environment.capacity.max_connections_cap)
    share = f"({used} / max(pg_settings_max_connections))"
    rows = {
        "database connections": (most.format(used), "<", cap, "connections"),
        "database connections / max_connections": (most.format(share), "<", CONNECTIONS_MAX, None),
        "mean query time": (f"1000 * {query_s} / {queries}", "<", limits.query_mean_ms, "ms"),
        "cache hit ratio": (f"{hits} / ({hits} + {misses})", ">", HIT_RATIO_MIN, None),
        "cache operation time": (f"1000 * {command_s} / {commands}", "<", limits.cache_operation_ms, "ms"),
    }
    for name, (expression, op, limit, unit) in rows.items():
        points = prometheus.query(expression)
        value = points[0].value if len(points) == 1 else math.nan
        evidence.check(name, value, op, limit, unit=unit, source=expression)
    shown = {
        "CPU of the API (cores)": f"sum(rate(process_cpu_seconds_total{{job='bais-api'}}{span}))",
        "memory of the API (bytes)": most.format("sum(process_resident_memory_bytes{job='bais-api'})"),
    }
    figures = {name: [point.value for point in prometheus.query(text)] for name, text in shown.items()}
    evidence.attach("the API meanwhile", figures, "application/json")


def check(
    evidence: Evidence,
    name: str,
    value: float,
    op: str,
    limit: float,
    *,
    window: Window,
    unit: str | None = None,
    n: int | None = None,
    n_min: int = 1,
    source: str | None = None,
) -> None:
    """Record a figure; one beyond its limit is no data while the generator was starved."""
    holds = {">=": value >= limit, "<=": value <= limit, "<": value < limit}[op]
    reason = None if holds else window.starved()
    evidence.check(
        name,
        value if reason is None else math.nan,
        op,
        limit,
        unit=unit,
        n=len(window.due) if n is None else n,
        n_min=n_min,
        source=reason or source,
    )


def is_api(one: Request) -> bool:
    """Return whether a request is one of the API's endpoints; one without a response is, too."""
    return one.name != HEALTH


def turns(result: Result) -> list[Window]:
    """Return the measured time in parts in which every user has a turn: windows, or longer ones."""
    plan = result.plan
    seconds = min(max(plan.window_s, 1.01 * plan.period_s), plan.measured_s)
    starts = [result.measured_from + number * seconds for number in range(int(plan.measured_s / seconds))]
    return [result.window(start, seconds) for start in starts]


def check_baseline(result: Result, environment: Environment, evidence: Evidence) -> None:
    """Check that no endpoint is slower than in the run that was accepted for this environment, if any."""
    try:
        baseline = json.loads(BASELINE.read_text(encoding="utf-8")).get(environment.name, {})
    except FileNotFoundError:
        return
    for name, accepted in baseline.items():
        latency = result.measured.latency_of(name)
        if min(latency.n, accepted["n"]) < BASELINE_N_MIN:
            continue
        check(
            evidence,
            f"p95 latency beside the baseline ({name})",
            latency.p95,
            "<=",
            worst_allowed(accepted["p95"]),
            window=result.measured,
            unit="ms",
            n=latency.n,
        )


def fault_counts(result: Result) -> dict[str, int]:
    """Return the failed assertions of the script, with their number; other faults are the error rate's."""
    faults = [one.fault for one in result.requests if one.fault.startswith("assertion")]
    return {fault: faults.count(fault) for fault in sorted(set(faults))}


def check_nothing_lost(
    load_run: LoadRun, environment: Environment, database: Database, evidence: Evidence
) -> None:
    """Check that each payment that was accepted is in the database, and its webhook arrived."""
    query = environment.database.workflow_payments_query
    if query is None:
        raise environment.missing("database.workflow_payments_query")
    paid = paid_ids(load_run.result)
    workflows = {one.detail.split(" ", 1)[0] for one in load_run.result.requests if one.detail}
    rows = {str(row["id"]) for one in workflows for row in database.rows(query, {"workflow_id": one})}
    evidence.check("accepted payments without a row", sorted(paid - rows), "==", [], n=len(paid), n_min=1)
    hooked = paid_ids(load_run.result, set(load_run.hooked_workflows))
    missing = sorted(hooked - set(load_run.delivered))
    evidence.check("accepted payments without a webhook", missing, "==", [], n=len(hooked), n_min=1)


def check_limit(load_run: LoadRun, environment: Environment, evidence: Evidence) -> None:
    """Check that a caller over its limit was refused while the target was under load."""
    rate = environment.rate_limit
    allowed = rate.per_token * (1 + load_run.sent_at_once_s / rate.window_s) + 1
    evidence.check(
        "accepted requests of a caller over its limit",
        load_run.accepted_at_once,
        "<=",
        math.ceil(allowed),
        n=load_run.sent_at_once,
        n_min=rate.per_token + 1,
    )
    evidence.check(
        "refusals of that caller (429)", load_run.refused_at_once, ">=", 1, n=load_run.sent_at_once
    )
