"""The staged API: this release, wholly rolled out, behind its Service and Ingress."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates import Evidence
from bais_gates.rules import workloads
from bais_gates.staging import StagedPlatform, Step, is_ready, judge, workload

NAME = "bais-api"


@pytest.mark.gate("staging.application")
def test_application(staging: StagedPlatform, evidence: Evidence) -> None:
    """Every replica of the staged API runs this release's image, is ready, and is reached by its Service."""
    staging.require(Step.APPLICATION, evidence)
    deployment = staging.named("apps/v1", "Deployment", NAME)
    evidence.require("Deployment", judge(deployment).state if deployment else "absent", "==", "ready")
    pods = [one for one in staging.list("v1", "Pod", "api") if not one["metadata"].get("deletionTimestamp")]
    _runs_this_release(staging, deployment or {}, pods, evidence)
    _has_its_replicas(staging, deployment or {}, pods, evidence)
    _is_reached(staging, pods, evidence)


def _runs_this_release(
    staging: StagedPlatform, deployment: dict[str, Any], pods: list[dict[str, Any]], evidence: Evidence
) -> None:
    running = workload.digests_running(pods)
    meant = workload.digests_meant(deployment)
    evidence.check("image running", running, "==", meant, n=len(pods), source="containerStatuses[].imageID")
    described = staging.environment.describes("release")
    image = staging.environment.release.image if described else None
    if image is not None:
        digest = image.rpartition("@")[2]
        evidence.check("image of the release", running, "==", [digest], source="release.image")


def _has_its_replicas(
    staging: StagedPlatform, deployment: dict[str, Any], pods: list[dict[str, Any]], evidence: Evidence
) -> None:
    scalers = staging.list("autoscaling/v2", "HorizontalPodAutoscaler")
    least = [
        int(one["spec"].get("minReplicas") or 1) for one in workloads.autoscalers_of(deployment, scalers)
    ]
    evidence.check("autoscalers of the API", len(least), "==", 1)
    ready = sum(map(is_ready, pods))
    evidence.check("replicas that are ready", ready, ">=", max([2, *least]), source="minReplicas, and two")
    evidence.check("pods that are not ready", len(pods) - ready, "==", 0, n=len(pods))
    evidence.check("restarts", workload.restarts(pods), "==", 0, n=len(pods))
    budgets = workloads.budgets_of(deployment, staging.list("policy/v1", "PodDisruptionBudget"))
    evidence.check("disruption budgets of the API", len(budgets), "==", 1)


def _is_reached(staging: StagedPlatform, pods: list[dict[str, Any]], evidence: Evidence) -> None:
    service = staging.named("v1", "Service", NAME)
    evidence.require("Service", "there" if service else "absent", "==", "there")
    slices = staging.list("discovery.k8s.io/v1", "EndpointSlice")
    behind = sorted(workloads.ready_endpoints(service or {}, slices))
    names = sorted(str(one["metadata"]["name"]) for one in pods if is_ready(one))
    evidence.check("pods behind the Service", behind, "==", names, source="EndpointSlices")
    evidence.check("Ingress", judge(staging.reach.ingress()).state, "==", "ready", source="its address")
    for certificate in staging.list("cert-manager.io/v1", "Certificate"):
        name = certificate["metadata"]["name"]
        evidence.check(f"Certificate {name}", judge(certificate).state, "==", "ready")
