"""What real stores say of themselves is read; a role that may not see it is an error, not an empty answer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bais_gates import sandbox
from bais_gates.probes import cache_health, database_health
from bais_gates.probes.postgres import Database, DatabaseError
from bais_gates.probes.redis import Cache, CacheStatistics
from bais_gates.targets.environment import load_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bais_gates.targets.environment import Environment


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Start a sandbox for its stores."""
    directory = tmp_path_factory.mktemp("sandbox")
    sandbox.start(directory, owner_pid=os.getpid())
    try:
        yield load_environment(directory / "environment.yaml", gates_dir=directory)
    finally:
        sandbox.stop(directory)


@pytest.fixture(scope="module")
def owner(environment: Environment) -> str:
    """Give the address of the role that owns the platform's tables."""
    return str(json.loads((Path(environment.path).parent / "api.json").read_text())["database_url"])


def test_a_real_database_is_read_as_it_is(environment: Environment) -> None:
    """The sandbox's own database is a healthy one."""
    with Database(environment.database.url) as database:
        seen = database_health.read(database)

    assert seen.calls > 0
    assert 0 < seen.mean_ms < 100
    assert seen.hit_ratio > 0.9
    assert seen.max_connections == 100
    assert not seen.in_recovery
    assert seen.unindexed_keys == ()
    assert database_health.invalid_indexes(seen.indexes) == database_health.double_indexes(seen.indexes) == []
    assert database_health.differing_settings(environment.database_settings, seen.settings) == []


def test_what_is_wrong_in_a_real_database_is_found(environment: Environment, owner: str) -> None:
    """A key without index, one that repeats another, a table without autovacuum, an open transaction."""
    with psycopg.connect(owner, autocommit=True) as connection, psycopg.connect(owner) as idle:
        connection.execute(
            "CREATE TABLE one (id int PRIMARY KEY, x int, y int, UNIQUE (x, y));"
            "CREATE TABLE two (a int REFERENCES one, x int, y int, FOREIGN KEY (x, y) REFERENCES one (x, y))"
            " WITH (autovacuum_enabled = off);"
            "CREATE INDEX two_yx ON two (y, x); CREATE INDEX two_a_some ON two (a) WHERE a > 0;"
            "CREATE INDEX two_x ON two (x); CREATE INDEX two_x_again ON two (x)"
        )
        idle.execute("SELECT 1")
        try:
            with Database(environment.database.url) as database:
                seen = database_health.read(database)
        finally:
            idle.rollback()
            connection.execute("DROP TABLE two, one")

    assert seen.unindexed_keys == ("two: FOREIGN KEY (a) REFERENCES one(id)",)
    assert database_health.double_indexes(seen.indexes) == ["public.two_x_again as public.two_x"]
    assert database_health.unvacuumed_tables(seen.tables) == ["public.two"]
    assert len(database_health.idle_in_transaction(seen.sessions, most_s=0.0)) == 1


def test_a_role_that_may_not_see_is_told_what_it_needs(owner: str) -> None:
    """The platform's own role sees only itself: that is no healthy database."""
    with Database(owner) as database, pytest.raises(DatabaseError, match="GRANT pg_monitor"):
        database_health.read(database)


def test_a_real_cache_is_read_as_it_is(environment: Environment) -> None:
    """Bounded, nothing written, closed to strangers; nobody but who administers may do harm."""
    wanted = environment.cache_settings
    with Cache(environment.cache.url) as cache:
        seen = cache_health.read(cache)

    assert seen.maxmemory == cache_health.memory_bytes(wanted.maxmemory)
    assert 0 < seen.memory_used < 1
    assert seen.persistence == wanted.persistence == "none"
    assert not seen.open_to_anybody
    assert {"bais_app", "gates_ro"} <= set(seen.may)
    assert cache_health.dangerous_users(seen.may, wanted.admin_users) == []
    assert cache_health.commands_timed(seen.info) > 0


# -- pure parts --


@pytest.mark.parametrize(
    ("wanted", "row", "same"),
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
def test_settings_are_compared_by_what_they_mean(wanted: str, row: dict[str, Any], same: bool) -> None:
    """Units, switches and words as PostgreSQL reads them."""
    assert database_health.same_setting(wanted, row) is same


def _counted(hits: int, misses: int) -> CacheStatistics:
    return CacheStatistics(hits=hits, misses=misses, commands=0)


@pytest.mark.parametrize(
    ("before", "after", "rate", "n"),
    [
        (_counted(10, 10), _counted(19, 11), 0.9, 10),
        (_counted(10, 10), _counted(3, 1), 0.75, 4),
        (_counted(0, 50), _counted(100, 50), 1.0, 100),
    ],
)
def test_the_hit_rate_between_two_readings(
    before: CacheStatistics, after: CacheStatistics, rate: float, n: int
) -> None:
    """What was counted in between, also when the server started anew."""
    assert cache_health.hit_rate_between(before, after) == (rate, n)


def test_no_look_ups_have_no_hit_rate() -> None:
    """NaN, which no limit lets pass."""
    rate, n = cache_health.hit_rate_between(_counted(5, 5), _counted(5, 5))

    assert n == 0
    assert rate != rate  # noqa: PLR0124 - NaN


@pytest.mark.parametrize(
    ("text", "count"),
    [("64mb", 67108864), (100, 100), ("1g", 10**9), ("2GB", 2**31), ("5k", 5000), ("7b", 7)],
)
def test_amounts_of_memory_as_redis_writes_them(text: object, count: int) -> None:
    """With b they are powers of 1024."""
    assert cache_health.memory_bytes(text) == count


@pytest.mark.parametrize("text", ["", "mb", "much", "1tb", "1.5gb", "-1"])
def test_what_is_no_amount_of_memory_is_an_error(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="no amount"):
        cache_health.memory_bytes(text)
