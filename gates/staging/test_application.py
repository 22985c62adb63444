"""Check that this release's API is completely rolled out in staging, behind its Service and Ingress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bais_gates import Evidence
from bais_gates.rules.kubernetes import workloads
from bais_gates.staging import StagedPlatform, Step, judge, workload

if TYPE_CHECKING:
    from bais_gates.probes import Objects

NAME = "bais-api"


@pytest.mark.gate("staging.application")
def test_application(staging: StagedPlatform, evidence: Evidence) -> None:
    """Every replica of the staged API runs this release's image, is ready, and is reached by its Service."""
    staging.require(Step.APPLICATION, evidence)
    deployment = staging.named("apps/v1", "Deployment", NAME)
    state = judge(deployment).state if deployment else "absent"
    evidence.require(f"state (Deployment {NAME})", state, "==", "ready")
    pods = [one for one in staging.list("v1", "Pod", "api") if not one["metadata"].get("deletionTimestamp")]
    check_image(staging, deployment or {}, pods, evidence)
    check_replicas(staging, deployment or {}, pods, evidence)
    check_endpoints(staging, pods, evidence)


def check_image(
    staging: StagedPlatform, deployment: dict[str, Any], pods: Objects, evidence: Evidence
) -> None:
    """Check that the pods run the Deployment's image, and that it is the release's."""
    running, source = workload.running_digests(pods), "imageID in the pods' status"
    declared = workload.declared_digests(deployment)
    evidence.check("running image digests", running, "==", declared, n=len(pods), source=source)
    described = staging.environment.describes("release")
    image = staging.environment.release.image if described else None
    if image is not None:
        digest = image.rpartition("@")[2]
        evidence.check("running image digests (release)", running, "==", [digest], source="release.image")


def check_replicas(
    staging: StagedPlatform, deployment: dict[str, Any], pods: Objects, evidence: Evidence
) -> None:
    """Check that as many replicas as the autoscaler keeps are ready and never restarted."""
    scalers = staging.list("autoscaling/v2", "HorizontalPodAutoscaler")
    minimums = [
        int(one["spec"].get("minReplicas") or 1) for one in workloads.autoscalers_of(deployment, scalers)
    ]
    evidence.check("autoscalers (API)", len(minimums), "==", 1)
    ready = sum(map(workload.is_ready, pods))
    evidence.check("ready replicas", ready, ">=", max([2, *minimums]), source="minReplicas, at least two")
    evidence.check("unready pods", len(pods) - ready, "==", 0, n=len(pods))
    evidence.check("container restarts", workload.restarts(pods), "==", 0, n=len(pods))
    budgets = workloads.budgets_of(deployment, staging.list("policy/v1", "PodDisruptionBudget"))
    evidence.check("disruption budgets (API)", len(budgets), "==", 1)


def check_endpoints(staging: StagedPlatform, pods: Objects, evidence: Evidence) -> None:
    """Check that the Service has exactly the ready pods, and that Ingress and certificates are ready."""
    service = staging.named("v1", "Service", NAME)
    evidence.require(f"state (Service {NAME})", "present" if service else "absent", "==", "present")
    slices = staging.list("discovery.k8s.io/v1", "EndpointSlice")
    endpoints = sorted(workloads.ready_endpoints(service or {}, slices))
    names = sorted(str(one["metadata"]["name"]) for one in pods if workload.is_ready(one))
    evidence.check("Service endpoints", endpoints, "==", names, source="EndpointSlices")
    evidence.check(
        "state (Ingress)", judge(staging.reach.ingress()).state, "==", "ready", source="its address"
    )
    for certificate in staging.list("cert-manager.io/v1", "Certificate"):
        name = certificate["metadata"]["name"]
        evidence.check(f"state (Certificate {name})", judge(certificate).state, "==", "ready")
