"""Check the capacity: nodes, replicas, database connections, volumes and memory for the promised load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pytest

from bais_gates import CapacityPart, Environment, Evidence
from bais_gates.probes import Cache, Cluster, Database, cache_health
from bais_gates.rules.kubernetes import Disk, capacity, pod_requests, workloads

MAX_CONNECTION_USAGE: Final = 0.8
"""The share of max_connections that all replicas together may open."""
MAX_CACHE_SHARE: Final = 0.8
"""The share of its container's memory that the cache may fill: buffers and a fork need the rest."""
MAX_QUOTA_USAGE: Final = 0.9
POOL_VARIABLE: Final = "DATABASE_POOL"
_DATABASE_BYTES: Final = """
SELECT (SELECT sum(pg_database_size(oid)) FROM pg_database)
  + (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The cluster's objects, read together."""

    namespace: str
    deployment: dict[str, Any]
    scaler: dict[str, Any]
    nodes: list[dict[str, Any]]
    all_pods: list[dict[str, Any]]
    claims: list[dict[str, Any]]
    quotas: list[dict[str, Any]]
    configuration: dict[str, dict[str, str]]

    @property
    def pods(self) -> list[dict[str, Any]]:
        """The pods of the platform's own namespace."""
        return [pod for pod in self.all_pods if pod["metadata"].get("namespace") == self.namespace]

    @property
    def max_replicas(self) -> int:
        """The autoscaler's maxReplicas."""
        return int(self.scaler["spec"]["maxReplicas"])

    @property
    def replicas(self) -> int:
        """The API's desired replicas."""
        return workloads.rollout(self.deployment).desired


@pytest.mark.gate("checklist.capacity_planning")
def test_capacity_planning(
    cluster: Cluster, database: Database, cache: Cache, environment: Environment, evidence: Evidence
) -> None:
    """Nodes, autoscaler, connections and volumes sustain the promised load, also after the loss of a node."""
    part = environment.capacity
    snapshot = read_snapshot(cluster, environment, evidence)
    check_nodes(snapshot, part, evidence)
    check_replicas(snapshot, part, environment, evidence)
    check_connections(snapshot, part, database, environment, evidence)
    check_volumes(snapshot, part, database, environment, evidence)
    check_cache_memory(snapshot, cache, environment, evidence)


def read_snapshot(cluster: Cluster, environment: Environment, evidence: Evidence) -> Snapshot:
    """Read the objects; end the gate without a Deployment and its autoscaler."""
    part = environment.kubernetes
    deployment = cluster.named("apps/v1", "Deployment", part.names.api, part.namespace)
    scalers = cluster.list("autoscaling/v2", "HorizontalPodAutoscaler", part.namespace)
    found = workloads.autoscalers_of(deployment, scalers) if deployment is not None else []
    if deployment is None or not found:
        missing = "no Deployment" if deployment is None else "no autoscaler"
        name = f"Deployment {part.names.api} and its autoscaler"
        evidence.require(name, missing, "==", "present", source=f"namespace {part.namespace}")
    maps = cluster.list("v1", "ConfigMap", part.namespace)
    return Snapshot(
        namespace=part.namespace,
        deployment=deployment or {},
        scaler=found[0],
        nodes=cluster.list("v1", "Node"),
        all_pods=cluster.list("v1", "Pod"),
        claims=cluster.list("v1", "PersistentVolumeClaim", part.namespace),
        quotas=cluster.list("v1", "ResourceQuota", part.namespace),
        configuration={one["metadata"]["name"]: one.get("data") or {} for one in maps},
    )


def check_nodes(snapshot: Snapshot, part: CapacityPart, evidence: Evidence) -> None:
    """Check that pods state requests and limits, and that the nodes have the capacity, also with one lost."""
    n, nodes = len(snapshot.pods), snapshot.nodes
    unlimited = workloads.unlimited_containers(snapshot.pods)
    source = "CPU and memory of the namespace's pods"
    evidence.check("containers without requests or limits", unlimited, "==", [], n=n, source=source)
    unschedulable = sorted(
        str(pod["metadata"]["name"])
        for pod in snapshot.pods
        if workloads.condition(pod, "PodScheduled") == "False"
    )
    evidence.check("unschedulable pods", unschedulable, "==", [], n=n, source="condition PodScheduled")
    unhealthy = capacity.unhealthy_nodes(nodes)
    evidence.check("unhealthy nodes", unhealthy, "==", [], n=len(nodes), source="node conditions")
    cluster = capacity.cluster_capacity(nodes, snapshot.all_pods)
    n = len(cluster.nodes)
    source = f"requests of {len(snapshot.all_pods)} pods / allocatable of {n} schedulable nodes"
    limit = 1 - part.cpu_headroom
    evidence.check("CPU requested", cluster.cpu_requested, "<=", limit, n=n, source=source)
    limit = 1 - part.memory_headroom
    evidence.check("memory requested", cluster.memory_requested, "<=", limit, n=n, source=source)
    remaining = "sufficient" if cluster.tolerates_node_loss() else "insufficient"
    name = "capacity after the loss of a node"
    evidence.check(name, remaining, "==", "sufficient", n=n, source=source)
    quotas = capacity.nearly_used_quotas(snapshot.quotas, MAX_QUOTA_USAGE)
    evidence.check("nearly exhausted quotas", quotas, "==", [], source="ResourceQuotas of the namespace")


def check_replicas(
    snapshot: Snapshot, part: CapacityPart, environment: Environment, evidence: Evidence
) -> None:
    """Check that the autoscaler may add the replicas that the promised load needs, and the nodes fit them."""
    each = part.requests_per_s_per_replica
    if each is None:
        raise environment.missing("capacity.requests_per_s_per_replica")
    maximum = snapshot.max_replicas
    evidence.check(
        "maximum replicas (autoscaler)",
        maximum,
        ">=",
        capacity.required_replicas(part.requests_per_s, each),
        unit="pods",
        source=f"maxReplicas for {part.users} users and {part.requests_per_s:g} requests/s: "
        f"{each:g} requests/s per replica, one may be lost",
    )
    current = int((snapshot.scaler.get("status") or {}).get("currentReplicas") or snapshot.replicas)
    source = "autoscaler's status"
    evidence.check("current replicas", current, "<", maximum, unit="pods", source=source)
    cluster = capacity.cluster_capacity(snapshot.nodes, snapshot.all_pods)
    request = pod_requests(snapshot.deployment["spec"]["template"]["spec"])
    evidence.check(
        "schedulable additional replicas",
        cluster.count_placeable(request),
        ">=",
        maximum - current,
        unit="pods",
        source=f"{request.cpu} CPUs and {request.memory} bytes each, of what the nodes have free",
    )


def check_connections(
    snapshot: Snapshot, part: CapacityPart, database: Database, environment: Environment, evidence: Evidence
) -> None:
    """Check that the maximum of replicas leaves connections unused, also during a rollout."""
    each = part.connections_per_replica
    if each is None:
        raise environment.missing("capacity.connections_per_replica")
    configured = pool_size(snapshot)
    if configured is not None:
        source = f"{POOL_VARIABLE} of the Deployment; capacity.connections_per_replica"
        evidence.check("connection pool size (per replica)", configured, "==", str(each), source=source)
    available = database.max_connections()
    peak = capacity.total_connections(snapshot.max_replicas, each, reserved=part.reserved_connections)
    during_rollout = peak + workloads.max_surge(snapshot.deployment, snapshot.max_replicas) * each
    source = (
        f"{snapshot.max_replicas} replicas at most, {each} connections each, {part.reserved_connections} "
        f"reserved; max_connections {available}"
    )
    limit = MAX_CONNECTION_USAGE * available
    evidence.check("peak connections (all replicas)", peak, "<=", limit, source=source)
    evidence.check("peak connections (absolute cap)", peak, "<", part.max_connections_cap, source=source)
    source = f"{source}; maxSurge"
    evidence.check("peak connections (during a rollout)", during_rollout, "<", available, source=source)
    source = "pg_stat_activity; more than all replicas may open are another client's"
    evidence.check("open connections", database.all_connections(), "<=", during_rollout, source=source)


def pool_size(snapshot: Snapshot) -> str | None:
    """Return the pool size in the API's container environment; None if it is not configured there."""
    for container in snapshot.deployment["spec"]["template"]["spec"]["containers"]:
        for one in container.get("env") or []:
            if one.get("name") == POOL_VARIABLE and "value" in one:
                return str(one["value"])
        for one in container.get("envFrom") or []:
            name = (one.get("configMapRef") or {}).get("name")
            if name and POOL_VARIABLE in snapshot.configuration.get(name, {}):
                return snapshot.configuration[name][POOL_VARIABLE]
    return None


def check_volumes(
    snapshot: Snapshot, part: CapacityPart, database: Database, environment: Environment, evidence: Evidence
) -> None:
    """Check the usage of the volumes of the database and of its backups."""
    names, directory = environment.kubernetes.names, environment.backup.directory
    database_bytes = float(str(database.value(_DATABASE_BYTES)))
    backup_bytes = float(sum(path.stat().st_size for path in directory.glob("*") if path.is_file()))
    for claim, used, content in (
        (f"data-{names.database}-0", database_bytes, "databases and WAL"),
        (f"{names.backup}s", backup_bytes, str(directory)),
    ):
        disk = Disk(name=claim, used=used, capacity=capacity.claim_capacity(snapshot.claims, claim))
        source = f"{content} / capacity of the bound PersistentVolumeClaim"
        evidence.check(f"volume usage ({claim})", disk.share, "<=", part.disk_used_max, source=source)


def check_cache_memory(
    snapshot: Snapshot, cache: Cache, environment: Environment, evidence: Evidence
) -> None:
    """Check that the cache's own limit lies well below its container's, at which the container is killed."""
    name = environment.kubernetes.names.cache
    pods = [
        pod
        for pod in snapshot.pods
        if (pod["metadata"].get("labels") or {}).get("app.kubernetes.io/name") == name
    ]
    limit = capacity.memory_limit(pods)
    maxmemory = cache_health.read(cache).maxmemory
    evidence.check(
        "maxmemory / container memory limit",
        maxmemory / limit if limit and maxmemory else None,
        "<=",
        MAX_CACHE_SHARE,
        source=f"maxmemory {maxmemory}; memory limit of the containers of {name}",
    )
