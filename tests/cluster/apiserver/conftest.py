"""The stand-in, started once for what only it has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.conformance.server import Server, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a running stand-in."""
    with running("stand-in", tmp_path_factory.mktemp("stand-in")) as found:
        yield found


@pytest.fixture(scope="session")
def core(server: Server) -> str:
    """Return the path of the core group in a namespace of its own."""
    return f"/api/v1/namespaces/{server.new_namespace()}"
