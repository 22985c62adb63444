"""Results of an earlier decision that count in this run: verified, of the same target and subject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bais_gates.attest.verify import verify
from bais_gates.verdict.model import Code, Decision, GateResult, Outcome, Reason, Subject, TargetIdentity

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What was imported."""

    results: Mapping[str, GateResult] = field(default_factory=dict)
    """By gate id; of several decisions the last one counts."""
    reasons: tuple[Reason, ...] = ()
    """Why a decision cannot be imported."""

    @property
    def outcomes(self) -> dict[str, tuple[Outcome, str]]:
        """What each gate amounted to, and the run that it was seen in."""
        return {
            gate_id: (result.outcome, result.imported_from or "") for gate_id, result in self.results.items()
        }


def read_imports(
    paths: tuple[Path, ...], *, target: TargetIdentity, subject: Subject | None, catalog: Path
) -> Imported:
    """Verify each decision, and take its gates' results."""
    results: dict[str, GateResult] = {}
    reasons: list[Reason] = []
    for path in paths:
        decision, problems = _verified(path, target, subject, catalog)
        reasons += [
            Reason(
                code=Code.REFUSED_OPTION,
                message=f"--gate-import {path}: {problem}",
                remedy="Decide the earlier scope anew for this target and subject, or leave the option out.",
            )
            for problem in problems
        ]
        if decision is not None and not problems:
            for judged in decision.gates:
                origin = judged.result.imported_from or decision.run.run_id
                results[judged.gate.id] = replace(judged.result, imported_from=origin)
    return Imported(results=results, reasons=tuple(reasons))


def _verified(
    path: Path, target: TargetIdentity, subject: Subject | None, catalog: Path
) -> tuple[Decision | None, list[str]]:
    # Of which scope it is does not matter here: its gates do.
    decision = verify(path, env=target.name, subject=subject, catalog=catalog).decision
    if decision is None:
        return None, ["it cannot be read as a decision."]
    report = verify(path, scope=decision.scope, env=target.name, subject=subject, catalog=catalog)
    problems = [
        problem.message
        for problem in report.problems
        if not (problem.code == "REHEARSAL" and target.rehearsal)  # a rehearsal may build on a rehearsal
    ]
    return decision, [*problems, *_differences(decision, target, subject)]


def _differences(decision: Decision, target: TargetIdentity, subject: Subject | None) -> Iterator[str]:
    if decision.target.environment_digest != target.environment_digest:
        yield "its environment file was another one."
    if decision.subject != subject:
        yield f"it is about the subject {decision.subject or 'none'}, this run about {subject or 'none'}."
