"""Load runs whose figures follow from arithmetic, as results and against a small server."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bais_gates.load import Plan, Request, Result
from bais_gates.load.result import Use

PLAN = Plan(rate_per_s=95, margin=100 / 95, users=100, ramp_s=1, warm_up_s=1, measured_s=10, window_s=5)
BEGAN = 1_000_000.0
FROM = BEGAN + 2


def request(number: int, *, late: float = 0.0, took: float = 0.01, **keys: Any) -> Request:
    """Return request ``number`` of a run of 100 per second, a row of its own with these differences."""
    due = FROM + number / 100
    row: dict[str, Any] = {
        "user": number % 100,
        "name": "/a",
        "lag": 0.0,
        "status": 200,
        "fault": "",
        "detail": "",
    } | keys
    return Request(due=due, sent=due + late, took=took, **row)


def result(change: Callable[[int], dict[str, Any]] = lambda _number: {}, **keys: Any) -> Result:
    """Return a run of 1,000 requests in 10 s, each with the differences that ``change`` returns."""
    rows = tuple(request(number, **change(number)) for number in range(1000))
    return Result(plan=PLAN, began=BEGAN, **({"requests": rows} | keys))


def use(generator: float = 0.3, foreign: float = 0.1, disk: Sequence[float] = ()) -> tuple[Use, ...]:
    """Return samples of two cores, twice a second; ``disk`` has the first shares of waiting for a disk."""
    return tuple(
        Use(
            at=FROM + number / 2,
            seconds=0.5,
            generator=generator,
            platform=0.5,
            foreign=foreign,
            cores=2,
            disk=disk[number - 1] if number <= len(disk) else 0.2,
        )
        for number in range(1, 21)
    )


@dataclass
class Server:
    """An HTTP server of a thread of its own, that can pause, fail or refuse."""

    url: str = ""
    status: int = 200
    pause: tuple[float, float] = (0.0, 0.0)
    """Seconds from the first request to a pause in which nothing is answered, and its length."""
    asked: int = 0
    _first: float | None = None
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        loop = asyncio.get_running_loop()
        self.writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.asked += 1
                self._first = loop.time() if self._first is None else self._first
                start = self._first + self.pause[0]
                if start <= loop.time() < start + self.pause[1]:
                    await asyncio.sleep(start + self.pause[1] - loop.time())
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % self.status)
                await writer.drain()


@contextlib.contextmanager
def serving(**keys: Any) -> Iterator[Server]:
    """Serve on a free port of loopback until the end."""
    server, ready = Server(**keys), threading.Event()
    stop: list[Callable[[], object]] = []

    async def main() -> None:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        ready.set()
        await ended.wait()
        listening.close()
        for writer in server.writers:
            writer.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    ready.wait(5)
    try:
        yield server
    finally:
        stop[0]()
        thread.join(5)
