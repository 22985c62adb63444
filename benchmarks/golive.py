"""How long a go-live takes: ``pytest -m golive`` of this repository, serially and with two and four workers.

Run ``python benchmarks/golive.py`` on a machine that does nothing else; with ``--write FILE`` the tables
become that file. Numbers are medians of ``--repeat`` runs. The share of waiting is what is left of the cores'
time when the CPU of every process that was started is taken off, also of those that outlive their parents.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bais_gates.verdict.document import load_decision

REPOSITORY = Path(__file__).parents[1]
WORKERS: dict[str, tuple[str, ...]] = {
    "serial": (),
    "-n 2": ("-n", "2"),
    "-n 4": ("-n", "4"),
}
SANDBOXES: dict[str, tuple[str, ...]] = {
    "without cluster": ("--without-cluster",),
    "with its cluster": ("--without-monitoring",),
    "with its cluster and its monitoring": (),
}
SLOWEST = 10
_BECOME_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: who loses its parent becomes a child of this process
_ORPHANS_S = 30.0


@dataclass(frozen=True, slots=True)
class GoLive:
    """One go-live."""

    seconds: float
    cpu_s: float
    verdict: str
    """DEPLOY, or BLOCK with the gates that block and their outcomes."""
    gates: dict[str, float]
    """Seconds of each gate by id."""

    @property
    def waiting(self) -> float:
        """The share of the cores' time in which nothing that was started ran."""
        return 1 - self.cpu_s / (self.seconds * (os.cpu_count() or 1))


def go_live(options: Sequence[str]) -> GoLive:
    """Run all gates once and return how it went, whatever the verdict is."""
    with tempfile.TemporaryDirectory(prefix="bais-gates-benchmark-") as out:
        before, began = _cpu_s(), time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "golive", "--gate-out", out, *options],
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            check=False,
        )
        seconds = time.monotonic() - began
        _wait_for_orphans()
        decision = load_decision(Path(out, "decision.json"))
    blocking = [f"{one.gate.id}: {one.result.outcome}" for one in decision.gates if one.blocking]
    return GoLive(
        seconds=seconds,
        cpu_s=_cpu_s() - before,
        verdict=f"{decision.verdict} ({', '.join(blocking)})" if blocking else str(decision.verdict),
        gates={judged.gate.id: judged.result.duration_s for judged in decision.gates},
    )


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _wait_for_orphans() -> None:
    """Take over the CPU of processes whose parents ended before them."""
    until = time.monotonic() + _ORPHANS_S
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < until:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.05)


def sandbox(*options: str) -> tuple[float, float]:
    """Start a sandbox where a user has it, and stop it; return the seconds of both."""
    command = [sys.executable, "-m", "bais_gates", "sandbox"]
    name = ("--name", f"benchmark-{os.getpid()}")
    moments = [time.monotonic()]
    for action in (("up", *name, *options), ("down", *name)):
        subprocess.run([*command, *action], cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=True)
        moments.append(time.monotonic())
    _wait_for_orphans()
    return moments[1] - moments[0], moments[2] - moments[1]


def document(repeat: int, wanted: Sequence[str]) -> Iterator[str]:
    """Measure, and yield the lines of the Markdown document."""
    versions = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    yield from ("# How long a go-live takes", "")
    yield f"Written by `python benchmarks/golive.py --write docs/speed.md` on {versions}: medians of {repeat}"
    yield "runs. Waiting is the share of the cores' time in which no process of the go-live ran."
    yield from ("", "| go-live | seconds | waiting | verdicts |", "| --- | ---: | ---: | --- |")
    slowest: dict[str, list[float]] = defaultdict(list)
    for name in wanted:
        runs = [go_live(WORKERS[name]) for _ in range(repeat)]
        seconds, waiting = median(run.seconds for run in runs), median(run.waiting for run in runs)
        verdicts = " ".join(run.verdict for run in runs)
        yield f"| {name} | {seconds:.1f} | {waiting:.0%} | {verdicts} |"
        if name == wanted[0]:
            for run in runs:
                for gate_id, duration in run.gates.items():
                    slowest[gate_id].append(duration)
    yield from ("", "| sandbox | up, seconds | down, seconds |", "| --- | ---: | ---: |")
    for name, options in SANDBOXES.items():
        pairs = [sandbox(*options) for _ in range(repeat)]
        up, down = (median(times) for times in zip(*pairs, strict=True))
        yield f"| {name} | {up:.1f} | {down:.1f} |"
    yield from ("", f"| slowest gates ({wanted[0]}) | seconds |", "| --- | ---: |")
    typical = {gate_id: median(durations) for gate_id, durations in slowest.items()}
    for gate_id in sorted(typical, key=lambda each: typical[each], reverse=True)[:SLOWEST]:
        yield f"| {gate_id} | {typical[gate_id]:.1f} |"


def main() -> None:
    """Measure and print, or write, the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5, help="runs of each, the median counts (default: 5)")
    parser.add_argument(
        "--only", action="append", choices=list(WORKERS), help="one way of running (repeatable; default: all)"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the document to this file")
    arguments = parser.parse_args()
    if ctypes.CDLL(None, use_errno=True).prctl(_BECOME_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}. The CPU of orphans cannot be counted.")
    lines = []
    for line in document(arguments.repeat, arguments.only or list(WORKERS)):
        print(line, flush=True)
        lines.append(line)
    if arguments.write:
        arguments.write.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
