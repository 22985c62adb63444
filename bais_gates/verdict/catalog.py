"""The catalog: the list of all gates, the source of truth for what must pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from bais_gates.errors import GateInputError
from bais_gates.verdict.criteria import CriteriaList, criteria_from_json, unknown_gates
from bais_gates.verdict.files import (
    Document,
    digest_of,
    load_document,
    read_bytes,
    require_environments,
)
from bais_gates.verdict.model import GOLIVE, Gate, Phase, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All gates, in the order in which reports show them. Raises ValueError for a duplicate id."""

    gates: tuple[Gate, ...]
    digest: str
    """``sha256:...`` of the file's bytes."""
    path: Path
    contract: str | None = None
    """``sha256:...`` of the contract's bytes; None where the file names none."""
    criteria: tuple[CriteriaList, ...] = ()
    """Success criteria, each with the gates that prove it; none where the file has none."""
    by_id: Mapping[str, Gate] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_id = {gate.id: gate for gate in self.gates}
        if len(by_id) != len(self.gates):
            raise ValueError("duplicate gate id in the catalog")
        object.__setattr__(self, "by_id", by_id)

    def for_scope(self, scope: str) -> tuple[Gate, ...]:
        """Return the gates of ``scope``; none for a scope that does not exist."""
        return tuple(gate for gate in self.gates if scope in gate.scopes or scope == gate.phase.value)


def load_catalog(path: Path) -> Catalog:
    """Read a catalog file.

    Ids are unique and begin with their phase; ``needs`` name other gates, without a cycle, and a gate of the
    scope golive needs only gates of that scope, as others would not run. Environments that are named have
    their file, where there is a folder of them. Every success criterion is proven by gates of the file.
    Raises GateInputError with file, line and key.
    """
    document = load_document(path, "catalog")
    entries = cast("list[dict[str, Any]]", document.data["gates"])
    index_of: dict[str, int] = {}
    for index, entry in enumerate(entries):
        gate_id = entry["id"]
        if gate_id in index_of:
            first = document.line_of(("gates", index_of[gate_id]))
            raise document.error(
                ("gates", index, "id"), f"duplicate id {gate_id}, first in line {first}. Keep one of them."
            )
        index_of[gate_id] = index
        if not gate_id.startswith(entry["phase"] + "."):
            text = f"the gate's phase is {entry['phase']}. Begin its id with {entry['phase']}."
            raise document.error(("gates", index, "id"), text)
    gates = tuple(_gate(entry) for entry in entries)
    _check_needs(document, gates, index_of)
    require_environments(
        document,
        (
            (("gates", index, key, position), name)
            for index, gate in enumerate(gates)
            for key in ("environments", "evidence_from")
            for position, name in enumerate(getattr(gate, key))
        ),
    )
    return Catalog(
        gates=gates,
        digest=document.digest,
        path=document.path,
        contract=_contract_digest(document),
        criteria=_criteria(document, index_of),
    )


def _criteria(document: Document, known: Mapping[str, int]) -> tuple[CriteriaList, ...]:
    lists = criteria_from_json(cast("list[Any]", document.data.get("criteria", [])))
    for at, gate_id in unknown_gates(lists, known):
        raise document.error(at, f"{gate_id} is not in the catalog. Add the gate, or correct the id.")
    return lists


def _contract_digest(document: Document) -> str | None:
    name = document.data.get("contract")
    if name is None:
        return None
    try:
        return digest_of(read_bytes(document.path.parent / str(name)))
    except GateInputError as error:
        raise document.error(("contract",), str(error)) from None


def _gate(entry: dict[str, Any]) -> Gate:
    phase = Phase(entry["phase"])
    others = [scope for scope in entry.get("scopes", ()) if scope != phase.value]
    return Gate(
        id=entry["id"],
        title=entry["title"].strip(),
        phase=phase,
        severity=Severity(entry["severity"]),
        scopes=(*others, phase.value),
        requirement=entry["requirement"].strip(),
        remedy=entry["remedy"].strip(),
        cases=tuple(entry.get("cases", ())),
        needs=tuple(entry.get("needs", ())),
        exclusive=entry.get("exclusive", False),
        mutates=entry.get("mutates", False),
        environments=tuple(entry.get("environments", ())),
        evidence_from=tuple(entry.get("evidence_from", ())),
        sends=entry.get("sends"),
        deadline_s=float(entry["deadline_s"]) if "deadline_s" in entry else None,
        rolls_up=Phase(entry["rolls_up"]) if "rolls_up" in entry else None,
    )


def _check_needs(document: Document, gates: tuple[Gate, ...], index_of: Mapping[str, int]) -> None:
    for index, gate in enumerate(gates):
        if gate.rolls_up is gate.phase:
            raise document.error(
                ("gates", index, "rolls_up"), "the gate's own phase. Name the phase whose results it judges."
            )
        for position, need in enumerate(gate.needs):
            at = ("gates", index, "needs", position)
            if need not in index_of:
                raise document.error(at, f"{need} is not in the catalog. Add the gate, or correct the id.")
            if GOLIVE in gate.scopes and GOLIVE not in gates[index_of[need]].scopes:
                text = f"{need} is not in the scope {GOLIVE}, so it would not run. Add the scope to it."
                raise document.error(at, text)
    _check_cycles(document, gates, index_of)


def _check_cycles(document: Document, gates: tuple[Gate, ...], index_of: Mapping[str, int]) -> None:
    """Remove gates without open needs until none is left to remove; the rest are in a cycle."""
    dependents: dict[str, list[int]] = {gate.id: [] for gate in gates}
    of_phase: dict[Phase, list[str]] = defaultdict(list)
    for gate in gates:
        of_phase[gate.phase].append(gate.id)
    awaited = [(*gate.needs, *(of_phase[gate.rolls_up] if gate.rolls_up else ())) for gate in gates]
    open_needs = [len(ids) for ids in awaited]
    for index, ids in enumerate(awaited):
        for need in ids:
            dependents[need].append(index)
    ready = [index for index, count in enumerate(open_needs) if count == 0]
    while ready:
        for dependent in dependents[gates[ready.pop()].id]:
            open_needs[dependent] -= 1
            if open_needs[dependent] == 0:
                ready.append(dependent)
    for index, count in enumerate(open_needs):
        if count:
            cycle = _cycle(gates, awaited, index_of, index, open_needs)
            raise document.error(
                ("gates", index_of[cycle[0]], "needs"),
                f"a cycle: {' needs '.join(cycle)}. Remove one of them.",
            )


def _cycle(
    gates: tuple[Gate, ...],
    awaited: Sequence[Sequence[str]],
    index_of: Mapping[str, int],
    start: int,
    open_needs: list[int],
) -> list[str]:
    """Return the cycle that is reached by following open needs from a gate."""
    path: list[str] = []
    gate_id = gates[start].id
    while gate_id not in path:
        path.append(gate_id)
        gate_id = next(need for need in awaited[index_of[gate_id]] if open_needs[index_of[need]])
    return [*path[path.index(gate_id) :], gate_id]
