"""Check the capacity: nodes, replicas, database connections, volumes and memory for the promised load."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from typing import Any, Final

import pytest

from bais_gates import CapacityPart, Environment, Evidence
from bais_gates.bais import LoadRun
from bais_gates.probes import Cache, Cluster, Database, Prometheus, cache_health, list_served
from bais_gates.rules.kubernetes import (
    Demand,
    Disk,
    autoscaling,
    capacity,
    cluster_capacity,
    unhealthy_nodes,
    workloads,
)

MAX_CONNECTION_USAGE: Final = 0.8
"""The share of max_connections that all replicas together may open."""
MAX_CACHE_SHARE: Final = 0.8
"""The share of its container's memory that the cache may fill: buffers and a fork need the rest."""
MAX_QUOTA_USAGE: Final = 0.9
MAX_TARGET_UTILIZATION: Final = 0.8
"""The autoscaler adds pods no later than the alert for CPU fires."""
MAX_SCALE_UP_S: Final = 300.0
"""As long as a rollout may take: an autoscaler that is slower does not answer to load."""
CACHE_PORT: Final = 6379
POOL_VARIABLE: Final = "DATABASE_POOL"
_DATABASE_BYTES: Final = """
SELECT (SELECT sum(pg_database_size(oid)) FROM pg_database)
  + (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir())
"""
_CONNECTION_LIMITS: Final = """
SELECT current_setting('superuser_reserved_connections')::int
    + coalesce(current_setting('reserved_connections', true), '0')::int AS reserved,
  datname, datconnlimit AS of_database, role.rolname, role.rolconnlimit
FROM pg_database JOIN pg_roles role ON role.oid IN (
  datdba,
  (SELECT usesysid FROM pg_stat_activity
    WHERE datname = current_database() AND usename <> current_user
    GROUP BY usesysid ORDER BY count(*) DESC LIMIT 1))
WHERE datname = current_database()
"""
"""The server's own connections, and the limits of the database and of its owner and most connected role."""
_CLIENTS: Final = """
SELECT count(*) AS open, usename::text AS role, coalesce(application_name, '') AS program
FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename <> current_user
GROUP BY 2, 3 ORDER BY 1 DESC
"""
"""The sessions of others than the gates, of which several may run at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The cluster's objects, read together."""

    namespace: str
    deployment: dict[str, Any]
    scaler: dict[str, Any]
    nodes: list[dict[str, Any]]
    all_pods: list[dict[str, Any]]
    claims: list[dict[str, Any]]
    classes: list[dict[str, Any]]
    quotas: list[dict[str, Any]]
    ranges: list[dict[str, Any]]
    configuration: dict[str, dict[str, str]]

    @property
    def pods(self) -> list[dict[str, Any]]:
        """The pods of the platform's own namespace that have not ended."""
        return [
            pod
            for pod in self.all_pods
            if pod["metadata"].get("namespace") == self.namespace
            and (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
        ]

    @property
    def template(self) -> dict[str, Any]:
        """The spec of the API's next pods."""
        spec: dict[str, Any] = self.deployment["spec"]["template"]["spec"]
        return spec

    def further(self, count: int) -> list[Demand]:
        """Return the demands of as many more replicas of the API."""
        name, first = self.deployment["metadata"]["name"], self.replicas + 1
        return [Demand.of(self.template, f"replica {first + number} of {name}") for number in range(count)]

    @property
    def max_replicas(self) -> int:
        """The autoscaler's maxReplicas."""
        return int(self.scaler["spec"]["maxReplicas"])

    @property
    def replicas(self) -> int:
        """The API's replicas: the most of those desired, running, and in the autoscaler's status."""
        status = self.scaler.get("status") or {}
        running = len(workloads.owned_pods(self.deployment, self.pods))
        desired = workloads.rollout(self.deployment).desired
        return max(int(status.get("currentReplicas") or 0), desired, running)

    @property
    def surge(self) -> int:
        """The pods that a rollout of the maximum of replicas adds."""
        return workloads.max_surge(self.deployment, self.max_replicas)


@pytest.mark.gate("checklist.capacity_planning")
def test_capacity_planning(
    cluster: Cluster,
    database: Database,
    cache: Cache,
    environment: Environment,
    evidence: Evidence,
    *,
    request: pytest.FixtureRequest,
    done_load_run: LoadRun | None,
) -> None:
    """Nodes, autoscaler, connections and volumes sustain the promised load, also after the loss of a node."""
    part = environment.capacity
    snapshot = read_snapshot(cluster, environment, evidence)
    if done_load_run is None:
        sustained = stated(part, environment)
    else:  # Prometheus is asked for by a run that has loaded the target, and by no other
        sustained = measured(done_load_run, request.getfixturevalue("prometheus"), snapshot)
    check_nodes(snapshot, part, sustained, evidence)
    check_replicas(snapshot, sustained, evidence)
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
    several = workloads.one_of("HorizontalPodAutoscaler", found, deployment or {})
    evidence.check("missing or several autoscalers", several, "==", [], source="scaleTargetRef")
    maps = cluster.list("v1", "ConfigMap", part.namespace)
    return Snapshot(
        namespace=part.namespace,
        deployment=deployment or {},
        scaler=found[0],
        nodes=cluster.list("v1", "Node"),
        all_pods=cluster.list("v1", "Pod"),
        claims=cluster.list("v1", "PersistentVolumeClaim", part.namespace),
        classes=cluster.list("storage.k8s.io/v1", "StorageClass"),
        quotas=cluster.list("v1", "ResourceQuota", part.namespace),
        ranges=list_served(cluster, "v1", "LimitRange", part.namespace),
        configuration={one["metadata"]["name"]: one.get("data") or {} for one in maps},
    )


def check_nodes(
    snapshot: Snapshot, part: CapacityPart, sustained: capacity.Sustained, evidence: Evidence
) -> None:
    """Check that pods state requests and limits, and that the nodes have the capacity, also with one lost."""
    n, nodes = len(snapshot.pods), snapshot.nodes
    template = {"metadata": snapshot.deployment["metadata"], "spec": snapshot.template}
    unlimited = workloads.unlimited_containers([*snapshot.pods, template])
    source = "CPU and memory of the namespace's running pods, and of the Deployment's template"
    evidence.check("containers without requests or limits", unlimited, "==", [], n=n, source=source)
    unschedulable = sorted(
        str(pod["metadata"]["name"])
        for pod in snapshot.pods
        if workloads.condition(pod, "PodScheduled") == "False"
    )
    evidence.check("unschedulable pods", unschedulable, "==", [], n=n, source="condition PodScheduled")
    unhealthy = unhealthy_nodes(nodes)
    evidence.check("unhealthy nodes", unhealthy, "==", [], n=len(nodes), source="node conditions")
    cluster = cluster_capacity(nodes, snapshot.all_pods)
    n = len(cluster.nodes)
    source = (
        f"requests of {len(cluster.pods)} pods, {len(cluster.displaced)} of them of unusable nodes or none / "
        f"allocatable of {n} usable of {len(nodes)} nodes"
    )
    for resource, requested, limit in (
        ("CPU", cluster.cpu_requested, 1 - part.cpu_headroom),
        ("memory", cluster.memory_requested, 1 - part.memory_headroom),
    ):
        evidence.check(f"{resource} requested", requested, "<=", limit, n=n, source=source)
        largest = cluster.largest(resource.lower()) if requested > limit else []
        name = f"largest requests of {resource} where there is no headroom"
        evidence.check(name, largest, "==", [], source=source)
    name = "displaced and pending pods that fit on no node"
    evidence.check(name, cluster.unplaceable(), "==", [], source=source)
    missing = max(0, (sustained.needed or 0) - snapshot.replicas)
    remaining = cluster.unplaceable_after_loss(snapshot.further(missing))
    name = "capacity after the loss of a node"
    evidence.check(name, remaining, "==", [], source=source)


def measured(run: LoadRun, prometheus: Prometheus, snapshot: Snapshot) -> capacity.Sustained:
    """Return what the load run of this decision shows: a lower bound, as no more was asked than is promised.

    Of the replicas that were available meanwhile the most count, of the windows the worst.
    """
    result, labels = run.result, snapshot.deployment["metadata"]
    points = prometheus.query(
        f"max_over_time(kube_deployment_status_replicas_available{{namespace='{labels['namespace']}', "
        f"deployment='{labels['name']}'}}[{math.ceil(result.plan.measured_s)}s] "
        f"@ {result.measured_from + result.plan.measured_s:.3f})"
    )
    replicas = points[0].value if len(points) == 1 and points[0].value > 0 else math.nan
    accepted = min(window.accepted_per_s for window in result.windows)
    return capacity.Sustained(
        promised_per_s=result.plan.rate_per_s,
        per_replica=accepted / replicas,
        source=f"measured: {replicas:g} replicas accepted {accepted:.0f} requests/s in the load run's worst "
        "window",
    )


def stated(part: CapacityPart, environment: Environment) -> capacity.Sustained:
    """Return what the environment file states; raise the error of a missing figure."""
    each = part.requests_per_s_per_replica
    if each is None:
        raise environment.missing("capacity.requests_per_s_per_replica")
    source = f"stated, as no load run is part of this run: {each:g} requests/s per replica"
    return capacity.Sustained(promised_per_s=part.requests_per_s, per_replica=each, source=source)


def check_replicas(snapshot: Snapshot, sustained: capacity.Sustained, evidence: Evidence) -> None:
    """Check that the autoscaler can add the replicas that the promised load needs, unrefused."""
    maximum, current, name = snapshot.max_replicas, snapshot.replicas, snapshot.scaler["metadata"]["name"]
    needed = sustained.needed
    evidence.check(
        f"maximum replicas (autoscaler {name})",
        math.nan if needed is None else maximum,
        ">=",
        1 + (needed or 0),
        unit="pods",
        source=f"maxReplicas for {sustained.promised_per_s:g} requests/s, one may be lost; "
        f"{sustained.source}",
    )
    source = "autoscaler's status, Deployment and pods"
    what = f"current replicas (autoscaler {name})"
    evidence.check(what, current, "<", maximum, unit="pods", source=source)
    faults = autoscaling.scaling_faults(
        snapshot.scaler, snapshot.template, max_share=MAX_TARGET_UTILIZATION, max_seconds=MAX_SCALE_UP_S
    )
    source = f"HorizontalPodAutoscaler {name}: conditions, metrics, requests and behavior"
    evidence.check(f"reasons why autoscaler {name} cannot scale", faults, "==", [], source=source)
    further = max(0, maximum - current + snapshot.surge)
    cluster = cluster_capacity(snapshot.nodes, snapshot.all_pods)
    request = Demand.of(snapshot.template, "").requests
    unplaceable = cluster.unplaceable(snapshot.further(further))
    source = f"{request} each; up to maxReplicas and its maxSurge"
    evidence.check("additional replicas that fit on no node", unplaceable, "==", [], source=source)
    quotas = [
        *autoscaling.nearly_used_quotas(snapshot.quotas, MAX_QUOTA_USAGE),
        *autoscaling.quota_shortages(snapshot.quotas, snapshot.template, further),
    ]
    evidence.check("nearly exhausted quotas", quotas, "==", [], source="ResourceQuotas of the namespace")
    refused = autoscaling.limit_range_faults(snapshot.ranges, snapshot.template)
    evidence.check("limit ranges that refuse the API's pods", refused, "==", [], source="LimitRanges")


def check_connections(
    snapshot: Snapshot, part: CapacityPart, database: Database, environment: Environment, evidence: Evidence
) -> None:
    """Check that the maximum of replicas leaves connections unused, also during a rollout."""
    each = part.connections_per_replica
    if each is None:
        raise environment.missing("capacity.connections_per_replica")
    configured, where = pool_size(snapshot)
    name = f"connection pool size of a replica ({POOL_VARIABLE} of {where})"
    source = "capacity.connections_per_replica"
    evidence.check(name, configured or "not configured", "==", str(each), source=source)
    available = database.max_connections()
    scaled = f"peak connections at maxReplicas (autoscaler {snapshot.scaler['metadata']['name']}"
    peak = capacity.total_connections(snapshot.max_replicas, each, reserved=part.reserved_connections)
    during_rollout = peak + snapshot.surge * each
    source = (
        f"{snapshot.max_replicas} replicas at most, {each} connections each, {part.reserved_connections} "
        f"reserved; max_connections {available}"
    )
    limit = MAX_CONNECTION_USAGE * available
    of_server = f"{MAX_CONNECTION_USAGE:.0%} of max_connections"
    evidence.check(f"{scaled}; {of_server})", peak, "<=", limit, source=source)
    cap = "capacity.max_connections_cap"
    evidence.check(f"{scaled}; {cap})", peak, "<", part.max_connections_cap, source=source)
    limits = database.rows(_CONNECTION_LIMITS)
    usable = available - max((int(str(one["reserved"])) for one in limits), default=0)
    source = f"{source}, {available - usable} of them kept by the server; maxSurge"
    evidence.check(f"{scaled}; during a rollout)", during_rollout, "<=", usable, source=source)
    opened = during_rollout - part.reserved_connections
    exceeded = [
        f"{kind} may have {limit} of {opened} connections"
        for one in limits
        for kind, limit in (
            (f"database {one['datname']}", one["of_database"]),
            (f"role {one['rolname']}", one["rolconnlimit"]),
        )
        if 0 <= int(str(limit)) < opened
    ]
    source = "pg_database.datconnlimit, pg_roles.rolconnlimit"
    evidence.check("connection limits below the peak", sorted(set(exceeded)), "==", [], source=source)
    # Beyond their pools and what is reserved for others, connections are another client's: they are leaked.
    most = snapshot.replicas * each + part.reserved_connections
    source = (
        f"pg_stat_activity; {snapshot.replicas} replicas, {part.reserved_connections} reserved for others"
    )
    sessions = database.rows(_CLIENTS)
    opened = sum(int(str(one["open"])) for one in sessions)
    evidence.check("open connections", opened, "<=", most, source=source)
    clients = [
        f"{one['open']} of role {one['role']} by {one['program'] or 'an unnamed program'}"
        for one in (sessions[:3] if opened > most else ())
    ]
    evidence.check("clients with the most of too many connections", clients, "==", [], source=source)


def pool_size(snapshot: Snapshot) -> tuple[str | None, str]:
    """Return the pool size in the API's container environment, None if not configured, and where it is."""
    own = f"Deployment {snapshot.deployment['metadata']['name']}"
    for container in snapshot.template["containers"]:
        for one in container.get("env") or []:
            if one.get("name") == POOL_VARIABLE:
                ref = (one.get("valueFrom") or {}).get("configMapKeyRef") or {}
                referred = snapshot.configuration.get(str(ref.get("name")), {}).get(str(ref.get("key")))
                return one.get("value") or referred, f"ConfigMap {ref['name']}" if ref else own
        # The last source that has a key wins.
        for one in reversed(container.get("envFrom") or []):
            name = (one.get("configMapRef") or {}).get("name")
            if name and POOL_VARIABLE in snapshot.configuration.get(name, {}):
                return snapshot.configuration[name][POOL_VARIABLE], f"ConfigMap {name}"
    return None, own


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
    claims = {f"data-{names.database}-0", f"{names.backup}s"}
    fixed = capacity.unexpandable_claims(snapshot.claims, snapshot.classes, claims)
    evidence.check(
        "volumes that cannot be expanded", fixed, "==", [], source="StorageClass, allowVolumeExpansion"
    )
    largest = max((path.stat().st_size for path in directory.glob("*") if path.is_file()), default=0)
    free, source = shutil.disk_usage(directory).free, f"file system of {directory}; the largest file there"
    evidence.check("free space for the next backup", free, ">=", largest, unit="bytes", source=source)


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
    limit = capacity.memory_limit(pods, CACHE_PORT)
    maxmemory = cache_health.read(cache).maxmemory
    evidence.check(
        "maxmemory / container memory limit",
        maxmemory / limit if limit and maxmemory else None,
        "<=",
        MAX_CACHE_SHARE,
        source=f"maxmemory {maxmemory}; memory limit of the containers of {name}",
    )
