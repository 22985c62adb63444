"""Check latency, errors and payments since the deploy, as Prometheus has counted them.

Where gates may write, own requests are added if there are too few to judge: a quiet platform proves nothing.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from bais_gates.rollout import Deployed, Figures, read_figures

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates import Environment, Evidence
    from bais_gates.bais import Business
    from bais_gates.probes import Prometheus

LATEST_S: Final = 300.0
HOUR_S: Final = 3600.0
CONFIDENCE: Final = 0.95
READS: Final = ("/api/v1/system/status", "/api/v1/analytics/dashboard")
QUIET: Final = 200
"""Requests below which the sign-ins of gates, which take long, would be the slowest 5 %."""
SHARE_OF_LIMIT: Final = 0.8
"""The share of a token's rate limit that own requests use up."""
COUNTED_WITHIN_S: Final = 60.0
"""Seconds in which own payments are settled, and Prometheus has scraped every replica."""
PAUSE_S: Final = 0.25
AMOUNT: Final = 49.99


@pytest.mark.gate("postdeploy.payments")
def test_payments(
    deployed: Deployed,
    prometheus: Prometheus,
    tenant: Callable[[], Business] | None,
    environment: Environment,
    evidence: Evidence,
) -> None:
    """Since the deploy enough payments succeed, and not noticeably fewer than in the hour before it."""
    limits = environment.watch()
    n_min = payments_needed(limits.payments_min)
    figures = Reading(prometheus, deployed, math.inf)
    found = figures.read()
    if found.payments < n_min and tenant is not None:
        business = tenant()
        workflow = business.workflow_id(amount=AMOUNT)
        number = min(math.ceil(n_min - found.payments), own_requests(environment))
        statuses = [business.pay(workflow, amount=AMOUNT).status for _ in range(number)]
        name, share = "share of own payments that were accepted", statuses.count(201) / number
        evidence.check(name, share, ">=", limits.payments_min, n=number)
        found = figures.until(lambda now: now.payments >= n_min)
    n, source, share = int(found.payments), figures.source("payments_total"), successful(found)
    name = "share of successful payments"
    evidence.check(name, share, ">=", limits.payments_min, n=n, n_min=n_min, source=source)
    before = read_figures(prometheus, over_s=HOUR_S, ends_at=deployed.since.timestamp())
    began = deployed.since.timestamp() - HOUR_S
    if not prometheus.query(f'up{{job="bais-api"}} @ {began:.3f}') or before.payments < n_min:
        why = f"Not judged: {before.payments:.0f} payments are known of it, and {n_min} are needed."
        evidence.attach("the hour before the deploy", why, "text/plain")
        return
    name = "share of successful payments in the hour before the deploy, minus that since"
    drop = successful(before) - share
    evidence.check(name, drop, "<=", limits.payments_drop_max, n=n, n_min=n_min, source=source)


@pytest.mark.gate("postdeploy.latency_and_errors")
def test_latency_and_errors(
    deployed: Deployed,
    prometheus: Prometheus,
    tenant: Callable[[], Business] | None,
    environment: Environment,
    evidence: Evidence,
) -> None:
    """Since the deploy, at most the last 5 minutes, hardly a request failed, and p95 is within its limit."""
    limits = environment.watch()
    figures = Reading(prometheus, deployed, LATEST_S)
    found = figures.read()
    if found.requests < QUIET and tenant is not None:
        business, paths, number = tenant(), itertools.cycle(READS), own_requests(environment)
        for _ in range(number):
            business.api.get(next(paths), headers={"Connection": "close"})
        found = figures.until(lambda now: now.requests >= number)
    n, n_min, source = (
        int(found.requests),
        limits.requests_min,
        figures.source("http_request_duration_seconds"),
    )
    rate = found.errors / found.requests if found.requests else math.nan
    evidence.check("error rate", rate, "<=", limits.errors_max, n=n, n_min=n_min, source=source)
    p95, name = found.p95_ms, "p95 latency"
    evidence.check(name, p95, "<=", limits.p95_ms, unit="ms", n=n, n_min=n_min, source=source)


def payments_needed(least: float) -> int:
    """Return the fewest payments that show a share of at least ``least`` with 95 % confidence.

    That many without a failure are improbable (5 %) where the true share is lower ("rule of three").
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(least)) if 0 < least < 1 else 1000


def successful(figures: Figures) -> float:
    """Return the share of successful payments, NaN without any."""
    return figures.payments_succeeded / figures.payments if figures.payments else math.nan


def own_requests(environment: Environment) -> int:
    """Return how many requests a gate sends at most: fewer than a token may in its window."""
    return int(SHARE_OF_LIMIT * environment.rate_limit.per_token)


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads the figures since the rollout was complete, of at most the last ``most_s`` seconds."""

    prometheus: Prometheus
    deployed: Deployed
    most_s: float

    @property
    def over_s(self) -> float:
        """The seconds that are read, up to now."""
        return max(1.0, min(self.most_s, self.deployed.age_s))

    def read(self) -> Figures:
        """Return the figures up to now."""
        return read_figures(self.prometheus, over_s=self.over_s)

    def until(self, is_enough: Callable[[Figures], bool]) -> Figures:
        """Return the figures once they are enough, or the time for that is up."""
        ends_at = time.monotonic() + COUNTED_WITHIN_S
        while not is_enough(figures := self.read()) and time.monotonic() < ends_at:
            time.sleep(PAUSE_S)
        return figures

    def source(self, metric: str) -> str:
        """Return where the figures are from, for people."""
        return f"Prometheus: {metric} of the last {self.over_s:.0f} s, all replicas; {self.deployed.source}"
