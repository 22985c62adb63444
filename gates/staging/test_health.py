"""Check that the staged platform reports that it is healthy, and that its pods are."""

from __future__ import annotations

import pytest

from bais_gates import Evidence, Target
from bais_gates.bais import ExpectedIdentity, check_health, open_api
from bais_gates.staging import StagedPlatform, Step, record, workload


@pytest.mark.gate("staging.health")
def test_health(staging: StagedPlatform, target: Target, evidence: Evidence) -> None:
    """Through the Ingress the staged API is healthy, is this release, and reaches its database and cache."""
    staging.require(Step.APPLICATION, evidence)
    configured = staging.reach.configuration("bais-api")
    described = staging.environment.describes("release")
    version = (staging.environment.release.version if described else None) or configured.get("VERSION")
    expected = ExpectedIdentity(environment=configured.get("ENVIRONMENT"), version=version)
    api = open_api(target, staging.reach.http_client())
    with api.http:
        record(check_health(api, expected), evidence)
    pods = staging.list("v1", "Pod")
    problems = sorted(one.text for one in map(workload.find_problem, pods) if one is not None)
    evidence.check("failing pods", problems, "==", [], n=len(pods))
    evidence.check("container restarts", workload.restarts(pods), "==", 0, n=len(pods))
