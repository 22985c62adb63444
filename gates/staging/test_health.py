"""The staged platform says it is well, by the way that callers take, and its pods agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates.bais.api import open_api
from bais_gates.bais.smoke import Expected, health
from bais_gates.staging import workload
from bais_gates.staging.plan import Step
from bais_gates.staging.pods import trouble
from bais_gates.staging.view import record

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.evidence import Evidence
    from bais_gates.staging.view import StagedPlatform
    from bais_gates.targets.target import Target


@pytest.mark.gate("staging.health")
def test_health(staging: StagedPlatform, target: Target, evidence: Evidence) -> None:
    """Asked through the Ingress the staged API is healthy, is the one meant, and reaches its own parts."""
    staging.require(Step.APPLICATION, evidence)
    told = staging.reach.configuration("bais-api")
    described = staging.environment.describes("release")
    version = (staging.environment.release.version if described else None) or told.get("VERSION")
    api = open_api(target, staging.reach.http())
    with api.http:
        record(health(api, Expected(environment=told.get("ENVIRONMENT"), version=version)), evidence)
    pods = staging.list("v1", "Pod")
    unwell = sorted(one.sentence for one in map(trouble, pods) if one is not None)
    evidence.check("pods in trouble", unwell, "==", [], n=len(pods))
    evidence.check("restarts of all containers", workload.restarts(pods), "==", 0, n=len(pods))
