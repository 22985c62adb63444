"""An unavailable dependency causes a 503 in bounded time; the API recovers with it."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from bais_gates import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from tests.sandbox_api.conftest import AnotherApi, Business, Platform

BOUND_S = 6.0
"""The longest response time while a dependency does not respond."""


def test_a_connection_is_served_by_an_api_that_ends(another_api: Callable[..., AnotherApi]) -> None:
    """A connection made before SIGTERM gets its response; then the process ends."""
    api = another_api()
    address = (api.client.base_url.host, api.client.base_url.port)
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        time.sleep(0.1)
        api.process.terminate()
        time.sleep(0.1)
        connection.sendall(b"host: localhost\r\nconnection: close\r\n\r\n")
        response = connection.recv(65_536)

    assert response.startswith(b"HTTP/1.1 200 ")
    assert api.process.wait(timeout=10) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("part", "name"), [("postgres", "database"), pytest.param("redis", "cache", marks=pytest.mark.nightly)]
)
def test_an_outage_is_reported_in_bounded_time(own_platform: Platform, part: str, name: str) -> None:
    """A stopped dependency is named until it continues; a killed one causes no delay."""
    business = own_platform.business()
    business.payment()
    info = sandbox.status(own_platform.directory)
    assert info is not None
    with stopped(info.pids[part]):
        judge(own_platform, business, name)
    assert own_platform.eventually(
        lambda: own_platform.client.get("/ready").status_code == 200 and business.pay().status_code == 201,
        within=15,
    )
    os.kill(info.pids[part], signal.SIGKILL)
    time.sleep(0.2)
    began = time.monotonic()
    assert business.get("/api/v1/analytics/dashboard").status_code == 503
    assert own_platform.client.get("/ready").status_code == 503
    assert time.monotonic() - began < BOUND_S


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process and its children meanwhile."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    for one in family:
        one.suspend()
    try:
        yield
    finally:
        for one in family:
            one.resume()


def judge(platform: Platform, business: Business, name: str) -> None:
    """Check the responses while the dependency ``name`` of /ready is stopped."""
    client = platform.client
    ready = client.get("/ready")
    assert (ready.status_code, ready.json()["checks"][name]) == (503, "unavailable")
    assert client.get("/health").status_code == 200
    status = client.get("/api/v1/system/status").json()
    assert (status["status"], status[name]["status"]) == ("degraded", "disconnected")
    asking: list[Callable[[], httpx.Response]] = [business.pay, lambda: platform.sign_in(business.email)]
    for ask in asking:
        began = time.monotonic()
        answer = ask()
        assert time.monotonic() - began < BOUND_S
        assert answer.status_code == 503
        assert platform.error_of(answer) == "service_unavailable"
        assert int(answer.headers["retry-after"]) > 0
