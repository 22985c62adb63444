"""Check the availability: the share of requests that did not end in an error of the server."""

from __future__ import annotations

import math
import time
from typing import Final

import pytest

from bais_gates import Environment, Evidence
from bais_gates.bais import Api
from bais_gates.probes import Prometheus

REQUESTS: Final = 'http_request_duration_seconds_count{job="bais-api"}'
ERRORS: Final = 'http_request_duration_seconds_count{job="bais-api", status=~"5.."}'
SCRAPED_WITHIN_S: Final = 15.0
LIFE: Final = "run"


@pytest.mark.gate("monitoring.availability")
def test_availability(prometheus: Prometheus, api: Api, environment: Environment, evidence: Evidence) -> None:
    """Over the environment's window, the share of requests without a 5xx is at least its target."""
    part = environment.monitoring
    n_min = math.ceil(1 / (1 - part.availability_min)) if part.availability_min < 1 else 1000
    if part.availability_window == LIFE:
        requests, errors = since_start(prometheus, api, n_min)
        has_history = True
    else:
        window = part.availability_window
        requests = total(prometheus, f"sum(increase({REQUESTS}[{window}]))")
        errors = total(prometheus, f"sum(increase({ERRORS}[{window}]))")
        oldest = f'count(count_over_time(up{{job="bais-api"}}[1h] offset {window}))'
        has_history = total(prometheus, oldest) > 0
    evidence.check(
        f"availability ({part.availability_window})",
        1 - errors / requests if has_history and requests > 0 else math.nan,
        ">=",
        part.availability_min,
        n=int(requests),
        n_min=n_min,
        source=None if has_history else f"Prometheus has no samples that are {part.availability_window} old",
    )


def since_start(prometheus: Prometheus, api: Api, n_min: int) -> tuple[float, float]:
    """Return the requests and errors of a target's whole life; few requests are topped up first.

    Its replicas' counters start at 0, and those of replicas that ended keep their last value.
    """
    before = total(prometheus, f"sum(last_over_time({REQUESTS}[1d]))")
    for _ in range(int(n_min - before) if before < n_min else 0):
        api.get("/health")
    ends_at = time.monotonic() + SCRAPED_WITHIN_S
    while True:
        requests = total(prometheus, f"sum(last_over_time({REQUESTS}[1d]))")
        if requests >= n_min or time.monotonic() > ends_at:
            return requests, total(prometheus, f"sum(last_over_time({ERRORS}[1d]))")
        time.sleep(0.5)


def total(prometheus: Prometheus, expression: str) -> float:
    """Return the one value of an expression; 0 without a series."""
    return sum(point.value for point in prometheus.query(expression))
