"""Claims, budgets, endpoints, stateful sets, quotas, the autoscaler, certificates and garbage."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bais_gates.sandbox import tls
from bais_gates.sandbox.cluster.controllers import (
    autoscaling,
    budgets,
    certificates,
    claims,
    endpoints,
    garbage,
    quotas,
    statefulsets,
)
from bais_gates.sandbox.cluster.controllers.world import Delete, World
from tests.cluster.controllers.objects_of import NOW, Cluster, condition_of, going, named, pod, workload


def storage(mode: str = "Immediate") -> dict[str, Any]:
    """Make a storage class."""
    return named(
        "StorageClass", "fast", "storage.k8s.io/v1", "", provisioner="sandbox.bais-gates",
        volumeBindingMode=mode, reclaimPolicy="Delete", parameters={"encrypted": "true"},
    )  # fmt: skip


def claim(name: str = "data", storage_class: str = "fast") -> dict[str, Any]:
    """Make a claim that is protected as a real API server protects it."""
    return named(
        "PersistentVolumeClaim", name, metadata={"finalizers": ["kubernetes.io/pvc-protection"]},
        spec={
            "storageClassName": storage_class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    )  # fmt: skip


def bind(cluster: Cluster, wiped: list[str] | None = None) -> None:
    """Let the volume controllers work."""
    volume = claims.volume_reconciler((wiped if wiped is not None else []).append)
    for _ in range(6):
        for one in cluster.world.of_kind("PersistentVolumeClaim"):
            cluster.do(claims.reconcile_claim(cluster.world, one, cluster.now))
        for one in cluster.world.of_kind("PersistentVolume"):
            cluster.do(volume(cluster.world, one, cluster.now))


def test_a_claim_gets_a_volume_of_its_class() -> None:
    """Claim and volume are Bound to each other, as large as asked for."""
    cluster = Cluster(storage(), claim())
    bind(cluster)

    bound = cluster.get("PersistentVolumeClaim", "data")
    volume = cluster.get("PersistentVolume", bound["spec"]["volumeName"], "")
    assert bound["status"] == {
        "phase": "Bound",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
    }
    assert volume["status"]["phase"] == "Bound"
    assert claims.data_of(volume) == "shop.data"


def test_a_claim_waits_for_its_first_pod_if_its_class_says_so() -> None:
    """WaitForFirstConsumer binds once a pod mounts the claim."""
    cluster = Cluster(storage("WaitForFirstConsumer"), claim())
    bind(cluster)
    assert cluster.get("PersistentVolumeClaim", "data")["status"]["phase"] == "Pending"

    cluster.put(pod(volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]))
    bind(cluster)
    assert cluster.get("PersistentVolumeClaim", "data")["status"]["phase"] == "Bound"


def test_a_claim_of_no_class_stays_pending_and_says_why() -> None:
    """The event names the class that is missing."""
    cluster = Cluster(claim(storage_class="none"))
    bind(cluster)

    assert cluster.get("PersistentVolumeClaim", "data")["status"]["phase"] == "Pending"
    assert 'storageclass.storage.k8s.io "none" not found' in {event.message for event in cluster.events}


def test_a_deleted_claim_goes_with_its_pod_and_its_data() -> None:
    """The finalizer stays while a pod uses it; then the volume is wiped before another may be made."""
    user = pod(volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}])
    wiped: list[str] = []
    cluster = Cluster(storage(), claim(), user)
    bind(cluster, wiped)
    cluster.put(going(cluster.get("PersistentVolumeClaim", "data")))
    bind(cluster, wiped)
    assert cluster.get("PersistentVolumeClaim", "data")["metadata"]["finalizers"]
    assert wiped == []

    cluster.world.drop(user)
    bind(cluster, wiped)
    assert cluster.get("PersistentVolumeClaim", "data")["metadata"]["finalizers"] == []
    cluster.world.drop(cluster.get("PersistentVolumeClaim", "data"))
    bind(cluster, wiped)
    assert wiped == ["shop.data"]
    assert cluster.world.of_kind("PersistentVolume") == []


def test_no_new_volume_while_the_old_data_is_there() -> None:
    """A claim of the same name waits until the volume of the earlier one is gone."""
    cluster = Cluster(storage(), claim())
    bind(cluster)
    cluster.world.drop(cluster.get("PersistentVolumeClaim", "data"))
    cluster.put(claim())
    plan = claims.reconcile_claim(cluster.world, cluster.get("PersistentVolumeClaim", "data"), NOW)
    cluster.do(plan)
    plan = claims.reconcile_claim(cluster.world, cluster.get("PersistentVolumeClaim", "data"), NOW)

    assert plan.actions == []
    assert plan.again_in_s == 0.2


@pytest.mark.parametrize(
    ("rule", "ready", "expected"),
    [
        ({"maxUnavailable": 1}, 3, (3, 3, 2, 1)),
        ({"maxUnavailable": 1}, 2, (3, 2, 2, 0)),
        ({"maxUnavailable": "50%"}, 3, (3, 3, 1, 2)),
        ({"minAvailable": 2}, 3, (3, 3, 2, 1)),
        ({"minAvailable": "100%"}, 3, (3, 3, 3, 0)),
        ({"maxUnavailable": 0}, 3, (3, 3, 3, 0)),
    ],
)
def test_what_a_budget_allows(rule: dict[str, Any], ready: int, expected: tuple[int, int, int, int]) -> None:
    """Expected, healthy, desired and allowed follow from the rule and the controllers' replicas."""
    owner = workload("ReplicaSet", replicas=3)
    pods = [pod(f"web-{i}", owner=owner, ready=i < ready) for i in range(3)]
    budget = named(
        "PodDisruptionBudget",
        api_version="policy/v1",
        spec={"selector": {"matchLabels": {"app": "web"}}, **rule},
    )

    status = budgets.status_for(World([owner, budget, *pods]), budget, NOW)

    names = ("expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed")
    assert tuple(status[name] for name in names) == expected


def test_endpoints_say_who_is_ready() -> None:
    """The slice lists ready pods and others apart; the named port is the container's number."""
    ports = [{"name": "http", "containerPort": 8080}]
    containers = [{"name": "main", "image": "i", "ports": ports}]
    service = named(
        "Service",
        spec={"selector": {"app": "web"}, "ports": [{"name": "h", "port": 80, "targetPort": "http"}]},
    )
    cluster = Cluster(service, pod("a", containers=containers), pod("b", containers=containers, ready=False))
    cluster.reconcile(endpoints.reconcile, "Service")

    (found,) = cluster.world.of_kind("EndpointSlice")
    assert {one["targetRef"]["name"]: one["conditions"]["ready"] for one in found["endpoints"]} == {
        "a": True,
        "b": False,
    }
    assert found["ports"] == [{"name": "h", "port": 8080, "protocol": "TCP"}]
    assert cluster.reconcile(endpoints.reconcile, "Service").actions == []


def test_a_stateful_set_makes_one_pod_after_another() -> None:
    """Pod 1 comes when pod 0 is ready, each with its claim."""
    template = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    cluster = Cluster(workload("StatefulSet", replicas=2, serviceName="web", volumeClaimTemplates=[template]))
    cluster.reconcile(statefulsets.reconcile, "StatefulSet")
    cluster.reconcile(statefulsets.reconcile, "StatefulSet")
    assert [one["metadata"]["name"] for one in cluster.pods()] == ["web-0"]

    cluster.run_pods()
    cluster.reconcile(statefulsets.reconcile, "StatefulSet")
    names = [one["metadata"]["name"] for one in cluster.world.of_kind("PersistentVolumeClaim")]
    assert [one["metadata"]["name"] for one in cluster.pods()] == ["web-0", "web-1"]
    assert names == ["data-web-0", "data-web-1"]


def test_a_stateful_pod_waits_until_its_old_claim_is_gone() -> None:
    """A claim that is being deleted is not used again: its data goes."""
    template = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    cluster = Cluster(
        workload("StatefulSet", replicas=1, volumeClaimTemplates=[template]), going(claim("data-web-0"))
    )
    cluster.reconcile(statefulsets.reconcile, "StatefulSet")
    assert cluster.pods() == []

    cluster.world.drop(cluster.get("PersistentVolumeClaim", "data-web-0"))
    cluster.reconcile(statefulsets.reconcile, "StatefulSet")
    assert len(cluster.pods()) == 1


def test_a_changed_stateful_set_replaces_its_pods_from_the_last() -> None:
    """The pod with the highest number is replaced first; revisions meet once all are."""
    cluster = Cluster(workload("StatefulSet", replicas=2))
    for _ in range(3):
        cluster.reconcile(statefulsets.reconcile, "StatefulSet")
        cluster.run_pods()
    before = cluster.get("StatefulSet")
    containers = [{"name": "main", "image": "registry.example/web:2"}]
    template = {**before["spec"]["template"], "spec": {"containers": containers}}
    cluster.put({**before, "spec": {**before["spec"], "template": template}})
    cluster.reconcile(statefulsets.reconcile, "StatefulSet")
    assert [one["metadata"]["name"] for one in cluster.pods()] == ["web-0"]

    for _ in range(6):
        cluster.reconcile(statefulsets.reconcile, "StatefulSet")
        cluster.run_pods()
    status = cluster.get("StatefulSet")["status"]
    assert status["currentRevision"] == status["updateRevision"]
    assert status["updatedReplicas"] == status["readyReplicas"] == 2


@pytest.mark.parametrize(
    "strategy", [{"type": "OnDelete"}, {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}]
)
def test_an_update_strategy_keeps_a_pod_from_being_replaced(strategy: dict[str, Any]) -> None:
    """With OnDelete, and below the partition, the pod of the earlier template stays."""
    cluster = Cluster(workload("StatefulSet", replicas=1, updateStrategy=strategy))
    cluster.reconcile(statefulsets.reconcile, "StatefulSet")
    cluster.run_pods()
    before = cluster.get("StatefulSet")
    template = {**before["spec"]["template"], "spec": {"containers": []}}
    cluster.put({**before, "spec": {**before["spec"], "template": template}})
    cluster.reconcile(statefulsets.reconcile, "StatefulSet")

    assert [one["metadata"]["name"] for one in cluster.pods()] == ["web-0"]
    assert cluster.get("StatefulSet")["status"]["updatedReplicas"] == 0


def test_a_quota_counts_what_is_used() -> None:
    """Requests of pods that have not ended, and objects by kind."""
    hard = {"requests.cpu": "4", "pods": "10", "services.nodeports": "0", "persistentvolumeclaims": "2"}
    quota = named("ResourceQuota", spec={"hard": hard})
    containers = [{"name": "main", "resources": {"requests": {"cpu": "250m"}}}]
    cluster = Cluster(quota, pod("a", containers=containers), pod("b", containers=containers), claim())
    cluster.reconcile(quotas.reconcile, "ResourceQuota")

    assert cluster.get("ResourceQuota")["status"]["used"] == {
        "requests.cpu": "500m",
        "pods": "2",
        "services.nodeports": "0",
        "persistentvolumeclaims": "1",
    }


def autoscaler(**spec: Any) -> dict[str, Any]:
    """Make an autoscaler of the Deployment web for 50 % of its cpu."""
    target = {"type": "Utilization", "averageUtilization": 50}
    return named(
        "HorizontalPodAutoscaler", api_version="autoscaling/v2",
        spec={
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 2, "maxReplicas": 6,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            **spec,
        },
    )  # fmt: skip


@pytest.mark.parametrize(("use", "expected"), [(0.05, 2), (0.1, 2), (0.2, 4), (1.0, 6)])
def test_the_autoscaler_follows_the_load(use: float, expected: int) -> None:
    """Two pods that ask for 200m and use this many cores each become so many, within the limits."""
    containers = [{"name": "main", "resources": {"requests": {"cpu": "200m"}}}]
    pods = [pod(f"web-{i}", containers=containers) for i in range(2)]
    cluster = Cluster(workload("Deployment", replicas=2), autoscaler(), *pods)
    cluster.world.cpu_use = {one["metadata"]["uid"]: use for one in pods}
    cluster.reconcile(autoscaling.reconcile, "HorizontalPodAutoscaler")

    assert cluster.get("Deployment")["spec"]["replicas"] == expected
    assert condition_of(cluster.get("HorizontalPodAutoscaler"), "ScalingActive") == (
        "True",
        "ValidMetricFound",
    )


def test_the_autoscaler_raises_to_its_minimum_without_metrics() -> None:
    """No figures are no reason to stay below minReplicas, and are reported as FailedGetResourceMetric."""
    cluster = Cluster(workload("Deployment", replicas=1), autoscaler())
    cluster.reconcile(autoscaling.reconcile, "HorizontalPodAutoscaler")

    assert cluster.get("Deployment")["spec"]["replicas"] == 2
    found = condition_of(cluster.get("HorizontalPodAutoscaler"), "ScalingActive")
    assert found == ("False", "FailedGetResourceMetric")


def certificate(issuer: str) -> dict[str, Any]:
    """Return a Certificate of a ClusterIssuer."""
    ref = {"kind": "ClusterIssuer", "name": issuer}
    spec = {"secretName": "web-tls", "dnsNames": ["web"], "renewBefore": "24h", "issuerRef": ref}
    return named("Certificate", api_version="cert-manager.io/v1", spec=spec)


def test_a_certificate_becomes_a_secret(tmp_path: Path) -> None:
    """The Secret holds the sandbox's certificate and key, and the status when it ends and is due."""
    issued = tls.issue(tmp_path)
    issuer = named("ClusterIssuer", "ca", "cert-manager.io/v1", "")
    cluster = Cluster(issuer, certificate("ca"))
    for _ in range(2):
        cluster.reconcile(certificates.reconciler(tmp_path), "Certificate")

    data = cluster.get("Secret", "web-tls")["data"]
    assert base64.b64decode(data["tls.crt"]) == issued.certificate.read_bytes()
    status = cluster.get("Certificate")["status"]
    ends, renewal = (datetime.fromisoformat(status[key]) for key in ("notAfter", "renewalTime"))
    assert ends - renewal == timedelta(hours=24)
    assert condition_of(cluster.get("Certificate"), "Ready") == ("True", "Ready")
    assert cluster.reconcile(certificates.reconciler(tmp_path), "Certificate").actions == []


def test_a_certificate_without_its_issuer_is_not_ready(tmp_path: Path) -> None:
    """The issuer that is missing is named, once."""
    cluster = Cluster(certificate("none"))
    for _ in range(2):
        cluster.reconcile(certificates.reconciler(tmp_path), "Certificate")

    assert condition_of(cluster.get("Certificate"), "Ready") == ("False", "IssuerNotFound")
    assert [event.message for event in cluster.events] == ['clusterissuer.cert-manager.io "none" not found']


def owned(obj: dict[str, Any], owner: dict[str, Any]) -> dict[str, Any]:
    """Have ``obj`` owned."""
    ref = {"kind": owner["kind"], "name": "web", "uid": owner["metadata"]["uid"], "blockOwnerDeletion": True}
    obj["metadata"]["ownerReferences"] = [ref]
    return obj


def test_what_has_no_owner_left_is_deleted() -> None:
    """The dependent goes when its owner is gone, and stays while it is there."""
    owner = workload("ReplicaSet")
    dependent = owned(pod(), owner)
    assert garbage.reconcile(World([owner, dependent]), dependent, NOW).actions == []

    plan = garbage.reconcile(World([dependent]), dependent, NOW)
    assert [type(action) for action in plan.actions] == [Delete]


def test_a_foreground_deletion_waits_for_the_dependents() -> None:
    """The owner keeps its finalizer until what it owns is gone."""
    owner = going(workload("ReplicaSet"))
    owner["metadata"]["finalizers"] = ["foregroundDeletion"]
    dependent = owned(pod(), owner)
    cluster = Cluster(owner, dependent)
    assert cluster.reconcile(garbage.reconcile, "ReplicaSet").actions == []
    cluster.reconcile(garbage.reconcile, "Pod", "web-0")
    cluster.reconcile(garbage.reconcile, "ReplicaSet")

    assert cluster.pods() == []
    assert cluster.get("ReplicaSet")["metadata"]["finalizers"] == []


def test_orphans_are_cut_off() -> None:
    """Deleting with Orphan leaves the dependents, without their owner."""
    owner = going(workload("ReplicaSet"))
    owner["metadata"]["finalizers"] = ["orphan"]
    cluster = Cluster(owner, owned(pod(), owner))
    cluster.reconcile(garbage.reconcile, "ReplicaSet")

    assert cluster.pods()[0]["metadata"]["ownerReferences"] == []
