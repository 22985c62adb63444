"""Check the scrape targets and the metrics: every job is up, and exposes what the rules read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from bais_gates import Environment, Evidence
from bais_gates.monitoring import live, load_shipped
from bais_gates.probes import Prometheus

SHIPPED: Final = Path(__file__).parent
UP_WITHIN_S: Final = 15.0
"""Seconds within which replaced pods must be discovered and scraped."""


@pytest.mark.gate("monitoring.targets_up")
def test_targets_up(prometheus: Prometheus, environment: Environment, evidence: Evidence) -> None:
    """Every scrape job has targets, all are up, and every metric that rules read is exposed."""
    part = environment.monitoring
    if not part.jobs:
        raise environment.missing("monitoring.jobs")
    catalogue = load_shipped(SHIPPED).catalogue
    ends_at = time.monotonic() + UP_WITHIN_S
    while True:
        targets = prometheus.targets()
        down = live.down_targets(targets, part.jobs, time.time())
        lacking = live.missing_metrics(catalogue, prometheus.labels_of, environment.name, dict(part.absent))
        if not (down or lacking) or time.monotonic() > ends_at:
            break
        time.sleep(1)

    evidence.check("scrape targets that are down", down, "==", [], n=len(targets), n_min=len(part.jobs))
    evidence.check("metrics that are not exposed", lacking, "==", [], n=len(catalogue.series), n_min=1)
    unknown = sorted({one.job for one in catalogue.series.values() if one.job} - set(part.jobs))
    evidence.check(
        "jobs of the catalogue that the environment does not name", unknown, "==", [], n=len(part.jobs)
    )
