"""Test that each shortage fails the gate of capacity planning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.bais import LoadRun
from bais_gates.targets.parts import CapacityPart
from bais_gates.verdict.model import Outcome
from tests.gates.platform_bench import FakeCluster, Result, environment, judge, load, platform_parts
from tests.load.load_runs import PLAN, result
from tests.rules.kubernetes import platform_objects as objects

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Objects = dict[str, dict[str, Any]]


class Database:
    """A database with given figures."""

    def __init__(self, **over: int) -> None:
        self.figures = {"most": 100, "open": 30, "size": 100 * 2**20, "kept": 3, "of_role": -1, **over}

    def value(self, _sql: str) -> int:
        """Return the bytes of all databases."""
        return self.figures["size"]

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return a client, or the connections that the server keeps and the limits of database and role."""
        if "usename::text" in sql:
            return [{"open": self.figures["open"], "role": "bais_app", "program": "report"}]
        limits = {
            "datname": "bais",
            "of_database": -1,
            "rolname": "bais_app",
            "rolconnlimit": self.figures["of_role"],
        }
        return [{"reserved": self.figures["kept"]} | limits]

    def max_connections(self) -> int:
        """Return max_connections."""
        return self.figures["most"]


def run_gate(
    monkeypatch: pytest.MonkeyPatch,
    tmp: Path,
    inject: Callable[[Objects], Any] = lambda _all: None,
    *,
    maxmemory: int = 512 * 2**20,
    database: Database | None = None,
    load_run: LoadRun | None = None,
    replicas: Sequence[float] = (),
    **parts: Any,
) -> Result:
    """Run the gate on a platform, with or without a fault; Prometheus saw ``replicas`` in the load run."""
    prometheus = SimpleNamespace(query=lambda _text: [SimpleNamespace(value=one) for one in replicas])
    everything = objects.platform()
    inject(everything)
    module = load("capacity_planning")
    monkeypatch.setattr(module.cache_health, "read", lambda _cache: SimpleNamespace(maxmemory=maxmemory))
    return judge(
        "capacity_planning",
        cluster=FakeCluster(everything),
        database=database or Database(),
        cache=None,
        done_load_run=load_run,
        request=SimpleNamespace(getfixturevalue={"prometheus": prometheus}.__getitem__),
        environment=environment(**(platform_parts(tmp) | parts)),
    )


def test_a_healthy_platform_has_capacity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every check holds."""
    result = run_gate(monkeypatch, tmp_path)

    assert result.outcome is Outcome.PASS, str(result)
    assert len(result.checks) >= 15


def _requests(everything: Objects, cpu: str) -> None:
    for name in ("pod1", "pod2", "pod3"):
        everything[name]["spec"]["containers"][0]["resources"] = objects.resources(cpu, "1Gi")


def _cordon_with_large_pods(everything: Objects) -> None:
    _requests(everything, "2500m")
    everything["n1"]["spec"]["unschedulable"] = True


@pytest.mark.parametrize(
    ("inject", "name"),
    [
        pytest.param(
            lambda o: o.pop("autoscaler"), "Deployment bais-api and its autoscaler", id="no autoscaler"
        ),
        pytest.param(
            lambda o: o["pod1"]["spec"]["containers"][0].pop("resources"),
            "containers without requests or limits",
            id="no limits",
        ),
        pytest.param(
            lambda o: o["pod1"]["status"].update(conditions=[objects.condition("PodScheduled", "False")]),
            "unschedulable pods",
            id="pending",
        ),
        pytest.param(
            lambda o: o["n2"]["status"]["conditions"][2].update(status="True"),
            "unhealthy nodes",
            id="disk pressure",
        ),
        pytest.param(lambda o: _requests(o, "3500m"), "CPU requested", id="CPU full"),
        pytest.param(
            lambda o: _requests(o, "2500m"), "capacity after the loss of a node", id="no node to spare"
        ),
        pytest.param(
            lambda o: o["autoscaler"]["spec"].update(maxReplicas=2),
            "maximum replicas (autoscaler bais-api)",
            id="autoscaler too low",
        ),
        pytest.param(
            lambda o: o["autoscaler"]["status"].update(currentReplicas=5),
            "current replicas (autoscaler bais-api)",
            id="at its most",
        ),
        pytest.param(
            lambda o: o["deployment"]["spec"]["template"]["spec"]["containers"][0].update(
                resources=objects.resources("3900m", "1Gi")
            ),
            "additional replicas that fit on no node",
            id="no place",
        ),
        pytest.param(
            lambda o: o["autoscaler"]["spec"].update(maxReplicas=9),
            "peak connections at maxReplicas (autoscaler bais-api; 80% of max_connections)",
            id="connections",
        ),
        pytest.param(
            lambda o: o["configuration"]["data"].update(DATABASE_POOL="20"),
            "connection pool size of a replica (DATABASE_POOL of ConfigMap bais-api)",
            id="pool",
        ),
        pytest.param(
            lambda o: o["configuration"].update(data={}),
            "connection pool size of a replica (DATABASE_POOL of Deployment bais-api)",
            id="no pool",
        ),
        pytest.param(
            _cordon_with_large_pods, "displaced and pending pods that fit on no node", id="cordoned"
        ),
        pytest.param(
            lambda o: o["autoscaler"]["spec"]["metrics"][0]["resource"]["target"].update(
                averageUtilization=100
            ),
            "reasons why autoscaler bais-api cannot scale",
            id="target of 100 %",
        ),
        pytest.param(
            lambda o: o.update(other=o["autoscaler"] | {"metadata": {"name": "other", "namespace": "bais"}}),
            "missing or several autoscalers",
            id="two autoscalers",
        ),
        pytest.param(
            lambda o: o.update(
                range=objects.named(
                    "LimitRange", "r", "v1", spec={"limits": [{"type": "Container", "max": {"cpu": "1m"}}]}
                )
            ),
            "limit ranges that refuse the API's pods",
            id="limit range",
        ),
        pytest.param(
            lambda o: o["class"].update(allowVolumeExpansion=False),
            "volumes that cannot be expanded",
            id="volumes of one size",
        ),
        pytest.param(
            lambda o: o["data"]["status"]["capacity"].update(storage="110Mi"),
            "volume usage (data-bais-postgres-0)",
            id="disk full",
        ),
        pytest.param(
            lambda o: o["cache"]["spec"]["containers"][0].update(resources=objects.resources("1", "600Mi")),
            "maxmemory / container memory limit",
            id="cache above its container",
        ),
        pytest.param(
            lambda o: o.update(
                quota=objects.named(
                    "ResourceQuota", "q", "v1", status={"hard": {"pods": "4"}, "used": {"pods": "4"}}
                )
            ),
            "nearly exhausted quotas",
            id="quota",
        ),
    ],
)
def test_each_shortage_fails_its_check(
    inject: Callable[[Objects], Any], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """FAIL, by the shortage's own check."""
    result = run_gate(monkeypatch, tmp_path, inject)

    assert result.outcome is Outcome.FAIL, str(result)
    assert name in result.false


def test_connections_are_capped_however_large_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """800 at most, even if max_connections allows more."""
    result = run_gate(
        monkeypatch,
        tmp_path,
        lambda o: o["configuration"]["data"].update(DATABASE_POOL="160"),
        database=Database(most=5000),
        capacity=CapacityPart(requests_per_s_per_replica=250, connections_per_replica=160),
    )

    assert result.false == [
        "peak connections at maxReplicas (autoscaler bais-api; capacity.max_connections_cap)"
    ]


def test_connections_of_other_clients_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """More connections are open than all replicas may open."""
    result = run_gate(monkeypatch, tmp_path, database=Database(open=95))

    assert result.false == ["open connections", "clients with the most of too many connections"]


@pytest.mark.parametrize(
    ("over", "name"),
    [
        ({"kept": 20}, "peak connections at maxReplicas (autoscaler bais-api; during a rollout)"),
        ({"of_role": 40}, "connection limits below the peak"),
    ],
)
def test_connections_that_the_server_refuses_fail(
    over: dict[str, int], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It keeps some for superusers, and a role's limit may be below what its pools open."""
    assert run_gate(monkeypatch, tmp_path, database=Database(**over)).false == [name]


def test_a_cordoned_node_whose_pods_fit_elsewhere_passes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Maintenance of one of three nodes is no shortage."""
    result = run_gate(monkeypatch, tmp_path, lambda o: o["n1"]["spec"].update(unschedulable=True))

    assert result.outcome is Outcome.PASS, str(result)


def test_an_unbound_volume_is_no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An unknown capacity is not taken for enough."""
    result = run_gate(monkeypatch, tmp_path, lambda o: o["backups"]["status"].update(phase="Pending"))

    assert result.outcome is Outcome.NO_DATA
    assert result.false == ["volume usage (bais-backups)"]


@pytest.mark.parametrize("key", ["requests_per_s_per_replica", "connections_per_replica"])
def test_a_missing_figure_is_an_error(key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message names the missing key."""
    stated: dict[str, Any] = {"requests_per_s_per_replica": 250, "connections_per_replica": 12, key: None}
    result = run_gate(monkeypatch, tmp_path, capacity=CapacityPart(**stated))

    assert result.outcome is Outcome.ERROR
    assert key in str(result.error)


def _load_run(rate_per_s: float) -> LoadRun:
    """Return a run that accepted 100 requests a second, where so many were promised."""
    return LoadRun(
        result=replace(result(), plan=replace(PLAN, rate_per_s=rate_per_s)),
        directory=Path("load"),
        hooked_workflows=(),
        delivered=(),
        accepted_at_once=0,
        refused_at_once=0,
        sent_at_once=0,
        sent_at_once_s=0.0,
    )


@pytest.mark.parametrize(
    ("promised", "replicas", "outcome"),
    [
        pytest.param(95, [3.0], Outcome.PASS, id="sustained"),
        pytest.param(95, [5.0], Outcome.FAIL, id="with all that the autoscaler may add"),
        pytest.param(133, [3.0], Outcome.PASS, id="a third more is promised"),
        pytest.param(134, [3.0], Outcome.FAIL, id="and a little"),
        pytest.param(95, [], Outcome.NO_DATA, id="replicas unknown"),
        pytest.param(95, [0.0], Outcome.NO_DATA, id="none was available"),
        pytest.param(95, [3.0, 3.0], Outcome.NO_DATA, id="two Prometheus series"),
    ],
)
def test_what_the_load_run_showed_counts(
    promised: float,
    replicas: list[float],
    outcome: Outcome,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Not what is stated: a replica sustained its share, and of at most five one may be lost."""
    result = run_gate(
        monkeypatch,
        tmp_path,
        load_run=_load_run(promised),
        replicas=replicas,
        capacity=CapacityPart(requests_per_s_per_replica=None, connections_per_replica=12),
    )

    assert result.outcome is outcome, str(result)
    assert result.false == ([] if outcome is Outcome.PASS else ["maximum replicas (autoscaler bais-api)"])


def test_a_load_run_that_accepted_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It shows nothing about a replica: no data, and no error."""
    empty = replace(_load_run(95), result=replace(result(), requests=()))

    judged = run_gate(monkeypatch, tmp_path, load_run=empty, replicas=[3.0])

    assert judged.outcome is Outcome.NO_DATA, str(judged)
