"""A suite with a gate, and decisions that it makes about an image and an environment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bais_gates.verdict.catalog import load_catalog
from bais_gates.verdict.decide import decide
from bais_gates.verdict.document import to_document
from bais_gates.verdict.files import digest_of
from bais_gates.verdict.model import Check, GateResult, Op, Outcome, Run, TargetIdentity, parse_subject
from bais_gates.verdict.policy import load_policy
from bais_gates.verdict.waivers import NO_WAIVERS

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = """\
gates:
  - id: acceptance.a
    title: Gate a
    phase: acceptance
    severity: P1
    scopes: [golive]
    requirement: It holds.
    remedy: Mend it.
"""
POLICY = (
    "blocking: [P1, P2, P3]\ngate_deadline_s: 60\nrun_deadline_s: 600\nvalidity_s: 3600\n"
    "waiver_max_days: {P2: 7, P3: 30}\n"
)


@dataclass
class Suite:
    """The files of a suite in a folder."""

    folder: Path

    @property
    def catalog(self) -> Path:
        """The catalog."""
        return self.folder / "catalog.yaml"

    @property
    def decision(self) -> Path:
        """The decision."""
        return self.folder / "decision.json"

    def write(self) -> None:
        """Write catalog, policy and an environment file of production."""
        (self.folder / "environments").mkdir(parents=True)
        self.catalog.write_text(CATALOG)
        (self.folder / "policy.yaml").write_text(POLICY)
        (self.folder / "environments" / "production.yaml").write_text("name: production\n")

    def decide(
        self,
        image: str,
        *,
        target: str = "sandbox",
        rehearsal: bool = True,
        at: datetime | None = None,
        outcome: str = "PASS",
        facts: tuple[tuple[str, str], ...] = (),
    ) -> Path:
        """Write the decision of a run that has just ended, or that ended ``at``."""
        now = at or datetime.now(UTC)
        check = Check(name="p95", observed=10, op=Op.LE, limit=20, ok=outcome == "PASS", n=5, n_min=5)
        decision = decide(
            catalog=load_catalog(self.catalog),
            policy=load_policy(self.folder / "policy.yaml"),
            waivers=NO_WAIVERS,
            results=[GateResult(gate_id="acceptance.a", outcome=Outcome(outcome), checks=(check,))],
            run=Run(
                run_id="run-1",
                started_at=now - timedelta(minutes=1),
                finished_at=now,
                command=("pytest", "-m", "golive"),
                workers=0,
            ),
            target=TargetIdentity(
                name=target,
                rehearsal=rehearsal,
                provisioned=rehearsal,
                environment_digest=digest_of((self.folder / "environments" / "production.yaml").read_bytes()),
                facts=facts,
            ),
            scope="golive",
            subject=parse_subject(image),
            now=now,
        )
        document: dict[str, Any] = to_document(decision)
        self.decision.write_text(json.dumps(document))
        return self.decision
