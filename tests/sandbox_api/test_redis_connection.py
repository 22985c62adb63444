"""The API's connection to Redis: each command gets its own reply, and a lost connection is replaced."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import hiredis
import pytest

from bais_gates.sandbox.api.cache import Cache
from bais_gates.sandbox.api.redis_connection import RedisConnection, ReplyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.sandbox_api.conftest import Platform


@asynccontextmanager
async def connected(*, timeout_s: float = 5.0, password: str = "right") -> AsyncIterator[RedisConnection]:
    """Yield a connection to a stand-in for Redis, which knows ECHO, SLOW and CLOSE."""
    handlers: set[asyncio.Task[None] | None] = set()

    async def handle(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        await respond(incoming, outgoing)
        outgoing.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = RedisConnection(f"redis://me:{password}@127.0.0.1:{port}/0", timeout_s=timeout_s, name="t")
    try:
        yield connection
    finally:
        connection.close()
        server.close()
        await asyncio.gather(*(one for one in handlers if one is not None), return_exceptions=True)


async def respond(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
    """Respond to the commands of one connection."""
    commands = hiredis.Reader()
    while data := await incoming.read(65_536):
        commands.feed(data)
        while (command := commands.gets()) is not False:
            match command:
                case [b"CLOSE"]:
                    return
                case [b"SLOW"]:
                    await asyncio.sleep(0.3)
                    outgoing.write(b"+late\r\n")
                case [b"ECHO", text]:
                    outgoing.write(b"$%d\r\n%s\r\n" % (len(text), text))
                case [b"AUTH", b"me", b"wrong"]:
                    outgoing.write(b"-WRONGPASS invalid\r\n")
                case _:
                    outgoing.write(b"+OK\r\n")


def test_concurrent_commands_get_their_own_replies() -> None:
    """Of a hundred commands at once, the first to connect among them, each returns its own reply."""

    async def run() -> list[object]:
        async with connected() as redis:
            return list(await asyncio.gather(*(redis.run("ECHO", str(number)) for number in range(100))))

    assert asyncio.run(run()) == [str(number).encode() for number in range(100)]


def test_a_lost_connection_is_replaced() -> None:
    """After Redis closed the connection, the next command succeeds on another one."""

    async def run() -> bytes:
        async with connected() as redis:
            with pytest.raises(ConnectionError):
                await redis.run("CLOSE")
            reply: bytes = await redis.run("ECHO", "again")
            return reply

    assert asyncio.run(run()) == b"again"


def test_a_late_reply_is_nobodys() -> None:
    """A command without a reply in time raises TimeoutError; the reply that comes later is dropped."""

    async def run() -> object:
        async with connected(timeout_s=0.2) as redis:
            with pytest.raises(TimeoutError):
                await redis.run("SLOW")
            await asyncio.sleep(0.2)
            return await redis.run("ECHO", "mine")

    assert asyncio.run(run()) == b"mine"


def test_a_refused_password_is_reported() -> None:
    """A wrong password raises what Redis replied, for each command that would need the connection."""

    async def run() -> list[object]:
        async with connected(password="wrong") as redis:
            replies = (redis.run("ECHO", "x") for _ in range(3))
            return list(await asyncio.gather(*replies, return_exceptions=True))

    refusals = asyncio.run(run())
    assert {type(refusal) for refusal in refusals} == {ReplyError}
    assert all(str(refusal).startswith("WRONGPASS") for refusal in refusals)


def test_a_script_that_redis_does_not_know_is_sent(platform: Platform) -> None:
    """A script runs the first time, when Redis does not have it, and then by its digest."""

    async def run() -> list[int]:
        cache = Cache(platform.config["redis_url"], timeout_s=5)
        source = f"return tonumber(ARGV[1]) + #KEYS -- {uuid4()}"
        try:
            return [await cache.run_script(source, ("a", "b"), (number,)) for number in (1, 2)]
        finally:
            cache.close()

    assert asyncio.run(run()) == [3, 4]
