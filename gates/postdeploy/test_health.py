"""Check after a deploy that the platform reports that it is healthy, by every replica."""

from __future__ import annotations

from typing import Final

import pytest

from bais_gates import Environment, Evidence
from bais_gates.bais import Api, ExpectedIdentity, check_health
from bais_gates.probes import Prometheus
from bais_gates.staging import record

DEPENDENCIES: Final = 'bais_dependency_up{job="bais-api"}'


@pytest.mark.gate("postdeploy.health")
def test_health(api: Api, prometheus: Prometheus, environment: Environment, evidence: Evidence) -> None:
    """The API is healthy and ready, and every replica reaches every dependency."""
    record(check_health(api, ExpectedIdentity(environment=environment.api.environment)), evidence)
    points = prometheus.query(DEPENDENCIES)
    down = sorted(f"{one.labels['part']} from {one.labels['instance']}" for one in points if one.value != 1)
    evidence.check("dependencies that are down", down, "==", [], n=len(points), source=DEPENDENCIES)
