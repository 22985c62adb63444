"""Test that each way to miss the promised load fails its gate; a starved generator proves nothing."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.bais import LoadRun
from bais_gates.load.result import Result
from bais_gates.targets.parts import CapacityPart
from bais_gates.verdict.model import Outcome
from tests.gates import platform_bench
from tests.load.load_runs import result, use

if TYPE_CHECKING:
    from collections.abc import Callable

GATES = Path(__file__).parents[2] / "gates" / "load" / "test_load.py"
LIMITS = SimpleNamespace(api_p95_ms=200.0, health_p95_ms=50.0, query_mean_ms=100.0, cache_operation_ms=10.0)
Change = "Callable[[int], dict[str, Any]]"


def healthy(number: int) -> dict[str, Any]:
    """Return a request of the usual mix: every eighth for health, every fifth a payment."""
    if number % 8 == 0:
        return {"name": "/health"}
    return {"name": "/pay", "detail": f"wf pay_{number}"} if number % 5 == 0 else {}


class Database:
    """A database with the payments of a run, but for those that it lost."""

    def __init__(self, run: Result, lost: tuple[str, ...] = ()) -> None:
        self._ids = {one.detail.split(" ")[1] for one in run.requests if one.detail} - set(lost)

    def rows(self, _query: str, _parameters: dict[str, str]) -> list[dict[str, str]]:
        """Return a row for each."""
        return [{"id": one} for one in self._ids]


class Prometheus:
    """Answers each query by the first of its words that it knows."""

    def __init__(self, **values: float) -> None:
        self._values = {
            "max_connections": 0.5,
            "activity": 40.0,
            "hits": 0.97,
            "statements": 3.0,
            "commands": 0.1,
        }
        self._values |= values

    def query(self, expression: str) -> list[SimpleNamespace]:
        """Return one point, or none for what it does not know."""
        return [SimpleNamespace(value=v) for word, v in self._values.items() if word in expression][:1]


def judge(gate: str, run: Result | None = None, **over: Any) -> platform_bench.Result:
    """Run a load gate on a load run."""
    spec = importlib.util.spec_from_file_location("load_gates", GATES)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["load_gates"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = result(healthy, use=use()) if run is None else run
    paid = {one.detail.split(" ")[1] for one in run.requests if one.detail}
    facts: dict[str, Any] = {
        "hooked_workflows": ("wf",),
        "delivered": tuple(paid),
        "accepted_at_once": 102,
        "refused_at_once": 18,
        "sent_at_once": 120,
        "sent_at_once_s": 2.0,
    }
    facts |= {name: value for name, value in over.items() if name in facts}
    environment = platform_bench.environment(
        capacity=CapacityPart(),
        database=SimpleNamespace(workflow_payments_query="SELECT"),
        rate_limit=SimpleNamespace(per_token=100, window_s=60),
    )
    return platform_bench.judge_function(
        getattr(module, f"test_{gate}"),
        load_run=LoadRun(result=run, directory=Path("load"), **facts),
        limits=LIMITS,
        environment=environment,
        database=over.get("database", Database(run)),
        prometheus=over.get("prometheus", Prometheus()),
    )


@pytest.mark.parametrize("gate", ["sustained_rate", "latency", "errors", "users", "platform"])
def test_a_target_that_keeps_its_promise(gate: str) -> None:
    """Every gate passes on a run in which nothing is wrong."""
    judged = judge(gate)

    assert judged.outcome is Outcome.PASS, str(judged)


def late(seconds: float, every: int = 1) -> Callable[[int], dict[str, Any]]:
    """Return a change: every so many requests of the second window take so long."""
    return lambda number: (
        healthy(number) | ({"took": seconds} if number >= 500 and number % every == 0 else {})
    )


FAULTS: dict[str, tuple[str, Callable[[int], dict[str, Any]], str]] = {
    "a lower rate": (
        "sustained_rate",
        lambda number: healthy(number) | ({"took": 100.0, "fault": "no response"} if number % 5 == 1 else {}),
        "accepted requests (window 1)",
    ),
    "half refused": (
        "sustained_rate",
        lambda number: healthy(number) | ({"status": 429, "fault": "status 429"} if number % 2 else {}),
        "accepted requests (window 1)",
    ),
    "slow in one window": ("latency", late(0.3), "p95 latency (API, window 2)"),
    "slow for every fifteenth": ("latency", late(0.3, every=15), "p95 latency (API, window 2)"),
    "slow health": (
        "latency",
        lambda number: healthy(number) | ({"took": 0.06} if number % 8 == 0 else {}),
        "p95 latency (GET /health)",
    ),
    "0.5 % errors": (
        "errors",
        lambda number: (
            healthy(number) | ({"status": 500, "fault": "status 500"} if number % 200 == 1 else {})
        ),
        "error rate",
    ),
    "one other payment id": (
        "errors",
        lambda number: healthy(number) | ({"fault": "assertion: payment_id"} if number == 7 else {}),
        "failed assertions about responses",
    ),
    "900 users": ("users", lambda number: healthy(number) | {"user": number % 90}, "users (turn 1)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_target_that_does_not(fault: str) -> None:
    """Each fault fails its gate; where the generator was starved, a figure of time is no data instead."""
    gate, change, name = FAULTS[fault]
    judged = judge(gate, result(change, use=use()))

    assert judged.outcome is Outcome.FAIL, str(judged)
    assert name in judged.false
    starved = judge(gate, result(change, use=use(foreign=1.5)))
    exact = name == "failed assertions about responses"
    assert starved.outcome is (Outcome.FAIL if exact else Outcome.NO_DATA), str(starved)


def test_a_starved_generator_fails_no_target() -> None:
    """What is within its limit holds, however busy the machine was."""
    for gate in ("sustained_rate", "latency", "errors", "users"):
        judged = judge(gate, result(healthy, use=use(generator=0.95, foreign=1.5)))
        assert judged.outcome is Outcome.PASS, str(judged)


@pytest.mark.parametrize(
    ("gate", "over", "name"),
    [
        ("errors", {"delivered": ()}, "accepted payments without a webhook"),
        ("errors", {"refused_at_once": 0, "accepted_at_once": 120}, "refusals of that caller (429)"),
        ("errors", {"accepted_at_once": 115}, "accepted requests of a caller over its limit"),
        ("platform", {"prometheus": Prometheus(hits=0.89)}, "cache hit ratio"),
        ("platform", {"prometheus": Prometheus(statements=120.0)}, "mean query time"),
        ("platform", {"prometheus": Prometheus(commands=11.0)}, "cache operation time"),
        (
            "platform",
            {"prometheus": Prometheus(max_connections=0.81)},
            "database connections / max_connections",
        ),
        ("platform", {"prometheus": Prometheus(activity=801.0)}, "database connections"),
    ],
)
def test_what_else_fails(gate: str, over: dict[str, Any], name: str) -> None:
    """Lost webhooks, a limit that does not hold, and a platform beyond its limits are each named."""
    judged = judge(gate, **over)

    assert judged.outcome is Outcome.FAIL, str(judged)
    assert judged.false[0] == name or name in judged.false


def test_users_that_seldom_have_a_turn() -> None:
    """With a period longer than a window, users are counted over as long as each needs for a turn."""
    plan = replace(result().plan, users=900)
    rare = Result(plan=plan, began=result().began, requests=result(lambda n: {"user": n % 900}).requests)
    few = Result(plan=plan, began=result().began, requests=result(lambda n: {"user": n % 700}).requests)

    assert judge("users", rare).outcome is Outcome.PASS
    assert judge("users", few).false == ["users (turn 1)"]


def test_a_lost_payment_and_a_lost_worker() -> None:
    """A payment without a row and a worker that was lost fail; so does an exception in the script."""
    run = result(healthy, use=use())
    assert judge("errors", run, database=Database(run, lost=("pay_5",))).false == [
        "accepted payments without a row"
    ]
    lost = result(healthy, use=use(), lost_workers=("w1",), exceptions={"KeyError": 1})
    assert judge("users", lost).false == ["workers that were lost"]
    assert judge("errors", lost).false == ["exceptions in the script"]


@pytest.mark.parametrize("gate", ["sustained_rate", "latency", "errors", "users", "platform"])
def test_without_samples_nothing_is_proven(gate: str) -> None:
    """A run without a request passes no gate."""
    empty = Result(plan=result().plan, began=1.0, requests=())

    assert judge(gate, empty, prometheus=SimpleNamespace(query=lambda _text: [])).outcome in {
        Outcome.FAIL,
        Outcome.NO_DATA,
    }
