"""How long ``bin/test`` takes: seconds and core-seconds, by the folders of ``tests/``.

Run ``python benchmarks/test_command.py`` on a machine that does nothing else; with ``--write FILE`` the
tables become that file. Numbers are medians of ``--repeat`` runs. This file is the plugin as well.
"""

from __future__ import annotations

import argparse
import json
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

import psutil
import pytest

REPOSITORY = Path(__file__).parents[1]
RECORDS = "TEST_COMMAND_RECORDS"
LONGEST = 10
LIMIT_S = 360
"""What CONTRIBUTING.md allows the test command on two quiet cores."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the test command."""

    seconds: float
    cpu_s: float
    """Of the whole machine, which is why it must be quiet."""
    exit_status: int
    tests: dict[str, tuple[float, float]]
    """Seconds, and core-seconds with all the processes that the test itself ended, by the test's id."""


def _own_cpu_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _machine_cpu_s() -> float:
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Write what a test took to the file of this process."""
    os.environ.pop("PYTEST_ADDOPTS", None)  # the pytests that a test starts are part of it
    began, before = time.monotonic(), _own_cpu_s()
    try:
        return (yield)
    finally:
        # What tests share ends after the last one, which is no cost of that one's.
        used_s = _own_cpu_s() - before if nextitem is not None else 0.0
        line = json.dumps([item.nodeid, time.monotonic() - began, used_s])
        with Path(os.environ[RECORDS], f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def run_tests(options: Sequence[str]) -> Run:
    """Run the test command once and return how it went; its output goes to standard error."""
    with tempfile.TemporaryDirectory(prefix="bais-gates-benchmark-") as records:
        own = {
            RECORDS: records,
            "PYTEST_ADDOPTS": "-p test_command",
            "PYTHONPATH": str(Path(__file__).parent),
        }
        before, began = _machine_cpu_s(), time.monotonic()
        done = subprocess.run(
            [REPOSITORY / "bin" / "test", *options], env=os.environ | own, stdout=sys.stderr, check=False
        )
        seconds, cpu_s = time.monotonic() - began, _machine_cpu_s() - before
        lines = (line for file in Path(records).iterdir() for line in file.read_text("utf-8").splitlines())
        tests = {test: (took_s, used_s) for test, took_s, used_s in map(json.loads, lines)}
    return Run(seconds, cpu_s, done.returncode, tests)


def by(part: int, run: Run) -> dict[str, tuple[int, float, float]]:
    """Return the number, seconds and core-seconds of tests by the first ``part`` parts of their paths."""
    sums: dict[str, tuple[int, float, float]] = defaultdict(lambda: (0, 0.0, 0.0))
    for test, (took_s, used_s) in run.tests.items():
        room = "/".join(test.partition("::")[0].split("/")[1 : part + 1])
        count, all_s, all_used_s = sums[room]
        sums[room] = count + 1, all_s + took_s, all_used_s + used_s
    return sums


def rows(part: int, runs: Sequence[Run]) -> Iterator[tuple[str, int, float, float]]:
    """Yield folders or files with the medians of several runs, the most costly first."""
    sums = [by(part, run) for run in runs]
    names = {name for each in sums for name in each}
    medians = []
    for name in names:
        counts, seconds, cpu = zip(*(each.get(name, (0, 0.0, 0.0)) for each in sums), strict=True)
        medians.append((name, max(counts), median(seconds), median(cpu)))
    yield from sorted(medians, key=lambda row: row[3], reverse=True)


def document(runs: Sequence[Run]) -> Iterator[str]:
    """Yield the lines of the Markdown document."""
    versions = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    tests = [sum(used_s for _, used_s in run.tests.values()) for run in runs]
    yield from ("# How long the tests take", "")
    yield "Written by `python benchmarks/test_command.py --write docs/test-command.md` on"
    yield f"{versions}: `bin/test`, set up before, with the medians of {len(runs)} runs."
    yield from ("", "| `bin/test` | seconds | core-seconds | exit status |", "| --- | ---: | ---: | ---: |")
    for number, run in enumerate(runs, 1):
        what = f"run {number}, {len(run.tests):,} tests"
        yield f"| {what} | {run.seconds:.0f} | {run.cpu_s:.0f} | {run.exit_status} |"
    yield f"| allowed | {LIMIT_S} | {LIMIT_S * (os.cpu_count() or 1)} | 0 |"
    yield ""
    yield "Core-seconds are those of a test's process and of all that ended with it. What several tests"
    yield "share (sandboxes, servers, a browser) counts below, with the quality tools, collection and start."
    yield from ("", "| tests | number | seconds | core-seconds |", "| --- | ---: | ---: | ---: |")
    for name, count, took_s, used_s in rows(1, runs):
        yield f"| {name} | {count:,} | {took_s:.0f} | {used_s:.1f} |"
    shared = median(run.cpu_s - used_s for run, used_s in zip(runs, tests, strict=True))
    yield f"| what tests share, and everything else | | | {shared:.1f} |"
    yield from ("", "| most costly files | number | seconds | core-seconds |", "| --- | ---: | ---: | ---: |")
    for name, count, took_s, used_s in list(rows(2, runs))[:LONGEST]:
        yield f"| {name} | {count:,} | {took_s:.0f} | {used_s:.1f} |"


def main() -> None:
    """Measure and print, or write, the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs, the medians count (default: 3)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the document to this file")
    parser.add_argument("options", nargs="*", help="options for bin/test, as in: -- tests/verdict")
    arguments = parser.parse_args()
    text = "\n".join(document([run_tests(arguments.options) for _ in range(arguments.repeat)])) + "\n"
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
