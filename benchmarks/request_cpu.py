"""What a request of a load run costs: CPU milliseconds by process, of the sandbox and of what loads it.

Run ``python benchmarks/request_cpu.py`` (a minute); with ``--write FILE`` the table becomes that file. What
others do on the machine meanwhile changes latencies much more than it changes these figures; the loop that is
timed with them tells how fast the machine was. The sandbox takes from both which rate its machine sustains.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from bais_gates.load import Plan
from bais_gates.load.machine import ticks_of_processes
from bais_gates.load.result import PLAN, RECORD, Window, read_result
from bais_gates.sandbox import prepare_accounts, status
from bais_gates.sandbox.configuration import loop_s

REPOSITORY = Path(__file__).parents[1]
MS_PER_TICK = 1000 / os.sysconf("SC_CLK_TCK")
DRIVER, GENERATOR, MONITORING = "progress and webhooks' receiver", "load generator", "monitoring"
NAMES: Mapping[str, str] = {
    "postgres": "PostgreSQL",
    "redis": "Valkey",
    "kube-apiserver": "cluster",
    "node-agent": "cluster",
    "supervisor": "supervisor",
}
"""What a part of the sandbox is called here; those not listed are replicas of the API, or monitoring."""


@contextmanager
def sandbox() -> Iterator[Path]:
    """Start a sandbox with its cluster and its monitoring, and yield its folder."""
    command = [sys.executable, "-m", "bais_gates", "sandbox"]
    with tempfile.TemporaryDirectory(prefix="bais-gates-benchmark-") as name:
        directory = Path(name, "sandbox")
        where = ("--dir", str(directory))
        subprocess.run([*command, "up", *where], check=True, stdout=sys.stderr, cwd=REPOSITORY)
        try:
            yield directory
        finally:
            subprocess.run([*command, "down", *where], check=True, stdout=sys.stderr, cwd=REPOSITORY)


def parts(directory: Path) -> dict[int, str]:
    """Return the processes of a sandbox with what they are called here."""
    info = status(directory)
    if info is None:
        sys.exit(f"No sandbox is up in {directory}.")
    return {
        pid: NAMES.get(name, "API" if name.endswith("api") else MONITORING) for name, pid in info.pids.items()
    }


def used_ms(roots: Mapping[int, str]) -> dict[str, float]:
    """Return the CPU milliseconds so far of processes with their descendants, by name."""
    processes = ticks_of_processes()
    used: dict[str, float] = defaultdict(float)
    for pid, (_, ticks) in processes.items():
        root = pid
        while root in processes and root not in roots:
            root = processes[root][0]
        if root in roots:
            # The command that drives a run has one child, Locust.
            name = GENERATOR if roots[root] == DRIVER and pid != root else roots[root]
            used[name] += ticks * MS_PER_TICK
    return used


def measure(directory: Path, plan: Plan) -> tuple[Window, dict[str, float]]:
    """Load a sandbox; return the judged part of the run, and the CPU milliseconds a request in it by name."""
    prepare_accounts(directory)
    with tempfile.TemporaryDirectory(prefix="bais-gates-benchmark-") as out:
        command = [sys.executable, "-m", "bais_gates", "load", "run", "--out", out]
        options = ("--rate", f"{plan.rate_per_s:g}", "--users", str(plan.users))
        length = ("--duration", f"{plan.measured_s:g}s", "--env", str(directory / "environment.yaml"))
        with subprocess.Popen([*command, *options, *length], stdout=sys.stderr, cwd=REPOSITORY) as driver:
            roots = parts(directory) | {driver.pid: DRIVER}
            record = Path(out, RECORD)
            while not record.exists():
                if driver.poll() is not None:
                    sys.exit("The load run did not begin.")
                time.sleep(0.05)
            plan, _ = Plan.decoded(Path(out, PLAN).read_text(encoding="utf-8"))
            time.sleep(plan.ramp_s + plan.warm_up_s)
            before = used_ms(roots)
            time.sleep(plan.measured_s)
            after = used_ms(roots)
        measured = read_result(Path(out)).measured
    count = len(measured.ended)
    return measured, {name: (after[name] - before.get(name, 0.0)) / count for name in after}


def document(directory: Path, plan: Plan) -> Iterator[str]:
    """Measure, and yield the lines of the Markdown document."""
    loops = [loop_s() for _ in range(15)]
    measured, costs = measure(directory, plan)
    loops += [loop_s() for _ in range(15)]
    yield from ("# What a request of a load run costs", "")
    rate, p95, loop_ms = measured.accepted_per_s, measured.latency().p95, 1000 * statistics.median(loops)
    yield "Written by `python benchmarks/request_cpu.py --write docs/request-cpu.md` on Python"
    yield f"{platform.python_version()}, {os.cpu_count()} cores, on which the sandbox's loop took"
    yield f"{loop_ms:.1f} ms. {plan.users:,} users, {rate:.0f} requests/s accepted, p95 {p95:.0f} ms."
    yield "CPU milliseconds a request:"
    yield from ("", "| processes | CPU |", "| --- | ---: |")
    for name, cost in sorted(costs.items(), key=lambda one: -one[1]):
        yield f"| {name} | {cost:.2f} |"
    yield f"| **all** | **{sum(costs.values()):.2f}** |"


def main() -> None:
    """Measure and print, or write, the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=200, help="requests per second (default: 200)")
    parser.add_argument("--seconds", type=float, default=20, help="measured time (default: 20)")
    parser.add_argument("--sandbox", type=Path, metavar="DIR", help="one that is up (default: a new one)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the document to this file")
    arguments = parser.parse_args()
    plan = Plan(rate_per_s=arguments.rate, measured_s=arguments.seconds)
    with nullcontext(arguments.sandbox) if arguments.sandbox else sandbox() as directory:
        lines = []
        for line in document(directory, plan):
            print(line, flush=True)
            lines.append(line)
    if arguments.write:
        arguments.write.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
