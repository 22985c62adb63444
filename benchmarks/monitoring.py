"""Measure how long rule files take to be checked, with more and more rules, and rule tests to be run.

``python benchmarks/monitoring.py`` prints the CPU seconds of ``bais-gates monitoring check`` for 60, 1,000
and 10,000 rules, and of ``monitoring test`` for the shipped tests, its server included; and beside them
those of ``promtool``, where that is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1] / "gates" / "monitoring" / "tests"
SIZES = (60, 1_000, 10_000)
PER_FILE = 1_000
RULE = """\
  - alert: ErrorRateHigh{n}
    expr: >-
      sum by (job) (rate(http_requests_total{{job="shop{n}", status=~"5.."}}[5m]))
        / sum by (job) (rate(http_requests_total{{job="shop{n}"}}[5m])) > 0.01
    for: 5m
    labels: {{severity: critical, team: shop}}
    annotations:
      summary: The shop responds with errors.
      description: "{{{{ $value | humanizePercentage }}}} of the requests to {{{{ $labels.job }}}} fail."
      runbook_url: https://runbooks.example.com/ErrorRateHigh
"""


def write_rules(folder: Path, count: int) -> list[str]:
    """Write files with ``count`` alerts to a folder, and return their paths."""
    paths = []
    for start in range(0, count, PER_FILE):
        path = folder / f"rules-{start}.yaml"
        rules = "".join(RULE.format(n=n) for n in range(start, min(start + PER_FILE, count)))
        path.write_text(f"groups:\n- name: shop-{start}\n  rules:\n{rules}", encoding="utf-8")
        paths.append(str(path))
    return paths


def measure(command: list[str]) -> float:
    """Return the CPU seconds of a command that must end with 0."""
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Print one line a size."""
    promtool = shutil.which("promtool")
    print("rules  bais-gates  promtool (CPU seconds)")
    for count in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            paths = write_rules(Path(folder), count)
            ours = measure([sys.executable, "-m", "bais_gates", "monitoring", "check", "--strict", *paths])
            theirs = f"{measure([promtool, 'check', 'rules', *paths]):8.2f}" if promtool else "not installed"
            print(f"{count:>6,} {ours:>10.2f}  {theirs}")
    tests = sorted(map(str, TESTS.glob("*.yaml")))
    ours = measure([sys.executable, "-m", "bais_gates", "monitoring", "test", *tests])
    theirs = f"{measure([promtool, 'test', 'rules', *tests]):8.2f}" if promtool else "not installed"
    print(f" tests {ours:>10.2f}  {theirs}")


if __name__ == "__main__":
    main()
