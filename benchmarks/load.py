"""What a pause of a server shows in a load run: ours, an open-model client's, h2load's, and by arithmetic.

Run ``python benchmarks/load.py`` on a machine that does nothing else (two minutes); with ``--write FILE`` the
tables become that file. All clients send at the same rate to a small server, one after the other. h2load
(Debian: nghttp2-client) is measured where it is installed. A tool that counts latency from sending sends less
while the server pauses ("coordinated omission"). Source: Gil Tene, "How NOT to Measure Latency".
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bais_gates.load import Aim, Plan, Result, run_load
from bais_gates.measuring import alone_on_this_machine
from bais_gates.probes.statistics import Summary

PAUSE_S = 1.0
FEW = 5
"""Connections of the last table: the fewer there are, the more a pause hides."""
SLOW_MS = 100.0
LOCUSTFILE = """
from locust import task
from bais_gates.load.generator import ScheduledUser

class One(ScheduledUser):
    @task
    def one(self):
        self.client.get("/a")
"""
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What every client is asked to do, and how the server behaves meanwhile."""

    rate: float
    seconds: float
    connections: int
    pause_s: float
    """Of every ``seconds``, so that a run of that length meets one whole pause, whenever it begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """How long requests wait for a pause to end: ``share`` of them, uniformly from shortest to longest.

    The other requests do not wait, so that the p-th percentile is 0 while 1 - p / 100 is not below the share.
    """

    share: float
    shortest_ms: float
    longest_ms: float

    @classmethod
    def from_due(cls, pause_s: float, every_s: float) -> Wait:
        """Return how long requests wait that fall due at a fixed rate, through the pause as ever."""
        return cls(share=pause_s / every_s, shortest_ms=0, longest_ms=pause_s * 1000)

    @classmethod
    def from_sending(cls, pause_s: float, every_s: float, period_s: float) -> Wait:
        """Return the same for those that are sent: the first of each connection, which then is taken.

        A connection sends every ``period_s``, so that its first falls in the first period of the pause.
        """
        first_s = min(period_s, pause_s)
        return cls(share=first_s / every_s, shortest_ms=(pause_s - first_s) * 1000, longest_ms=pause_s * 1000)

    def percentile(self, p: float) -> float:
        """Return the ``p``-th percentile in milliseconds."""
        rest = (100 - p) / 100
        if rest >= self.share:
            return 0.0
        return self.longest_ms - (self.longest_ms - self.shortest_ms) * rest / self.share

    def slow(self) -> float:
        """Return the share of all requests that wait longer than :data:`SLOW_MS`."""
        longer = (self.longest_ms - SLOW_MS) / (self.longest_ms - self.shortest_ms)
        return self.share * min(1.0, max(0.0, longer))

    def figures(self) -> Row:
        """Return the cells of a row."""
        return ("", *(f"{self.percentile(p):.0f}" for p in (50, 95, 99)), f"{self.slow():.1%}")


async def serve(pause_s: float, every_s: float) -> None:
    """Answer on a free port, which is printed, but for ``pause_s`` of every ``every_s`` seconds."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                left = pause_s - time.monotonic() % every_s
                if left > 0:
                    await asyncio.sleep(left)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


@contextlib.contextmanager
def serving(pause_s: float, every_s: float) -> Iterator[tuple[str, int]]:
    """Start the server as a process, so that it takes no time of a client's; yield its URL and process id."""
    command = [sys.executable, __file__, "--serve", str(pause_s), str(every_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid
        finally:
            process.kill()


async def open_model(url: str, scene: Scene) -> list[float]:
    """Request at fixed times, whatever is still unanswered; return milliseconds from those times.

    Each request is a task that waits for its time, then for a free connection, so that what waits for a
    connection counts too. They are served in order.
    """
    loop, address = asyncio.get_running_loop(), urlsplit(url)
    request = b"GET /a HTTP/1.1\r\nHost: %b\r\n\r\n" % address.netloc.encode()
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    pool = [await asyncio.open_connection(address.hostname, address.port) for _ in range(scene.connections)]
    for connection in pool:
        free.put_nowait(connection)

    async def one(due: float) -> float:
        await asyncio.sleep(due - loop.time())
        reader, writer = connection = await free.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"{url} responded {head.splitlines()[0]!r}")
        await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
        free.put_nowait(connection)
        return (loop.time() - due) * 1000

    began = loop.time() + 0.2
    tasks = (one(began + number / scene.rate) for number in range(round(scene.rate * scene.seconds)))
    latencies = await asyncio.gather(*tasks)
    for _, writer in pool:
        writer.close()
    return latencies


def h2load(program: str, url: str, scene: Scene) -> list[float]:
    """Return what h2load measures, in milliseconds, from its log of requests.

    Connections are opened one after the other, so that requests are spread over time as those of the others.
    """
    count, opening = round(scene.rate * scene.seconds), max(1, round(1000 / scene.rate))
    with tempfile.NamedTemporaryFile("r", prefix="bais-gates-benchmark-") as log:
        rate = (f"--rps={scene.rate / scene.connections:g}", "-r", "1", f"--rate-period={opening}ms")
        size = ("-n", str(count), "-c", str(scene.connections), "--h1")
        command = [program, *size, *rate, f"--log-file={log.name}", f"{url}/a"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        rows = [line.split() for line in log]
    if [row[1] for row in rows] != ["200"] * count:
        sys.exit(f"{' '.join(command)}: not all requests were answered.")
    return [int(row[2]) / 1000 for row in rows]


def our_run(url: str, scene: Scene, server: int) -> Result:
    """Return a load run of bais-gates."""
    plan = Plan(
        rate_per_s=scene.rate,
        margin=1,
        users=scene.connections,
        ramp_s=1,
        warm_up_s=PAUSE_S + 1,
        measured_s=scene.seconds,
        tail_s=PAUSE_S + 1,
    )
    with tempfile.TemporaryDirectory(prefix="bais-gates-benchmark-") as name:
        locustfile = Path(name, "locustfile.py")
        locustfile.write_text(LOCUSTFILE, encoding="utf-8")
        aim = Aim(url=url, locustfile=locustfile, platform_pids=(server,))
        result = run_load(plan, aim, Path(name, "load"))
    if faults := result.faults():
        sys.exit(f"The load run had faults: {faults}")
    return result


def row(name: str, latencies: Sequence[float], cpu_s: float | None = None) -> Row:
    """Return the cells of what was measured; CPU as milliseconds a request."""
    summary = Summary.of(latencies)
    percentiles = (f"{value:.1f}" for value in (summary.p50, summary.p95, summary.p99))
    slow = f"{sum(one > SLOW_MS for one in latencies) / summary.n:.1%}"
    cpu = "" if cpu_s is None else f"{cpu_s * 1000 / summary.n:.2f}"
    return (name, f"{summary.n:,}", *percentiles, slow, cpu)


def cpu_times() -> tuple[float, float]:
    """Return the CPU seconds of this process, and of those that it started and that ended."""
    times = os.times()
    return times.user + times.system, times.children_user + times.children_system


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the rows of all clients, then what follows from arithmetic."""
    with (
        alone_on_this_machine(partial(print, file=sys.stderr)),
        serving(scene.pause_s, scene.seconds) as (url, server),
    ):
        ours = our_run(url, scene, server).measured
        note = f" ({reason})" if (reason := ours.starved()) else ""
        cpu_s = ours.cores("generator") * ours.seconds
        yield row(f"bais-gates, from the due time{note}", [one.latency_ms for one in ours.due], cpu_s)
        yield row("bais-gates, from sending", [one.took * 1000 for one in ours.due])
        before = cpu_times()[0]
        latencies = asyncio.run(open_model(url, scene))
        yield row("open-model client, from the due time", latencies, cpu_times()[0] - before)
        if program := shutil.which("h2load"):
            before = cpu_times()[1]
            latencies = h2load(program, url, scene)
            yield row("h2load, from sending", latencies, cpu_times()[1] - before)
        else:
            yield ("h2load", "not installed", "", "", "", "", "")
    if scene.pause_s:
        due = Wait.from_due(scene.pause_s, scene.seconds)
        sending = Wait.from_sending(scene.pause_s, scene.seconds, scene.connections / scene.rate)
        yield ("arithmetic, from the due time", *due.figures(), "")
        yield ("arithmetic, from sending", *sending.figures(), "")


def document(rate: float, seconds: float, connections: int) -> Iterator[str]:
    """Measure, and yield the lines of the Markdown document."""
    versions = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    pausing = f"A server that pauses {PAUSE_S:g} s every {seconds:g} s"
    yield from ("# What a pause of a server shows in a load run", "")
    yield f"Written by `python benchmarks/load.py --write docs/load.md` on {versions}."
    yield f"Each client sends {rate:g} requests/s for {seconds:g} s. Percentiles are in milliseconds; slow"
    yield f"are requests over {SLOW_MS:g} ms; CPU is what the client itself used, in milliseconds a request."
    yield ""
    yield "A request that falls due in a pause waits for its end: the pause's share of all requests, from 0"
    yield "to the whole pause, uniformly. Counted from sending, only the first of each connection waits;"
    yield "those due after it are sent late and seem fast. The fewer connections, the more is hidden."
    yield "What is above the arithmetic is the time to work off what waited, and chance: our users begin at"
    yield "random times. What the others are above h2load on the healthy server is their own time, in Python."
    for title, count, pause_s in (
        ("A healthy server", connections, 0.0),
        (pausing, connections, PAUSE_S),
        (pausing, FEW, PAUSE_S),
    ):
        scene = Scene(rate=rate, seconds=seconds, connections=count, pause_s=pause_s)
        yield from ("", f"## {title}, {count} connections", "")
        yield "| client | requests | p50 | p95 | p99 | slow | CPU |"
        yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
        for cells in measure(scene):
            yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print, or write, the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=100, help="requests per second (default: 100)")
    parser.add_argument("--seconds", type=float, default=10, help="judged time of a run (default: 10)")
    parser.add_argument("--connections", type=int, default=50, help="of every client (default: 50)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the document to this file")
    parser.add_argument("--serve", type=float, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(*arguments.serve))
    if arguments.seconds <= PAUSE_S:
        parser.error(f"--seconds must be more than the pause of {PAUSE_S:g} s")
    lines = []
    for line in document(arguments.rate, arguments.seconds, arguments.connections):
        print(line, flush=True)
        lines.append(line)
    if arguments.write:
        arguments.write.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
