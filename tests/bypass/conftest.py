"""A small project with three gates, a way to run its decision, and what must hold however one cheats."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CATALOG = """\
gates:
""" + "".join(
    f"""\
  - id: acceptance.{name}
    title: Gate {name}
    phase: acceptance
    severity: P1
    scopes: [golive, acceptance]
    requirement: {name} is what it is.
    remedy: Look at {name}.
"""
    for name in ("a", "b", "c")
)
HEAD = "import os, sys, pytest\n"
GATE = """
@pytest.mark.gate("acceptance.{name}")
def test_{name}(evidence):
    \"\"\"{name} is what it is.\"\"\"
    evidence.check("{name}", 1, "==", 1)
"""
RED = 'evidence.check("b", 2, "==", 1)'
SETTINGS = """\
gate_catalog = gates/catalog.yaml
filterwarnings = error
addopts = -p no:schemathesis -p no:hypothesispytest -p no:valkey
"""  # those plugins play no part here, and importing them would be most of a run's time
TIMEOUT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One run of the project's decision: exit status, output, the file it left and what verify says."""

    status: int
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
        assert self.status == status, self.output
        self.verify_refuses()

    def verify_refuses(self) -> None:
        """Assert that `verify` refuses the decision."""
        assert self.verify_status != 0, self.verify_output


class Project:
    """A folder with gates a, b and c, all green, to be tampered with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env: dict[str, str] = {
            "TMPDIR": str(folder / "tmp")
        }  # a killed run's folder stays in the test's own
        (folder / "tmp").mkdir()
        self.write("pytest.ini", f"[pytest]\n{SETTINGS}")
        self.write("gates/catalog.yaml", CATALOG)
        self.write("staging.yaml", "name: staging\n")
        policy = Path(__file__).parents[2] / "gates" / "policy.yaml"
        self.write("gates/policy.yaml", policy.read_text(encoding="utf-8"))
        self.gates()

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def gates(self, *, b: str | None = None, more: str = "") -> None:
        """Write the gates with ``b`` in place of gate b's whole text and ``more`` at the end."""
        texts = [GATE.format(name="a"), GATE.format(name="b") if b is None else b, GATE.format(name="c")]
        self.write("gates/test_gates.py", HEAD + "\n".join(texts) + more)

    def gate_b(self, body: str, *, marks: str = "", arguments: str = "evidence") -> None:
        """Write gate b with this body and these marks."""
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        self.gates(b=f'{marks}\n@pytest.mark.gate("acceptance.b")\ndef test_b({arguments}):\n{lines}')

    def conftest(self, text: str) -> None:
        """Write the hostile conftest beside the gates."""
        self.write("gates/conftest.py", HEAD + text)

    def command(self, *options: str, workers: int) -> Sequence[str]:
        """Return the command line of a deciding run."""
        parallel = ("-n", str(workers)) if workers else ()
        python = (sys.executable, "-m", "pytest", "-q", "-m", "golive", "--gate-env", "staging.yaml")
        return (*python, "--gate-run-id", "this-run", *parallel, *options)

    def run(self, *options: str, workers: int = 0, command: Sequence[str] = ()) -> Ran:
        """Run the decision, then verify what it left as a pipeline would."""
        environment = {**os.environ, **self.env}
        result = self._call(command or self.command(*options, workers=workers), environment)
        verified = self.verify("--run-id", "this-run")
        path = self.folder / "gate-report" / "decision.json"
        return Ran(
            status=result.returncode,
            output=result.stdout,
            document=json.loads(path.read_text(encoding="utf-8")) if path.exists() else None,
            verify_status=verified.returncode,
            verify_output=verified.stdout,
        )

    def verify(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Ask verify as a pipeline would, in a clean environment."""
        command = (sys.executable, "-m", "bais_gates", "verify", "--env", "staging", *options)
        return self._call(command, dict(os.environ))

    def _call(self, command: Sequence[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project whose three gates are green until a test changes something."""
    return Project(tmp_path)
