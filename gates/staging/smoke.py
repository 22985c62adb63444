"""The check of ``bais-gates stage`` on the platform that it has provisioned: health, then one payment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates import Target, Unique
from bais_gates.bais import ExpectedIdentity, check_health, open_api, run_smoke_test
from bais_gates.staging import Finding, Reach

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(reach: Reach, target: Target, unique: Unique) -> Iterator[tuple[str, Finding]]:
    """Yield each finding as it is made, with its part: ``health`` or ``smoke``."""
    configured = reach.configuration("bais-api")
    expected = ExpectedIdentity(environment=configured.get("ENVIRONMENT"), version=configured.get("VERSION"))
    api = open_api(target, reach.http_client())
    with api.http:
        for finding in check_health(api, expected):
            yield "health", finding
        for finding in run_smoke_test(api, unique, settled_within_s=target.environment.settled_within_s()):
            yield "smoke", finding
