"""The first thing asked of a release: is it there, is it this release, and does it say so at once."""

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
    """Health says healthy, this version and this environment at once, and readiness names its parts."""
    first = api.get("/health")
    evidence.require("GET /health status", first.status, "==", 200, source=first.url)
    evidence.check("GET /health contract violations", api.conforms(first, "GET", "/health"), "==", [])
    evidence.check("status", first.field("status") or "missing", "==", "healthy")
    _is_the_one_meant(first.field("version"), first.field("environment"), environment, evidence)
    _answers_each_time_anew(api, unique, limits, evidence)
    _readiness_names_its_parts(api, evidence)


def _is_the_one_meant(version: object, name: object, environment: Environment, evidence: Evidence) -> None:
    """See that the right address is not answered by the wrong release or the wrong cluster."""
    wanted = environment.api
    if wanted.version is not None:
        evidence.check("version", version or "missing", "==", wanted.version)
    else:
        evidence.check("version", str(version or ""), "matches", r"\S+")
    if wanted.environment is not None:
        evidence.check("environment", name or "missing", "==", wanted.environment)
    else:
        evidence.check("environment", str(name or ""), "matches", r"\S+")


def _answers_each_time_anew(api: Api, unique: Unique, limits: Limits, evidence: Evidence) -> None:
    """See every answer made for its request: an own id echoed, fresh ids otherwise, in time."""
    own = unique.word("request")
    echoed = api.get("/health", headers={"X-Request-ID": own}).headers.get("x-request-id")
    evidence.check("X-Request-ID echoed", echoed or "missing", "==", own)
    for _ in range(WARM_UP):
        api.get("/health")
    answers = [api.get("/health") for _ in range(SAMPLES)]
    evidence.check("statuses of repeated GET /health", sorted({one.status for one in answers}), "==", [200])
    bodies = {one.text for one in answers}
    evidence.check("different answers of repeated GET /health", len(bodies), "==", 1, n=SAMPLES)
    ids = {one.headers.get("x-request-id", "") for one in answers} - {""}
    evidence.check("different X-Request-IDs", len(ids), "==", SAMPLES, n=SAMPLES)
    typical = median(one.elapsed_ms for one in answers)
    # The tail is judged by acceptance.performance_response_time, alone on the target.
    evidence.check("typical time of GET /health", typical, "<=", limits.health_p95_ms, unit="ms", n=SAMPLES)


def _readiness_names_its_parts(api: Api, evidence: Evidence) -> None:
    ready = api.get("/ready")
    evidence.check("GET /ready status", ready.status, "==", 200, source=ready.url)
    evidence.check("GET /ready contract violations", api.conforms(ready, "GET", "/ready"), "==", [])
    evidence.check("readiness", ready.field("status") or "missing", "==", "ready")
    parts = {part: ready.field("checks", part) or "missing" for part in ("database", "cache")}
    evidence.check("parts of readiness", parts, "==", {"database": "ok", "cache": "ok"})
