"""The check of ``bais-gates deploy`` and ``rollback`` on what then runs: health, then one payment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates import Target, Unique
from bais_gates.bais import ExpectedIdentity, check_health, open_api, run_smoke_test
from bais_gates.staging import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(target: Target, unique: Unique) -> Iterator[tuple[str, Finding]]:
    """Yield each finding as it is made, with its part; in production a payment only with a test tenant."""
    environment = target.environment
    api = open_api(target)
    with api.http:
        for finding in check_health(api, ExpectedIdentity(environment=environment.api.environment)):
            yield "health", finding
        if environment.without_tenant:
            return
        for finding in run_smoke_test(api, unique, settled_within_s=environment.settled_within_s()):
            yield "smoke", finding
