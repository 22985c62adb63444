"""Whether there is room: for a lost node, for the most replicas, for their connections and their data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pytest

from bais_gates import CapacityPart, Environment, Evidence
from bais_gates.probes import Cache, Cluster, Database, cache_health
from bais_gates.rules import Disk, capacity, pod_requests, workloads

CONNECTIONS_USED: Final = 0.8
"""The share of max_connections that all replicas may open together."""
CACHE_OF_ITS_LIMIT: Final = 0.8
"""The share of its container's memory that the cache may fill: buffers and a fork need the rest."""
QUOTA_USED: Final = 0.9
POOL_VARIABLE: Final = "DATABASE_POOL"
_DATABASE_BYTES: Final = """
SELECT (SELECT sum(pg_database_size(oid)) FROM pg_database)
  + (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the cluster says, read together."""

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
    def most_replicas(self) -> int:
        """How many replicas of the API there may be."""
        return int(self.scaler["spec"]["maxReplicas"])

    @property
    def replicas(self) -> int:
        """How many there are."""
        return workloads.rollout(self.deployment).desired


@pytest.mark.gate("checklist.capacity_planning")
def test_capacity_planning(
    cluster: Cluster, database: Database, cache: Cache, environment: Environment, evidence: Evidence
) -> None:
    """The cluster bears the promised load, also with a node lost, and database and disks bear it too."""
    part = environment.capacity
    seen = look(cluster, environment, evidence)
    room(seen, part, evidence)
    load(seen, part, environment, evidence)
    connections(seen, part, database, environment, evidence)
    disks(seen, part, database, environment, evidence)
    memory(seen, cache, environment, evidence)


def look(cluster: Cluster, environment: Environment, evidence: Evidence) -> Seen:
    """Read what there is; without a Deployment and its autoscaler the gate ends."""
    part = environment.kubernetes
    deployment = cluster.named("apps/v1", "Deployment", part.names.api, part.namespace)
    scalers = cluster.list("autoscaling/v2", "HorizontalPodAutoscaler", part.namespace)
    found = workloads.autoscalers_of(deployment, scalers) if deployment is not None else []
    if deployment is None or not found:
        there = "no Deployment" if deployment is None else "no autoscaler"
        evidence.require(
            f"Deployment {part.names.api} and its autoscaler", there, "==", "both", source=part.namespace
        )
    maps = cluster.list("v1", "ConfigMap", part.namespace)
    return Seen(
        namespace=part.namespace,
        deployment=deployment or {},
        scaler=found[0],
        nodes=cluster.list("v1", "Node"),
        all_pods=cluster.list("v1", "Pod"),
        claims=cluster.list("v1", "PersistentVolumeClaim", part.namespace),
        quotas=cluster.list("v1", "ResourceQuota", part.namespace),
        configuration={one["metadata"]["name"]: one.get("data") or {} for one in maps},
    )


def room(seen: Seen, part: CapacityPart, evidence: Evidence) -> None:
    """Check that pods say what they need, and that the nodes have it, also with one of them lost."""
    n = len(seen.pods)
    evidence.check(
        "containers without requests and limits",
        workloads.unlimited_containers(seen.pods),
        "==",
        [],
        n=n,
        source="pods of the namespace: cpu and memory",
    )
    waiting = sorted(
        str(pod["metadata"]["name"])
        for pod in seen.pods
        if workloads.condition(pod, "PodScheduled") == "False"
    )
    evidence.check("pods that no node has room for", waiting, "==", [], n=n, source="condition PodScheduled")
    evidence.check(
        "nodes that are not well",
        capacity.unhealthy_nodes(seen.nodes),
        "==",
        [],
        n=len(seen.nodes),
        source="conditions",
    )
    there = capacity.cluster_capacity(seen.nodes, seen.all_pods)
    count = len(there.nodes)
    source = f"requests of {len(seen.all_pods)} pods, allocatable of {count} usable nodes"
    evidence.check(
        "processors requested", there.cpu_requested, "<=", 1 - part.cpu_headroom, n=count, source=source
    )
    evidence.check(
        "memory requested", there.memory_requested, "<=", 1 - part.memory_headroom, n=count, source=source
    )
    lost = "fits" if there.tolerates_node_loss() else "does not fit"
    evidence.check("what runs, with any one node lost", lost, "==", "fits", n=count, source=source)
    quotas = capacity.nearly_used_quotas(seen.quotas, QUOTA_USED)
    evidence.check(
        "quotas that are nearly used up", quotas, "==", [], source="ResourceQuotas of the namespace"
    )


def load(seen: Seen, part: CapacityPart, environment: Environment, evidence: Evidence) -> None:
    """Check that the autoscaler may go as far as the promised load needs, and that the nodes follow."""
    each = part.requests_per_s_per_replica
    if each is None:
        raise environment.missing("capacity.requests_per_s_per_replica")
    evidence.check(
        f"most replicas, for {part.users} users and {part.requests_per_s:g} requests/s",
        seen.most_replicas,
        ">=",
        capacity.required_replicas(part.requests_per_s, each),
        unit="pods",
        source=f"autoscaler's maxReplicas; one replica bears {each:g} requests/s, and one may be lost",
    )
    current = int((seen.scaler.get("status") or {}).get("currentReplicas") or seen.replicas)
    evidence.check(
        "replicas now, below the most",
        current,
        "<",
        seen.most_replicas,
        unit="pods",
        source="autoscaler's status",
    )
    there = capacity.cluster_capacity(seen.nodes, seen.all_pods)
    request = pod_requests(seen.deployment["spec"]["template"]["spec"])
    evidence.check(
        "replicas that can still be placed",
        there.count_placeable(request),
        ">=",
        seen.most_replicas - current,
        unit="pods",
        source=f"{request.cpu} processors and {request.memory} bytes each, on what the nodes have free",
    )


def connections(
    seen: Seen, part: CapacityPart, database: Database, environment: Environment, evidence: Evidence
) -> None:
    """Check that the most replicas leave connections over, also while they are rolled out."""
    each = part.connections_per_replica
    if each is None:
        raise environment.missing("capacity.connections_per_replica")
    configured = pool_of(seen)
    if configured is not None:
        evidence.check(
            "connections a replica may open, as configured",
            configured,
            "==",
            str(each),
            source=f"{POOL_VARIABLE} of the Deployment; capacity.connections_per_replica",
        )
    maximum = database.max_connections()
    most = capacity.total_connections(seen.most_replicas, each, reserved=part.reserved_connections)
    source = (
        f"{seen.most_replicas} replicas at most, {each} connections each, {part.reserved_connections} "
        f"reserved; max_connections {maximum}"
    )
    evidence.check("connections of all replicas", most, "<=", CONNECTIONS_USED * maximum, source=source)
    evidence.check("connections of all replicas, at all", most, "<", part.max_connections_cap, source=source)
    rolling = workloads.max_surge(seen.deployment, seen.most_replicas)
    evidence.check(
        "connections of all replicas, in a rollout",
        most + rolling * each,
        "<",
        maximum,
        source=f"{source}; maxSurge",
    )
    evidence.check(
        "connections open now",
        database.all_connections(),
        "<=",
        most + rolling * each,
        source="pg_stat_activity; more than all replicas could open are somebody else's",
    )


def pool_of(seen: Seen) -> str | None:
    """Give the pool size that the API's container is started with; None where it is not configured so."""
    for container in seen.deployment["spec"]["template"]["spec"]["containers"]:
        for one in container.get("env") or []:
            if one.get("name") == POOL_VARIABLE and "value" in one:
                return str(one["value"])
        for one in container.get("envFrom") or []:
            name = (one.get("configMapRef") or {}).get("name")
            if name and POOL_VARIABLE in seen.configuration.get(name, {}):
                return seen.configuration[name][POOL_VARIABLE]
    return None


def disks(
    seen: Seen, part: CapacityPart, database: Database, environment: Environment, evidence: Evidence
) -> None:
    """Check that the volumes of the database and of its backups have room."""
    names = environment.kubernetes.names
    claim = f"data-{names.database}-0"
    used = float(str(database.value(_DATABASE_BYTES)))
    held = capacity.claim_capacity(seen.claims, claim)
    disk(Disk(name=claim, used=used, capacity=held), part, evidence, "databases and WAL")
    directory = environment.backup.directory
    used = float(sum(path.stat().st_size for path in directory.glob("*") if path.is_file()))
    held = capacity.claim_capacity(seen.claims, f"{names.backup}s")
    disk(Disk(name=f"{names.backup}s", used=used, capacity=held), part, evidence, str(directory))


def disk(volume: Disk, part: CapacityPart, evidence: Evidence, what: str) -> None:
    """Check one volume; without a bound claim there is nothing to hold it to."""
    evidence.check(
        f"volume {volume.name}, used",
        volume.share,
        "<=",
        part.disk_used_max,
        source=f"{what}; capacity of the bound PersistentVolumeClaim",
    )


def memory(seen: Seen, cache: Cache, environment: Environment, evidence: Evidence) -> None:
    """Check that the cache's own limit lies well below that of its container, which ends it."""
    names = environment.kubernetes.names
    own = [
        pod
        for pod in seen.pods
        if (pod["metadata"].get("labels") or {}).get("app.kubernetes.io/name") == names.cache
    ]
    limit = capacity.memory_limit(own)
    health = cache_health.read(cache)
    evidence.check(
        "cache's memory, of its container's",
        health.maxmemory / limit if limit and health.maxmemory else None,
        "<=",
        CACHE_OF_ITS_LIMIT,
        source=f"maxmemory {health.maxmemory}; memory limit of the containers of {names.cache}",
    )
