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


def _may(*commands: str, categories: str = "", everywhere: bool = True) -> list[cache.Permission]:
    kinds = frozenset(categories.split())
    return [cache.Permission(command=one, categories=kinds, everywhere=everywhere) for one in commands]


@pytest.mark.parametrize(
    ("allowed", "found"),
    [
        (_may("get", "set", "eval", categories="write"), None),
        (_may("info", "role", "config|get", "client|list", "sort", categories="dangerous admin"), None),
        (_may("script|exists", "script|load", categories="scripting"), None),
        (_may("flushall", "swapdb", categories="dangerous"), "data loss (+flushall, +swapdb)"),
        (_may("migrate", "restore", categories="dangerous"), "copies of data (+migrate, +restore)"),
        (_may("psync", "monitor", categories="admin"), "copies of data (+monitor, +psync)"),
        (_may("config|set", "client|kill", categories="admin"), "administration (+config|set, +client|kill)"),
        (_may("of-a-module", categories="dangerous"), "administration (+of-a-module)"),
        (_may("function|load", categories="write"), "administration (+function|load)"),
        (_may("script|flush", categories="scripting"), "data loss (+script|flush)"),
        (_may(*"abcdefg", categories="admin"), "administration (+a, +b, +c, +d, +e and 2 more)"),
        (_may("restore", categories="dangerous", everywhere=False), "copies of data (+restore)"),
    ],
)
def test_what_only_admin_users_may_do(allowed: list[cache.Permission], found: str | None) -> None:
    """By the server's own categories: what monitors is allowed, what a module adds is judged as well."""
    assert cache.dangerous_users({"x": allowed}, ()) == ([] if found is None else [f"x: {found}"])
    assert cache.dangerous_users({"x": allowed}, ["x"]) == []


@pytest.mark.parametrize(
    ("user", "allowed", "found"),
    [
        ("app", _may("set", "eval", categories="write"), None),
        ("own", _may("set", "del", categories="write", everywhere=False), None),
        ("own", _may("set", categories="write"), "own: +set"),
        ("own", _may("expire", categories="write", everywhere=False), "own: +expire"),
        ("own", _may("eval", categories="scripting"), "own: +eval"),
        ("own", _may("publish", categories="pubsub"), "own: +publish"),
        ("own", _may("get", "function|list", "script|exists", categories="scripting"), "own: +get"),
        ("other", _may("get", categories="read"), None),
        ("other", _may("set", categories="write", everywhere=False), None),
        ("other", _may("set", categories="write"), "other: +set"),
        ("other", _may("publish", categories="pubsub"), "other: +publish"),
        ("other", _may("eval", categories="scripting"), None),
        ("overlapping", _may("set", categories="write", everywhere=False), "overlapping: +set"),
    ],
)
def test_readers_do_not_write(user: str, allowed: list[cache.Permission], found: str | None) -> None:
    """The gates' user writes its own timing keys alone; others only where they are application users."""
    permissions, keys = {user: allowed}, {"own": 0, "other": 0, "overlapping": 1}

    writers = cache.writers(permissions, own="own", application=["app"], overwritable=keys)
    assert writers == ([] if found is None else [found])
    assert (user == "own") or cache.writers(permissions, own="own", application=None) == []


SAFE = {
    "protected-mode": "yes",
    "enable-debug-command": "no",
    "replica-read-only": "yes",
    "slowlog-log-slower-than": "10000",
    "slowlog-max-len": "128",
    "port": "0",
    "tls-protocols": "TLSv1.2 TLSv1.3",
}


@pytest.mark.parametrize(
    ("over", "found"),
    [
        ({}, 0),
        ({"protected-mode": "no"}, 1),
        ({"enable-debug-command": "local", "enable-module-command": "yes"}, 2),
        ({"enable-protected-configs": "yes"}, 1),
        ({"replica-read-only": "no"}, 1),
        ({"slowlog-log-slower-than": "-1"}, 1),
        ({"slowlog-max-len": "0", "acllog-max-len": "0", "tcp-keepalive": "0"}, 3),
        ({"port": "6379"}, 1),
        ({"maxclients": "12"}, 1),
        ({"maxclients": "5000"}, 0),
        ({"tls-protocols": "TLSv1.1 TLSv1.2"}, 1),
    ],
)
def test_settings_that_open_the_server(over: dict[str, str], found: int) -> None:
    """An unknown setting is not guessed; ports are judged where the address has TLS."""
    assert len(cache.unsafe_settings(SAFE | over, tls=True)) == found
    assert cache.unsafe_settings({"port": "6379"}, tls=False) == []


@pytest.mark.parametrize(
    ("info", "replicas", "found"),
    [
        ({"role": "master", "connected_slaves": 0}, 0, None),
        ({"connected_slaves": 0, "min-replicas-to-write": "1"}, 0, "min-replicas-to-write is 1, 0 replicas"),
        ({"connected_slaves": 1, "min-replicas-to-write": "1"}, 1, None),
        ({"role": "master", "connected_slaves": 2}, 2, None),
        ({"role": "master", "connected_slaves": 2}, None, None),
        (
            {"connected_slaves": 1, "slave0": {"ip": "192.0.2.1", "port": 1}},
            0,
            "(192.0.2.1:1), 0 are declared",
        ),
        ({"role": "slave", "master_host": "192.0.2.1", "master_port": 9}, 0, "a replica of 192.0.2.1:9"),
    ],
)
def test_the_cache_is_the_primary_of_its_replicas(
    info: dict[str, Any], replicas: int | None, found: str | None
) -> None:
    """No other server copies its data, it copies no other's, and it waits for no replica that is absent."""
    settings = {key: value for key, value in info.items() if key.startswith("min-")}
    assert [
        found in fault for fault in cache.replication_faults(info, settings, replicas=replicas) if found
    ] == ([] if found is None else [True])


def test_declared_settings_are_compared_by_value() -> None:
    """Units and quotes do not matter; what the server does not report is left out."""
    declared = {"maxmemory": "64mb", "save": "", "timeout": "30", "rename-command": "A B"}

    assert cache.setting_differences(declared, {"maxmemory": "67108864", "save": "", "timeout": "0"}) == [
        "timeout: 0 in effect, 30 declared"
    ]
