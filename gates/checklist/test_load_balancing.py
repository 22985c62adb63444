"""Whether requests reach several replicas on several nodes, and are answered while one is taken away."""

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
from bais_gates.rules import (
    Distribution,
    count_ids,
    count_requests,
    objects,
    pod_address,
    resilience,
    workloads,
)

LOOKS: Final = 3
"""How often the objects are read until they agree: a pod may be changing just now."""
LEFT_WITHOUT_ONE_NODE: Final = 1 / 3
"""The share of the replicas that must go on when the node with the most of them is lost."""
A_REPLICA: Final = 20
"""Requests of the burst for each ready replica."""
AT_ONCE: Final = 20
HEALTH: Final = "/health"
LOG_WITHIN_S: Final = 5.0


class NotCountedError(Exception):
    """Neither metrics nor logs of the pods say which of them answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The API's objects, read together."""

    deployment: dict[str, Any]
    service: dict[str, Any]
    slices: list[dict[str, Any]]
    pods: list[dict[str, Any]]
    nodes: list[dict[str, Any]]
    scalers: list[dict[str, Any]]
    budgets: list[dict[str, Any]]

    @property
    def ready(self) -> set[str]:
        """The names of the pods that serve."""
        return {str(pod["metadata"]["name"]) for pod in self.pods if workloads.is_ready(pod)}

    @property
    def agrees(self) -> bool:
        """Whether what was read tells of one moment in which nothing was under way."""
        return (
            workloads.rollout(self.deployment).complete
            and workloads.ready_endpoints(self.service, self.slices) == self.ready
        )


@pytest.mark.gate("checklist.load_balancing")
def test_load_balancing(cluster: Cluster, api: Api, environment: Environment, evidence: Evidence) -> None:
    """Requests reach several ready replicas on several nodes, and replacing one loses no request."""
    part = environment.kubernetes
    seen = look(cluster, part.namespace, part.names.api, evidence)
    replicas(seen, evidence)
    way(seen, evidence)
    spread(seen, evidence)
    scaling(seen, evidence)
    disruption(seen, evidence)
    traffic(seen, cluster, api, environment, evidence)


def look(cluster: Cluster, namespace: str, name: str, evidence: Evidence) -> Seen:
    """Read the objects until they agree, at most three times; what is not there at all ends the gate."""
    for turn in range(LOOKS):
        deployment = cluster.named("apps/v1", "Deployment", name, namespace)
        service = cluster.named("v1", "Service", name, namespace)
        there = sorted(kind for kind, one in (("Deployment", deployment), ("Service", service)) if one)
        if len(there) < 2:
            wanted = ["Deployment", "Service"]
            evidence.require(f"objects {name}", there, "==", wanted, source=f"namespace {namespace}")
        seen = Seen(
            deployment=deployment or {},
            service=service or {},
            slices=cluster.list("discovery.k8s.io/v1", "EndpointSlice", namespace),
            pods=workloads.owned_pods(deployment or {}, cluster.list("v1", "Pod", namespace)),
            nodes=cluster.list("v1", "Node"),
            scalers=cluster.list("autoscaling/v2", "HorizontalPodAutoscaler", namespace),
            budgets=cluster.list("policy/v1", "PodDisruptionBudget", namespace),
        )
        if seen.agrees or turn == LOOKS - 1:
            break
        time.sleep(1)
    return seen


def replicas(seen: Seen, evidence: Evidence) -> None:
    """Check that every replica is there, of the present release, and serves."""
    state = workloads.rollout(seen.deployment)
    source = f"Deployment {seen.deployment['metadata']['name']}, status"
    about = "the present one" if state.current else "an older one"
    evidence.check("Deployment that its status is about", about, "==", "the present one", source=source)
    evidence.check("ready replicas", state.ready, "==", state.desired, unit="pods", source=source)
    evidence.check("replicas of the present release", state.updated, "==", state.desired, source=source)
    evidence.check("ready replicas, at least", state.ready, ">=", 2, unit="pods", source=source)


def way(seen: Seen, evidence: Evidence) -> None:
    """Check that the Service leads to exactly the pods that are ready."""
    behind = workloads.ready_endpoints(seen.service, seen.slices)
    evidence.check(
        "pods behind the Service",
        sorted(behind),
        "==",
        sorted(seen.ready),
        source="EndpointSlices, conditions.ready",
    )
    template = seen.deployment["spec"]["template"]
    evidence.check(
        "Service ports that no container opens",
        workloads.unserved_ports(seen.service, template["spec"]),
        "==",
        [],
        source="Service, targetPort",
    )
    selector = {"matchLabels": seen.service["spec"].get("selector") or {}}
    taken = bool(selector["matchLabels"]) and objects.selects(
        selector, template["metadata"].get("labels") or {}
    )
    whose = "the API's" if taken else "others"
    evidence.check("pods that the Service selects", whose, "==", "the API's", source="Service, selector")


def spread(seen: Seen, evidence: Evidence) -> None:
    """Check that no single node, and no single zone where there are several, carries all replicas."""
    ready = [pod for pod in seen.pods if workloads.is_ready(pod)]
    nodes = workloads.spread(ready, seen.nodes)
    source = f"pods' nodeName: {dict(nodes.per_domain)}"
    evidence.check("nodes that carry the API", nodes.used, ">=", 2, unit="nodes", n=len(ready), source=source)
    evidence.check(
        "replicas left without the fullest node",
        1 - nodes.largest_share,
        ">=",
        LEFT_WITHOUT_ONE_NODE,
        n=len(ready),
        source=source,
    )
    together = [finding.detail for finding in resilience.spread_findings([seen.deployment])]
    evidence.check(
        "replicas that may all be put on one node", together, "==", [], source="Deployment: spread, affinity"
    )
    zones = workloads.spread(ready, seen.nodes, workloads.ZONE)
    if zones.domains > 1:
        evidence.check(
            "zones that carry the API", zones.used, ">=", 2, n=len(ready), source=str(dict(zones.per_domain))
        )


def scaling(seen: Seen, evidence: Evidence) -> None:
    """Check that one autoscaler holds at least two replicas and sees the figures that it scales by."""
    found = workloads.autoscalers_of(seen.deployment, seen.scalers)
    names = [one["metadata"]["name"] for one in found]
    evidence.check("autoscalers of the API", len(found), "==", 1, source=f"HorizontalPodAutoscalers {names}")
    for one in found:
        source = f"HorizontalPodAutoscaler {one['metadata']['name']}"
        least = one["spec"].get("minReplicas", 1)
        evidence.check("autoscaler's least replicas", least, ">=", 2, source=f"{source}, minReplicas")
        evidence.check(
            "autoscaler's most replicas",
            one["spec"]["maxReplicas"],
            ">",
            least,
            source=f"{source}, maxReplicas",
        )
        for kind in ("ScalingActive", "AbleToScale"):
            evidence.check(f"autoscaler, {kind}", workloads.condition(one, kind), "==", "True", source=source)
        evidence.check(
            "metrics that the autoscaler does not see",
            workloads.missing_metrics(one),
            "==",
            [],
            n=len(one["spec"].get("metrics") or []),
            source=f"{source}, status.currentMetrics",
        )


def disruption(seen: Seen, evidence: Evidence) -> None:
    """Check that a node can be drained and a release rolled out without losing requests."""
    budgets = workloads.budgets_of(seen.deployment, seen.budgets)
    names = [one["metadata"]["name"] for one in budgets]
    # More than one budget for a pod makes every eviction fail.
    evidence.check(
        "disruption budgets of the API", len(budgets), "==", 1, source=f"PodDisruptionBudgets {names}"
    )
    obstacles = [reason for one in budgets for reason in workloads.budget_faults(one)]
    evidence.check(
        "obstacles to draining a node",
        obstacles,
        "==",
        [],
        n=len(budgets),
        source="PodDisruptionBudget, status",
    )
    evidence.check(
        "probes that would miss a dead replica",
        [finding.detail for finding in resilience.probe_findings([seen.deployment])],
        "==",
        [],
        source="Deployment: readiness and liveness probes; kube-linter, kube-score",
    )
    evidence.check(
        "requests lost by a rollout",
        workloads.rollout_faults(seen.deployment),
        "==",
        [],
        source="Deployment: strategy, readiness probe, preStop pause",
    )


# -- the traffic itself --


def traffic(seen: Seen, cluster: Cluster, api: Api, environment: Environment, evidence: Evidence) -> None:
    """Send a burst over new connections and count at each pod how much of it arrived there."""
    pods = sorted(
        (pod for pod in seen.pods if workloads.is_ready(pod)), key=lambda pod: pod["metadata"]["name"]
    )
    sent = A_REPLICA * max(2, len(pods))
    ids = [f"lb-{secrets.token_hex(8)}" for _ in range(sent)]
    before = told(pods, environment)
    wrong = burst(api, ids)
    evidence.check(
        "requests of the burst that were not answered with 200", wrong, "==", [], n=sent, source=HEALTH
    )
    after = told(pods, environment) if before is not None else None
    if before is not None and after is not None:
        counts = [int(now - then if now >= then else now) for then, now in zip(before, after, strict=True)]
        source = "http_request_duration_seconds_count at each pod's own /metrics, before and after"
    else:
        counts = logged(pods, ids, cluster)
        source = "the requests' ids in each pod's log"
    share = Distribution(
        sent=sent, served=tuple(zip((pod["metadata"]["name"] for pod in pods), counts, strict=True))
    )
    evidence.check("replicas that answered", share.active, ">=", 2, unit="pods", n=sent, source=source)
    evidence.check(
        "ready replicas that hardly any request reached", share.idle, "==", [], n=sent, source=source
    )
    evidence.attach("requests by replica", dict(share.served), "application/json")


def burst(api: Api, ids: list[str]) -> list[str]:
    """Send one request for each id, over a connection of its own; give what was not answered with 200."""

    def ask(request_id: str) -> str:
        answer = api.get(HEALTH, headers={"Connection": "close", "X-Request-Id": request_id})
        return "" if answer.status == 200 else f"status {answer.status}"

    wrong: list[str] = []
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        volley = fire([functools.partial(ask, one) for one in some], deadline_s=30)
        wrong += [result for result in volley.results if result] + volley.errors
    return wrong


def told(pods: list[dict[str, Any]], environment: Environment) -> list[float] | None:
    """Give what each pod's own metrics count of /health; None where one can not be asked from here."""
    part = environment.api
    at = urlsplit(part.url)
    counts = []
    for pod in pods:
        address = pod_address(pod)
        if address is None:
            return None
        ca_file = str(part.ca_file) if part.ca_file else None
        with HttpClient(
            f"{at.scheme}://{address}", ca_file=ca_file, deadline_s=2.0, server_name=at.hostname
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


def logged(pods: list[dict[str, Any]], ids: list[str], cluster: Cluster) -> list[int]:
    """Count the ids in each pod's log, once they are all there; NotCountedError when there are none."""
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
            "Which replica answered can't be seen: no pod's own /metrics can be asked from here, and no "
            "pod's log has the X-Request-Id of a request. Run the gates where the pods' addresses can be "
            "reached, or let the access log have the request id."
        )
    return counts
