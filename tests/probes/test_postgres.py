"""The database probe: it is read-only, has deadlines, and does not disclose its password."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from bais_gates import redaction
from bais_gates.probes.postgres import Database, DatabaseError, StatementStatistics, statements_since
from bais_gates.targets.environment import load_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def url(shared_sandbox: Path) -> Iterator[str]:
    """Yield the URL of a role that may write, so that only the probe can refuse writes, and owns a table."""
    address = str(json.loads((shared_sandbox / "api.json").read_text())["database_url"])
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE TABLE probed (n int)")
        connection.execute("INSERT INTO probed VALUES (1), (2)")
        yield address
        connection.execute("DROP TABLE probed")


def test_rows_and_values(url: str) -> None:
    """Rows are dicts by column name; a value is the first column of the first row."""
    with Database(url) as database:
        assert database.rows("SELECT n FROM probed WHERE n >= %(n)s ORDER BY n", {"n": 1}) == [
            {"n": 1},
            {"n": 2},
        ]
        assert database.value("SELECT n FROM probed WHERE n = %(n)s", {"n": 2}) == 2
        assert database.value("SELECT n FROM probed WHERE n = 3") is None


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO probed VALUES (3)",
        "DELETE FROM probed",
        "CREATE TABLE other (n int)",
        "SELECT 1; INSERT INTO probed VALUES (3)",
        "COMMIT; INSERT INTO probed VALUES (3)",
        "SET TRANSACTION READ WRITE; INSERT INTO probed VALUES (3)",
        "WITH gone AS (DELETE FROM probed RETURNING n) SELECT n FROM gone",
        "SELECT nextval('no_such')",
    ],
)
def test_nothing_writes(url: str, sql: str) -> None:
    """A role that may write cannot write through the probe."""
    with Database(url) as database, pytest.raises(DatabaseError):
        database.rows(sql)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM probed").fetchone() == (2,)


@pytest.mark.parametrize(
    "first", ["SET TRANSACTION READ WRITE", "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "COMMIT"]
)
def test_a_setting_does_not_last_to_the_next_statement(url: str, first: str) -> None:
    """Each statement has its own read-only transaction."""
    with Database(url) as database:
        with contextlib.suppress(DatabaseError):
            database.rows(first)
        with pytest.raises(DatabaseError):
            database.rows("INSERT INTO probed VALUES (3)")


def test_a_slow_statement_ends_in_time(url: str) -> None:
    """A slow statement is cancelled, and the connection is usable afterwards."""
    with Database(url, statement_timeout_s=0.2) as database:
        began = time.monotonic()
        with pytest.raises(DatabaseError, match=r"no answer within 0\.2 s"):
            database.rows("SELECT pg_sleep(30)")

        assert time.monotonic() - began < 5
        assert database.value("SELECT 1") == 1


def test_a_lost_connection_is_reopened(url: str) -> None:
    """After the server closed the connection, only one statement fails."""
    with Database(url) as database, Database(url) as other:
        pid = database.value("SELECT pg_backend_pid()")
        other.rows("SELECT pg_terminate_backend(%(pid)s)", {"pid": pid})
        with pytest.raises(DatabaseError):
            database.value("SELECT 1")
        assert database.value("SELECT 1") == 1


def test_a_server_that_never_answers_is_an_error_in_time() -> None:
    """A server that accepts the connection and does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        began = time.monotonic()
        with (
            Database(f"postgresql://u:secret-pw-1@127.0.0.1:{port}/x", connect_timeout_s=1) as database,
            pytest.raises(DatabaseError, match=rf"127\.0\.0\.1:{port}/x") as caught,
        ):
            database.value("SELECT 1")

    assert time.monotonic() - began < 10
    assert "secret-pw-1" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:secret-pw-2@127.0.0.1:1/x",
        "postgresql://u:secret-pw-2@127.0.0.1:99999999/x",
        "postgresql://u:secret-pw-2@[::1/x",
        "secret-pw-2",
        "host=127.0.0.1 port=1 password=secret-pw-2 =",
    ],
)
def test_no_error_has_the_password(address: str) -> None:
    """An error about the URL does not quote it."""
    with pytest.raises(DatabaseError) as caught, Database(address, connect_timeout_s=1) as database:
        database.value("SELECT 1")

    chain = f"{caught.value!r} {caught.value.__cause__!r}"
    assert "secret-pw-2" not in chain
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_password_is_registered_with_redaction() -> None:
    """From the creation of the probe on."""
    Database("postgresql://u:sesame-open-3@127.0.0.1:1/x")

    assert "sesame-open-3" not in redaction.redact("it is sesame-open-3")


def test_connections_are_counted(url: str) -> None:
    """Open connections are counted, and the maximum is the server's."""
    with Database(url) as database:
        early = database.connections()
        with Database(url) as second, Database(url) as third:
            second.value("SELECT 1")
            third.value("SELECT 1")
            assert database.connections() == early + 2
            assert database.all_connections() >= early + 2
        assert database.max_connections() == 100


def test_threads_may_share_it(url: str) -> None:
    """Statements of several threads do not interfere."""
    found: list[object] = []
    with Database(url) as database:
        threads = [
            threading.Thread(
                target=lambda n=n: found.append(database.value("SELECT %(n)s::int", {"n": n}) == n)
            )
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert found == [True] * 20


def test_statement_statistics_are_the_others(url: str, shared_sandbox: Path) -> None:
    """Statements of other users between two readings count; the probe's own are left out."""
    environment = load_environment(shared_sandbox / "environment.yaml", gates_dir=shared_sandbox)
    with Database(environment.database.url) as database:
        before = database.statements()
        with psycopg.connect(url) as connection:
            for _ in range(3):
                connection.execute("SELECT pg_sleep(0.02)")
        after = database.statements()

    assert before is not None
    assert after is not None
    counted = statements_since(before, after)
    slept = [one for one in counted if "pg_sleep" in one.query]
    assert [one.calls for one in slept] == [3]
    assert 20 <= slept[0].mean_ms < 1000
    assert not [one for one in counted if "pg_stat_statements" in one.query]


def _counted(calls: int, total_ms: float) -> dict[tuple[int, int], StatementStatistics]:
    return {(1, 1): StatementStatistics(query_id=1, user_id=1, query="q", calls=calls, total_ms=total_ms)}


@pytest.mark.parametrize(
    ("before", "after", "calls", "total_ms"),
    [
        (_counted(5, 50.0), _counted(8, 80.0), 3, 30.0),
        ({}, _counted(8, 80.0), 8, 80.0),
        (_counted(5, 50.0), _counted(2, 10.0), 2, 10.0),
    ],
)
def test_counters_that_went_back_count_from_zero(
    before: dict[tuple[int, int], StatementStatistics],
    after: dict[tuple[int, int], StatementStatistics],
    calls: int,
    total_ms: float,
) -> None:
    """The difference is what was counted in between, also when somebody reset the statistics."""
    (one,) = statements_since(before, after)

    assert (one.calls, one.total_ms) == (calls, total_ms)


def test_what_was_not_called_is_left_out() -> None:
    """A statement without a call in between is not listed."""
    assert statements_since(_counted(5, 50.0), _counted(5, 50.0)) == []
