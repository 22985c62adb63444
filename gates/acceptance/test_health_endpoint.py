"""Check the health and readiness endpoints: the intended release answers, at once, for each request anew."""

from __future__ import annotations

from statistics import median

import pytest

from bais_gates import Environment, Evidence, Limits, Unique
from bais_gates.bais import Api

WARM_UP = 3
SAMPLES = 25


@pytest.mark.gate("acceptance.health_endpoint")
def test_health_endpoint(
    api: Api, environment: Environment, limits: Limits, unique: Unique, evidence: Evidence
) -> None:
    """GET /health reports healthy, this version and environment, in time; GET /ready its components as ok."""
    first = api.get("/health")
    evidence.require("status (GET /health)", first.status, "==", 200, source=first.url)
    evidence.check("contract violations (GET /health)", api.conforms(first, "GET", "/health"), "==", [])
    evidence.check("reported status", first.field("status") or "missing", "==", "healthy")
    check_release(first.field("version"), first.field("environment"), environment, evidence)
    check_repeated_requests(api, unique, limits, evidence)
    check_readiness(api, evidence)


def check_release(version: object, name: object, environment: Environment, evidence: Evidence) -> None:
    """Check that neither the wrong release nor the wrong cluster answers at this address."""
    expected = environment.api
    if expected.version is not None:
        evidence.check("reported version", version or "missing", "==", expected.version)
    else:
        evidence.check("reported version", str(version or ""), "matches", r"\S+")
    if expected.environment is not None:
        evidence.check("reported environment", name or "missing", "==", expected.environment)
    else:
        evidence.check("reported environment", str(name or ""), "matches", r"\S+")


def check_repeated_requests(api: Api, unique: Unique, limits: Limits, evidence: Evidence) -> None:
    """Check that each response is made for its request: own id echoed, new ids otherwise, in time."""
    request_id = unique.word("request")
    echoed = api.get("/health", headers={"X-Request-ID": request_id}).headers.get("x-request-id")
    evidence.check("echoed X-Request-ID", echoed or "missing", "==", request_id)
    for _ in range(WARM_UP):
        api.get("/health")
    answers = [api.get("/health") for _ in range(SAMPLES)]
    evidence.check("statuses (repeated GET /health)", sorted({one.status for one in answers}), "==", [200])
    bodies = {one.text for one in answers}
    evidence.check("distinct bodies (repeated GET /health)", len(bodies), "==", 1, n=SAMPLES)
    ids = {one.headers.get("x-request-id", "") for one in answers} - {""}
    evidence.check("distinct X-Request-IDs (repeated GET /health)", len(ids), "==", SAMPLES, n=SAMPLES)
    typical = median(one.elapsed_ms for one in answers)
    # acceptance.performance_response_time checks the tail, while nothing else loads the target.
    evidence.check("median latency (GET /health)", typical, "<=", limits.health_p95_ms, unit="ms", n=SAMPLES)


def check_readiness(api: Api, evidence: Evidence) -> None:
    """Check that GET /ready reports the platform and its components as ready."""
    ready = api.get("/ready")
    evidence.check("status (GET /ready)", ready.status, "==", 200, source=ready.url)
    evidence.check("contract violations (GET /ready)", api.conforms(ready, "GET", "/ready"), "==", [])
    evidence.check("reported readiness", ready.field("status") or "missing", "==", "ready")
    components = {name: ready.field("checks", name) or "missing" for name in ("database", "cache")}
    evidence.check("reported components (GET /ready)", components, "==", {"database": "ok", "cache": "ok"})
