"""A small world to judge in: makers of values with sensible defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from bais_gates.verdict.catalog import Catalog
from bais_gates.verdict.decide import decide
from bais_gates.verdict.model import (
    Check,
    Decision,
    Gate,
    GateResult,
    Op,
    Origin,
    Outcome,
    Phase,
    Run,
    Severity,
    Subject,
    TargetIdentity,
    Waiver,
)
from bais_gates.verdict.policy import BUILT_IN
from bais_gates.verdict.waivers import WaiverFile

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class Write(Protocol):
    """What the fixture ``write`` gives."""

    def __call__(self, content: str | bytes, name: str = "file.yaml") -> Path:
        """Write a file and return its path."""


@dataclass(frozen=True)
class World:
    """Makers of what a judgement is about; all of it happens at ``now`` in the environment ``staging``."""

    now: datetime = NOW

    def gate(self, name: str = "a", severity: str = "P2", **fields: Any) -> Gate:
        """Return a gate ``acceptance.<name>``."""
        usual = Gate(
            id=f"acceptance.{name}",
            title=name,
            phase=Phase.ACCEPTANCE,
            severity=Severity(severity),
            scopes=("golive", "acceptance"),
            requirement="It holds.",
            remedy="Mend it.",
        )
        return replace(usual, **fields)

    def catalog(self, *gates: Gate) -> Catalog:
        """Return a catalog."""
        return Catalog(gates=gates or (self.gate(),), digest="sha256:" + "c" * 64, path=Path("catalog.yaml"))

    def check(self, *, ok: bool | None = True, **fields: Any) -> Check:
        """Return a check."""
        return replace(Check(name="p95", observed=10, op=Op.LE, limit=20, ok=ok), **fields)

    def result(self, name: str = "a", outcome: str = "PASS", **fields: Any) -> GateResult:
        """Return a result with one true check."""
        usual = GateResult(gate_id=f"acceptance.{name}", outcome=Outcome(outcome), checks=(self.check(),))
        return replace(usual, **fields)

    def waiver(self, name: str = "a", **fields: Any) -> Waiver:
        """Return a waiver that is valid for five days around now."""
        usual = Waiver(
            gate=f"acceptance.{name}",
            reason="The index is being rebuilt.",
            ticket="BAIS-1",
            requested_by="dana@example.com",
            approved_by="alex@example.com",
            approved_at=NOW - timedelta(days=2),
            expires=NOW + timedelta(days=3),
            environment="staging",
        )
        return replace(usual, **fields)

    def run(self, **fields: Any) -> Run:
        """Return a run that ended now."""
        usual = Run(
            run_id="run-1",
            started_at=NOW - timedelta(minutes=1),
            finished_at=NOW,
            command=("pytest", "-m", "golive"),
            workers=0,
        )
        return replace(usual, **fields)

    def target(self, **fields: Any) -> TargetIdentity:
        """Return the identity of the environment ``staging``."""
        usual = TargetIdentity(name="staging", rehearsal=False, environment_digest="sha256:" + "e" * 64)
        return replace(usual, **fields)

    def origin(self, **fields: Any) -> Origin:
        """Return the decision of an hour ago about the same target, valid for three more hours."""
        usual = Origin(
            run_id="run-0",
            decided_at=NOW - timedelta(hours=1),
            valid_until=NOW + timedelta(hours=3),
            target=self.target(),
            subject=self.subject(),
        )
        return replace(usual, **fields)

    def subject(self, letter: str = "a") -> Subject:
        """Return a subject."""
        return Subject(name="registry.example.com/bais-api", digest="sha256:" + letter * 64)

    def decide(self, *results: GateResult, gates: tuple[Gate, ...] = (), **fields: Any) -> Decision:
        """Judge results; by default one gate ``acceptance.a`` for the scope golive."""
        waivers = WaiverFile(waivers=tuple(fields.pop("waivers", ())), digest=None)
        given: dict[str, Any] = {  # Any: each keyword of decide has a type of its own
            "catalog": self.catalog(*gates),
            "policy": BUILT_IN,
            "scope": "golive",
            "run": self.run(),
            "target": self.target(),
            "subject": self.subject(),
            "now": NOW,
        }
        return decide(results=results, waivers=waivers, **(given | fields))


@pytest.fixture(scope="session")
def world() -> World:
    """Return the builders of test values."""
    return World()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a file and returns its path."""

    def write_file(content: str | bytes, name: str = "file.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file
