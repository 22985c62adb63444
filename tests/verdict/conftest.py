"""A small world to judge in: makers of values with sensible defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bais_gates.verdict.catalog import Catalog
from bais_gates.verdict.decide import decide
from bais_gates.verdict.model import (
    Check,
    Decision,
    Gate,
    GateResult,
    Op,
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


@dataclass(frozen=True)
class World:
    """Makers of what a judgement is about; all of it happens at ``now`` in the environment ``staging``."""

    now: datetime = NOW

    def gate(self, name: str = "a", severity: str = "P2", **fields: Any) -> Gate:
        """Make a gate ``acceptance.<name>``."""
        given = {
            "scopes": ("golive", "acceptance"),
            "title": name,
            "requirement": "It holds.",
            "remedy": "Mend it.",
        }
        return Gate(
            id=f"acceptance.{name}", phase=Phase.ACCEPTANCE, severity=Severity(severity), **(given | fields)
        )

    def catalog(self, *gates: Gate) -> Catalog:
        """Make a catalog."""
        return Catalog(gates=gates or (self.gate(),), digest="sha256:" + "c" * 64, path=Path("catalog.yaml"))

    def check(self, *, ok: bool | None = True, **fields: Any) -> Check:
        """Make a check."""
        given = {"name": "p95", "observed": 10, "op": Op.LE, "limit": 20}
        return Check(ok=ok, **(given | fields))

    def result(self, name: str = "a", outcome: str = "PASS", **fields: Any) -> GateResult:
        """Make a result with one true check."""
        given: dict[str, Any] = {"checks": (self.check(),)}
        return GateResult(gate_id=f"acceptance.{name}", outcome=Outcome(outcome), **(given | fields))

    def waiver(self, name: str = "a", **fields: Any) -> Waiver:
        """Make a waiver that holds for five days around now."""
        given = {
            "reason": "The index is being rebuilt.",
            "ticket": "BAIS-1",
            "requested_by": "dana@example.com",
            "approved_by": "alex@example.com",
            "approved_at": NOW - timedelta(days=2),
            "expires": NOW + timedelta(days=3),
            "environment": "staging",
        }
        return Waiver(gate=f"acceptance.{name}", **(given | fields))

    def run(self, **fields: Any) -> Run:
        """Make a run that ended now."""
        given = {
            "run_id": "run-1",
            "started_at": NOW - timedelta(minutes=1),
            "finished_at": NOW,
            "command": ("pytest", "-m", "golive"),
            "workers": 0,
        }
        return Run(**(given | fields))

    def target(self, **fields: Any) -> TargetIdentity:
        """Make the identity of the environment ``staging``."""
        given = {"name": "staging", "rehearsal": False, "environment_digest": "sha256:" + "e" * 64}
        return TargetIdentity(**(given | fields))

    def subject(self, letter: str = "a") -> Subject:
        """Make a subject."""
        return Subject(name="registry.example.com/bais-api", digest="sha256:" + letter * 64)

    def decide(self, *results: GateResult, gates: tuple[Gate, ...] = (), **fields: Any) -> Decision:
        """Judge results; by default one gate ``acceptance.a`` for the scope golive."""
        waivers = WaiverFile(waivers=tuple(fields.pop("waivers", ())), digest=None)
        given = {
            "catalog": self.catalog(*gates),
            "policy": BUILT_IN,
            "scope": "golive",
            "run": self.run(),
            "target": self.target(),
            "subject": None,
            "now": NOW,
        }
        return decide(results=results, waivers=waivers, **(given | fields))


@pytest.fixture(scope="session")
def world() -> World:
    """Give the makers."""
    return World()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Give a function that writes a file and returns its path."""

    def write_file(content: str | bytes, name: str = "file.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file
