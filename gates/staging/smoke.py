"""What ``bais-gates stage`` checks on the platform that it has provisioned: its health, then one payment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.bais.api import open_api
from bais_gates.bais.smoke import Expected, health, smoke

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bais_gates.staging.findings import Finding
    from bais_gates.staging.reach import Reach
    from bais_gates.targets.target import Target, Unique


def check(reach: Reach, target: Target, unique: Unique) -> Iterator[tuple[str, Finding]]:
    """Yield each comparison as it is made, with the part that it belongs to: ``health`` or ``smoke``."""
    reported = reach.configuration("bais-api")
    expected = Expected(environment=reported.get("ENVIRONMENT"), version=reported.get("VERSION"))
    api = open_api(target, reach.http())
    with api.http:
        for finding in health(api, expected):
            yield "health", finding
        for finding in smoke(api, unique, settled_within_s=target.environment.settled_within_s()):
            yield "smoke", finding
