"""The staged platform says it is well, by the way that callers take, and its pods agree."""

from __future__ import annotations

import pytest

from bais_gates import Evidence, Target
from bais_gates.bais import ExpectedIdentity, check_health, open_api
from bais_gates.staging import StagedPlatform, Step, record, trouble, workload


@pytest.mark.gate("staging.health")
def test_health(staging: StagedPlatform, target: Target, evidence: Evidence) -> None:
    """Asked through the Ingress the staged API is healthy, is the one meant, and reaches its own parts."""
    staging.require(Step.APPLICATION, evidence)
    told = staging.reach.configuration("bais-api")
    described = staging.environment.describes("release")
    version = (staging.environment.release.version if described else None) or told.get("VERSION")
    api = open_api(target, staging.reach.http())
    with api.http:
        record(
            check_health(api, ExpectedIdentity(environment=told.get("ENVIRONMENT"), version=version)),
            evidence,
        )
    pods = staging.list("v1", "Pod")
    unwell = sorted(one.sentence for one in map(trouble, pods) if one is not None)
    evidence.check("pods in trouble", unwell, "==", [], n=len(pods))
    evidence.check("restarts of all containers", workload.restarts(pods), "==", 0, n=len(pods))
