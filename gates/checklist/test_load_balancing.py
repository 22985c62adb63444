"""Check the load balancing: replicas, endpoints, spread, autoscaler, disruption budget and real traffic."""

from __future__ import annotations

import functools
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from bais_gates import Environment, Evidence
from bais_gates.bais import Api
from bais_gates.probes import Cluster, HttpClient, Unreachable, fire
from bais_gates.rules.kubernetes import (
    Distribution,
    count_ids,
    count_requests,
    objects,
    pod_address,
    resilience,
    workloads,
)

READINGS: Final = 3
"""How often the objects are read until they are consistent, as a pod may be changing."""
MIN_SHARE_AFTER_LOSS: Final = 1 / 3
"""The share of the replicas that must remain when the node with the most of them is lost."""
REQUESTS_PER_REPLICA: Final = 20
CONCURRENCY: Final = 20
HEALTH: Final = "/health"
LOG_WITHIN_S: Final = 5.0


class NotCountedError(Exception):
    """Neither the metrics nor the logs of the pods show which of them served a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The API's objects, read together."""

    deployment: dict[str, Any]
    service: dict[str, Any]
    slices: list[dict[str, Any]]
    pods: list[dict[str, Any]]
    nodes: list[dict[str, Any]]
    scalers: list[dict[str, Any]]
    budgets: list[dict[str, Any]]

    @property
    def name(self) -> str:
        """The Deployment, as reports print it."""
        return f"Deployment {self.deployment['metadata']['name']}"

    @property
    def ready(self) -> set[str]:
        """The names of the ready pods."""
        return {str(pod["metadata"]["name"]) for pod in self.pods if workloads.is_ready(pod)}

    @property
    def consistent(self) -> bool:
        """Whether the objects are of one moment at which no change was in progress."""
        return (
            workloads.rollout(self.deployment).complete
            and workloads.ready_endpoints(self.service, self.slices) == self.ready
        )


@pytest.mark.gate("checklist.load_balancing")
def test_load_balancing(cluster: Cluster, api: Api, environment: Environment, evidence: Evidence) -> None:
    """Requests reach several ready replicas on several nodes, and replacing one loses no request."""
    part = environment.kubernetes
    snapshot = read_snapshot(cluster, part.namespace, part.names.api, evidence)
    check_replicas(snapshot, evidence)
    check_service(snapshot, evidence)
    check_spread(snapshot, evidence)
    check_autoscaler(snapshot, evidence)
    check_disruption(snapshot, evidence)
    check_traffic(snapshot, cluster, api, environment, evidence)


def read_snapshot(cluster: Cluster, namespace: str, name: str, evidence: Evidence) -> Snapshot:
    """Read the objects until they are consistent, at most three times; end the gate if one is absent."""
    for turn in range(READINGS):
        deployment = cluster.named("apps/v1", "Deployment", name, namespace)
        service = cluster.named("v1", "Service", name, namespace)
        absent = [kind for kind, one in (("Deployment", deployment), ("Service", service)) if not one]
        if absent:
            source = f"namespace {namespace}"
            evidence.require(f"absent objects ({name})", absent, "==", [], source=source)
        snapshot = Snapshot(
            deployment=deployment or {},
            service=service or {},
            slices=cluster.list("discovery.k8s.io/v1", "EndpointSlice", namespace),
            pods=workloads.owned_pods(deployment or {}, cluster.list("v1", "Pod", namespace)),
            nodes=cluster.list("v1", "Node"),
            scalers=cluster.list("autoscaling/v2", "HorizontalPodAutoscaler", namespace),
            budgets=cluster.list("policy/v1", "PodDisruptionBudget", namespace),
        )
        if snapshot.consistent or turn == READINGS - 1:
            break
        time.sleep(1)
    return snapshot


def check_replicas(snapshot: Snapshot, evidence: Evidence) -> None:
    """Check that every replica is up to date and ready, and that there are at least two."""
    state = workloads.rollout(snapshot.deployment)
    name, source = snapshot.name, f"{snapshot.name}, status"
    generation = "current" if state.current else "outdated"
    evidence.check(f"observed generation ({name})", generation, "==", "current", source=source)
    evidence.check(f"ready replicas ({name})", state.ready, "==", state.desired, unit="pods", source=source)
    evidence.check(f"updated replicas ({name})", state.updated, "==", state.desired, source=source)
    evidence.check(f"ready replicas (minimum, {name})", state.ready, ">=", 2, unit="pods", source=source)


def check_service(snapshot: Snapshot, evidence: Evidence) -> None:
    """Check that the Service leads to exactly the ready pods."""
    endpoints = sorted(workloads.ready_endpoints(snapshot.service, snapshot.slices))
    source = "EndpointSlices, conditions.ready"
    name = f"Service {snapshot.service['metadata']['name']}"
    evidence.check(f"endpoints of {name}", endpoints, "==", sorted(snapshot.ready), source=source)
    template = snapshot.deployment["spec"]["template"]
    unserved = workloads.unserved_ports(snapshot.service, template["spec"])
    what = f"ports of {name} without a container port"
    evidence.check(what, unserved, "==", [], source="targetPort")
    labels = template["metadata"].get("labels") or {}
    selector = {"matchLabels": snapshot.service["spec"].get("selector") or {}}
    selects = bool(selector["matchLabels"]) and objects.selects(selector, labels)
    faults = workloads.service_faults(snapshot.service)
    what = f"settings of {name} that misdirect requests"
    evidence.check(what, faults, "==", [], source="Service, spec")
    selected = "the API's" if selects else "others or none"
    evidence.check(f"pods selected by {name}", selected, "==", "the API's", source="Service, selector")
    foreign = workloads.foreign_pods(snapshot.service, snapshot.deployment, snapshot.pods)
    what = f"pods selected by {name} that are not of {snapshot.name}"
    evidence.check(what, foreign, "==", [], source="ownerReferences")


def check_spread(snapshot: Snapshot, evidence: Evidence) -> None:
    """Check that no single node, and no single zone where there are several, runs all replicas."""
    ready = [pod for pod in snapshot.pods if workloads.is_ready(pod)]
    n = len(ready)
    nodes = workloads.spread(ready, snapshot.nodes)
    source = "nodeName: " + ", ".join(f"{count} on {name}" for name, count in nodes.per_domain)
    name = f"nodes with replicas of {snapshot.name}"
    evidence.check(name, nodes.used, ">=", 2, unit="nodes", n=n, source=source)
    crowded = nodes.crowded(1 - MIN_SHARE_AFTER_LOSS)
    name = f"nodes with more than {1 - MIN_SHARE_AFTER_LOSS:.0%} of the replicas of {snapshot.name}"
    evidence.check(name, crowded, "==", [], n=n, source=source)
    faults = [finding.detail for finding in resilience.spread_findings([snapshot.deployment])]
    source = "topologySpreadConstraints, affinity"
    evidence.check(f"spread faults ({snapshot.name})", faults, "==", [], source=source)
    zones = workloads.spread(ready, snapshot.nodes, workloads.ZONE)
    if zones.domains > 1:
        source = "zone label: " + ", ".join(f"{count} in {name}" for name, count in zones.per_domain)
        evidence.check(f"zones with replicas of {snapshot.name}", zones.used, ">=", 2, n=n, source=source)


def check_autoscaler(snapshot: Snapshot, evidence: Evidence) -> None:
    """Check that one autoscaler keeps at least two replicas and receives the metrics that it scales by."""
    found = workloads.autoscalers_of(snapshot.deployment, snapshot.scalers)
    several = workloads.one_of("HorizontalPodAutoscaler", found, snapshot.deployment)
    evidence.check("missing or several autoscalers", several, "==", [], source="scaleTargetRef")
    for one in found:
        scaler = f"autoscaler {one['metadata']['name']}"
        source = f"HorizontalPodAutoscaler {one['metadata']['name']}"
        least, most = one["spec"].get("minReplicas", 1), one["spec"]["maxReplicas"]
        evidence.check(f"minimum replicas ({scaler})", least, ">=", 2, source=f"{source}, minReplicas")
        evidence.check(f"maximum replicas ({scaler})", most, ">", least, source=f"{source}, maxReplicas")
        for kind in ("ScalingActive", "AbleToScale"):
            status = workloads.condition(one, kind)
            evidence.check(f"condition {kind} ({scaler})", status, "==", "True", source=source)
        missing, n = workloads.missing_metrics(one), len(one["spec"].get("metrics") or [])
        source = f"{source}, status.currentMetrics"
        evidence.check(f"metrics missing from {scaler}", missing, "==", [], n=n, source=source)


def check_disruption(snapshot: Snapshot, evidence: Evidence) -> None:
    """Check that a node can be drained and a release rolled out without losing requests."""
    budgets = workloads.budgets_of(snapshot.deployment, snapshot.budgets)
    several = workloads.one_of("PodDisruptionBudget", budgets, snapshot.deployment)
    evidence.check("missing or several disruption budgets", several, "==", [], source="selectors")
    faults = [
        f"PodDisruptionBudget {one['metadata']['name']}: {fault}"
        for one in budgets
        for fault in workloads.budget_faults(one)
    ]
    evidence.check("disruption budget faults", faults, "==", [], source="PodDisruptionBudget, status")
    blocking = workloads.blocking_budgets(one for one in snapshot.budgets if one not in budgets)
    name = "other disruption budgets that block the drain of a node"
    evidence.check(name, blocking, "==", [], source="kube-linter pdb-max-unavailable")
    faults = [finding.detail for finding in resilience.probe_findings([snapshot.deployment])]
    source = "readiness and liveness probes; kube-linter, kube-score"
    evidence.check(f"probe faults ({snapshot.name})", faults, "==", [], source=source)
    faults = workloads.rollout_faults(snapshot.deployment)
    source = "strategy, readiness probe, preStop hook"
    evidence.check(f"rollout faults ({snapshot.name})", faults, "==", [], source=source)


def check_traffic(
    snapshot: Snapshot, cluster: Cluster, api: Api, environment: Environment, evidence: Evidence
) -> None:
    """Send a burst over new connections and count the requests that each pod served."""
    ready = (pod for pod in snapshot.pods if workloads.is_ready(pod))
    pods = sorted(ready, key=lambda pod: pod["metadata"]["name"])
    n = REQUESTS_PER_REPLICA * max(2, len(pods))
    ids = [f"lb-{secrets.token_hex(8)}" for _ in range(n)]
    before = count_by_metrics(pods, environment)
    wrong = send_burst(api, ids)
    evidence.check("responses other than 200 (burst)", wrong, "==", [], n=n, source=f"GET {HEALTH}")
    after = count_by_metrics(pods, environment) if before is not None else None
    if before is not None and after is not None:
        counts = [int(now - then if now >= then else now) for then, now in zip(before, after, strict=True)]
        source = "http_request_duration_seconds_count of each pod's /metrics, before and after"
    else:
        counts = count_by_logs(pods, ids, cluster)
        source = "request ids in each pod's log"
    names = (pod["metadata"]["name"] for pod in pods)
    distribution = Distribution(sent=n, served=tuple(zip(names, counts, strict=True)))
    active, idle = distribution.active, distribution.idle
    evidence.check("replicas that served requests", active, ">=", 2, unit="pods", n=n, source=source)
    evidence.check("ready replicas with hardly any requests", idle, "==", [], n=n, source=source)
    evidence.attach("requests per replica", dict(distribution.served), "application/json")


def send_burst(api: Api, ids: list[str]) -> list[str]:
    """Send one request per id, each over its own connection; return errors and statuses other than 200."""

    def send(request_id: str) -> str:
        answer = api.get(HEALTH, headers={"Connection": "close", "X-Request-Id": request_id})
        return "" if answer.status == 200 else f"status {answer.status}"

    wrong: list[str] = []
    for start in range(0, len(ids), CONCURRENCY):
        batch = ids[start : start + CONCURRENCY]
        volley = fire([functools.partial(send, one) for one in batch], deadline_s=30)
        wrong += [result for result in volley.results if result] + volley.errors
    return wrong


def count_by_metrics(pods: list[dict[str, Any]], environment: Environment) -> list[float] | None:
    """Return each pod's count of requests GET /health by its own metrics; None if one is not reachable."""
    part = environment.api
    url = urlsplit(part.url)
    counts = []
    for pod in pods:
        address = pod_address(pod)
        if address is None:
            return None
        with HttpClient(
            f"{url.scheme}://{address}", ca_file=part.ca_file, deadline_s=2.0, server_name=url.hostname
        ) as client:
            try:
                answer = client.request("GET", "/metrics", headers={"Accept": "text/plain"})
            except Unreachable:
                return None
        count = count_requests(answer.text, HEALTH) if answer.status == 200 else None
        if count is None:
            return None
        counts.append(count)
    return counts


def count_by_logs(pods: list[dict[str, Any]], ids: list[str], cluster: Cluster) -> list[int]:
    """Return how many of the ids each pod's log has, once all are logged; raise NotCountedError for none."""
    deadline = time.monotonic() + LOG_WITHIN_S
    while True:
        counts = [
            count_ids(
                cluster.logs(
                    pod["metadata"]["namespace"],
                    pod["metadata"]["name"],
                    pod["spec"]["containers"][0]["name"],
                    tail=10 * len(ids),
                ),
                ids,
            )
            for pod in pods
        ]
        if sum(counts) >= len(ids) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    if not any(counts):
        raise NotCountedError(
            "Which replica served a request is unknown: the pods' own /metrics are not reachable from here, "
            "and no pod's log has the X-Request-Id of a request. Run the gates where the pods' addresses "
            "are reachable, or write the request id to the access log."
        )
    return counts
