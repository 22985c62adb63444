"""Test that a proxy that lies fails the gates of figures, errors, limits and concurrency."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from bais_gates.probes.http import HttpClient
from bais_gates.targets.environment import load_environment
from bais_gates.verdict.model import Outcome
from tests.gates.lying_proxy import Answer, Exchange, Lie, LyingProxy, chain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gates.conftest import Bench, Judged


SOMETIMES = 0.1


def a_figure_off_by_one(e: Exchange) -> Answer:
    """Report one payment more than there is."""
    response = e.forward()
    if "dashboard" not in e.path or response.status != 200:
        return response
    return response.changed(total_payments=response.json["total_payments"] + 1)


def a_dashboard_a_second_old() -> Lie:
    """Repeat each dashboard for a second."""
    known: dict[str, tuple[float, Answer]] = {}

    def lie(e: Exchange) -> Answer:
        key = e.token + e.path
        if "dashboard" in e.path and key in known and time.monotonic() < known[key][0] + 1:
            return known[key][1]
        response = e.forward()
        known[key] = (time.monotonic(), response)
        return response

    return lie


def errors_reported_as_success(e: Exchange) -> Answer:
    """Report an error with status 200."""
    response = e.forward()
    return response.changed(200) if response.status == 400 else response


def a_trace_in_one_error_alone(e: Exchange) -> Answer:
    """Add a stack trace to the error for one invalid amount."""
    response = e.forward()
    if response.status != 400 or b"1e400" not in e.body:
        return response
    trace = 'Traceback (most recent call last):\n  File "/srv/app/money.py", line 12, in parse'
    return response.changed(error={**response.json["error"], "details": trace})


def the_same_connections_always(e: Exchange) -> Answer:
    """Report six connections every time."""
    response = e.forward()
    if not e.path.endswith("/status"):
        return response
    return response.changed(database={**response.json["database"], "connections": 6})


def one_latency_for_all(e: Exchange) -> Answer:
    """Report the same latency every time."""
    response = e.forward()
    if not e.path.endswith("/status"):
        return response
    return response.changed(database={**response.json["database"], "latency_ms": 0.42})


def a_good_hit_rate(e: Exchange) -> Answer:
    """Report a hit ratio that Redis does not have."""
    response = e.forward()
    if not e.path.endswith("/status"):
        return response
    return response.changed(cache={**response.json["cache"], "hit_rate": 42.0})


def another_callers_value() -> Lie:
    """Answer some reads with what another caller read last."""
    last: dict[str, Answer] = {}

    def lie(e: Exchange) -> Answer:
        response = e.forward()
        if e.method != "GET" or "cache/test" not in e.path or response.status != 200:
            return response
        others = [answer for token, answer in last.items() if token != e.token]
        last[e.token] = response
        return random.choice([response, *others])

    return lie


def payments_of_others() -> Lie:
    """Answer some reads with another business's payment."""
    last: dict[str, Answer] = {}

    def lie(e: Exchange) -> Answer:
        response = e.forward()
        if e.method != "GET" or "/payments/" not in e.path or response.status != 200:
            return response
        others = [answer for token, answer in last.items() if token != e.token]
        last[e.token] = response
        return others[0] if others and random.random() < SOMETIMES else response

    return lie


def payments_taken_twice_now_and_then(e: Exchange) -> Answer:
    """Forward some payments twice."""
    if e.path.endswith("/process") and random.random() < SOMETIMES:
        e.forward()
    return e.forward()


def retry_after_dropped_now_and_then(e: Exchange) -> Answer:
    """Remove Retry-After from some refusals."""
    response = e.forward()
    return response.without("retry-after") if response.status == 429 and random.random() < 0.3 else response


RUNS: tuple[tuple[str, dict[str, Callable[[], Lie]]], ...] = (
    (
        "analytics_dashboard_data",
        {"dashboard figures (before any payment)": lambda: a_figure_off_by_one},
    ),
    (
        "analytics_dashboard_data",
        {"stale dashboard figures (right after a payment)": a_dashboard_a_second_old},
    ),
    (
        "error_handling",
        {
            "responses with an undocumented status": lambda: errors_reported_as_success,
            "responses that leak internals": lambda: a_trace_in_one_error_alone,
        },
    ),
    (
        "database_connectivity",
        {
            "reported connections differ from PostgreSQL (6 extra connections)": (
                lambda: the_same_connections_always
            ),
            "distinct reported latencies": lambda: one_latency_for_all,
        },
    ),
    (
        "cache_functionality",
        {
            "reported hit ratio differs from Redis": lambda: a_good_hit_rate,
            "values that do not read back (callers in turn)": another_callers_value,
        },
    ),
    (
        "concurrent_requests",
        {
            "incorrect responses (wave 1)": payments_of_others,
            "businesses with wrong dashboard totals": lambda: payments_taken_twice_now_and_then,
        },
    ),
    (
        "rate_limiting",
        {"Retry-After values that are not whole seconds": lambda: retry_after_dropped_now_and_then},
    ),
)
"""The gate of each run, and its lies by the check that each of them makes false, and no other of the run."""
IN_EVERY_RUN = {"database_connectivity", "cache_functionality"}
"""Gates whose lies are no nightly ones: figures that do not change, are invented or of another caller."""


@contextmanager
def between(bench: Bench, lie: Lie) -> Iterator[Callable[[str], Judged]]:
    """Put a proxy between gate and API; yield a function that runs a gate through it."""
    part = load_environment(bench.environment_file, gates_dir=bench.directory).api
    with (
        HttpClient(part.url, ca_file=str(part.ca_file)) as upstream,
        LyingProxy(upstream, lie) as server,
    ):
        file = bench.described(api={"url": server.url, "ca_file": None})
        yield lambda gate: bench.run(gate, environment_file=file)


@pytest.mark.quiet
@pytest.mark.nightly  # in every run a gate of accounts passes through a proxy that only forwards
@pytest.mark.parametrize(
    "gate", ["analytics_dashboard_data", "error_handling", "database_connectivity", "cache_functionality"]
)
def test_a_forwarding_proxy_changes_nothing(bench: Bench, gate: str) -> None:
    """The gate passes through a proxy that only forwards: it is the lie that fails it."""
    with between(bench, lambda e: e.forward()) as run:
        judged = run(gate)

    assert judged.failed == set(), judged.false
    assert judged.outcome is (Outcome.NO_DATA if judged.starved else Outcome.PASS), judged.message


@pytest.mark.parametrize(
    ("gate", "lies"),
    [
        pytest.param(
            gate,
            lies,
            id=f"{gate}-{'+'.join(lies)}",
            marks=() if gate in IN_EVERY_RUN else (pytest.mark.nightly,),
        )
        for gate, lies in RUNS
    ],
)
def test_each_lie_fails_its_check(bench: Bench, gate: str, lies: dict[str, Callable[[], Lie]]) -> None:
    """With the lies between gate and API, the gate fails by the checks about them."""
    random.seed(gate)
    with between(bench, chain([make() for make in lies.values()])) as run:
        judged = run(gate)

    assert judged.outcome is Outcome.FAIL, judged.message
    assert lies.keys() <= {check.name for check in judged.checks if check.ok is False}, judged.false


@pytest.mark.quiet
@pytest.mark.nightly  # in every run the sandbox's own slow endpoints fail the gate
def test_a_slow_tail_of_six_percent_never_passes(bench: Bench) -> None:
    """Half a second more on 6 % of the requests never passes: some p95 latency is beyond its limit."""
    random.seed(6)

    def lie(e: Exchange) -> Answer:
        if random.random() < 0.06:
            time.sleep(0.5)
        return e.forward()

    with between(bench, lie) as run:
        judged = run("performance_response_time")

    assert judged.outcome in {Outcome.FAIL, Outcome.NO_DATA}, judged.message
    assert "p95" in judged.false
