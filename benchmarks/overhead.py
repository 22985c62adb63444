"""What a gate costs beside a bare pytest test and one with pytest-html: 1,000 and 10,000 trivial ones.

Run ``python benchmarks/overhead.py``; with ``--write FILE`` the table becomes that file. Each number
is the wall time of a whole pytest process, best of ``--repeat`` runs, divided by the number of tests.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

TESTS_PER_FILE = 250
PLAIN = """
def test_{number}():
    \"\"\"One is one.\"\"\"
    assert 1 == 1
"""
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
OTHERS = (
    "cacheprovider",
    "schemathesis",
    "hypothesispytest",
    "valkey",
    "locust",
    "timeout",
)  # not measured here
QUIET = ("-q", "--no-header", *(word for name in OTHERS for word in ("-p", f"no:{name}")))
KINDS = {
    "pytest": ("plain", ("-p", "no:bais_gates")),
    "pytest-html": ("plain", ("-p", "no:bais_gates", "--html", "report.html", "--self-contained-html")),
    "bais-gates": ("gates", ("-m", "golive", "--gate-env", "nowhere.yaml")),
}


def write_project(folder: Path, count: int) -> None:
    """Write ``count`` plain tests and as many gates with their catalog, and an empty pytest configuration."""
    policy = Path(__file__).parents[1] / "gates" / "policy.yaml"
    (folder / "pytest.ini").write_text("[pytest]\ngate_catalog = gates/catalog.yaml\n")
    for kind, template, head in (("plain", PLAIN, ""), ("gates", GATE, "import pytest\n")):
        (folder / kind).mkdir()
        for start in range(0, count, TESTS_PER_FILE):
            numbers = range(start, min(start + TESTS_PER_FILE, count))
            tests = "\n".join(template.format(number=number) for number in numbers)
            (folder / kind / f"test_from_{start}.py").write_text(head + tests)
    entries = "".join(ENTRY.format(number=number) for number in range(count))
    (folder / "gates" / "catalog.yaml").write_text("gates:" + entries)
    (folder / "gates" / "policy.yaml").write_bytes(policy.read_bytes())
    (folder / "nowhere.yaml").write_text("name: nowhere\n")


def seconds(folder: Path, kind: str, workers: int) -> float:
    """Run one pytest process and return its wall time in seconds; raise when it did not pass."""
    tests, options = KINDS[kind]
    parallel = ("-n", str(workers)) if workers else ()
    started = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-m", "pytest", tests, *QUIET, *options, *parallel],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    elapsed = time.perf_counter() - started
    if result.returncode != 0:
        sys.exit(f"{kind} ended with {result.returncode}:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return elapsed


def measure(counts: Sequence[int], repeat: int) -> list[tuple[int, int, dict[str, float]]]:
    """Return (tests, workers, best seconds by kind) rows."""
    rows = []
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="bais-gates-benchmark-") as folder:
            write_project(Path(folder), count)
            for workers in (0, 2):
                best = {
                    kind: min(seconds(Path(folder), kind, workers) for _ in range(repeat)) for kind in KINDS
                }
                rows.append((count, workers, best))
                print(f"{count} tests, -n {workers}: " + ", ".join(f"{k} {v:.2f} s" for k, v in best.items()))
    return rows


def table(rows: Sequence[tuple[int, int, dict[str, float]]]) -> str:
    """Render the rows as a Markdown document."""
    versions = f"Python {platform.python_version()}, pytest {pytest.__version__}, {os.cpu_count()} cores"
    lines = [
        "# What a gate costs",
        "",
        f"Written by `python benchmarks/overhead.py --write docs/overhead.md` on {versions}.",
        "Milliseconds a test, whole process, best run.",
        "",
        "| tests | workers | " + " | ".join(KINDS) + " | bais-gates over pytest |",
        "| ---: | ---: |" + " ---: |" * (len(KINDS) + 1),
    ]
    for count, workers, best in rows:
        cells = " | ".join(f"{best[kind] / count * 1000:.2f}" for kind in KINDS)
        more = (best["bais-gates"] - best["pytest"]) / count * 1000
        lines.append(f"| {count:,} | {workers or 'serial'} | {cells} | {more:+.2f} |")
    lines += [
        "",
        "In that time bais-gates also writes the decision, the sign-off page, CTRF, JUnit and the HTML log.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print, or write, the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tests", type=int, nargs="+", default=[1_000, 10_000], help="default: 1000 10000")
    parser.add_argument("--repeat", type=int, default=2, help="runs of each, the best counts (default: 2)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table to this Markdown file")
    arguments = parser.parse_args()
    text = table(measure(arguments.tests, arguments.repeat))
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
