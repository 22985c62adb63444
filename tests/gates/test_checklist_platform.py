"""Test that each fault of replicas, routing, scaling and traffic fails the gate of load balancing."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.probes.kubernetes.cluster import ClusterRefused, ClusterUnreachable
from bais_gates.verdict.model import Outcome
from tests.gates.platform_bench import FakeCluster, Result, environment, judge, load, platform_parts
from tests.rules.kubernetes import platform_objects as objects

if TYPE_CHECKING:
    from collections.abc import Callable

Objects = dict[str, dict[str, Any]]
PATH = Path("environment.yaml")


class Balancer:
    """An API behind a load balancer: each request goes to the next pod, whose log has its id."""

    def __init__(
        self, cluster: FakeCluster, pods: tuple[str, ...], status: int = 200, *, silent: bool = False
    ) -> None:
        self.turn = itertools.cycle(pods)
        self.cluster, self.status, self.silent = cluster, status, silent

    def get(self, _path: str, *, headers: dict[str, str]) -> SimpleNamespace:
        """Answer one request."""
        name = next(self.turn)
        if not self.silent:
            logs = self.cluster.pod_logs
            logs[name] = logs.get(name, "") + f'{{"request_id": "{headers["X-Request-Id"]}"}}\n'
        return SimpleNamespace(status=self.status)


def run_gate(
    inject: Callable[[Objects], Any] = lambda _all: None,
    *,
    reached: tuple[str, ...] = objects.PODS,
    **how: Any,
) -> Result:
    """Run the gate on a platform, with or without a fault."""
    everything = objects.platform()
    inject(everything)
    cluster = FakeCluster(everything)
    return judge(
        "load_balancing",
        cluster=cluster,
        api=Balancer(cluster, reached, **how),
        environment=environment(**platform_parts()),
    )


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the waits, and make the pods unreachable at their addresses."""
    module = load("load_balancing")
    monkeypatch.setattr(module, "LOG_WITHIN_S", 0.0)
    monkeypatch.setattr(module, "count_by_metrics", lambda _pods, _environment: None)
    monkeypatch.setattr(module.time, "sleep", lambda _s: None)


def test_a_healthy_platform_is_balanced() -> None:
    """Every check holds."""
    result = run_gate()

    assert result.outcome is Outcome.PASS, str(result)
    assert len(result.checks) >= 20


def _unready(everything: Objects) -> None:
    everything["pod3"]["status"]["conditions"] = []
    everything["deployment"]["status"]["readyReplicas"] = 2


@pytest.mark.parametrize(
    ("inject", "name"),
    [
        pytest.param(lambda o: o.pop("deployment"), "absent objects (bais-api)", id="no deployment"),
        pytest.param(lambda o: o.pop("service"), "absent objects (bais-api)", id="no service"),
        pytest.param(_unready, "ready replicas (Deployment bais-api)", id="not ready"),
        pytest.param(
            lambda o: o["deployment"]["status"].update(updatedReplicas=1),
            "updated replicas (Deployment bais-api)",
            id="rollout stuck",
        ),
        pytest.param(
            lambda o: o["deployment"]["metadata"].update(generation=2),
            "observed generation (Deployment bais-api)",
            id="outdated status",
        ),
        pytest.param(
            lambda o: o["slice"]["endpoints"].pop(), "endpoints of Service bais-api", id="pod left out"
        ),
        pytest.param(
            lambda o: o["service"]["spec"]["ports"][0].update(targetPort="http"),
            "ports of Service bais-api without a container port",
            id="wrong port",
        ),
        pytest.param(
            lambda o: o["service"]["spec"].update(selector={"app": "other"}),
            "pods selected by Service bais-api",
            id="selector",
        ),
        pytest.param(
            lambda o: [o[f"pod{i}"]["spec"].update(nodeName="n1") for i in (1, 2, 3)],
            "nodes with replicas of Deployment bais-api",
            id="one node",
        ),
        pytest.param(
            lambda o: (
                [
                    o[f"n{i}"]["metadata"]["labels"].update({"topology.kubernetes.io/zone": z})
                    for i, z in ((1, "a"), (2, "a"), (3, "b"))
                ]
                and o["pod3"]["spec"].update(nodeName="n2")
            ),
            "zones with replicas of Deployment bais-api",
            id="one zone",
        ),
        pytest.param(lambda o: o.pop("autoscaler"), "missing or several autoscalers", id="no autoscaler"),
        pytest.param(
            lambda o: o["autoscaler"]["spec"].update(minReplicas=1),
            "minimum replicas (autoscaler bais-api)",
            id="minimum of one",
        ),
        pytest.param(
            lambda o: o["autoscaler"]["spec"].update(maxReplicas=3),
            "maximum replicas (autoscaler bais-api)",
            id="no headroom",
        ),
        pytest.param(
            lambda o: o["autoscaler"]["status"].update(conditions=[objects.condition("AbleToScale")]),
            "condition ScalingActive (autoscaler bais-api)",
            id="not scaling",
        ),
        pytest.param(
            lambda o: o["autoscaler"]["status"].update(currentMetrics=None),
            "metrics missing from autoscaler bais-api",
            id="no metrics",
        ),
        pytest.param(lambda o: o.pop("budget"), "missing or several disruption budgets", id="no budget"),
        pytest.param(
            lambda o: o.update(second=objects.budget()),
            "missing or several disruption budgets",
            id="two budgets",
        ),
        pytest.param(
            lambda o: o.update(
                other=objects.budget()
                | {
                    "metadata": {"name": "postgres", "namespace": "bais"},
                    "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "postgres"}}},
                    "status": {"expectedPods": 1, "disruptionsAllowed": 0},
                }
            ),
            "other disruption budgets that block the drain of a node",
            id="no drain of another pod's node",
        ),
        pytest.param(
            lambda o: o["pod3"]["metadata"].update(ownerReferences=[]),
            "pods selected by Service bais-api that are not of Deployment bais-api",
            id="a pod of nobody",
        ),
        pytest.param(
            lambda o: o["budget"]["status"].update(disruptionsAllowed=0),
            "disruption budget faults",
            id="no drain",
        ),
        pytest.param(
            lambda o: o["deployment"]["spec"].update(strategy={"type": "Recreate"}),
            "rollout faults (Deployment bais-api)",
            id="recreate",
        ),
        pytest.param(
            lambda o: o["deployment"]["spec"]["template"]["spec"].pop("topologySpreadConstraints"),
            "spread faults (Deployment bais-api)",
            id="not spread",
        ),
        pytest.param(
            lambda o: o["deployment"]["spec"]["template"]["spec"]["containers"][0].pop("livenessProbe"),
            "probe faults (Deployment bais-api)",
            id="not probed",
        ),
    ],
)
def test_each_fault_fails_its_check(inject: Callable[[Objects], Any], name: str) -> None:
    """FAIL, by the fault's own check."""
    result = run_gate(inject)

    assert result.outcome is Outcome.FAIL, str(result)
    assert name in result.false


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ({"reached": ("bais-api-1",)}, "replicas that served requests"),
        ({"reached": ("bais-api-1", "bais-api-2")}, "ready replicas with hardly any requests"),
        ({"status": 503}, "responses other than 200 (burst)"),
    ],
    ids=["one serves all", "one serves none", "status 503"],
)
def test_unbalanced_or_failed_traffic_fails(how: dict[str, Any], name: str) -> None:
    """Correct objects are not enough: which replica served a request is measured."""
    result = run_gate(**how)

    assert result.outcome is Outcome.FAIL, str(result)
    assert name in result.false


def test_traffic_that_cannot_be_counted_is_an_error() -> None:
    """Without metrics and logs the distribution is unknown."""
    result = run_gate(silent=True)

    assert result.outcome is Outcome.ERROR
    assert "is unknown" in str(result.error)


REFUSED = ClusterRefused("403", status=403, reason="Forbidden", message="no", verb="list", resource="nodes")


@pytest.mark.parametrize("gate", ["load_balancing", "capacity_planning", "backup_verified"])
@pytest.mark.parametrize(
    "error", [REFUSED, ClusterUnreachable("no answer")], ids=["forbidden", "unreachable"]
)
def test_a_cluster_that_cannot_be_read_is_an_error(
    gate: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ERROR, not FAIL, as nothing is known about the platform."""
    cluster = FakeCluster(objects.platform())

    def refuse(*_given: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(cluster, "list", refuse)
    monkeypatch.setattr(cluster, "named", refuse)
    given = dict.fromkeys(("api", "database", "cache", "request", "done_load_run"))
    result = judge(gate, cluster=cluster, environment=environment(**platform_parts()), **given)

    assert result.outcome is Outcome.ERROR
    assert result.error is error
