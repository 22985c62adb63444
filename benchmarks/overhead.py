"""What the plugin costs beside bare pytest and pytest-html: gates, closing a run, reading it, collecting.

Run ``python benchmarks/overhead.py``; with ``--write FILE`` the tables become that file. Numbers are CPU
(user and system) or peak memory of whole processes, medians of ``--repeat`` runs, so that a busy machine
distorts them little. Bytecode is cached, as it is wherever tests run more than once.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

REPOSITORY = Path(__file__).parents[1]
GATES = (REPOSITORY / "gates" / "catalog.yaml").read_text(encoding="utf-8").count("\n  - id: ")
TESTS_PER_FILE = 250
PLAIN = """
def test_{number}(checks):
    \"\"\"One is one.\"\"\"
    checks.append(("one", 1, "==", 1))
    assert 1 == 1
"""
CONFTEST = '''
"""A fixture for plain tests that knows its test, as the evidence of a gate does."""

import pytest


@pytest.fixture
def checks(request):
    """Return the checks of a test."""
    return [request.node.nodeid]
'''
GATE = """
@pytest.mark.gate("acceptance.gate_{number}")
def test_{number}(evidence):
    \"\"\"One is one.\"\"\"
    evidence.check("one", 1, "==", 1)
"""
ENTRY = """
  - id: acceptance.gate_{number}
    title: Gate {number}
    phase: acceptance
    severity: P2
    scopes: [golive, acceptance]
    requirement: One is one.
    remedy: Look for another universe.
"""
CLOSING = '''
"""Write the CPU seconds of all tests, and from the last test to the end of the run, to the file CLOSING."""

import os
import time
from pathlib import Path

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop():
    global began, ran
    began = time.process_time()
    result = yield
    ran = time.process_time()
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_unconfigure():
    result = yield
    Path(os.environ["CLOSING"]).write_text(f"{ran - began} {time.process_time() - ran}")
    return result
'''
READERS = {
    "imports alone": "import json, pathlib, bais_gates.verdict.document",
    "`json.loads`": "import json, pathlib, bais_gates.verdict.document\n"
    "json.loads(pathlib.Path('decision.json').read_text())",
    "bais-gates": "import json, pathlib, bais_gates.verdict.document\n"
    "bais_gates.verdict.document.load_decision(pathlib.Path('decision.json'))",
}
PYTEST = (sys.executable, "-m", "pytest")
OTHERS = ("cacheprovider", "schemathesis", "hypothesispytest", "valkey", "locust", "anyio", "timeout")
QUIET = ("-q", "--no-header", "-p", "closing", *(word for name in OTHERS for word in ("-p", f"no:{name}")))
KINDS: Mapping[str, tuple[str, ...]] = {
    "pytest": ("plain", "-p", "no:bais_gates"),
    "pytest-html": ("plain", "-p", "no:bais_gates", "--html", "report.html", "--self-contained-html"),
    "bais-gates": (
        "gates",
        "-m",
        "golive",
        "--gate-env",
        "nowhere.yaml",
        "--gate-subject",
        f"bais/api@sha256:{'0' * 64}",
    ),
}
COLLECTIONS: Mapping[str, tuple[Path | None, tuple[str, ...], bool]] = {
    f"{GATES} plain tests, pytest alone": (None, ("plain",), False),
    f"{GATES} plain tests, with every plugin that is installed": (None, ("plain",), True),
    f"the {GATES} gates of this repository, with bais-gates alone": (
        REPOSITORY,
        ("-p", "bais_gates", "gates"),
        False,
    ),
    f"the {GATES} gates of this repository": (REPOSITORY, ("gates",), True),
    "those of acceptance, checklist and staging": (
        REPOSITORY,
        ("gates/acceptance", "gates/checklist", "gates/staging"),
        True,
    ),
}
"""What is collected: the folder (None: one of plain tests), the arguments, whether installed plugins load."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process cost, with all that it started and waited for."""

    cpu_s: float
    peak_mib: float
    tests_s: float
    """From the first test to the last: what pytest and plugins do around each."""
    closing_s: float


Runs = dict[int, dict[str, Cost]]
"""By the number of tests and the kind of run."""


def write_project(folder: Path, count: int) -> None:
    """Write ``count`` plain tests and as many gates with their catalog, and an empty pytest configuration."""
    (folder / "pytest.ini").write_text("[pytest]\ngate_catalog = gates/catalog.yaml\n")
    (folder / "closing.py").write_text(CLOSING.lstrip())
    for kind, template, head in (("plain", PLAIN, ""), ("gates", GATE, "import pytest\n")):
        (folder / kind).mkdir()
        for start in range(0, count, TESTS_PER_FILE):
            numbers = range(start, min(start + TESTS_PER_FILE, count))
            tests = "\n".join(template.format(number=number) for number in numbers)
            (folder / kind / f"test_from_{start}.py").write_text(head + tests)
    entries = "".join(ENTRY.format(number=number) for number in range(count))
    (folder / "plain" / "conftest.py").write_text(CONFTEST.lstrip())
    (folder / "gates" / "catalog.yaml").write_text("gates:" + entries)
    (folder / "gates" / "policy.yaml").write_bytes((REPOSITORY / "gates" / "policy.yaml").read_bytes())
    (folder / "nowhere.yaml").write_text("name: nowhere\n")


def cost(command: Sequence[str], folder: Path, **variables: str) -> Cost:
    """Run a command in ``folder`` and return what it cost; exit when it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as output, tempfile.NamedTemporaryFile() as closing:
        environment |= {"CLOSING": closing.name, **variables}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(
                f"{' '.join(command)} ended with {process.returncode}:\n{output.read().decode()[-4000:]}"
            )
        tests_s, closing_s = map(float, closing.read().split() or (0, 0))
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, tests_s, closing_s)


def typical(costs: Sequence[Cost]) -> Cost:
    """Return the medians of several runs."""
    return Cost(
        cpu_s=median(one.cpu_s for one in costs),
        peak_mib=median(one.peak_mib for one in costs),
        tests_s=median(one.tests_s for one in costs),
        closing_s=median(one.closing_s for one in costs),
    )


def measure(
    repeat: int, commands: Mapping[str, Sequence[str]], folder: Path, **variables: str
) -> dict[str, Cost]:
    """Return the typical cost of each command; they alternate, so that a busy minute meets all alike."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for number in range(repeat + 1):
        for name, command in commands.items():
            one = cost(command, folder, **variables)
            if number:  # the first one only writes bytecode
                costs[name].append(one)
    return {name: typical(each) for name, each in costs.items()}


def measure_runs(counts: Sequence[int], repeat: int, **variables: str) -> tuple[Runs, dict[str, Cost]]:
    """Return the costs by number of tests and kind, and those of reading the largest decision."""
    runs: Runs = {}
    reading: dict[str, Cost] = {}
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="bais-gates-benchmark-") as name:
            folder = Path(name)
            write_project(folder, count)
            commands = {kind: (*PYTEST, *QUIET, *options) for kind, options in KINDS.items()}
            runs[count] = measure(repeat, commands, folder, PYTHONPATH=name, **variables)
            if count == max(counts):
                readers = {reader: (sys.executable, "-c", text) for reader, text in READERS.items()}
                reading = measure(repeat, readers, folder / "gate-report", **variables)
    return runs, reading


def measure_collections(repeat: int, **variables: str) -> dict[str, Cost]:
    """Return the costs of collecting the gates of this repository, and as many plain tests."""
    costs: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory(prefix="bais-gates-benchmark-") as name:
        write_project(Path(name), GATES)
        for what, (folder, options, autoload) in COLLECTIONS.items():
            command = (*PYTEST, "--collect-only", "-q", *options)
            switch = {} if autoload else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
            costs |= measure(repeat, {what: command}, folder or Path(name), **switch, **variables)
    return costs


def document(runs: Runs, reading: Mapping[str, Cost], collecting: Mapping[str, Cost], repeat: int) -> str:
    """Return the Markdown document."""
    versions = f"Python {platform.python_version()}, pytest {pytest.__version__}, {os.cpu_count()} cores"
    largest = max(runs)
    imports = reading["imports alone"].cpu_s
    lines = [
        "# What bais-gates costs",
        "",
        f"Written by `python benchmarks/overhead.py --write docs/overhead.md` on {versions}.",
        f"CPU is user and system time of a whole process, the median of {repeat} runs; memory is its peak.",
        "The tests and gates do nothing.",
        "",
        "## Gates",
        "",
        *table("milliseconds a test", runs, lambda one, count: f"{one.cpu_s / count * 1000:.2f}"),
        "",
        *table("MiB", runs, lambda one, _: f"{one.peak_mib:.0f}"),
        "",
        *one_more(runs),
        "## Hooks around a gate",
        "",
        "CPU from the first test to the last, so without start, collection and closing: set-up, call,",
        "tear-down, reports. Plain tests take a fixture that knows its test, as gates take `evidence`.",
        "",
        *table("milliseconds a test", runs, lambda one, count: f"{one.tests_s / count * 1000:.2f}"),
        "",
        *hooks(runs[largest], largest),
        "## Closing a run",
        "",
        "CPU from the last test to the end. With bais-gates it goes into the decision, the sign-off page,",
        "CTRF, JUnit and the HTML log.",
        "",
        *table("seconds", runs, lambda one, _: f"{one.closing_s:.2f}"),
        "",
        f"## Reading a decision of {largest:,} gates",
        "",
        *rows(
            "reader",
            {name: f"{one.cpu_s - imports:.2f}" for name, one in reading.items() if one.cpu_s > imports},
        ),
        "",
        "bais-gates refuses duplicate keys, validates by the schema, and holds the content to its digest.",
        "",
        "## Collecting",
        "",
        *rows("`pytest --collect-only`", {what: f"{one.cpu_s:.2f}" for what, one in collecting.items()}),
    ]
    return "\n".join(lines) + "\n"


def one_more(runs: Runs) -> Iterator[str]:
    """Yield what one more test costs, collected and run: start and closing, which come once, are left out."""
    if len(runs) < 2:
        return
    small, large = sorted(runs)[-2:]

    def cost_ms(kind: str) -> float:
        more = runs[large][kind], runs[small][kind]
        return (
            1000 * (more[0].cpu_s - more[0].closing_s - more[1].cpu_s + more[1].closing_s) / (large - small)
        )

    each = ", ".join(f"{kind} {cost_ms(kind):.2f} ms" for kind in KINDS)
    yield from (f"One more test, collected and run, from {small:,} to {large:,}: {each}.", "")


def hooks(costs: Mapping[str, Cost], count: int) -> Iterator[str]:
    """Yield what the hooks around one gate cost, its evidence and its lines in the ledger included."""
    more_ms = 1000 * (costs["bais-gates"].tests_s - costs["pytest-html"].tests_s) / count
    yield f"Hooks, evidence and ledger add {more_ms:.2f} ms a gate to pytest-html, which bais-gates uses."
    yield ""


def table(unit: str, runs: Runs, show: Callable[[Cost, int], str]) -> Iterator[str]:
    """Yield the lines of a table: a row a number of tests, a column a kind."""
    yield f"| tests ({unit}) | {' | '.join(KINDS)} |"
    yield "| ---: |" + " ---: |" * len(KINDS)
    for count, costs in runs.items():
        yield f"| {count:,} | {' | '.join(show(costs[kind], count) for kind in KINDS)} |"


def rows(what: str, seconds: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a table with one number a row."""
    yield from (f"| {what} | seconds |", "| --- | ---: |")
    yield from (f"| {name} | {number} |" for name, number in seconds.items())


def main() -> None:
    """Measure and print, or write, the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tests", type=int, nargs="+", default=[100, 1_000, 10_000], help="default: 100 1000 10000"
    )
    parser.add_argument("--repeat", type=int, default=5, help="runs of each, the median counts (default: 5)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the document to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bais-gates-bytecode-") as bytecode:
        variables = {"PYTHONPYCACHEPREFIX": bytecode}
        collecting = measure_collections(arguments.repeat, **variables)
        runs, reading = measure_runs(arguments.tests, arguments.repeat, **variables)
    text = document(runs, reading, collecting, arguments.repeat)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
