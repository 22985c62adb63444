"""The API's connections to PostgreSQL: each statement gets its own rows; lost ones are replaced."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import psycopg
import pytest

from bais_gates.sandbox.api.database import Database
from bais_gates.sandbox.api.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.sandbox_api.conftest import Platform


def run(platform: Platform, work: Callable[[Database], Awaitable[object]]) -> object:
    """Return what ``work`` returns with two connections to the platform's database."""

    async def main() -> object:
        database = Database(platform.config["database_url"], size=2, timeout_s=1.0)
        await database.open()
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(main())


def test_more_statements_than_connections_get_their_own_rows(platform: Platform) -> None:
    """Of fifty statements at once over two connections, each returns its own row, with its types."""

    async def work(database: Database) -> list[object]:
        text = "SELECT %(n)s, %(sum)s, %(text)s, %(n)s + 1"
        asked = (
            database.row(text, {"n": n, "sum": Decimal(n) / 4, "text": "é" * n, "other": n})
            for n in range(50)
        )
        return list(await asyncio.gather(*asked))

    assert run(platform, work) == [(n, Decimal(n) / 4, "é" * n, n + 1) for n in range(50)]


def test_a_long_statement_is_sent_and_read_completely(platform: Platform) -> None:
    """Neither a value nor a row has to fit into the buffers of a socket."""

    async def work(database: Database) -> object:
        return await database.row("SELECT %(text)s::text", {"text": "x" * 20_000_000})

    assert run(platform, work) == ("x" * 20_000_000,)


def test_a_refused_statement_leaves_its_connection_usable(platform: Platform) -> None:
    """PostgreSQL's errors are raised, and the next statements succeed."""

    async def work(database: Database) -> object:
        for _ in range(3):
            with pytest.raises(psycopg.errors.DivisionByZero):
                await database.row("SELECT 1 / %(zero)s", {"zero": 0})
        with pytest.raises(psycopg.errors.UndefinedTable):
            await database.row("SELECT * FROM nowhere")
        return await database.row("SELECT 1")

    assert run(platform, work) == (1,)


def test_a_statement_that_nobody_waits_for_answers_nobody(platform: Platform) -> None:
    """After its caller was cancelled, the others still get their own rows."""

    async def work(database: Database) -> list[object]:
        slow = [asyncio.create_task(database.row("SELECT 'late', pg_sleep(0.3)")) for _ in range(2)]
        await asyncio.sleep(0.15)
        for task in slow:
            task.cancel()
        return [await database.row("SELECT 'mine'") for _ in range(4)]

    assert run(platform, work) == [("mine",)] * 4


def test_lost_connections_are_replaced(platform: Platform) -> None:
    """A statement whose connection ends raises the 503; those after it succeed, on other connections."""

    async def work(database: Database) -> object:
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        for _ in range(3):
            with pytest.raises(ApiError):
                await database.row(end)
        return [await database.row("SELECT 'again'") for _ in range(3)]

    assert run(platform, work) == [("again",)] * 3


def test_a_caller_does_not_wait_for_a_connection_for_ever(platform: Platform) -> None:
    """While all connections are taken for longer than the limit, a caller gets the 503."""

    async def work(database: Database) -> object:
        slow = [asyncio.create_task(database.row("SELECT pg_sleep(5)")) for _ in range(2)]
        await asyncio.sleep(0.1)
        with pytest.raises(ApiError):
            async with asyncio.timeout(4):
                await asyncio.gather(*(database.row("SELECT pg_sleep(5)") for _ in range(2)))
        await asyncio.gather(*slow, return_exceptions=True)
        return await database.row("SELECT 1")

    assert run(platform, work) == (1,)
