"""Test that a proxy that lies fails the gates of figures, errors, limits and concurrency."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import yaml

from bais_gates.probes.http import HttpClient
from bais_gates.targets.environment import load_environment
from bais_gates.verdict.model import Outcome
from tests.gates.lying_proxy import Answer, Exchange, Lie, LyingProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.gates.conftest import Bench, Judged


GATES = ("analytics_dashboard_data", "error_handling", "database_connectivity", "cache_functionality")
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


LIES: dict[str, tuple[str, Callable[[], Lie]]] = {
    "a_figure_off_by_one": ("analytics_dashboard_data", lambda: a_figure_off_by_one),
    "a_dashboard_a_second_old": ("analytics_dashboard_data", a_dashboard_a_second_old),
    "errors_reported_as_success": ("error_handling", lambda: errors_reported_as_success),
    "a_trace_in_one_error_alone": ("error_handling", lambda: a_trace_in_one_error_alone),
    "the_same_connections_always": ("database_connectivity", lambda: the_same_connections_always),
    "one_latency_for_all": ("database_connectivity", lambda: one_latency_for_all),
    "a_good_hit_rate": ("cache_functionality", lambda: a_good_hit_rate),
    "another_callers_value": ("cache_functionality", another_callers_value),
    "payments_of_others": ("concurrent_requests", payments_of_others),
    "payments_taken_twice_now_and_then": ("concurrent_requests", lambda: payments_taken_twice_now_and_then),
    "retry_after_dropped_now_and_then": ("rate_limiting", lambda: retry_after_dropped_now_and_then),
}


@contextmanager
def between(bench: Bench, lie: Lie) -> Iterator[Callable[[str], Judged]]:
    """Put a proxy between gate and API; yield a function that runs a gate through it."""
    part = load_environment(bench.environment_file, gates_dir=bench.directory).api
    data = yaml.safe_load(bench.environment_file.read_text(encoding="utf-8"))
    with (
        HttpClient(part.url, ca_file=str(part.ca_file)) as upstream,
        LyingProxy(upstream, lie) as server,
    ):
        data["api"] = {**data["api"], "url": server.url, "ca_file": None}
        del data["api"]["ca_file"]
        path = bench.directory / "proxied.yaml"
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
        yield lambda gate: bench.run(gate, environment_file=path)


@pytest.mark.quiet
@pytest.mark.parametrize("gate", GATES)
def test_a_forwarding_proxy_changes_nothing(bench: Bench, gate: str) -> None:
    """The gate passes through a proxy that only forwards: it is the lie that fails it."""
    with between(bench, lambda e: e.forward()) as run:
        judged = run(gate)

    assert [check.name for check in judged.checks if check.ok is False] == [], judged.false
    assert judged.outcome in {Outcome.PASS, Outcome.NO_DATA}, judged.message


@pytest.mark.parametrize("name", LIES)
def test_each_lie_fails_its_gate(bench: Bench, name: str) -> None:
    """With the lie between gate and API, the gate fails."""
    gate, make = LIES[name]
    random.seed(name)
    with between(bench, make()) as run:
        judged = run(gate)

    assert judged.outcome is Outcome.FAIL, judged.message


@pytest.mark.quiet
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
