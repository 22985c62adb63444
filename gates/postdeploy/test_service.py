"""Check after a deploy that the API serves: it is healthy, by every replica, and takes a payment."""

from __future__ import annotations

from typing import Final

import pytest

from bais_gates import Environment, Evidence, Unique
from bais_gates.bais import Api, ExpectedIdentity, SmokeObjects, check_health, run_smoke_test
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


@pytest.mark.gate("postdeploy.smoke")
def test_smoke(api: Api, unique: Unique, environment: Environment, evidence: Evidence) -> None:
    """A business registers, signs in, takes one payment and reads it back."""
    made = SmokeObjects()
    settled_within_s = environment.settled_within_s()
    record(run_smoke_test(api, unique, settled_within_s=settled_within_s, made=made), evidence)
    evidence.check("payment (smoke test)", "taken" if made.payment_id else "not taken", "==", "taken")
