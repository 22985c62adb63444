"""The health of real stores is read and judged; a missing permission is an error, not an empty result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from bais_gates.probes import cache_health, database_access, database_health, database_maintenance
from bais_gates.probes.postgres import Database, DatabaseError
from bais_gates.probes.redis import Cache
from bais_gates.rules import cache as cache_rules
from bais_gates.rules import database as database_rules
from bais_gates.rules import database_access as access_rules
from bais_gates.rules import database_settings
from bais_gates.targets.environment import load_environment

if TYPE_CHECKING:
    from bais_gates.targets.environment import Environment


@pytest.fixture(scope="module")
def environment(shared_sandbox: Path) -> Environment:
    """Return the shared sandbox's environment."""
    return load_environment(shared_sandbox / "environment.yaml", gates_dir=shared_sandbox)


@pytest.fixture(scope="module")
def owner(environment: Environment) -> str:
    """Return the URL of the role that owns the platform's tables."""
    return str(json.loads((Path(environment.path).parent / "api.json").read_text())["database_url"])


def test_the_health_of_a_database(environment: Environment) -> None:
    """The sandbox's database is healthy."""
    with Database(environment.database.url) as database:
        seen = database_health.read(database)

    assert seen.calls > 0
    assert 0 < seen.mean_ms < 100
    assert seen.hit_ratio > 0.9
    assert seen.max_connections == 100
    assert seen.unindexed_foreign_keys == ()
    assert database_rules.invalid_indexes(seen.indexes) == []
    assert database_rules.duplicate_indexes(seen.indexes) == []
    assert database_settings.differing_settings(environment.database_settings, seen.settings) == []


def test_faults_of_a_database_are_found(environment: Environment, owner: str) -> None:
    """A foreign key without index, a duplicate index, a table without autovacuum, an idle transaction."""
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

    assert seen.unindexed_foreign_keys == ("two: FOREIGN KEY (a) REFERENCES one(id)",)
    assert database_rules.duplicate_indexes(seen.indexes) == ["public.two_x_again duplicates public.two_x"]
    assert database_rules.tables_without_autovacuum(seen.tables) == [
        "public.two: autovacuum_enabled=off (ALTER TABLE public.two RESET (autovacuum_enabled))"
    ]
    assert len(database_rules.idle_in_transaction(seen.sessions, max_s=0.0)) == 1


def test_rights_and_locks_of_a_database(environment: Environment, owner: str) -> None:
    """The sandbox's roles have what they need and no more; a grant, a function and a lock are found."""
    part, url = environment.security, environment.database.url
    seen = database_access.read(url, part.append_only)
    subjects = access_rules.Subjects(
        gates=seen.gates, application=seen.application, roles=seen.roles, declared=part.privileged_roles
    )
    assert access_rules.attribute_findings(subjects) == []
    assert access_rules.membership_findings(subjects, seen.memberships) == []
    assert access_rules.grant_findings(subjects, seen.grants) == []
    assert access_rules.password_findings(subjects, seen.passwords or (), seen.rules or ()) == []
    assert access_rules.append_only_findings(seen.append_only) == []
    for encrypted in (True, False):
        methods = database_access.attempt_sign_ins(url, seen.sign_ins, encrypted=encrypted)
        assert access_rules.attempt_findings(methods, encrypted=encrypted) == []
        assert len(methods) == 4

    with psycopg.connect(owner, autocommit=True) as connection, psycopg.connect(owner) as holder:
        connection.execute(
            "CREATE TABLE open_made (n int); GRANT SELECT ON open_made TO PUBLIC;"
            "CREATE FUNCTION made() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"
        )
        holder.execute("LOCK TABLE open_made")
        try:
            seen = database_access.read(url)
            (blocker,) = database_maintenance.read_blockers(url, 0.1)
        finally:
            holder.rollback()
            connection.execute("DROP TABLE open_made; DROP FUNCTION made()")

    assert access_rules.grant_findings(subjects, seen.grants) == ["PUBLIC: SELECT on table public.open_made"]
    assert len(access_rules.function_findings(seen.functions)) == 2
    assert (blocker["object"], blocker["mode"]) == ("public.open_made", "AccessExclusiveLock")


def test_a_role_without_pg_monitor_is_an_error(owner: str) -> None:
    """The message names the missing grant."""
    with Database(owner) as database, pytest.raises(DatabaseError, match="GRANT pg_monitor"):
        database_health.read(database)


def test_the_health_of_a_cache(environment: Environment) -> None:
    """Limited memory, no persistence, authentication required, dangerous commands for admins only."""
    wanted = environment.cache_settings
    with Cache(environment.cache.url) as cache:
        seen = cache_health.read(cache)

    assert seen.maxmemory == cache_rules.parse_memory(wanted.maxmemory)
    assert 0 < seen.memory_used < 1
    assert seen.persistence == wanted.persistence == "none"
    assert not seen.accepts_unauthenticated
    assert (seen.open_users, seen.monitors, seen.user) == ((), (), "gates_ro")
    assert {"bais_app", "gates_ro"} <= set(seen.permissions)
    assert cache_rules.dangerous_users(seen.permissions, wanted.admin_users) == []
    application = wanted.application_users
    assert cache_rules.writers(seen.permissions, own=seen.user, application=application) == []
    assert cache_rules.writers(seen.permissions, own=seen.user, application=())[0].startswith(
        "bais_app: +del,"
    )
    assert cache_rules.count_calls(seen.info) > 0
