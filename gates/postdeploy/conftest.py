"""The fixtures of the gates after a deploy: what should run, and an account that may be used there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates.bais import register_business, sign_in
from bais_gates.rollout import read_deployed

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates import Environment, GateRun, Unique
    from bais_gates.bais import Api, Business
    from bais_gates.probes import Cluster
    from bais_gates.rollout import Deployed


@pytest.fixture
def read(cluster: Cluster, environment: Environment, gate_run: GateRun) -> Callable[[], Deployed]:
    """Return how to read the API's Deployment with what should run there."""
    return lambda: read_deployed(cluster, environment, subject=gate_run.subject)


@pytest.fixture
def deployed(read: Callable[[], Deployed]) -> Deployed:
    """Return the API's Deployment with what should run there, as they are now."""
    return read()


@pytest.fixture
def tenant(api: Api, environment: Environment, unique: Unique) -> Callable[[], Business] | None:
    """Return how to sign in as the test tenant, or as a new business; None where gates may not write."""
    if environment.without_tenant:
        return None
    if not environment.describes("test_tenant"):
        return lambda: register_business(api, unique)
    part = environment.test_tenant
    return lambda: sign_in(api, part.email, part.password, unique)
