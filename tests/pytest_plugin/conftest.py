"""A small project of gates in a folder of its own, run by pytest in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.launch import run_pytest

TIMEOUT_S = 60
PLUGINS = ("bais_gates.pytest_plugin.plugin", "xdist.plugin")
HTML = ("-p", "pytest_metadata.plugin", "-p", "pytest_html.plugin")
"""Options of a run that pytest-html takes part in, a sixth of its time."""
PASSING = """
@pytest.mark.gate("acceptance.{name}")
def test_{name}(evidence):
    \"\"\"{name} holds.\"\"\"
    evidence.check("one", 1, "==", 1)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a run left: its exit status, its output and its decision."""

    status: int
    output: str
    decision: Mapping[str, Any] | None

    @property
    def codes(self) -> set[str]:
        """The codes of all reasons to block."""
        return {reason["code"] for reason in self.decision["reasons"]} if self.decision else set()

    @property
    def outcomes(self) -> dict[str, str]:
        """Each gate's outcome, by the last part of its id."""
        gates = self.decision["gates"] if self.decision else ()
        return {gate["id"].rpartition(".")[2]: gate["outcome"] for gate in gates}

    def gate(self, name: str) -> Mapping[str, Any]:
        """Return what the decision says of one gate."""
        assert self.decision is not None, self.output
        found: Mapping[str, Any] = next(
            gate for gate in self.decision["gates"] if gate["id"].endswith(f".{name}")
        )
        return found


class Project:
    """A folder with a catalog, an environment file and tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "gate-report"
        self.write("pytest.ini", "[pytest]\n")
        self.write("gates/environments/stub.yaml", "name: stub\n")
        self.policy()

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def catalog(self, **gates: Mapping[str, Any]) -> None:
        """Write a catalog: names with what differs from an ordinary P1 gate of golive."""
        entries = [
            {
                "id": f"acceptance.{name}",
                "title": name,
                "phase": "acceptance",
                "severity": "P1",
                "scopes": ["golive"],
                "requirement": "it holds",
                "remedy": "mend it",
                **more,
            }
            for name, more in gates.items()
        ]
        self.write("gates/catalog.yaml", json.dumps({"gates": entries}, indent=1))

    def policy(self, *, gate_deadline_s: float = 30, run_deadline_s: float = 60) -> None:
        """Write a policy with these deadlines."""
        self.write(
            "gates/policy.yaml",
            f"""\
            blocking: [P1, P2, P3]
            gate_deadline_s: {gate_deadline_s}
            run_deadline_s: {run_deadline_s}
            validity_s: 3600
            waiver_max_days: {{P2: 7, P3: 30, P4: 90}}
            subject: not_required
            """,
        )

    def tests(self, text: str, name: str = "test_gates.py") -> None:
        """Write a test file; pytest, os and time are imported."""
        self.write(name, "import os, signal, time\nimport pytest\n" + textwrap.dedent(text))

    def passing(self, *names: str) -> None:
        """Write one passing test for each of these gates."""
        self.tests("".join(PASSING.format(name=name) for name in names))

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a run."""
        loaded = [part for name in PLUGINS for part in ("-p", name)]
        fixed = ["-p", "no:cacheprovider", "--gate-env", "stub"]
        return [sys.executable, "-m", "pytest", *loaded, *fixed, *arguments]

    def environment(self) -> dict[str, str]:
        """Return the environment of a run: nothing of the run that these tests are in."""
        ours = ("BAIS_GATES", "PYTEST_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, before: Callable[[], None] | None = None
    ) -> Ran:
        """Run pytest to its end; in a new interpreter if it has to prepare or to read PYTHON variables."""
        command, environment = self.command(*arguments), self.environment() | dict(env or {})
        if before is None and not any(name.startswith("PYTHON") for name in env or ()):
            done = run_pytest(command[3:], folder=self.folder, env=environment, timeout_s=TIMEOUT_S)
        else:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
                preexec_fn=before,
            )
        return Ran(status=done.returncode, output=done.stdout + done.stderr, decision=self.decision())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start pytest and do not wait."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, process: subprocess.Popen[str], timeout: float = TIMEOUT_S) -> Ran:
        """Wait for a started run."""
        output, _ = process.communicate(timeout=timeout)
        return Ran(status=process.returncode, output=output, decision=self.decision())

    def decision(self) -> Mapping[str, Any] | None:
        """Return the decision on disk."""
        try:
            found: Mapping[str, Any] = json.loads((self.out / "decision.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Make an empty project."""
    return Project(tmp_path)


SERIAL_AND_PARALLEL: Sequence[tuple[str, ...]] = ((), ("-n", "2"))
