"""The requests that each replica served, by its metrics or its log."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.rules.kubernetes.replicas import Distribution, count_ids, count_requests, pod_address

HISTOGRAM = """# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{method="GET",route="/health",status="200",le="0.1"} 7
http_request_duration_seconds_count{method="GET",route="/health",status="200"} 7.0
http_request_duration_seconds_count{method="GET",route="/health",status="503"} 2.0
http_request_duration_seconds_count{method="GET",route="/ready",status="200"} 90.0
"""


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        (HISTOGRAM, 9.0),
        ('http_requests_total{path="/health",code="200"} 4\nhttp_requests_total{path="/x"} 5\n', 4.0),
        ('http_requests_total{path="/health"} 4\n' + HISTOGRAM, 9.0),
        ('http_request_duration_seconds_count{route="/ready"} 3\n', 0.0),
        ('http_request_duration_seconds_count{route="/health"} 3 1700000000 # {a="b"} 1\n', 3.0),
        ('http_requests_total{path="/p/{id}"} 5\nhttp_requests_total{path="/health"} 1\n', 1.0),
        ("process_cpu_seconds_total 4\n", None),
        ("", None),
    ],
)
def test_requests_are_counted_by_route(text: str, counted: float | None) -> None:
    """All statuses of the route are added up; without a counter the result is None, not zero."""
    assert count_requests(text, "/health") == counted


def _pod(**over: Any) -> dict[str, Any]:
    ports = [{"name": "admin", "containerPort": 9000}, {"name": "https", "containerPort": 8443}]
    return {
        "metadata": {"name": "a", "annotations": over.get("annotations")},
        "spec": {"containers": [{"name": "api", "ports": ports}]},
        "status": {"podIP": over.get("ip", "10.244.0.7")},
    }


def test_the_address_of_a_pod() -> None:
    """The annotation overrides the pod's IP and port."""
    assert pod_address(_pod()) == "10.244.0.7:8443"
    assert pod_address(_pod(ip="fd00::7")) == "[fd00::7]:8443"
    assert pod_address(_pod(annotations={"sandbox.bais-gates/address": "127.0.0.1:4711"})) == "127.0.0.1:4711"
    assert pod_address(_pod(ip=None)) is None


def test_ids_are_found_in_a_log_once_each() -> None:
    """An id that occurs twice is one request."""
    assert count_ids('{"id":"a1"}\n{"id":"a1"}\n{"id":"b2"}\n', ["a1", "b2", "c3"]) == 2


@pytest.mark.parametrize(
    ("counts", "active", "idle"),
    [
        ((20, 20, 20), 3, []),
        ((40, 16, 4), 2, ["p2: 4"]),
        ((60, 0, 0), 1, ["p1: 0", "p2: 0"]),
        ((60,), 1, []),
        ((), 0, []),
    ],
)
def test_a_replica_is_active_with_a_quarter_of_an_even_share(
    counts: tuple[int, ...], active: int, idle: list[str]
) -> None:
    """The request of a probe alone does not make a replica active."""
    share = Distribution(sent=60, served=tuple((f"p{i}", count) for i, count in enumerate(counts)))

    assert (share.active, share.idle) == (active, idle)
