"""One API server per run and kind of server, and a namespace on it that the cases share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.cluster.conformance.server import Server, named, running

_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=named())
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield the server that the case is about."""
    with running(request.param, tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture(scope="session")
def namespace(server: Server) -> str:
    """Return the cases' own namespace."""
    return server.new_namespace()


@pytest.fixture
def core(namespace: str) -> str:
    """Return the path of the core group in the namespace."""
    return f"/api/v1/namespaces/{namespace}"


@pytest.fixture
def apps(namespace: str) -> str:
    """Return the path of apps/v1 in the namespace."""
    return f"/apis/apps/v1/namespaces/{namespace}"


@pytest.fixture
def name() -> str:
    """Return a name that no other case has."""
    return f"case-{next(_numbers)}"
