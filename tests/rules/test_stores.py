"""The rules for PostgreSQL settings and for Redis."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bais_gates.probes.redis import CacheStatistics
from bais_gates.rules import cache
from bais_gates.rules.database_settings import is_same_setting


@pytest.mark.parametrize(
    ("expected", "row", "same"),
    [
        ("32MB", {"setting": "4096", "unit": "8kB", "vartype": "integer"}, True),
        ("4096", {"setting": "4096", "unit": "8kB", "vartype": "integer"}, True),
        ("31MB", {"setting": "4096", "unit": "8kB", "vartype": "integer"}, False),
        ("60s", {"setting": "60000", "unit": "ms", "vartype": "integer"}, True),
        ("1min", {"setting": "60000", "unit": "ms", "vartype": "integer"}, True),
        ("5min", {"setting": "300", "unit": "s", "vartype": "integer"}, True),
        ("1GB", {"setting": "1024", "unit": "MB", "vartype": "integer"}, True),
        ("0.2", {"setting": "0.2", "unit": None, "vartype": "real"}, True),
        ("a lot", {"setting": "100", "unit": None, "vartype": "integer"}, False),
        ("true", {"setting": "on", "unit": None, "vartype": "bool"}, True),
        ("off", {"setting": "on", "unit": None, "vartype": "bool"}, False),
        ("scram-sha-256", {"setting": "scram-sha-256", "unit": None, "vartype": "enum"}, True),
        ("GMT", {"setting": "GMT", "unit": None, "vartype": "string"}, True),
    ],
)
def test_settings_are_compared_by_value(expected: str, row: dict[str, Any], same: bool) -> None:
    """Units, booleans and words as PostgreSQL reads them."""
    assert is_same_setting(expected, row) is same


def _counted(hits: int, misses: int) -> CacheStatistics:
    return CacheStatistics(hits=hits, misses=misses, commands=0)


@pytest.mark.parametrize(
    ("before", "after", "ratio", "n"),
    [
        (_counted(10, 10), _counted(19, 11), 0.9, 10),
        (_counted(10, 10), _counted(3, 1), 0.75, 4),
        (_counted(0, 50), _counted(100, 50), 1.0, 100),
    ],
)
def test_the_hit_ratio_between_two_readings(
    before: CacheStatistics, after: CacheStatistics, ratio: float, n: int
) -> None:
    """Also after a restart of the server."""
    assert cache.hit_ratio_between(before, after) == (ratio, n)


def test_the_hit_ratio_without_lookups() -> None:
    """It is NaN, which fails every limit."""
    ratio, n = cache.hit_ratio_between(_counted(5, 5), _counted(5, 5))

    assert n == 0
    assert math.isnan(ratio)


@pytest.mark.parametrize(
    ("text", "count"),
    [("64mb", 67108864), (100, 100), ("1g", 10**9), ("2GB", 2**31), ("5k", 5000), ("7b", 7)],
)
def test_amounts_of_memory(text: object, count: int) -> None:
    """Units with b are powers of 1024, others of 1000."""
    assert cache.parse_memory(text) == count


@pytest.mark.parametrize("text", ["", "mb", "much", "1tb", "1.5gb", "-1"])
def test_an_invalid_amount_of_memory_is_an_error(text: str) -> None:
    """No unit or number is guessed."""
    with pytest.raises(ValueError, match="not an amount"):
        cache.parse_memory(text)


@pytest.mark.parametrize(
    ("url", "encrypted"),
    [
        ("rediss://cache:6379", True),
        ("redis://cache:6379", False),
        ("redis://192.0.2.1:6379", False),
        ("redis://127.0.0.1:6379", None),
        ("redis://localhost:6379", None),
        ("unix:///run/redis.sock", None),
    ],
)
def test_a_cache_needs_tls_over_a_network(url: str, encrypted: bool | None) -> None:
    """Loopback and sockets need no TLS; other hosts do."""
    assert cache.is_encrypted(url) is encrypted
