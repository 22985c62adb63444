"""A small project with three gates, a way to run its decision, and what must hold however one cheats."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.launch import run_command, run_pytest

ENTRY = """\
  - id: acceptance.{name}
    title: Gate {name}
    phase: acceptance
    severity: P1
    scopes: [golive, acceptance]
    requirement: {name} is what it is.
    remedy: Look at {name}.
"""
HEAD = "import os, sys, pytest\n"
GATE = """
@pytest.mark.gate("acceptance.{name}")
def test_{name}(evidence):
    \"\"\"{name} is what it is.\"\"\"
    evidence.check("{name}", 1, "==", 1)
"""
RED = 'evidence.check("b", 2, "==", 1)'
GREEN = 'evidence.check("b", 1, "==", 1)'
SETTINGS = """\
gate_catalog = gates/catalog.yaml
filterwarnings = error
addopts = -p no:schemathesis -p no:hypothesispytest -p no:valkey
"""  # those plugins play no part here, and importing them would be most of a run's time
PLUGINS = ("-p", "bais_gates.pytest_plugin.plugin", "-p", "xdist.plugin")
TIMEOUT_S = 60


serial_and_parallel = pytest.mark.parametrize("workers", [0, 2], ids=["serial", "-n2"])
serial_and_nightly_parallel = pytest.mark.parametrize(
    "workers", [0, pytest.param(2, marks=pytest.mark.nightly)], ids=["serial", "-n2"]
)
"""For ways that meet the same code in a worker as others that are tried with ``-n 2`` in every run."""


def serial_and_parallel_once(name: str, table: Mapping[str, object]) -> pytest.MarkDecorator:
    """Parametrize a test by the rows of a table; nightly the first is tried with ``-n 2`` as well."""
    rows = [pytest.param(value, 0, id=f"{key}-serial") for key, value in table.items()]
    first = next(iter(table))
    return pytest.mark.parametrize(
        (name, "workers"),
        [*rows, pytest.param(table[first], 2, id=f"{first}--n2", marks=pytest.mark.nightly)],
    )


class Way(NamedTuple):
    """A way round the gate that is all in its test: the body, the marks, the arguments."""

    body: str
    marks: str = ""
    arguments: str = "evidence"

    def text(self, name: str) -> str:
        """Return the test of the gate with this name."""
        lines = "".join(f"    {line}\n" for line in self.body.splitlines())
        head = f'{self.marks}\n@pytest.mark.gate("acceptance.{name}")\n'
        return f"{head}def test_{name}({self.arguments}):\n{lines}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One run of the project's decision: exit status, output, the file it left and what verify says."""

    status: int | None
    """None where gates with another one are in the same run."""
    output: str
    document: Mapping[str, Any] | None
    verify_status: int
    verify_output: str

    @property
    def codes(self) -> set[str]:
        """The codes of all reasons to block."""
        return {reason["code"] for reason in self.document["reasons"]} if self.document else set()

    def blocks(self, code: str, *, status: int) -> None:
        """Hold that the decision is BLOCK for this reason, with this status, and that verify refuses it."""
        assert self.document is not None, self.output
        assert self.document["verdict"] == "BLOCK", self.output
        assert code in self.codes, (self.codes, self.output)
        assert self.status in {status, None}, self.output
        self.verify_refuses()

    def of(self, name: str) -> Ran:
        """Return this run as if its reasons were those of one gate."""
        assert self.document is not None, self.output
        gate = f"acceptance.{name}"
        reasons = [one for one in self.document["reasons"] if gate in (one["gate"], *one["holds_back"])]
        return replace(self, document={**self.document, "reasons": reasons})

    def verify_refuses(self) -> None:
        """Assert that `verify` refuses the decision."""
        assert self.verify_status != 0, self.verify_output


class Project:
    """A folder with gates a, b and c, all green, to be tampered with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A killed run's folder stays in the test's own.
        self.env = {**os.environ, "TMPDIR": str(folder / "tmp")}
        (folder / "tmp").mkdir()
        self.write("pytest.ini", f"[pytest]\n{SETTINGS}")
        self.catalog("a", "b", "c")
        self.write("staging.yaml", "name: staging\n")
        policy = Path(__file__).parents[2] / "gates" / "policy.yaml"
        text = policy.read_text(encoding="utf-8").replace("subject: required", "subject: not_required")
        self.write("gates/policy.yaml", text)
        self.gates()

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def catalog(self, *names: str) -> None:
        """Write a catalog of these gates."""
        self.write("gates/catalog.yaml", "gates:\n" + "".join(ENTRY.format(name=name) for name in names))

    def gates(self, *, b: str | None = None, more: str = "") -> None:
        """Write the gates with ``b`` in place of gate b's whole text and ``more`` at the end."""
        texts = [GATE.format(name="a"), GATE.format(name="b") if b is None else b, GATE.format(name="c")]
        self.write("gates/test_gates.py", HEAD + "\n".join(texts) + more)

    def gate_b(self, body: str, *, marks: str = "", arguments: str = "evidence") -> None:
        """Write gate b with this body and these marks."""
        self.gates(b=Way(body, marks, arguments).text("b"))

    def run_each(self, ways: Iterable[Way], *, workers: int = 2) -> dict[Way, Ran]:
        """Try each way as a gate of its own, all in one run."""
        names = {way: f"b{number}" for number, way in enumerate(ways)}
        self.catalog(*names.values())
        self.write("gates/test_gates.py", HEAD + "\n".join(way.text(name) for way, name in names.items()))
        ran = self.run(workers=workers)
        return {way: ran.of(name) for way, name in names.items()}

    def conftest(self, text: str) -> None:
        """Write the hostile conftest beside the gates."""
        self.write("gates/conftest.py", HEAD + text)

    def arguments(self, *options: str, workers: int = 0) -> Sequence[str]:
        """Return the arguments of a deciding run."""
        parallel = ("-n", str(workers)) if workers else ()
        decision = ("-m", "golive", "--gate-env", "staging.yaml", "--gate-run-id", "this-run")
        return ("-q", *decision, *parallel, *options)

    def run(self, *options: str, workers: int = 0) -> Ran:
        """Run the decision, then verify what it left as a pipeline would."""
        arguments = (*PLUGINS, *self.arguments(*options, workers=workers))
        return self._judged(run_pytest(arguments, folder=self.folder, env=self.env, timeout_s=TIMEOUT_S))

    def command(self, *options: str, workers: int = 0) -> Sequence[str]:
        """Return the command line of a deciding run as users type it."""
        return (sys.executable, "-m", "pytest", *self.arguments(*options, workers=workers))

    def run_command(self, *options: str, workers: int = 0) -> Ran:
        """Run the decision in a new interpreter, in which pytest finds its plugins itself; then verify."""
        return self._judged(
            subprocess.run(
                self.command(*options, workers=workers),
                cwd=self.folder,
                env=self.env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        )

    def verify(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Ask verify as a pipeline would."""
        return run_command("verify", "--env", "staging", *options, folder=self.folder)

    def _judged(self, done: subprocess.CompletedProcess[str]) -> Ran:
        verified = self.verify("--run-id", "this-run")
        path = self.folder / "gate-report" / "decision.json"
        return Ran(
            status=done.returncode,
            output=done.stdout,
            document=json.loads(path.read_text(encoding="utf-8")) if path.exists() else None,
            verify_status=verified.returncode,
            verify_output=verified.stdout,
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project whose three gates are green until a test changes something."""
    return Project(tmp_path)
