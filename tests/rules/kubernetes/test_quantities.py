"""Kubernetes quantities, and what the scheduler counts for a pod."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bais_gates.rules.kubernetes.quantities import (
    QuantityError,
    Resources,
    parse_quantity,
    pod_limits,
    pod_requests,
    total,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("250m", "0.25"),
        ("1", "1"),
        (2, "2"),
        ("0.5", "0.5"),
        (".5", "0.5"),
        ("1Gi", "1073741824"),
        ("1G", "1000000000"),
        ("128Mi", "134217728"),
        ("1Ki", "1024"),
        ("1k", "1000"),
        ("100u", "0.0001"),
        ("5n", "0.000000005"),
        ("1E", "1000000000000000000"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("12e-1", "1.2"),
        ("-1", "-1"),
        ("+3Mi", "3145728"),
    ],
)
def test_a_quantity_is_the_number_that_the_api_server_reads(text: object, number: str) -> None:
    """Suffixes to the base of ten and of two, exponents, signs."""
    assert parse_quantity(text) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", "m", "1 Gi", "1GiB", "NaN", "Infinity", "1_000", "1mi", "1,5", None, True, 1.5]
)
def test_what_the_api_server_refuses_is_no_quantity(text: object) -> None:
    """Spaces, other units, words and other types are errors that quote the text."""
    with pytest.raises(QuantityError, match="not a Kubernetes quantity"):
        parse_quantity(text)


def _container(cpu: str, memory: str, **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}


@pytest.mark.parametrize(
    ("spec", "cpu", "memory"),
    [
        ({"containers": [_container("100m", "1Mi"), _container("200m", "2Mi")]}, "0.3", 3),
        ({"containers": [_container("100m", "4Mi")], "initContainers": [_container("1", "1Mi")]}, "1", 4),
        (
            {
                "containers": [_container("100m", "1Mi")],
                "initContainers": [_container("200m", "1Mi", restartPolicy="Always"), _container("1", "1Mi")],
            },
            "1.2",
            2,
        ),
        ({"containers": [_container("100m", "1Mi")], "overhead": {"cpu": "50m", "memory": "1Mi"}}, "0.15", 2),
        ({"containers": [{"resources": {"limits": {"cpu": "2", "memory": "8Mi"}}}]}, "2", 8),
        ({"containers": [_container("100m", "1Mi")], "resources": {"requests": {"cpu": "3"}}}, "3", 1),
        ({"containers": [{}]}, "0", 0),
    ],
    ids=["sum", "largest init", "sidecar", "overhead", "limit is request", "pod level", "nothing"],
)
def test_a_pod_requests_what_the_scheduler_counts(spec: dict[str, Any], cpu: str, memory: int) -> None:
    """Containers and sidecars together, or the largest init container; and the overhead."""
    counted = pod_requests(spec)

    assert (counted.cpu, counted.memory, counted.pods) == (Decimal(cpu), Decimal(memory * 2**20), 1)


def test_a_pods_limits_are_added_up_as_its_requests_are() -> None:
    """A request is no limit; ephemeral storage counts with both."""
    container = {"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "ephemeral-storage": "1Mi"}}}
    spec = {"containers": [container], "initContainers": [{"resources": {"limits": {"cpu": "3"}}}]}

    assert pod_limits(spec) == Resources(cpu=Decimal(3), storage=Decimal(2**20))
    assert pod_requests(spec).storage == 2**20
    assert str(pod_requests(spec)) == "3 CPUs and 0 MiB"


def test_amounts_add_up_and_fit_part_by_part() -> None:
    """An amount fits if none of its resources is above the free amount."""
    small, large = Resources(cpu=Decimal(1), memory=Decimal(5)), Resources(cpu=Decimal(2), memory=Decimal(4))

    assert total([small, large]) == Resources(cpu=Decimal(3), memory=Decimal(9))
    assert not small.fits_into(large)
    assert small.fits_into(large.maximum(small))
    assert (large - small).fits_into(Resources(cpu=Decimal(1)))
