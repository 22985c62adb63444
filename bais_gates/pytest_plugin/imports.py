"""Results of earlier decisions (``--gate-import``): verified at the start of a run, compared at its end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.attest.verify import verify
from bais_gates.errors import GateInputError
from bais_gates.targets import identity
from bais_gates.verdict.document import load_decision
from bais_gates.verdict.imports import Imports
from bais_gates.verdict.model import (
    Code,
    Decision,
    GateResult,
    JudgedGate,
    Origin,
    Outcome,
    Reason,
    Subject,
    TargetIdentity,
)
from bais_gates.verdict.target import differences

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.run_state import RunState
    from bais_gates.verdict.catalog import Catalog
    from bais_gates.verdict.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The results of earlier decisions that count in this run."""

    results: Mapping[str, GateResult] = field(default_factory=dict)
    """By gate id; of several decisions the last one counts."""
    origins: tuple[Origin, ...] = ()
    """The decisions that the results were first in."""
    reasons: tuple[Reason, ...] = ()
    """Why a decision cannot be imported."""
    proven_elsewhere: frozenset[str] = frozenset()
    """Gates that passed on another target, which the catalog allows: they are not run again here."""

    @property
    def outcomes(self) -> dict[str, tuple[Outcome, str]]:
        """The outcome of each gate, and the run that it is from."""
        return {
            gate_id: (result.outcome, result.imported_from or "") for gate_id, result in self.results.items()
        }


def own_imports(paths: tuple[Path, ...], own: Path) -> list[Reason]:
    """Return the reason for an import of the file that this run writes: the earlier decision is gone."""
    return [
        Reason(
            code=Code.REFUSED_OPTION,
            message=f"--gate-import {path}: this run writes its own decision there: the earlier one is gone.",
            remedy="Decide the earlier scope into another folder (--gate-out DIR), and import it from there.",
        )
        for path in paths
        if path.resolve() == own.resolve()
    ]


def read_imports(
    paths: tuple[Path, ...],
    *,
    target: TargetIdentity,
    subject: Subject | None,
    catalog: Catalog,
    policy: Policy,
) -> Imported:
    """Verify each decision and return the results of its gates that count for this target and subject.

    Of a decision about another target these are the gates that passed there and whose catalog entry says
    ``evidence_from`` that environment.
    """
    results: dict[str, GateResult] = {}
    elsewhere: dict[str, bool] = {}
    origins: list[Origin] = []
    reasons: list[Reason] = []
    for path in paths:
        decision, problems = _verified(path, target, catalog)
        imports = Imports(
            origins=_origins(decision),
            target=target,
            subject=subject,
            contract=catalog.contract,
            validity_s=policy.validity_s,
        )
        found = list(_counting(decision, imports, catalog)) if decision is not None else []
        if decision is not None:
            problems += _unusable(found, decision, imports)
        reasons += [
            Reason(
                code=Code.REFUSED_OPTION,
                message=f"--gate-import {path}: {problem}",
                remedy="Decide the earlier scope anew for this target and subject, or leave the option out.",
            )
            for problem in problems
        ]
        if not problems:
            for judged, origin in found:
                results[judged.gate.id] = replace(judged.result, imported_from=origin.run_id)
                elsewhere[judged.gate.id] = origin.target.name != target.name
            origins += [origin for _, origin in found]
    return Imported(
        results=results,
        origins=tuple(dict.fromkeys(origins)),
        reasons=tuple(reasons),
        proven_elsewhere=frozenset(gate_id for gate_id, is_so in elsewhere.items() if is_so),
    )


def _verified(path: Path, target: TargetIdentity, catalog: Catalog) -> tuple[Decision | None, list[str]]:
    # Of which scope and environment it is does not matter here: its gates do.
    try:
        named = load_decision(path)
    except GateInputError:
        return None, ["it cannot be read as a decision."]
    report = verify(path, scope=named.scope, env=named.target.name, catalog=catalog.path)
    problems = [
        problem.message
        for problem in report.problems
        if not (problem.code == "REHEARSAL" and target.rehearsal)  # a rehearsal may build on a rehearsal
    ]
    return report.decision, problems


def _origins(decision: Decision | None) -> tuple[Origin, ...]:
    """Return the decision as an origin, and those that its own imported results were first in."""
    if decision is None:
        return ()
    own = Origin(
        run_id=decision.run.run_id,
        decided_at=decision.decided_at,
        valid_until=decision.valid_until,
        target=decision.target,
        subject=decision.subject,
        contract=decision.digests.contract,
    )
    return (own, *decision.origins)


def _counting(decision: Decision, imports: Imports, catalog: Catalog) -> Iterator[tuple[JudgedGate, Origin]]:
    """Yield each gate whose result may count for this target, with the decision that it was first in."""
    own, *earlier = imports.origins
    for judged in decision.gates:
        gate = catalog.by_id.get(judged.gate.id, judged.gate)
        known = judged.result.imported_from
        for origin in [own] if known is None else [one for one in earlier if one.run_id == known]:
            passed = judged.result.outcome is Outcome.PASS
            if imports.admits(gate, origin) and (passed or origin.target.name == imports.target.name):
                yield judged, origin


def _unusable(found: list[tuple[JudgedGate, Origin]], decision: Decision, imports: Imports) -> list[str]:
    """Return what differs between this run and the decisions that the gates were first in."""
    if not found:
        there, here = decision.target.name, imports.target.name
        return [
            f"none of its gates passed on {there} and may do so for {here} (evidence_from in the catalog)."
        ]
    origins = dict.fromkeys(origin for _, origin in found)
    return [
        f"run {origin.run_id} on {origin.target.name}: {clause}."
        for origin in origins
        for clause in differences(
            origin, imports.target, subject=imports.subject, contract=imports.contract, ended=False
        )
    ]


def learn_facts(state: RunState, origins: tuple[Origin, ...]) -> None:
    """Reach the parts of the target that no gate has reached, as imported results are compared with them."""
    if not origins:
        return
    from bais_gates.targets import target  # noqa: PLC0415 - as below
    from bais_gates.targets.provision import ProvisionError  # noqa: PLC0415 - loaded by runs that reach a target

    run, gates_dir = state.gate_run(), state.gates_dir
    known = {key for origin in origins for key, _ in origin.target.facts}
    # What can't be reached has no facts, and unknown is different.
    with contextlib.suppress(
        GateInputError, target.TargetUnreachable, target.ClusterUnusable, ProvisionError
    ):
        if identity.read_facts(identity.API, run.directory) is None:
            target.open_target(run, gates_dir=gates_dir)
        environment = state.environment()
        if "cluster.uid" in known and environment.describes("kubernetes"):
            target.reach_cluster(run, environment, gates_dir=gates_dir)
