"""Deployments and ReplicaSets: how many pods there are in each step of a rollout, and what is reported."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from bais_gates.sandbox.cluster.controllers import deployments, replicasets, rollouts
from tests.cluster.controllers.objects_of import Cluster, condition_of, going, pod, workload


def run_all(cluster: Cluster, *, rounds: int = 30) -> list[int]:
    """Let both controllers and the nodes work; return the number of pods after each round."""
    counts = []
    for _ in range(rounds):
        cluster.reconcile(deployments.reconcile, "Deployment")
        for one in cluster.world.of_kind("ReplicaSet"):
            cluster.reconcile(replicasets.reconcile, "ReplicaSet", one["metadata"]["name"])
        cluster.run_pods()
        counts.append(len(cluster.pods()))
    return counts


def with_image(deployment: dict[str, Any], image: str) -> dict[str, Any]:
    """Return the Deployment with another image, as an update would."""
    changed = copy.deepcopy(deployment)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = image
    changed["metadata"]["generation"] += 1
    return changed


def test_a_new_deployment_becomes_available() -> None:
    """The pods come, and the status says so with the conditions of the real controller."""
    cluster = Cluster(workload("Deployment", replicas=3))

    run_all(cluster)

    status = cluster.get("Deployment")["status"]
    assert {key: status[key] for key in ("replicas", "updatedReplicas", "availableReplicas")} == {
        "replicas": 3,
        "updatedReplicas": 3,
        "availableReplicas": 3,
    }
    assert condition_of(cluster.get("Deployment"), "Available") == ("True", "MinimumReplicasAvailable")
    assert condition_of(cluster.get("Deployment"), "Progressing") == ("True", "NewReplicaSetAvailable")


def test_a_settled_deployment_is_left_alone() -> None:
    """Nothing is written when nothing has to be: two controllers at peace cost nothing."""
    cluster = Cluster(workload("Deployment", replicas=2))
    run_all(cluster)

    assert cluster.reconcile(deployments.reconcile, "Deployment").actions == []


def test_a_rollout_loses_no_pod() -> None:
    """With maxUnavailable 0 there are never fewer pods than wanted, and never more than one extra."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    cluster = Cluster(workload("Deployment", replicas=3, strategy=strategy))
    run_all(cluster)
    cluster.put(with_image(cluster.get("Deployment"), "registry.example/web:2"))

    counts = run_all(cluster)

    assert set(counts) == {3, 4}
    assert {one["spec"]["containers"][0]["image"] for one in cluster.pods()} == {"registry.example/web:2"}
    assert deployments.revision_of(cluster.get("Deployment")) == 2


def test_going_back_takes_the_earlier_replica_set_again() -> None:
    """The ReplicaSet of a template that was used before is scaled up, with a new revision."""
    cluster = Cluster(workload("Deployment", replicas=1))
    run_all(cluster)
    first = cluster.get("Deployment")
    cluster.put(with_image(first, "registry.example/web:2"))
    run_all(cluster)
    cluster.put(with_image(cluster.get("Deployment"), "registry.example/web:1"))
    run_all(cluster)

    sets = cluster.world.of_kind("ReplicaSet")
    assert sorted((one["spec"]["replicas"], deployments.revision_of(one)) for one in sets) == [(0, 2), (1, 3)]


def test_a_stuck_rollout_is_reported_after_its_deadline() -> None:
    """Pods that never get ready end in ProgressDeadlineExceeded; the old ones stay."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    cluster = Cluster(workload("Deployment", replicas=2, strategy=strategy, progressDeadlineSeconds=6))
    run_all(cluster)
    cluster.put(with_image(cluster.get("Deployment"), "registry.example/web:broken"))
    for _ in range(3):
        cluster.reconcile(deployments.reconcile, "Deployment")
        for one in cluster.world.of_kind("ReplicaSet"):
            cluster.reconcile(replicasets.reconcile, "ReplicaSet", one["metadata"]["name"])
        cluster.run_pods(ready=False)
    plan = cluster.reconcile(deployments.reconcile, "Deployment")

    assert plan.again_in_s is not None
    assert plan.again_in_s <= 6.5
    cluster.later(6.5)
    cluster.reconcile(deployments.reconcile, "Deployment")
    assert condition_of(cluster.get("Deployment"), "Progressing") == ("False", "ProgressDeadlineExceeded")
    assert condition_of(cluster.get("Deployment"), "Available") == ("True", "MinimumReplicasAvailable")


def test_a_refused_pod_is_reported_by_the_deployment() -> None:
    """What the API server says when it refuses the pods reaches the Deployment as ReplicaFailure."""
    cluster = Cluster(workload("Deployment", replicas=1))
    for _ in range(2):
        cluster.reconcile(deployments.reconcile, "Deployment")
    (replica_set,) = cluster.world.of_kind("ReplicaSet")
    cluster.world.refusals[replica_set["metadata"]["uid"]] = "exceeded quota"
    plan = replicasets.reconcile(cluster.world, replica_set, cluster.now)
    cluster.do(type(plan)(actions=plan.actions[:1]))
    cluster.reconcile(deployments.reconcile, "Deployment")

    assert condition_of(cluster.get("Deployment"), "ReplicaFailure") == ("True", "FailedCreate")


def test_recreate_waits_until_the_old_pods_are_gone() -> None:
    """With the strategy Recreate no two templates run side by side."""
    cluster = Cluster(workload("Deployment", replicas=2, strategy={"type": "Recreate"}))
    run_all(cluster)
    cluster.put(with_image(cluster.get("Deployment"), "registry.example/web:2"))
    cluster.reconcile(deployments.reconcile, "Deployment")
    cluster.reconcile(deployments.reconcile, "Deployment")
    assert len(cluster.world.of_kind("ReplicaSet")) == 1

    run_all(cluster)
    assert [one["spec"]["containers"][0]["image"] for one in cluster.pods()] == ["registry.example/web:2"] * 2


def test_old_replica_sets_beyond_the_limit_go() -> None:
    """The field revisionHistoryLimit is how many ended ReplicaSets are kept."""
    cluster = Cluster(workload("Deployment", replicas=1, revisionHistoryLimit=1))
    for number in range(2, 6):
        run_all(cluster)
        cluster.put(with_image(cluster.get("Deployment"), f"registry.example/web:{number}"))
    run_all(cluster)

    assert len(cluster.world.of_kind("ReplicaSet")) == 2


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (3, "25%", "25%", (1, 0)),
        (1, "25%", "25%", (1, 0)),
        (4, 0, 0, (0, 1)),
        (3, 1, 0, (1, 0)),
        (0, "25%", "25%", (0, 0)),
        (5, "100%", 5, (5, 5)),
    ],
)
def test_limits_round_the_way_the_api_says(
    replicas: int, surge: object, unavailable: object, expected: tuple[int, int]
) -> None:
    """Surge is rounded up, unavailable down, and never are both nothing."""
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    deployment = workload("Deployment", replicas=replicas, strategy={"rollingUpdate": rolling})

    assert rollouts.limits(deployment) == expected


def test_pods_that_serve_least_go_first() -> None:
    """Unscheduled pods go before pending ones, those before unready ones, and old ones last."""
    serving, unready = pod("a"), pod("b", ready=False)
    pending = {**pod("c"), "status": {"phase": "Pending"}}
    unscheduled = {**pod("d"), "spec": {"containers": []}, "status": {"phase": "Pending"}}

    order = replicasets.first_to_go([serving, unready, pending, unscheduled])

    assert [one["metadata"]["name"] for one in order] == ["d", "c", "b", "a"]


def test_a_pod_that_goes_is_replaced_at_once() -> None:
    """A pod that is marked for deletion counts no more."""
    owner = workload("ReplicaSet", replicas=2)
    cluster = Cluster(owner, pod("web-1", owner=owner), going(pod("web-2", owner=owner)))

    cluster.reconcile(replicasets.reconcile, "ReplicaSet")

    assert len(cluster.pods()) == 3
    assert cluster.get("ReplicaSet")["status"]["replicas"] == 1


def test_a_pod_is_available_only_after_min_ready_seconds() -> None:
    """The field minReadySeconds holds a ready pod back, and the controller looks again."""
    owner = workload("ReplicaSet", replicas=1, minReadySeconds=5)
    cluster = Cluster(owner, pod(owner=owner))
    plan = cluster.reconcile(replicasets.reconcile, "ReplicaSet")
    assert cluster.get("ReplicaSet")["status"]["availableReplicas"] == 0
    assert plan.again_in_s

    cluster.later(5)
    cluster.reconcile(replicasets.reconcile, "ReplicaSet")
    assert cluster.get("ReplicaSet")["status"]["availableReplicas"] == 1


def test_a_paused_deployment_changes_nothing_but_its_size() -> None:
    """While it is paused a new template makes no ReplicaSet, and the status says why."""
    cluster = Cluster(workload("Deployment", replicas=1))
    run_all(cluster)
    paused = with_image(cluster.get("Deployment"), "registry.example/web:2")
    paused["spec"] |= {"paused": True, "replicas": 2}
    cluster.put(paused)
    run_all(cluster)

    assert [one["spec"]["replicas"] for one in cluster.world.of_kind("ReplicaSet")] == [2]
    assert condition_of(cluster.get("Deployment"), "Progressing") == ("Unknown", "DeploymentPaused")
